"""Views of lists are kept under a name, opened by their address, and belong to who made them."""

from __future__ import annotations

import io
import re
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from openpyxl import load_workbook

from console.feedback import undo
from console.listing import saved_views
from console.models import SavedView, User
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
IMAGES = "/images/"
SAVE = "/views/images/save/"


@pytest.fixture
def olga() -> User:
    return person("operator", username="olga")


@pytest.fixture
def client(client: Client, olga: User) -> Client:
    client.force_login(olga, backend="django.contrib.auth.backends.ModelBackend")
    return client


def other_client(role: str = "viewer", **fields: object) -> Client:
    client = Client()
    client.force_login(person(role, **fields), backend="django.contrib.auth.backends.ModelBackend")
    return client


def fill() -> None:
    registry = factories.registry()
    for name in ("a", "b", "c"):
        factories.tag(name, of=factories.image(**factories.scanned(critical=int(name == "b"))), in_=registry)


def saved(
    client: Client, name: str = "Critical ones", view: str = "?severity=critical&sort=-version", **more: str
) -> str:
    """Save a view and return the address it leads to."""
    return str(client.post(SAVE, {"name": name, "view": view, **more}).url)


def rows(text: str) -> list[str]:
    return re.findall(r'class="ver">(\w+)<', text)


def test_a_view_holds_filters_order_and_columns_and_has_an_address(client: Client, olga: User) -> None:
    fill()
    olga.columns = {"images": ["version", "size"]}
    olga.save()
    address = saved(client)
    view = SavedView.objects.get()
    assert address == f"/images/?view={view.pk}-critical-ones&severity=critical&sort=-version"
    User.objects.update(columns={})
    text = client.get(address).content.decode()
    assert rows(text) == ["b"]
    assert 'id="sort-size"' in text
    assert 'id="sort-status"' not in text
    assert client.get(f"/images/?view={view.pk}").url == address, "its name alone is enough"
    response = client.post(reverse("inventory:image-export"), {"all": "1", "view": address.partition("/images/")[2]})
    head = next(load_workbook(io.BytesIO(response.content)).worksheets[0].iter_rows(values_only=True))
    assert head == ("Image repository address", "Image version", "Size")


def test_links_of_a_page_stay_in_the_view_and_say_when_it_is_changed(client: Client) -> None:
    fill()
    address = saved(client)
    text = unescape(client.get(f"{address}&size=50").content.decode())
    key = SavedView.objects.get().key
    assert f"?view={key}&severity=critical&sort=version" in text
    assert "changed" in text
    assert 'name="update"' in text
    assert 'name="update"' not in client.get(address).content.decode()
    cleared = re.search(r'class="link" href="([^"]*)"', text)
    assert cleared
    assert "severity" not in cleared[1]
    client.post(SAVE, {"update": SavedView.objects.get().pk, "view": f"?view={key}&severity=high&page=3"})
    assert SavedView.objects.get().query == "severity=high"


def test_the_list_opens_with_the_default_view_unless_the_address_says_otherwise(client: Client) -> None:
    fill()
    address = saved(client, default="1")
    assert client.get(IMAGES).url == address
    assert sorted(rows(client.get("/images/?view=all").content.decode())) == ["a", "b", "c"]
    assert sorted(rows(client.get("/images/?sort=version").content.decode())) == ["a", "b", "c"]
    fragment = client.get(IMAGES, headers={"HX-Request": "true", "HX-Target": "list"})
    assert fragment.status_code == 200
    assert fragment["HX-Push-Url"] == "/images/?view=all", "a reload shows the same rows"
    client.post("/views/images/default/", {"view": ""})
    assert client.get(IMAGES).status_code == 200


def test_one_view_of_a_list_is_the_default(client: Client, olga: User) -> None:
    saved(client, "One", default="1")
    saved(client, "Two", default="1")
    assert list(SavedView.objects.filter(is_default=True).values_list("name", flat=True)) == ["Two"]
    client.post("/views/images/default/", {"view": SavedView.objects.get(name="One").pk})
    assert list(SavedView.objects.filter(is_default=True).values_list("name", flat=True)) == ["One"]


def test_views_are_renamed_removed_and_brought_back(client: Client) -> None:
    address = saved(client, default="1")
    view = SavedView.objects.get()
    client.post(f"/views/{view.pk}/change/", {"name": " Worst  first ", "rename": ""})
    view.refresh_from_db()
    assert view.name == "Worst first"
    assert client.get(address).status_code == 200, "the old address still opens it"
    page = client.post(f"/views/{view.pk}/change/", {"remove": "1"}, follow=True).content.decode()
    assert not SavedView.objects.exists()
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token
    client.post("/undo/", {"token": token[1]})
    back = SavedView.objects.get()
    assert (back.name, back.query, back.is_default) == ("Worst first", view.query, True)


