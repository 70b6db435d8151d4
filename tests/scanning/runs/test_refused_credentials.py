"""Scans of a registry that refuses its credentials: no more than two wrong logins, and none of the scans is lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest
from django.db import connection
from django_q.models import OrmQ

from console.jobs import reaper
from console.jobs.kinds import JOB_KINDS
from console.jobs.models import State
from inventory.models import Image, Tag
from inventory.tasks import sync as work_on_sync
from registries.connection_test.diagnose import diagnose
from registries.models import PushEvent, Registry
from registries.sync_requests.start import start_sync
from scanning import tasks
from scanning.models import Scan
from scanning.runs import refused_credentials
from scanning.runs.scan_now import scan_now
from tests.console.jobs.conftest import RealWorker, real_worker, wait_for
from tests.fakes import images
from tests.fakes.quay import FakeQuay
from tests.fakes.registry import FakeRegistry
from tests.registries.test_login_guard import AT_MOST, stored, wrong_logins
from tests.scanning.conftest import sync

__all__ = ["real_worker"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]

SCANS, THREADS = 30, 6


@pytest.fixture(params=["basic", "bearer"])
def server(request: pytest.FixtureRequest) -> FakeRegistry:
    with FakeRegistry(method=request.param, users={"ada": "right"}, token_seconds=1) as fake:
        for number in range(SCANS):
            images.image({"a": str(number).encode()}).put(fake, f"team/app-{number}", "1")
        yield fake


@pytest.fixture(autouse=True)
def _a_place_for_each_thread(overrides: ExitStack) -> None:
    overrides.enter_context(JOB_KINDS.overridden({**JOB_KINDS, "scan": replace(JOB_KINDS["scan"], slots=THREADS)}))


@pytest.fixture
def queued(server: FakeRegistry) -> Registry:
    """A registry that was synced, whose password was changed since, with all its images to be scanned."""
    registry = stored(server)
    sync(registry)
    assert Tag.objects.count() == SCANS
    server.sign_in.users = {"ada": "another"}  # type: ignore[misc]
    server.seen.clear()
    scan_now(tag_ids=Tag.objects.values_list("pk", flat=True), requested_by=None, categories=["malware"])
    return registry


def work_off() -> None:
    """Let as many workers as there are threads take scans, as often as there are scans."""

    def work(scan_id: int) -> None:
        try:
            tasks.scan(scan_id)
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, Scan.objects.order_by("pk").values_list("pk", flat=True)))


def states() -> dict[str, int]:
    found: dict[str, int] = {}
    for state in Scan.objects.values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


def test_thirty_scans_and_thirty_again_send_a_wrong_password_twice_at_most(
    server: FakeRegistry, queued: Registry
) -> None:
    work_off()
    work_off()
    assert 1 <= wrong_logins(server) <= AT_MOST
    assert states() == {State.QUEUED: SCANS}
    assert set(Scan.objects.values_list("reason", flat=True)) == {refused_credentials.WAITING_REASON}
    assert set(Image.objects.values_list("scan_reason", flat=True)) == {refused_credentials.WAITING_REASON}
    queued.refresh_from_db()
    assert queued.connection == Registry.Connection.REFUSED


def test_syncs_pushes_and_further_scans_send_it_no_more(server: FakeRegistry, queued: Registry) -> None:
    work_off()
    server.seen.clear()
    (run,) = start_sync(registries=[queued]).runs
    work_on_sync(run.pk)
    run.refresh_from_db()
    assert run.state == State.FAILED
    assert "not tried again" in run.reason
    assert run.remedy
    event = PushEvent.objects.create(registry=queued, repository="team/app-1", names=["team/app-1"], tag="1")
    tasks.push_event(event.pk)
    event.refresh_from_db()
    assert event.state == State.FAILED
    work_off()
    assert server.seen == []


def test_scans_go_on_by_themselves_once_the_password_is_changed(server: FakeRegistry, queued: Registry) -> None:
    work_off()
    queued.refresh_from_db()
    queued.set_password("another")
    queued.save()
    refused_credentials.tick()
    assert set(Scan.objects.values_list("reason", flat=True)) == {""}
    assert set(Image.objects.values_list("scan_reason", flat=True)) == {""}
    server.seen.clear()
    work_off()
    assert states() == {State.SUCCEEDED: SCANS}, set(Scan.objects.values_list("reason"))
    assert wrong_logins(server) == 0


def test_scans_go_on_by_themselves_once_a_test_has_passed(server: FakeRegistry, queued: Registry) -> None:
    work_off()
    server.sign_in.users = {"ada": "right"}  # type: ignore[misc]  # as it was
    diagnose(Registry.objects.get(pk=queued.pk))
    work_off()
    assert states() == {State.SUCCEEDED: SCANS}


def test_scans_that_are_queued_while_it_lasts_say_at_once_why_they_wait(server: FakeRegistry, queued: Registry) -> None:
    work_off()
    Scan.objects.all().delete()
    Image.objects.update(scan_reason="")
    scan_now(tag_ids=Tag.objects.values_list("pk", flat=True), requested_by=None)
    assert set(Scan.objects.values_list("reason", flat=True)) == {refused_credentials.WAITING_REASON}
    assert set(Image.objects.values_list("scan_reason", flat=True)) == {refused_credentials.WAITING_REASON}


def test_scans_of_other_registries_go_on(server: FakeRegistry, queued: Registry) -> None:
    work_off()
    with FakeRegistry() as other:
        images.image({"other": b"registry"}).put(other, "team/app", "1")
        registry = Registry.objects.create(name="other", address=other.url)
        sync(registry)
        tag = Tag.objects.get(registry=registry)
        (scan,) = scan_now(tag_ids=[tag.pk], requested_by=None, categories=["malware"]).queued
        tasks.scan(scan.pk)
        scan.refresh_from_db()
        assert scan.state == State.SUCCEEDED


def test_nobody_is_woken_for_scans_that_wait_for_other_credentials(server: FakeRegistry, queued: Registry) -> None:
    work_off()
    (other,) = Scan.objects.order_by("pk")[:1]
    Scan.objects.filter(pk=other.pk).update(registry=None)  # removed meanwhile
    OrmQ.objects.all().delete()
    Scan.objects.update(hinted_at=None)
    reaper.resend_hints(Scan)
    assert [message.task["args"] for message in OrmQ.objects.all()] == [(other.pk,)]
    Registry.objects.update(refused_login="")
    reaper.resend_hints(Scan)
    assert OrmQ.objects.count() == SCANS


def test_credentials_that_no_request_can_hold_end_a_scan_and_do_not_spin(
    server: FakeRegistry, queued: Registry
) -> None:
    Registry.objects.filter(pk=queued.pk).update(username="a:b")
    scan = Scan.objects.order_by("pk").first()
    assert scan is not None
    tasks.scan(scan.pk)
    scan.refresh_from_db()
    assert "colon" in scan.reason or scan.reason == refused_credentials.WAITING_REASON
    assert wrong_logins(server) == 0


def test_an_account_that_somebody_has_locked_is_asked_once_and_no_scan_is_lost() -> None:
    with FakeQuay(users={"ada": "right"}) as quay:
        for number in range(5):
            images.image({"a": str(number).encode()}).put(quay, f"team/app-{number}", "1")
        registry = stored(quay, type="quay")
        sync(registry)
        scan_now(tag_ids=Tag.objects.values_list("pk", flat=True), requested_by=None, categories=["malware"])
        quay.lock("ada")
        quay.logins.clear()
        work_off()
        assert 1 <= len(quay.logins) <= THREADS
        work_off()
        assert len(quay.logins) <= THREADS
        assert states() == {State.QUEUED: 5}
        assert all("locked" in reason for reason in Scan.objects.values_list("reason", flat=True))
        registry.refresh_from_db()
        assert not registry.credentials_refused


# --- with real workers --------------------------------------------------------------------------------------------
PARTS, PART = 5, 1000
MANY = PARTS * PART
ADD = """
from registries.models import Registry
from demo.vulndb import install_demo_vulndb as install_demo_database
install_demo_database()
registry = Registry(name="fake", address="{url}", username="ada")
registry.set_password("wrong")
registry.save()
"""
QUEUE = """
from inventory.models import Image, Manifest, Repository, Tag
from registries.models import Registry
from scanning.runs.scan_now import scan_now
from tests.factories import digest
registry = Registry.objects.get()
repository = Repository.objects.create(registry=registry, name="team/app-{part}")
made = Image.objects.bulk_create(
    Image(image_id=digest(f"image {part} {{n}}"), os="linux", architecture="amd64", layer_count=1)
    for n in range({count})
)
manifests = Manifest.objects.bulk_create(
    Manifest(digest=digest(f"manifest {part} {{n}}"), kind="image", image_digest=image.image_id, size=9)
    for n, image in enumerate(made)
)
tags = Tag.objects.bulk_create(
    Tag(repository=repository, registry=registry, name=str(n), manifest=manifest, image=image,
        digest=manifest.digest, address=f"{{registry.host}}/team/app-{part}", size=9)
    for n, (manifest, image) in enumerate(zip(manifests, made))
)
scan_now(tag_ids=[tag.pk for tag in tags], requested_by=None, priority=30, categories=["malware"])
"""
WAITING = "SELECT count(*) FROM scanning_scan WHERE state = 'queued' AND reason LIKE '%refused its credentials%'"
BUSY = "SELECT count(*) FROM scanning_scan WHERE state = 'running'"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["basic", "bearer"])
def test_five_thousand_scans_and_two_worker_processes_send_it_twice_at_most(
    real_worker: RealWorker, method: str
) -> None:
    real_worker.environment["TALLYMAN_SCANS_PER_WORKER"] = "4"
    real_worker.environment["TALLYMAN_SCAN_WORKERS"] = "2"
    with FakeRegistry(method=method, users={"ada": "right"}) as server:  # type: ignore[arg-type]
        real_worker.shell(ADD.format(url=server.url))
        for part in range(PARTS):
            real_worker.shell(QUEUE.format(part=part, count=PART))
        real_worker.start()
        wait_for(lambda: real_worker.rows(WAITING) == [(MANY,)], what="the scans that wait", seconds=300)
        wait_for(lambda: real_worker.rows(BUSY) == [(0,)], what="quiet")
        asked = len(server.seen)
        assert 1 <= wrong_logins(server) <= AT_MOST
        real_worker.shell(
            "from inventory.tasks import sync\nfrom registries.models import Registry\n"
            "from registries.sync_requests.start import start_sync\n"
            "sync(start_sync(registries=Registry.objects.all()).runs[0].pk)"
        )
        assert len(server.seen) == asked
        assert real_worker.stop() == 0
