"""Each use of a stored credential is one event of the audit trail: who, or nobody where the console acts by itself."""

from __future__ import annotations

import time as clock
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from console.models import AuditEvent
from inventory.models import Tag
from registries.cloud_accounts import discovery
from registries.models import CloudAccount, CloudDiscovery, ConnectionTest, PushAddress, PushEvent, Registry, SyncRun
from registries.sync_requests import nightly
from registries.webhooks.ingest import ingest_changes
from registries.webhooks.payloads import MAX_CHANGES, Change
from scanning import tasks
from scanning.models import ScanRun, ScanSchedule, ScanScope
from scanning.schedules import scheduler
from tests import factories
from tests.fakes import images
from tests.fakes.registry import FakeRegistry
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)


def uses() -> list[tuple[str, str, str, str]]:
    """Who used what of whom, and by what it came, in the order of the events; what is no use is left out."""
    actions = ("sync.start", "scan.start", "registry.test", "cloud-account.discover", "push-address.event")
    found = AuditEvent.objects.filter(action__in=actions).order_by("pk")
    return [(event.actor_name, event.action, event.target, event.detail.get("by", "")) for event in found]


@pytest.fixture
def operator() -> Client:
    client = Client(REMOTE_ADDR="10.1.2.3")
    client.force_login(person("operator"))
    return client


@pytest.fixture
def account() -> CloudAccount:
    return CloudAccount.objects.create(name="production", secret_id="AKIDexample")


def test_syncs_by_hand_one_each_and_none_for_those_that_run_already(operator: Client) -> None:
    lab, mill = factories.registry(name="lab"), factories.registry(name="mill")
    operator.post(f"/registries/{lab.pk}/sync/")
    operator.post("/registries/sync/")
    assert uses() == [("operator", "sync.start", name, "manual") for name in ("lab", "mill")]
    assert set(AuditEvent.objects.filter(action="sync.start").values_list("address", flat=True)) == {"10.1.2.3"}
    assert SyncRun.objects.filter(registry__in=[lab, mill], requested_by__username="operator").count() == 2


def test_a_sync_of_the_night_and_one_of_the_command() -> None:
    factories.registry(name="lab")
    late = datetime(2026, 11, 24, 2, 59, 59, tzinfo=UTC)
    for _again in range(2):
        nightly.enqueue_due_syncs(now=late)
    assert uses() == [("", "sync.start", "lab", "nightly")]
    factories.registry(name="mill")
    call_command("sync_registries", "mill")
    assert uses()[1:] == [("", "sync.start", "mill", "manual")]


def test_discoveries_by_hand_and_with_all_syncs(operator: Client, account: CloudAccount) -> None:
    operator.post(f"/registries/tencent/{account.pk}/discover/")
    operator.post(f"/registries/tencent/{account.pk}/discover/")
    assert uses() == [("operator", "cloud-account.discover", "production", "manual")]
    CloudDiscovery.objects.all().delete()
    operator.post("/registries/sync/")
    assert uses()[1:] == [("operator", "cloud-account.discover", "production", "manual")]


def test_a_discovery_of_the_night(account: CloudAccount, monkeypatch: Any) -> None:
    monkeypatch.setattr(discovery, "WINDOW_OPENS", time.min)
    monkeypatch.setattr(discovery, "WINDOW_CLOSES", time.max)
    for _again in range(2):
        discovery.enqueue_due_discoveries()
    assert uses() == [("", "cloud-account.discover", "production", "nightly")]


def test_a_reported_push_and_the_scan_that_it_brings() -> None:
    with FakeRegistry() as server:
        registry = Registry.objects.create(name="lab", type=Registry.Type.OCI, address=server.url)
        address = PushAddress(registry=registry, scans=True)
        address.new_secret()
        address.save()
        images.image({"app": b"1"}).put(server, "team/app", "1.0")
        for _again in range(2):  # the second is the same, and waits already
            ingest_changes(registry=registry, found=[Change(("team/app",), "1.0")])
        assert uses() == [("", "push-address.event", "lab", "")]
        PushEvent.objects.update(not_before=None)
        tasks.push_event(PushEvent.objects.get().pk)
        run = ScanRun.objects.get()
        assert uses()[1:] == [("", "scan.start", str(run), "event")]
        assert AuditEvent.objects.get(action="scan.start").detail["registry"] == "lab"


def test_a_flood_of_pushes_is_one_sync() -> None:
    flood = [Change((f"app-{number}",), "1.0") for number in range(MAX_CHANGES + 1)]
    ingest_changes(registry=factories.registry(name="lab"), found=flood)
    assert uses() == [("", "sync.start", "lab", "event")]


def weekly() -> ScanSchedule:
    made = ScanSchedule(name="Weekly", at=time(13), starts_on=date(2026, 1, 1), scope=ScanScope.CHOSEN)
    made.categories = ["malware"]
    scheduler.save(made, chosen=Tag.objects.filter(pk=factories.tag().pk), now=timezone.now())
    return made


def test_a_run_of_a_schedule_however_often_it_is_fired() -> None:
    made = weekly()
    assert made.next_due_at
    for _again in range(2):
        scheduler.run_due(made.pk, now=made.next_due_at + timedelta(seconds=1))
    assert uses() == [("", "scan.start", str(ScanRun.objects.get()), "schedule")]
    assert AuditEvent.objects.get(action="scan.start").detail["schedule"] == "Weekly"


def test_runs_by_hand_and_one_of_a_schedule_that_somebody_starts(operator: Client) -> None:
    operator.post("/scans/start/", {"ids": [factories.tag().pk]})
    made = weekly()
    for _again in range(2):  # the second finds the first going on
        operator.post(f"/scans/schedules/{made.pk}/run/")
    runs = ScanRun.objects.order_by("pk")
    assert len(runs) == 2
    assert uses() == [("operator", "scan.start", str(run), "") for run in runs]


def test_a_test_of_a_stored_registry(operator: Client) -> None:
    with FakeRegistry() as server:
        registry = Registry.objects.create(name="lab", type=Registry.Type.OCI, address=server.url)
        operator.post(f"/registries/{registry.pk}/test/")
        deadline = clock.monotonic() + 30
        while ConnectionTest.objects.get().ended_at is None and clock.monotonic() < deadline:
            clock.sleep(0.05)
    assert uses() == [("operator", "registry.test", "lab", "")]