def test_a_default_view_that_is_brought_back_leaves_the_one_that_was_chosen_since(client: Client) -> None:
    saved(client, "Critical ones", default="1")
    page = client.post(f"/views/{SavedView.objects.get().pk}/change/", {"remove": "1"}, follow=True).content.decode()
    saved(client, "Newest first", default="1")
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token
    assert "Undone." in client.post("/undo/", {"token": token[1]}, follow=True).content.decode()
    assert dict(SavedView.objects.values_list("name", "is_default")) == {"Critical ones": False, "Newest first": True}


def test_undo_takes_nothing_that_was_not_offered_to_this_person(client: Client) -> None:
    saved(client)
    page = client.post(f"/views/{SavedView.objects.get().pk}/change/", {"remove": "1"}, follow=True).content.decode()
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token
    for somebody, text in ((other_client(), token[1]), (client, token[1] + "x"), (client, "")):
        somebody.post("/undo/", {"token": text})
        assert not SavedView.objects.exists()


def test_a_button_to_undo_works_for_as_long_as_it_is_good_and_no_longer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(client)
    page = client.post(f"/views/{SavedView.objects.get().pk}/change/", {"remove": "1"}, follow=True).content.decode()
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token
    with monkeypatch.context() as patch:
        patch.setattr(undo, "TOKEN_SECONDS", 0)
        text = client.post("/undo/", {"token": token[1]}, follow=True).content.decode()
    assert "That can no longer be undone." in text
    assert not SavedView.objects.exists()
    client.post("/undo/", {"token": token[1]})
    assert SavedView.objects.exists()


def test_a_view_is_seen_by_others_where_it_is_shared_and_changed_by_nobody_else(client: Client) -> None:
    fill()
    address = saved(client, default="1")
    view = SavedView.objects.get()
    viewer = other_client(username="vera")
    assert "no longer exists, or is not shared" in viewer.get(address).content.decode()
    assert "Critical ones" not in viewer.get("/images/?view=all").content.decode()
    client.post(f"/views/{view.pk}/change/", {"share": "1"})
    text = viewer.get(address).content.decode()
    assert rows(text) == ["b"]
    assert viewer.get(IMAGES).status_code == 200, "the default of somebody else is nobody else's"
    for form in ({"remove": "1"}, {"share": "0"}, {"name": "Mine"}):
        assert viewer.post(f"/views/{view.pk}/change/", form).status_code == 404
    assert viewer.post(SAVE, {"update": view.pk, "view": ""}).status_code == 404
    assert viewer.post("/views/images/default/", {"view": view.pk}).status_code == 404
    view.refresh_from_db()
    assert (view.name, view.shared) == ("Critical ones", True)


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "critical ONES"])
def test_a_name_that_cannot_be_is_refused_with_the_reason(client: Client, name: str) -> None:
    saved(client)
    response = client.post(SAVE, {"name": name, "view": "?q=a"}, follow=True)
    assert 'class="toast fault"' in response.content.decode()
    assert SavedView.objects.count() == 1


def test_as_many_views_as_are_allowed_are_kept_and_no_more(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "MAX_VIEWS_PER_LIST", 2)
    saved(client, "First")
    saved(client, "Second")
    response = client.post(SAVE, {"name": "Third", "view": "?q=a"}, follow=True)
    assert "You have 2 views of this list. Remove one first." in response.content.decode()
    assert set(SavedView.objects.values_list("name", flat=True)) == {"First", "Second"}


def test_columns_chosen_in_a_view_become_part_of_it_and_the_choice_is_undone(client: Client, olga: User) -> None:
    address = saved(client)
    url = f"{reverse('inventory:image-columns')}?{address.partition('?')[2]}"
    form = {"box": ["size"], "shown": ["size"], "save": "1"}
    page = client.post(url, form, follow=True).content.decode()
    olga.refresh_from_db()
    assert (olga.columns, SavedView.objects.get().columns) == ({}, ["size"])
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token
    client.post("/undo/", {"token": token[1]})
    assert SavedView.objects.get().columns is None


def test_the_page_of_views_tells_what_each_holds(client: Client) -> None:
    saved(client)
    text = client.get("/views/images/").content.decode()
    assert "Severity: Critical" in text
    assert "sorted by Image version" in text
    assert client.get("/views/nothing/").status_code == 404
    assert client.get("/views/vulnerabilities/").status_code == 404


def test_bare_addresses_and_unknown_views_never_break(client: Client) -> None:
    for key in ("0", "x", "99999999999999999999999", "-", "all", "1-", "%00"):
        assert client.get(f"/images/?view={key}").status_code == 200
