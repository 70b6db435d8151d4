"""The page "Image repository management"."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.jobs.models import State
from console.models import AuditEvent
from registries.connectors import DECLARATIONS
from registries.models import ConnectionTest, Registry, SyncRun
from registries.urls import urlpatterns
from tests import factories
from tests.people import actions, signed_in_client

pytestmark = pytest.mark.django_db

LIST = "/registries/"
VALUES = {"name": "lab", "type": "oci", "network": "public", "address": "https://registry.example.com"}


def test_who_is_not_signed_in_is_led_to_the_sign_in() -> None:
    assert Client().get(LIST).headers["Location"] == f"/sign-in/?next={LIST}"


# URL name, method, the roles that may
ALL, OPERATORS, ADMINISTRATORS = (
    {"viewer", "operator", "administrator"},
    {"operator", "administrator"},
    {"administrator"},
)


MATRIX = [
    ("registry-list", "get", ALL),
    ("registry-columns", "get", ALL),
    ("registry-columns", "post", ALL),
    ("guide", "get", ALL),
    ("progress", "get", ALL),
    ("registry-detail", "get", ALL),
    ("sync-list", "get", ALL),
    ("sync-columns", "get", ALL),
    ("sync-columns", "post", ALL),
    ("registry-export", "post", OPERATORS),
    ("sync-export", "post", OPERATORS),
    ("sync-all", "post", OPERATORS),
    ("sync", "post", OPERATORS),
    ("cancel-sync", "post", OPERATORS),
    ("cancel-all", "post", OPERATORS),
    ("registry-test", "post", OPERATORS),
    ("test", "get", OPERATORS),
    ("form-test", "post", ADMINISTRATORS),
    ("registry-add", "get", ADMINISTRATORS),
    ("registry-add", "post", ADMINISTRATORS),
    ("check-name", "get", ADMINISTRATORS),
    ("registry-edit", "get", ADMINISTRATORS),
    ("registry-edit", "post", ADMINISTRATORS),
    ("registry-delete", "get", ADMINISTRATORS),
    ("registry-delete", "post", ADMINISTRATORS),
    ("delete-chosen", "post", ADMINISTRATORS),
    ("delete-again", "post", ADMINISTRATORS),
    ("push-events", "get", ADMINISTRATORS),
    ("push-events", "post", ADMINISTRATORS),
]


WITHOUT_SIGN_IN = {"receive-event", "receive-event-with-secret"}  # registries report there: see test_events


@pytest.mark.parametrize("role", ["viewer", "operator", "administrator"])
@pytest.mark.parametrize(("name", "method", "may"), MATRIX)
def test_each_role_may_what_it_may(name: str, method: str, may: set[str], role: str, lab: Registry) -> None:
    of_one = "<int:pk>" in {pattern.name: str(pattern.pattern) for pattern in urlpatterns}[name]
    url = reverse(f"registries:{name}", args=[lab.pk] if of_one else [])
    answer = getattr(signed_in_client(role), method)(url)
    if role in may:
        assert answer.status_code in {200, 302, 404, 422}  # 404: no such test, and nothing is being removed
    else:
        assert answer.status_code == 403
        assert "can do this" in answer.content.decode()
        assert actions() == ["access.denied"]
        assert Registry.objects.present().count() == 1
        assert not SyncRun.objects.exists()
        assert not ConnectionTest.objects.exists()


def test_the_matrix_names_every_address_of_the_page() -> None:
    named = {pattern.name for pattern in urlpatterns if not str(pattern.name).startswith("tencent-")}
    assert named - WITHOUT_SIGN_IN == {name for name, _method, _may in MATRIX}


def test_buttons_that_a_role_may_not_use_are_not_shown(lab: Registry) -> None:
    viewer, operator, administrator = (
        signed_in_client(role).get(LIST).content.decode() for role in ("viewer", "operator", "administrator")
    )
    assert "Sync assets" not in viewer
    assert "Sync assets" in operator
    assert "Add image repository" not in operator
    assert "Add image repository" in administrator


def test_adding_leads_to_the_list_and_syncs_where_asked() -> None:
    answer = signed_in_client("administrator").post(
        reverse("registries:registry-add"), {**VALUES, "verify_tls": "on", "then": "sync"}
    )
    assert answer.headers["Location"] == LIST
    registry = Registry.objects.get()
    assert registry.sync_runs.get().state == State.QUEUED
    assert actions() == ["registry.add", "sync.start"]


def test_the_audit_trail_never_holds_a_password() -> None:
    signed_in_client("administrator").post(
        reverse("registries:registry-add"), {**VALUES, "username": "robot", "password": "planted-s3cret"}
    )
    event = AuditEvent.objects.get(action="registry.add")
    assert "password" in event.after
    assert "planted-s3cret" not in f"{event.detail} {event.before} {event.after}"


def test_a_wrong_form_keeps_what_was_typed_but_not_the_password() -> None:
    values = {**VALUES, "address": "ftp://x", "username": "robot", "password": "planted-s3cret", "then": "sync"}
    answer = signed_in_client("administrator").post(reverse("registries:registry-add"), values)
    html = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="ftp://x"' in html
    assert 'value="robot"' in html
    assert "planted-s3cret" not in html
    assert "Only passwords must be typed again" in html
    assert not Registry.objects.exists()


def test_a_form_sent_by_script_comes_back_as_a_fragment() -> None:
    answer = signed_in_client("administrator").post(
        reverse("registries:registry-add"), {**VALUES, "name": ""}, headers={"HX-Request": "true"}
    )
    assert answer.status_code == 422
    assert "<html" not in answer.content.decode()
    good = signed_in_client("administrator").post(
        reverse("registries:registry-add"), VALUES, headers={"HX-Request": "true"}
    )
    assert (good.status_code, good.headers["HX-Redirect"]) == (204, LIST)


def test_a_name_is_checked_while_somebody_types(lab: Registry) -> None:
    client, url = signed_in_client("administrator"), reverse("registries:check-name")
    assert "exists already" in client.get(url, {"name": "LAB"}).content.decode()
    assert "free" in client.get(url, {"name": "lab", "but": lab.pk}).content.decode()
    assert "free" in client.get(url, {"name": "other", "but": "9" * 400}).content.decode()
    hostile = client.get(url, {"name": "<script>"}).content.decode()
    assert "<script>" not in hostile


def test_editing_never_shows_the_stored_password(lab: Registry) -> None:
    lab.username = "robot"
    lab.set_password("planted-s3cret")
    lab.save()
    client = signed_in_client("administrator")
    for name in ("registry-edit", "registry-detail"):
        html = client.get(reverse(f"registries:{name}", args=[lab.pk])).content.decode()
        assert "planted-s3cret" not in html
        assert lab.password_token not in html


def test_images_are_the_tags_that_a_registry_holds(lab: Registry) -> None:
    factories.tag("1", in_=lab)
    factories.tag("2", in_=lab)
    html = signed_in_client("viewer").get(LIST).content.decode()
    assert f'id="images-{lab.pk}">2<' in html


def test_a_search_finds_names_and_addresses(lab: Registry) -> None:
    client = signed_in_client("viewer")
    assert "registry.example.com" in client.get(LIST, {"q": "LAB"}).content.decode()
    assert "No registries match" in client.get(LIST, {"q": "nothing" * 40}).content.decode()


def test_the_page_names_the_host_that_gets_the_password_too(lab: Registry) -> None:
    page = f"/registries/{lab.pk}/"
    assert "Token service" not in signed_in_client("viewer").get(page).text
    Registry.objects.filter(pk=lab.pk).update(token_service="git.example.com")
    text = signed_in_client("viewer").get(page).text
    assert "Token service</dt><dd>git.example.com</dd>" in text


def test_the_drawer_gets_the_content_alone(lab: Registry) -> None:
    url = reverse("registries:registry-detail", args=[lab.pk])
    part = signed_in_client("viewer").get(url, headers={"HX-Request": "true", "HX-Target": "drawer"})
    assert "<html" not in part.content.decode()
    assert "HX-Request" in part.headers["Vary"]
    assert "Test connection</button>" not in part.content.decode()  # a viewer only sees


@pytest.mark.parametrize("kind", DECLARATIONS)
def test_choosing_a_type_shows_its_fields_and_keeps_what_was_typed(kind: str) -> None:
    client, url = signed_in_client("administrator"), reverse("registries:registry-add")
    typed = {**VALUES, "type": kind, "show": "1", "username": "robot", "password": "planted-s3cret", "limit": "20"}
    answer = client.post(url, typed)
    html = answer.content.decode()
    assert answer.status_code == 200
    for name in DECLARATIONS[kind].fields:
        assert f'name="{name}"' in html
    assert 'value="https://registry.example.com"' in html
    assert '<option value="20" selected>' in html
    assert "planted-s3cret" not in html
    assert 'class="err"' not in html
    assert not Registry.objects.exists()
    part = client.post(f"{url}?show=1", typed, headers={"HX-Request": "true"}).content.decode()
    assert 'id="guide"' in part
    assert 'hx-swap-oob="true"' in part


@pytest.mark.parametrize("kind", DECLARATIONS)
def test_the_guide_of_each_type_says_what_must_be_open_and_which_rights_suffice(kind: str) -> None:
    html = signed_in_client("viewer").get(reverse("registries:guide"), {"type": kind}).content.decode()
    for heading in ("Network access needed", "Minimum permissions", "Good to know"):
        assert heading in html


def test_names_are_escaped_everywhere(lab: Registry) -> None:
    lab.name = '"><script>alert(1)</script>'
    lab.connection, lab.connection_reason = "failed", "<img src=x>"
    lab.save()
    client = signed_in_client("administrator")
    for name in ("registry-detail", "registry-edit", "registry-delete"):
        html = client.get(reverse(f"registries:{name}", args=[lab.pk])).content.decode()
        assert "<script>alert" not in html
        assert "<img" not in html
    assert "<script>alert" not in client.get(LIST).content.decode()


def test_a_slow_registry_is_marked_with_the_reason_and_until_when_in_the_list_and_on_its_page(lab: Registry) -> None:
    client, page = signed_in_client("viewer"), f"{LIST}{lab.pk}/"
    for path in (LIST, page):
        assert "Slow until" not in client.get(path).text
    lab.mark_slow()
    lab.refresh_from_db()
    until = f"{timezone.localtime(lab.slow_until):%H:%M}"
    for path in (LIST, page):
        text = client.get(path).text
        assert "Slow until <time" in text
        assert f">{until}</time>" in text
        assert "A pull stalled; scans of other registries go first." in text
    assert "A pull from it stalled or timed out" in client.get(page).text
    Registry.objects.update(slow_until=timezone.now() - timedelta(seconds=1))
    for path in (LIST, page):
        assert "Slow until" not in client.get(path).text


def test_a_slow_registry_does_not_hide_why_its_connection_failed(lab: Registry) -> None:
    lab.record_connection(state="failed", reason="It said no.", remedy="Ask again.")
    lab.mark_slow()
    text = signed_in_client("viewer").get(LIST).text
    assert "Slow until" in text
    assert "It said no." in text
