"""The page "Image repository management"."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.jobs.models import State
from console.models import AuditEvent, User
from inventory.models import Manifest, Repository, Tag
from registries.models import Registry, SyncRun
from tests.people import person

pytestmark = pytest.mark.django_db

LIST = "/registries/"
VALUES = {"name": "lab", "type": "oci", "network": "public", "address": "https://registry.example.com"}


@pytest.fixture
def lab() -> Registry:
    return Registry.objects.create(name="lab", address="https://registry.example.com")


def signed_in(role: str) -> Client:
    client = Client()
    client.force_login(User.objects.filter(username=role).first() or person(role))
    return client


def actions() -> list[str]:
    return list(AuditEvent.objects.order_by("id").values_list("action", flat=True))


def test_who_is_not_signed_in_is_led_to_the_sign_in() -> None:
    assert Client().get(LIST).headers["Location"] == f"/sign-in/?next={LIST}"


# URL name, method, the roles that may
MATRIX = [
    ("registry-list", "get", {"viewer", "operator", "administrator"}),
    ("progress", "get", {"viewer", "operator", "administrator"}),
    ("registry-detail", "get", {"viewer", "operator", "administrator"}),
    ("sync-all", "post", {"operator", "administrator"}),
    ("sync", "post", {"operator", "administrator"}),
    ("cancel-sync", "post", {"operator", "administrator"}),
    ("registry-add", "get", {"administrator"}),
    ("registry-add", "post", {"administrator"}),
    ("check-name", "get", {"administrator"}),
    ("registry-edit", "get", {"administrator"}),
    ("registry-edit", "post", {"administrator"}),
    ("registry-delete", "get", {"administrator"}),
    ("registry-delete", "post", {"administrator"}),
]


@pytest.mark.parametrize("role", ["viewer", "operator", "administrator"])
@pytest.mark.parametrize(("name", "method", "may"), MATRIX)
def test_each_role_may_what_it_may(name: str, method: str, may: set[str], role: str, lab: Registry) -> None:
    one = name in {"registry-detail", "sync", "cancel-sync", "registry-edit", "registry-delete"}
    url = reverse(f"registries:{name}", args=[lab.pk] if one else [])
    answer = getattr(signed_in(role), method)(url)
    if role in may:
        assert answer.status_code in {200, 302, 422}
    else:
        assert answer.status_code == 403
        assert "This is for" in answer.content.decode()
        assert actions() == ["access.denied"]
        assert Registry.objects.count() == 1
        assert not SyncRun.objects.exists()


def test_the_matrix_names_every_address_of_the_page() -> None:
    from registries.urls import urlpatterns

    named = {pattern.name for pattern in urlpatterns}
    assert {name for name in named if not name.startswith("tencent-")} == {name for name, _method, _may in MATRIX}


def test_buttons_that_a_role_may_not_use_are_not_shown(lab: Registry) -> None:
    viewer, operator, administrator = (
        signed_in(role).get(LIST).content.decode() for role in ("viewer", "operator", "administrator")
    )
    assert "Sync assets" not in viewer
    assert "Sync assets" in operator
    assert "Add image repository" not in operator
    assert "Add image repository" in administrator


def test_adding_leads_to_the_list_and_syncs_where_asked() -> None:
    answer = signed_in("administrator").post(
        reverse("registries:registry-add"), {**VALUES, "verify_tls": "on", "then": "sync"}
    )
    assert answer.headers["Location"] == LIST
    registry = Registry.objects.get()
    assert registry.sync_runs.get().state == State.QUEUED
    assert actions() == ["registry.add", "sync.start"]


def test_the_audit_trail_never_holds_a_password() -> None:
    signed_in("administrator").post(
        reverse("registries:registry-add"), {**VALUES, "username": "robot", "password": "planted-s3cret"}
    )
    event = AuditEvent.objects.get(action="registry.add")
    assert "password" in event.detail["changed"]
    assert "planted-s3cret" not in str(event.detail)


def test_a_wrong_form_keeps_what_was_typed_but_not_the_password() -> None:
    values = {**VALUES, "address": "ftp://x", "username": "robot", "password": "planted-s3cret", "then": "sync"}
    answer = signed_in("administrator").post(reverse("registries:registry-add"), values)
    html = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="ftp://x"' in html
    assert 'value="robot"' in html
    assert "planted-s3cret" not in html
    assert "Only the password must be typed again" in html
    assert not Registry.objects.exists()


def test_a_form_sent_by_script_comes_back_as_a_fragment() -> None:
    answer = signed_in("administrator").post(
        reverse("registries:registry-add"), {**VALUES, "name": ""}, headers={"HX-Request": "true"}
    )
    assert answer.status_code == 422
    assert "<html" not in answer.content.decode()
    good = signed_in("administrator").post(reverse("registries:registry-add"), VALUES, headers={"HX-Request": "true"})
    assert (good.status_code, good.headers["HX-Redirect"]) == (204, LIST)


def test_a_name_is_checked_while_somebody_types(lab: Registry) -> None:
    client, url = signed_in("administrator"), reverse("registries:check-name")
    assert "exists already" in client.get(url, {"name": "LAB"}).content.decode()
    assert "free" in client.get(url, {"name": "lab", "but": lab.pk}).content.decode()
    assert "free" in client.get(url, {"name": "other", "but": "9" * 400}).content.decode()
    hostile = client.get(url, {"name": "<script>"}).content.decode()
    assert "<script>" not in hostile


def test_editing_never_shows_the_stored_password(lab: Registry) -> None:
    lab.username = "robot"
    lab.set_password("planted-s3cret")
    lab.save()
    client = signed_in("administrator")
    for name in ("registry-edit", "registry-detail"):
        html = client.get(reverse(f"registries:{name}", args=[lab.pk])).content.decode()
        assert "planted-s3cret" not in html
        assert lab.password_token not in html


def test_deleting_needs_the_name_typed(lab: Registry) -> None:
    client, url = signed_in("administrator"), reverse("registries:registry-delete", args=[lab.pk])
    assert client.post(url, {"name": "la"}).status_code == 422
    assert Registry.objects.exists()
    assert client.post(url, {"name": "lab"}).status_code == 302
    assert not Registry.objects.exists()
    assert actions() == ["registry.delete"]


def test_a_registry_that_syncs_is_not_deleted(lab: Registry) -> None:
    SyncRun.objects.create(registry=lab, state=State.RUNNING)
    answer = signed_in("administrator").post(reverse("registries:registry-delete", args=[lab.pk]), {"name": "lab"})
    assert "Cancel it first" in answer.content.decode()
    assert Registry.objects.exists()


def test_a_second_sync_is_not_doubled(lab: Registry) -> None:
    Registry.objects.create(name="other", address="https://other.example.com")
    client = signed_in("operator")
    client.post(reverse("registries:sync", args=[lab.pk]))
    answer = client.post(reverse("registries:sync-all"), follow=True)
    assert SyncRun.objects.filter(registry=lab).count() == 1
    assert "1 sync queued, 1 skipped (already syncing)" in answer.content.decode()
    run = SyncRun.objects.filter(registry=lab).get()
    assert run.queued_at is not None
    assert run.requested_by == User.objects.get(username="operator")


def test_only_the_chosen_registries_sync(lab: Registry) -> None:
    Registry.objects.create(name="other", address="https://other.example.com")
    signed_in("operator").post(reverse("registries:sync-all"), {"ids": [lab.pk, "rubbish", "9" * 400]})
    assert [run.registry for run in SyncRun.objects.all()] == [lab]


def test_a_queued_sync_is_cancelled_at_once(lab: Registry) -> None:
    client = signed_in("operator")
    client.post(reverse("registries:sync", args=[lab.pk]))
    client.post(reverse("registries:cancel-sync", args=[lab.pk]))
    assert SyncRun.objects.get().state == State.CANCELLED
    assert actions() == ["sync.start", "sync.cancel"]


def test_a_page_elsewhere_that_starts_a_sync_gets_a_toast(lab: Registry) -> None:
    answer = signed_in("operator").post(reverse("registries:sync-all"), headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert "1 sync queued" in answer.headers["HX-Trigger"]


def test_the_list_polls_only_while_a_sync_runs(lab: Registry) -> None:
    client = signed_in("viewer")
    assert "data-poll" not in client.get(LIST).content.decode()
    run = SyncRun.objects.create(registry=lab, state=State.RUNNING, repositories=3, tags=41, progress_done=1)
    assert "data-poll" in client.get(LIST).content.decode()
    moving = client.get(reverse("registries:progress")).content.decode()
    assert "3 repositories, 41 tags" in moving
    assert f'id="sync-{lab.pk}"' in moving
    SyncRun.objects.filter(pk=run.pk).update(state=State.FAILED, ended_at=timezone.now(), reason="It said no.")
    lab.record_sync(run)
    ended = client.get(reverse("registries:progress")).content.decode()
    assert "data-poll" not in ended
    assert "It said no." in ended
    SyncRun.objects.update(ended_at=timezone.now() - timedelta(hours=1))
    assert f'id="sync-{lab.pk}"' not in client.get(reverse("registries:progress")).content.decode()


def test_images_are_the_tags_that_a_registry_holds(lab: Registry) -> None:
    repository = Repository.objects.create(registry=lab, name="app")
    manifest = Manifest.objects.create(digest="sha256:" + "a" * 64, kind="image")
    for name in ("1", "2"):
        Tag.objects.create(
            repository=repository,
            name=name,
            digest=manifest.digest,
            manifest=manifest,
            address="registry.example.com/app",
        )
    html = signed_in("viewer").get(LIST).content.decode()
    assert f'id="images-{lab.pk}">2<' in html
    assert "1 registry · 2 images" in html


def test_a_search_finds_names_and_addresses(lab: Registry) -> None:
    client = signed_in("viewer")
    assert "registry.example.com" in client.get(LIST, {"q": "LAB"}).content.decode()
    assert "No registry matches" in client.get(LIST, {"q": "nothing" * 100}).content.decode()


def test_records_tell_reason_and_remedy(lab: Registry) -> None:
    for number in range(25):
        SyncRun.objects.create(registry=lab, state=State.FAILED, reason=f"Reason {number}.", remedy="Do this.")
    html = signed_in("viewer").get(reverse("registries:registry-detail", args=[lab.pk]), {"page": "rubbish"})
    assert "Reason 24." in html.content.decode()
    assert "Reason 4." not in html.content.decode()


def test_the_list_asks_the_database_as_often_for_many_registries(
    lab: Registry, django_assert_max_num_queries: Any
) -> None:
    client = signed_in("administrator")
    for number in range(30):
        registry = Registry.objects.create(name=f"r{number}", address="https://registry.example.com")
        SyncRun.objects.create(registry=registry)
    with django_assert_max_num_queries(9):
        client.get(LIST)


def test_names_are_escaped_everywhere(lab: Registry) -> None:
    lab.name = '"><script>alert(1)</script>'
    lab.connection, lab.connection_reason = "failed", "<img src=x>"
    lab.save()
    client = signed_in("administrator")
    for name in ("registry-detail", "registry-edit", "registry-delete"):
        html = client.get(reverse(f"registries:{name}", args=[lab.pk])).content.decode()
        assert "<script>alert" not in html
        assert "<img" not in html
    assert "<script>alert" not in client.get(LIST).content.decode()
