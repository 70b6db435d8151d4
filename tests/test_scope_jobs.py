"""Whoever is limited to some registries sees no other outside of a request either: streams, threads, jobs, commands.

What is streamed is read as the web server does, after the request. Jobs, ticks and commands are called as their
processes do: with nothing set, so that they set themselves what they see.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import get_commands
from django.db import connections
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path
from django.utils import timezone
from pytest_django import Settings

import manage
from console import visibility
from console.exports import files
from console.exports import tasks as console_tasks
from console.exports.enqueue import request_export
from console.jobs import kinds
from console.jobs import tasks as job_tasks
from console.jobs.configuration import JobTimes
from console.jobs.models import HealthProbe, Job, ScanHealthProbe, State
from console.jobs.state import advance
from console.listing.registered_listings import LISTINGS
from console.models import Export, Team, User
from console.server import web
from console.urls import urlpatterns as console_urls
from inventory.models import Tag
from registries.models import CloudAccount, CloudDiscovery, PushEvent, Registry, Removal, SyncRun
from scanning import tasks as scanning_tasks
from scanning.models import ExposureRecount, Rematch, Scan, ScanRun, ScanSchedule, ScanScope, VulndbUpdate
from tests import factories
from tests.people import person
from tests.scope_world import (
    HIDDEN_NAME,
    ScopeWorld,
    add_own_rows,
    anew,
    build_world,
    client_of,
    hidden_lines,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> ScopeWorld:
    return build_world()


def stream(_request: HttpRequest) -> StreamingHttpResponse:
    """Answer with the names of all registries, asked for while the answer is sent."""

    def names() -> Iterator[str]:
        for number in range(3):
            yield f"{number}: {', '.join(sorted(Registry.objects.values_list('name', flat=True)))}\n"

    return StreamingHttpResponse(names())


urlpatterns = [path("stream/", stream), *console_urls]


@pytest.mark.django_db(transaction=True)
def test_a_thread_of_the_web_server_streams_to_each_person_in_turn_what_that_person_sees(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__
    lab, _other = factories.registry(name="lab"), factories.registry(name=HIDDEN_NAME)
    lab.teams.add(team := Team.objects.create(name="lab people"))
    limited = person("operator", limited=True)
    limited.teams.add(team)
    cookies = [{settings.SESSION_COOKIE_NAME: client_of(each).session.session_key} for each in (limited, person())]
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        server = web.create_server(WSGIHandler(), listener, threads=1)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/stream/"
            for _time in range(2):
                some, everything = (requests.get(url, cookies=cookie, timeout=60).text for cookie in cookies)
                assert some == "0: lab\n1: lab\n2: lab\n"
                assert everything == f"0: lab, {HIDDEN_NAME}\n1: lab, {HIDDEN_NAME}\n2: lab, {HIDDEN_NAME}\n"
                assert requests.get(url, timeout=60, allow_redirects=False).status_code == 302
        finally:
            server.stop(0)
            thread.join(30)


# Parts of the page of one thing → the key of that thing in ScopeWorld.seen.
PARTS = {
    **dict.fromkeys(("vulnerabilities", "malware", "sensitive", "packages"), "tag"),
    "scans": "run",
    "affected": "vulnerability",
    "holders": "package",
}
CLOSED = "audit"  # to all but administrators


def exported(user: User, rows: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each list and the file that the job makes of all of it for ``user``."""
    for name, each in LISTINGS.items():
        if name == CLOSED:
            continue
        columns = [column.name for column in each.listing.columns]
        within = None if each.page else rows[PARTS[name]]
        with visibility.set_to(visibility.of(user)):
            made = request_export(user=user, listing=name, view="", columns=columns, format="csv", within=within)
        anew(console_tasks.export, made.pk)
        made.refresh_from_db()
        assert (made.state, made.reason) == (State.SUCCEEDED, ""), name
        path = files.path_of(made)
        assert path
        yield name, path.read_text("utf-8-sig")


def test_no_file_that_a_job_makes_names_what_is_hidden_from_its_owner(
    world: ScopeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "JOB_TIMES", JobTimes(poll=60, chain=0))  # other threads see none of these rows
    user = world.limited("operator")
    for name, text in exported(user, world.seen | add_own_rows(world, user)):
        assert text.count("\n") > 1 or name in {"malware", "sensitive", "packages"}, name
        assert hidden_lines(text) == [], name
    told = {name for name, text in exported(person("operator"), world.seen) if hidden_lines(text)}
    assert told > {"images", "registries", "syncs", "runs", "reach", "affected"}, "else this finds nothing"


