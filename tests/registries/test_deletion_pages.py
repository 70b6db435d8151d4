"""The pages on which registries are deleted."""

from __future__ import annotations

import pytest
from django.urls import reverse

from console.jobs.models import State
from registries.models import Registry, Removal, SyncRun
from tests import factories
from tests.people import actions, signed_in_client

pytestmark = pytest.mark.django_db

LIST = "/registries/"
VALUES = {"name": "lab", "type": "oci", "network": "public", "address": "https://registry.example.com"}


def test_deleting_needs_the_name_typed_and_takes_the_registry_off_at_once(lab: Registry) -> None:
    lab.set_password("planted-s3cret")
    lab.save()
    client, url = signed_in_client("administrator"), reverse("registries:registry-delete", args=[lab.pk])
    assert client.post(url, {"typed": "la"}).status_code == 422
    assert Registry.objects.present().exists()
    assert client.post(url, {"typed": "lab"}).status_code == 302
    assert not Registry.objects.present().exists()
    assert not Registry.objects.get().has_password
    assert Removal.objects.get().state == State.QUEUED
    html = client.get(LIST).content.decode()
    assert "“lab” is being deleted" in html
    assert "data-poll" in html
    assert client.get(reverse("registries:registry-edit", args=[lab.pk])).status_code == 404
    assert actions() == ["registry.delete"]


def test_the_name_of_a_registry_that_is_being_deleted_is_free(lab: Registry) -> None:
    client = signed_in_client("administrator")
    client.post(reverse("registries:registry-delete", args=[lab.pk]), {"typed": "lab"})
    client.post(reverse("registries:registry-add"), {**VALUES, "verify_tls": "on"})
    assert Registry.objects.present().get().name == "lab"


def test_a_registry_that_is_being_deleted_syncs_no_more(lab: Registry) -> None:
    client = signed_in_client("administrator")
    client.post(reverse("registries:registry-delete", args=[lab.pk]), {"typed": "lab"})
    client.post(reverse("registries:sync-all"))
    assert client.post(reverse("registries:sync", args=[lab.pk])).status_code == 404
    assert not SyncRun.objects.exists()


def test_what_goes_with_a_registry_is_counted_before(lab: Registry) -> None:
    shared, own = factories.image(), factories.image()
    other = factories.registry()
    factories.tag("1", of=shared, path="team/a", in_=lab)
    factories.tag("2", of=shared, path="team/a", in_=lab)
    factories.tag("1", of=own, path="team/b", in_=lab)
    factories.tag("1", of=shared, in_=other)
    html = signed_in_client("administrator").get(reverse("registries:registry-delete", args=[lab.pk])).content.decode()
    assert "3 tags in 2 repositories" in html
    assert "the findings of 1 image that no other registry contains (of 2)" in html


def test_deleting_names_the_registry_above_and_speaks_of_a_password_only_where_there_is_one(lab: Registry) -> None:
    client, url = signed_in_client("administrator"), reverse("registries:registry-delete", args=[lab.pk])
    Registry.objects.update(password_token="", pull_password_token="")
    html = client.get(url).content.decode()
    crumbs = html[html.index('class="crumbs"') :].split("</nav>")[0]
    assert f'href="{reverse("registries:registry-detail", args=[lab.pk])}">lab</a>' in crumbs
    assert "password" not in html
    lab.set_password("secret")
    lab.save()
    assert "the stored password<" in client.get(url).content.decode()
    lab.set_pull_password("another")
    lab.save()
    assert "the stored passwords<" in client.get(url).content.decode()


def test_several_are_deleted_together_after_their_number_is_typed(lab: Registry) -> None:
    two, three = (factories.registry() for _ in range(2))
    client, url = signed_in_client("administrator"), reverse("registries:delete-chosen")
    asked = client.post(url, {"ids": [lab.pk, two.pk], "view": "?"})
    assert "Delete 2 registries?" in asked.content.decode()
    assert Registry.objects.present().count() == 3
    assert client.post(url, {"ids": [lab.pk, two.pk], "typed": "lab"}).status_code == 422
    client.post(url, {"ids": [lab.pk, two.pk], "typed": "2 registries"})
    assert list(Registry.objects.present()) == [three]


def test_a_removal_that_failed_says_why_and_is_taken_up_again(lab: Registry) -> None:
    client = signed_in_client("administrator")
    client.post(reverse("registries:registry-delete", args=[lab.pk]), {"typed": "lab"})
    Removal.objects.update(state=State.FAILED, reason="The disk is full.")
    assert "The disk is full." in client.get(LIST).content.decode()
    client.post(reverse("registries:delete-again", args=[lab.pk]))
    assert sorted(removal.state for removal in Removal.objects.all()) == [State.FAILED, State.QUEUED]
