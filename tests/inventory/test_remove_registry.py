"""Removing a registry takes what it alone holds, and nothing else."""

from __future__ import annotations

import pytest

from console.jobs.models import State
from inventory import tasks
from inventory.models import Image, Manifest, Repository, Tag
from registries.models import PullUnit, Registry, Removal, SyncRun
from registries.request_removal import request_removal, unfinished_removals
from scanning.models import MalwareFinding, PackageVulnerability, SecretFinding
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


def removed(registry: Registry) -> Removal:
    removal = request_removal(registry)
    assert removal is not None
    tasks.remove(removal.pk)
    removal.refresh_from_db()
    return removal


def test_what_only_it_holds_goes_with_its_findings_and_what_others_hold_stays() -> None:
    doomed, other = factories.registry(), factories.registry()
    own, shared = factories.image(), factories.image()
    for number in range(45):  # more than one batch of repositories
        factories.tag("1", of=own, path=f"own/app-{number}", in_=doomed)
    factories.tag("1", of=shared, in_=doomed)
    kept = factories.tag("1", of=shared, in_=other)
    for image in (own, shared):
        factories.malware(image)
        factories.secret(image)
        factories.vulnerability(image)
    SyncRun.objects.create(registry=doomed, state=State.SUCCEEDED)
    PullUnit.objects.create(registry=doomed, image_id=own.image_id, taken_at="2026-11-23T00:00Z")

    removal = removed(doomed)

    assert (removal.state, removal.registry_id, removal.name) == (State.SUCCEEDED, None, doomed.name)
    assert list(Registry.objects.all()) == [other]
    assert list(Image.objects.all()) == [shared]
    assert list(Tag.objects.all()) == [kept]
    assert list(Manifest.objects.all()) == [kept.manifest]
    assert not Repository.objects.filter(registry_id=doomed.pk).exists()
    assert not SyncRun.objects.exists()
    assert not PullUnit.objects.exists()
    assert [finding.image for finding in MalwareFinding.objects.all()] == [shared]
    assert [finding.image for finding in SecretFinding.objects.all()] == [shared]
    assert PackageVulnerability.objects.exists()
    assert not unfinished_removals()


def test_a_sync_in_progress_is_cancelled_first_and_the_removal_waits() -> None:
    registry = factories.registry()
    run = SyncRun.objects.create(registry=registry, state=State.RUNNING)
    removal = removed(registry)
    run.refresh_from_db()
    assert run.cancel_requested_at is not None
    assert (removal.state, removal.not_before is not None) == (State.QUEUED, True)
    assert "Waiting for the sync" in removal.reason
    SyncRun.objects.update(state=State.CANCELLED)
    Removal.objects.update(not_before=None)
    tasks.remove(removal.pk)
    assert not Registry.objects.exists()


def test_a_queued_sync_is_cancelled_with_it() -> None:
    registry = factories.registry()
    SyncRun.objects.create(registry=registry)
    removal = removed(registry)
    assert removal.state == State.SUCCEEDED


def test_a_removal_that_was_broken_off_is_taken_up_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = factories.registry()
    factories.tag("1", in_=registry)
    with monkeypatch.context() as broken:
        broken.setattr("inventory.remove_registry.prune", lambda **options: 1 / 0)
        removal = removed(registry)
    assert removal.state == State.FAILED
    assert not Registry.objects.exists()  # only tidying up was left, and the next sync does that too
    other = factories.registry()
    factories.tag("1", in_=other)
    assert removed(other).state == State.SUCCEEDED
    assert not Image.objects.exists()


def test_it_is_asked_for_once() -> None:
    registry = factories.registry()
    assert request_removal(registry) is not None
    assert request_removal(registry) is None
    Removal.objects.update(state=State.FAILED)
    assert request_removal(registry) is not None
    assert len(unfinished_removals()) == 1