def waiting_jobs(world: ScopeWorld, user: User) -> dict[str, Callable[[], Job]]:
    """What makes a queued job of each kind, for ``user`` where such a job is for somebody."""
    gone = Registry.objects.get(deleting_at__isnull=False)
    return {
        "sync": lambda: SyncRun.objects.create(registry=world.lab),
        "discovery": lambda: CloudDiscovery.objects.create(account=CloudAccount.objects.get()),
        "removal": lambda: Removal.objects.create(registry=gone, name=gone.name),
        "scan": lambda: Scan.objects.create(
            image=Tag.objects.get(pk=world.seen["tag"]).image,
            tag_id=world.seen["tag"],
            registry=world.lab,
            categories=["malware"],
            manifest_digest=Tag.objects.get(pk=world.seen["tag"]).digest,
        ),
        "event": lambda: PushEvent.objects.create(
            registry=world.lab, names=["team/app"], repository="team/app", tag="v"
        ),
        "run": lambda: ScanRun.objects.create(
            requested_by=user, scope=ScanScope.ALL, categories=["malware"], registries=[world.lab.pk]
        ),
        "rematch": Rematch.objects.create,
        "database": VulndbUpdate.objects.create,
        "recount": ExposureRecount.objects.create,
        "export": lambda: Export.objects.create(
            requested_by=user,
            listing="images",
            columns=["name"],
            time_zone="UTC",
            language="en",
            visibility_key=visibility.of(user).key,  # type: ignore[union-attr]
        ),
        "canary": HealthProbe.objects.create,
        "scan-canary": ScanHealthProbe.objects.create,
    }


def test_every_job_says_itself_what_it_sees(
    world: ScopeWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = "127.0.0.1:9"
    monkeypatch.setattr(settings, "JOB_TIMES", JobTimes(poll=60, chain=0))
    monkeypatch.setattr(settings, "TRIVY_DATABASE_REPOSITORY", f"{nowhere}/trivy-db:2")
    monkeypatch.setattr(settings, "TRIVY_DATABASE_PLAIN_HTTP", True)
    Registry.objects.update(address=f"http://{nowhere}")
    world.lab.refresh_from_db()
    made = waiting_jobs(world, world.limited("operator"))
    assert made.keys() == set(kinds.JOB_KINDS)
    for kind, make in made.items():
        job = make()
        anew(kinds.get(kind).run, job.pk)
        job = type(job)._base_manager.filter(pk=job.pk).first() or job
        assert job.attempt == 1 or kind == "removal", kind  # which takes its row along
        assert "unexpected error" not in job.reason, kind
    assert "VisibilityNotSet" not in caplog.text


def test_a_cancelled_scan_closes_its_run_only_when_the_scans_of_hidden_registries_have_ended(world: ScopeWorld) -> None:
    Scan.objects.all().delete()
    run = ScanRun.objects.create(scope=ScanScope.ALL, categories=["malware"], state=State.SUCCEEDED)
    scans = []
    for row in (world.seen, world.hidden):
        tag = Tag.objects.get(pk=row["tag"])
        scans.append(
            Scan.objects.create(
                image=tag.image,
                tag=tag,
                registry=tag.repository.registry,
                categories=["malware"],
                manifest_digest=tag.digest,
                run=run,
            )
        )
    seen, hidden = scans
    with visibility.set_to(visibility.of(world.limited("operator"))):
        assert advance(seen, State.CANCELLED)
    run.refresh_from_db()
    assert run.finished_at is None, "a scan of a hidden registry is still queued"
    assert advance(hidden, State.CANCELLED)
    run.refresh_from_db()
    assert run.finished_at is not None


def test_every_tick_and_every_due_time_says_itself_what_it_sees(
    world: ScopeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    anew(job_tasks.tick)
    schedule = ScanSchedule.objects.get(pk=world.seen["schedule"])
    ScanSchedule.objects.filter(pk=schedule.pk).update(next_due_at=timezone.now() - timedelta(seconds=1))
    before = ScanRun.objects.count()
    anew(scanning_tasks.fire, schedule.pk)
    assert ScanRun.objects.count() == before + 1
    assert "VisibilityNotSet" not in caplog.text


# Each of our commands with what it takes, but those that start the console: see manage.PROGRAMS.
COMMANDS: dict[str, tuple[str, ...]] = {
    "check_registry": ("lab",),
    "create_administrator": ("ada",),
    "index_search": (),
    "make_primary": (),
    "makemessages": ("--help",),  # it looks into files alone
    "migrate": ("--check",),
    "reset_second_factor": ("owner",),
    "rotate_keys": ("--keep-old",),
    "sync_registries": (),
    "update_vulnerability_db": ("--from", "/nowhere"),
}


def test_every_command_runs_from_the_command_line(world: ScopeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {name for name, app in get_commands().items() if app in ("console", "registries", "inventory", "scanning")}
    assert ours == COMMANDS.keys() | manage.PROGRAMS - {"runserver"}
    monkeypatch.setattr(connections, "close_all", lambda: None)  # it would end the transaction of this test
    Registry.objects.update(address="http://127.0.0.1:9")
    for name, arguments in COMMANDS.items():
        monkeypatch.setattr(sys, "argv", ["manage.py", name, *arguments])
        with suppress(SystemExit):  # a CommandError; VisibilityNotSet is none
            anew(manage.main)
    assert set(SyncRun.objects.filter(state=State.QUEUED).values_list("registry", flat=True)) == {world.lab.pk}
