"""A push that a registry reports: the tag is in the inventory, and scanned where that is wanted."""

from __future__ import annotations

import pytest

from console.jobs.models import Lane, State
from inventory.models import Repository, Tag
from registries.events import Change
from registries.models import PushAddress, PushEvent, Registry
from registries.receive import take_up
from scanning import tasks
from scanning.models import Scan, ScanRun
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, manifests
from tests.scanning.conftest import sync

pytestmark = pytest.mark.django_db(transaction=True)


def report(registry: Registry, name: str, tag: str = "", *others: str) -> PushEvent:
    """Let ``registry`` report a change, and work on it as a worker would."""
    take_up(registry=registry, found=[Change((name, *others), tag)])
    PushEvent.objects.update(not_before=None)
    event = PushEvent.objects.latest("pk")
    tasks.push_event(event.pk)
    event.refresh_from_db()
    return event


def test_a_pushed_tag_is_there_at_once_by_one_head_and_one_manifest(fake: FakeRegistry, registry: Registry) -> None:
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    event = report(registry, "team/app", "1.0")
    assert (event.state, event.images) == (State.SUCCEEDED, 1)
    tag = Tag.objects.get()
    assert (str(tag), tag.image.config_known) == (f"{registry.host}/team/app:1.0", True)
    assert len(fake.requests(manifests, method="GET")) == 1
    assert not Scan.objects.exists()


def test_it_is_scanned_before_scheduled_ones_where_that_is_wanted(fake: FakeRegistry, registry: Registry) -> None:
    address = PushAddress(registry=registry, scans=True)
    address.new_secret()
    address.save()
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    report(registry, "team/app", "1.0")
    assert Scan.objects.get().lane == Lane.EVENT
    assert report(registry, "team/app", "1.0").images == 0
    assert Scan.objects.count() == 1


def test_a_push_that_changes_nothing_leaves_no_empty_run_behind(fake: FakeRegistry, registry: Registry) -> None:
    address = PushAddress(registry=registry, scans=True)
    address.new_secret()
    address.save()
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    sync(registry)
    report(registry, "team/app", "1.0")  # known already
    fake.store.remove_tag("team/app", "1.0")
    report(registry, "team/app")  # a deletion
    assert not ScanRun.objects.exists()


def test_a_moved_tag_points_to_the_new_image(fake: FakeRegistry, registry: Registry) -> None:
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    report(registry, "team/app", "1.0")
    before = Tag.objects.get().image_id
    images.image({"app": b"2"}).put(fake, "team/app", "1.0")
    report(registry, "team/app", "1.0")
    assert Tag.objects.get().image_id != before


def test_the_name_of_the_path_method_is_tried_before_that_of_the_subdomain(
    fake: FakeRegistry, registry: Registry
) -> None:
    images.image({"app": b"1"}).put(fake, "app", "1.0")
    report(registry, "docker-local/app", "1.0", "app")
    assert Repository.objects.get().name == "app"


def test_a_signature_is_no_image(fake: FakeRegistry, registry: Registry) -> None:
    image = images.image({"app": b"1"})
    image.put(fake, "team/app", "1.0")
    tag, signature = images.cosign_signature(image.digest)
    signature.put(fake, "team/app", tag)
    assert report(registry, "team/app", tag).state == State.SUCCEEDED
    images.helm_chart().put(fake, "team/app", "chart")
    assert report(registry, "team/app", "chart").state == State.SUCCEEDED
    assert not Tag.objects.exists()


def test_a_reported_deletion_is_looked_up_and_not_believed(fake: FakeRegistry, registry: Registry) -> None:
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    images.image({"app": b"2"}).put(fake, "team/app", "2.0")
    sync(registry)
    report(registry, "team/app")
    assert Tag.objects.count() == 2
    fake.store.remove_tag("team/app", "1.0")
    report(registry, "team/app")
    assert Tag.objects.get().name == "2.0"


def test_what_was_deleted_since_says_so(fake: FakeRegistry, registry: Registry) -> None:
    event = report(registry, "team/app", "1.0")
    PushEvent.objects.update(not_before=None)
    tasks.push_event(event.pk)
    event.refresh_from_db()
    assert event.state == State.FAILED
    assert "does not hold team/app:1.0" in event.reason
    assert event.remedy


def test_a_push_to_a_repository_outside_the_fixed_list_is_left_alone(fake: FakeRegistry, registry: Registry) -> None:
    Registry.objects.filter(pk=registry.pk).update(repositories="team/other")
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    assert report(registry, "team/app", "1.0").state == State.SUCCEEDED
    assert not Tag.objects.exists()
