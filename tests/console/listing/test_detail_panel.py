"""A page in the drawer of the list that its address names."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from console.models import Team
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(person("viewer"))
    return client


def test_the_list_is_shown_as_its_own_address_would_with_the_page_in_its_drawer(client: Client) -> None:
    seen = factories.tag("seen", of=factories.image(), path="team/app")
    factories.tag("hidden", of=factories.image(), path="team/other")
    url = reverse("inventory:image", args=[seen.pk])
    text = client.get(url, {"list": "/images/?q=app", "tab": "packages"}).content.decode()
    assert '<dialog class="drawer modal" id="drawer" aria-label="Details" open data-list="/images/?q=app">' in text
    assert 'id="drawer-title"' in text
    assert '<a class="btn square quiet" href="/images/?q=app" data-close' in text
    assert "<b>1</b> of 2 tags" in text
    assert reverse("scanning:packages", args=[seen.pk]) in text
    assert "list%3D" not in text
    assert 'href="/images/?q=app&amp;sort=version"' in text  # links of the list lead to the list


@pytest.mark.parametrize(
    "below",
    ["", "/nothing/", "https://elsewhere.example/images/", "//elsewhere.example/images/", "/audit/", "/sign-in/",
     "http://[", "/images/1/?list=/images/", "javascript:alert(1)"],
)  # fmt: skip
def test_what_is_no_list_is_passed_over(client: Client, below: str) -> None:
    tag = factories.tag("v1", of=factories.image(), path="team/app")
    answer = client.get(reverse("inventory:image", args=[tag.pk]), {"list": below})
    assert answer.status_code == 200
    assert 'id="drawer-title"' not in answer.content.decode()
    assert "<h1>" in answer.content.decode()


def test_a_list_below_that_is_hidden_is_not_there(client: Client) -> None:
    own, other = factories.registry(name="own"), factories.registry(name="other")
    seen = factories.tag("v1", of=factories.image(), path="team/app", in_=own)
    hidden = factories.tag("v2", of=factories.image(), path="team/app", in_=other)
    amal = person("viewer", username="amal", limited=True)
    team = Team.objects.create(name="own")
    team.registries.add(own)
    team.members.add(amal)
    client.force_login(amal)
    text = client.get(reverse("inventory:image", args=[seen.pk]), {"list": "/images/"}).content.decode()
    assert "<b>1</b> tag" in text
    assert client.get(reverse("inventory:image", args=[hidden.pk]), {"list": "/images/"}).status_code == 404
