"""Scans that wait for an hourly limit: shown with their time, freed when the limit is raised, asked of who has room."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from console.jobs.models import State
from inventory.models import Image, Tag
from registries.models import PullUnit, Registry
from scanning import tasks
from scanning.models import Scan
from scanning.runs import limit_waits
from scanning.runs.start import scan_now
from tests import factories
from tests.fakes.registry import FakeRegistry
from tests.inventory.sync.test_sync_registry import image, sync
from tests.people import signed_in_client

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]

TAGS = 12


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def limited(server: FakeRegistry) -> Registry:
    """A registry at its limit, with scans that wait for it."""
    for number in range(TAGS):
        image(f"{number}").put(server, "team/app", f"v{number:02}")
    registry = Registry.objects.create(name="fake", address=server.url, limit=5)
    sync(registry)
    for number in range(5):
        PullUnit.objects.create(registry=registry, image_id=f"sha256:{number}", taken_at=timezone.now())
    queued = scan_now(tag_ids=[tag.pk for tag in Tag.objects.all()], requested_by=None).queued
    tasks.scan(queued[0].pk)
    assert limit_waits.waiting_for_limit().count() == TAGS
    return registry


def save_form(registry: Registry, limit: str) -> None:
    values = {"name": registry.name, "type": "oci", "network": "public", "address": registry.address, "limit": limit}
    url = reverse("registries:registry-edit", args=[registry.pk])
    response = signed_in_client("administrator").post(url, {**values, "verify_tls": "on"})
    assert response.status_code == 302, response.text


@pytest.mark.parametrize(("limit", "freed"), [("", TAGS), ("10", 5), ("5", 0)])
def test_a_limit_that_is_raised_or_lifted_frees_what_waits_at_once(limited: Registry, limit: str, freed: int) -> None:
    save_form(limited, limit)
    ready = Scan.objects.filter(state=State.QUEUED, not_before=None)
    assert ready.count() == freed
    assert set(ready.values_list("reason", flat=True)) <= {""}
    assert Image.objects.filter(scan_resumes_at=None).count() == freed
    assert limit_waits.waiting_for_limit().count() == TAGS - freed


def test_one_that_is_changed_otherwise_is_found_out_by_the_next_tick(limited: Registry) -> None:
    limit_waits.tick()
    assert limit_waits.waiting_for_limit().count() == TAGS
    Registry.objects.update(limit=7)
    limit_waits.tick()
    assert limit_waits.waiting_for_limit().count() == TAGS - 2


def test_those_that_are_freed_go_on_and_the_others_wait(limited: Registry) -> None:
    save_form(limited, "10")
    for scan in Scan.objects.filter(not_before=None):
        tasks.scan(scan.pk)
    assert Scan.objects.filter(state=State.SUCCEEDED).count() == 5
    assert limit_waits.waiting_for_limit().count() == TAGS - 5


def test_list_and_drawer_say_how_long_it_waits(limited: Registry) -> None:
    Image.objects.update(scan_resumes_at=timezone.now() + timedelta(minutes=11, seconds=30))
    client = signed_in_client("viewer")
    tag = Tag.objects.order_by("pk")[0]
    for url in (reverse("inventory:image-list"), reverse("inventory:image", args=[tag.pk])):
        assert "Waiting for the hourly limit of fake, 12 min" in client.get(url).text


def test_each_that_waits_has_its_own_time(limited: Registry) -> None:
    times = set(Image.objects.values_list("scan_resumes_at", flat=True))
    assert None not in times
    assert times == set(Scan.objects.values_list("not_before", flat=True))


# --- an image that two registries hold ----------------------------------------------------------------------------
def shared_image(limited: Registry, other: Registry, *, order: str = "pk") -> Tag:
    """An image of ``limited`` that ``other`` holds too, as proven; returns the tag of ``other``."""
    scan = limit_waits.waiting_for_limit().order_by(order)[0]
    shared = Image.objects.get(pk=scan.image_id)
    tag = factories.tag("copy", in_=other, of=shared)
    manifest = Tag.objects.get(pk=scan.tag_id).manifest
    Tag.objects.filter(pk=tag.pk).update(manifest=manifest, digest=manifest.digest)
    Image.objects.filter(pk=shared.pk).update(registry=None, manifest=None)
    return Tag.objects.get(pk=tag.pk)


@pytest.mark.parametrize(("limit", "moved"), [(None, True), (5, True), (1, False)])
def test_a_scan_that_is_asked_for_by_a_row_does_not_wait_for_another_registry(
    limited: Registry, limit: int | None, moved: bool
) -> None:
    other = factories.registry(name="other", limit=limit)
    PullUnit.objects.create(registry=other, image_id="sha256:x", taken_at=timezone.now())
    tag = shared_image(limited, other)
    scan_now(tag_ids=[tag.pk], requested_by=None)
    scan = Scan.objects.get(image=tag.image)
    assert (scan.registry_id, scan.tag_id) == ((other.pk, tag.pk) if moved else (limited.pk, scan.tag_id))
    assert (scan.not_before is None, scan.reason == "") == (moved, moved)
    assert Image.objects.get(pk=scan.image_id).scanned_from == scan.registry_id


def test_scans_that_would_wait_are_asked_of_a_registry_that_is_free(limited: Registry) -> None:
    tag = shared_image(limited, factories.registry(name="other"), order="-pk")
    Scan.objects.update(not_before=None, reason="")
    waiting = Scan.objects.exclude(image=tag.image).order_by("pk")[0]
    tasks.scan(waiting.pk)
    scan = Scan.objects.get(image=tag.image)
    assert (scan.registry.name if scan.registry else "", scan.not_before) == ("other", None)
    assert limit_waits.waiting_for_limit().count() == TAGS - 1
