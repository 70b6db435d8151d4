"""Whoever is limited to some registries sees no other: every address, tried with what is hidden and looked through.

HIDDEN_ROWS is the whole table: an address that names a row and is not in it fails the first test. What is streamed is
read as the web server does, after the request. Jobs, ticks and commands are called as their processes do: with nothing
set, so that they say themselves what they see.
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
from django.apps import apps
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import get_commands
from django.db import connections
from django.http import HttpRequest, StreamingHttpResponse
from django.test import Client
from django.urls import path, reverse
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
from console.listing.registered_listings import LISTINGS
from console.models import Export, Team, User
from console.server import web
from console.urls import urlpatterns as console_urls
from console.visibility import ScopedManager
from inventory.models import Tag
from registries.models import CloudAccount, CloudDiscovery, PushEvent, Registry, Removal, SyncRun
from scanning import tasks as scanning_tasks
from scanning.models import ExposureRecount, Rematch, Scan, ScanRun, ScanSchedule, ScanScope, VulndbUpdate
from tests import factories
from tests.people import person
from tests.scope_world import HIDDEN_FIGURE, HIDDEN_NAME, ScopeWorld, add_own_rows, anew, build_world
from tests.test_access import ADDRESSES, NEEDED, NEVER, RANK

pytestmark = pytest.mark.django_db

OWN = "own"  # a row of this person, made before there was a limit
NOBODY = "no row of a registry"
# Address with a row in it → the keys of that row in World.hidden; or why there is nothing to hide.
HIDDEN_ROWS: dict[str, tuple[str, ...] | str] = {
    "console:view-list": NOBODY,
    "console:view-save": NOBODY,
    "console:view-default": NOBODY,
    "console:view": NOBODY,
    "console:export-start": NOBODY,  # looked at by test_a_part_of_something_hidden_is_as_empty_as_one_of_nothing
    "console:export-file": ("export",),
    "console:export-cancel": ("export",),
    "console:export-remove": ("export",),
    "registries:test": ("test",),
    "registries:push-events": ("registry",),
    "registries:registry-detail": ("registry",),
    "registries:registry-edit": ("registry",),
    "registries:registry-delete": ("registry",),
    "registries:delete-again": ("registry",),
    "registries:sync": ("registry",),
    "registries:cancel-sync": ("registry",),
    "registries:registry-test": ("registry",),
    "registries:tencent-account-edit": ("account",),
    "registries:tencent-account-discover": ("account",),
    "registries:tencent-account-restore": ("account",),
    "registries:tencent-account-delete": ("account",),
    "inventory:image": ("tag",),
    "scanning:chooser": NOBODY,  # the own one: its lists are looked through
    "scanning:run": ("run",),
    "scanning:run-progress": ("run",),
    "scanning:run-cancel": ("run",),
    "scanning:run-again": ("run",),
    "scanning:scan-columns": ("run",),
    "scanning:affected-columns": ("vulnerability",),
    "scanning:holder-columns": ("package",),
    "scanning:vulnerability-images": ("vulnerability",),
    "scanning:vulnerability": ("name",),
    "scanning:package": ("package",),
    "scanning:package-images": ("package",),
    "scanning:schedule": ("schedule",),
    "scanning:schedule-run": ("schedule",),
    "scanning:schedule-delete": ("schedule",),
    "scanning:rematch": NOBODY,  # of the database; its rows are looked through
    "scanning:vulnerabilities": ("tag",),
    "scanning:malware": ("tag",),
    "scanning:sensitive": ("tag",),
    "scanning:packages": ("tag",),
    "scanning:vulnerabilities-columns": ("tag",),
    "scanning:malware-columns": ("tag",),
    "scanning:sensitive-columns": ("tag",),
    "scanning:packages-columns": ("tag",),
    "scanning:history": ("tag",),
    "scanning:history-export": ("tag",),
}
LEAVING = {"console:sign-out", "console:end-sessions", "console:sso", "console:sso-callback"}
# Models that have no rows of a registry, or are reached through an image or a package that is seen alone.
EVERYBODYS = {
    "console.FileChunk",
    "console.FleetVersion",
    "console.Machine",
    "console.SharedFile",
    *("console.Team", "console.User", "console.JobEvent", "console.HealthProbe", "console.ScanHealthProbe"),
    "console.AuditEvent",  # administrators alone open it
    *("inventory.Manifest", "inventory.PlatformManifest", "inventory.Layer", "inventory.ManifestLayer"),  # by digest
    *("inventory.Snapshot", "console.CachedCount"),  # by the key of a scope
    "scanning.LayerResult",  # by digest
    *("scanning.VulndbUpdate", "scanning.Rematch", "scanning.ExposureRecount", "scanning.ScanSettings"),
    *(
        "scanning.RegistrySet",
        "scanning.PackageOverlap",
        "scanning.VulnerabilityOverlap",
    ),  # figures, see scanning.exposure.scoped_queries
}


@pytest.fixture
def world() -> ScopeWorld:
    return build_world()


def client_of(user: User) -> Client:
    user.columns = {name: [column.name for column in each.listing.columns] for name, each in LISTINGS.items()}
    user.save()
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def leaks(answer: Any) -> list[str]:
    """Return where an answer tells of what is hidden."""
    body = anew(b"".join, answer) if answer.streaming else answer.content
    return tell(body.decode(errors="replace") + str(dict(answer.headers)))


def tell(text: str) -> list[str]:
    """Return the lines that tell of what is hidden."""
    telling = (HIDDEN_NAME, f"{HIDDEN_FIGURE:,}", str(HIDDEN_FIGURE))
    return [line.strip()[:300] for line in text.splitlines() if any(word in line.lower() for word in telling)]


def may(name: str, method: str, role: str) -> bool:
    least = getattr(ADDRESSES[name], method)
    return bool(least != NEVER and RANK[role] >= NEEDED[least])


def test_every_address_with_a_row_is_in_the_table() -> None:
    assert {name for name, each in ADDRESSES.items() if each.arguments} == HIDDEN_ROWS.keys()


def test_every_model_says_which_of_its_rows_somebody_sees() -> None:
    names = ("console", "registries", "inventory", "scanning")
    ours = [model for name in names for model in apps.get_app_config(name).get_models()]
    unscoped = {model._meta.label for model in ours if not isinstance(model._default_manager, ScopedManager)}
    assert unscoped == EVERYBODYS


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_what_is_hidden_is_not_there(role: str, world: ScopeWorld) -> None:
    user = world.limited(role)
    rows, client = world.hidden | add_own_rows(world, user), client_of(user)
    for name, keys in HIDDEN_ROWS.items():
        if keys == NOBODY:
            continue
        url = reverse(name, args=[rows[key] for key in keys])
        for method in ("get", "post"):
            for headers in ({}, {"HX-Request": "true", "HX-Target": "list"}):
                answer = getattr(client, method)(url, headers=headers)
                refused = 405 if getattr(ADDRESSES[name], method) == NEVER else 403
                expected = 404 if may(name, method, role) else refused
                assert (answer.status_code, leaks(answer)) == (expected, []), (name, method, headers)


def addresses(world: ScopeWorld, user: User) -> Iterator[tuple[str, str]]:
    """Yield every address that opens for somebody, with rows that this person sees."""
    rows = world.seen | add_own_rows(world, user)
    for name, each in ADDRESSES.items():
        if name not in LEAVING and all(key in rows for key in each.arguments):
            yield name, reverse(name, args=[rows[key] for key in each.arguments])


# As an address asks for it; {zebra}, {seen} and {hidden} are ids.
QUERIES = (
    "",
    "?registry={zebra}&size=100",
    "?ids={seen}&ids={hidden}&drawer={hidden}&visible={zebra}",
    "?scope=chosen",
)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_no_page_names_or_counts_what_is_hidden(role: str, query: str, world: ScopeWorld) -> None:
    user = world.limited(role)
    client = client_of(user)
    query = query.format(zebra=world.zebra.pk, seen=world.seen["tag"], hidden=world.hidden["tag"])
    looked = 0
    for name, url in addresses(world, user):
        if may(name, "get", role):
            for headers in ({}, {"HX-Request": "true", "HX-Target": "list"}):
                answer = client.get(f"{url}{query}", headers=headers, follow=True)
                assert answer.status_code in {200, 204, 404}, name
                assert leaks(answer) == [], (name, headers)
                looked += 1
    assert looked > 60


def test_no_sort_or_search_tells_of_what_is_hidden(world: ScopeWorld) -> None:
    client = client_of(world.limited("viewer"))
    for each in LISTINGS.values():
        if not each.page or each.page == "console:audit-list":
            continue
        url = reverse(each.page)
        for column in each.listing.columns:
            if column.sort:
                for sort in (column.name, f"-{column.name}"):
                    answer = client.get(url, {"sort": sort})
                    assert (answer.status_code, leaks(answer)) == (200, []), sort
        found = client.get(url, {"q": HIDDEN_NAME}).context["page"]
        assert found.total.number == 0, url


def facts(world: ScopeWorld) -> list[Any]:
    """What the hidden registry and its work come to."""
    scans = Scan.objects.filter(registry=world.zebra).order_by("pk")
    syncs = SyncRun.objects.filter(registry=world.zebra).order_by("pk")
    return [
        list(scans.values_list("pk", "state", "cancel_requested_at")),
        list(syncs.values_list("pk", "state", "cancel_requested_at")),
        list(ScanRun.objects.filter(pk=world.hidden["run"]).values_list("state", "cancel_requested_at")),
        Export.objects.filter(description__contains=HIDDEN_NAME).count(),
    ]


@pytest.mark.parametrize("which", ["everything", "some", "chosen", "everywhere"])
def test_nothing_that_a_limited_operator_does_touches_or_tells_of_what_is_hidden(which: str, world: ScopeWorld) -> None:
    user = world.limited("operator")
    client = client_of(user)
    everything = {"all": "1", "view": "", "format": "csv", "scope": "all", "categories": ["malware"], "timeout": "30"}
    tag = world.hidden["tag"]
    some = everything | {"ids": [tag, world.zebra.pk, world.hidden["run"]], "visible": f"{tag},{world.zebra.pk}"}
    del some["all"]
    chosen = some | {"move": "right", "left-q": ""}
    everywhere = everything | {"everything": "1", "visible": str(world.zebra.pk)}
    forms = {"everything": everything, "some": some, "chosen": chosen, "everywhere": everywhere}
    done = 0
    targets = list(addresses(world, user))
    before = facts(world)
    for name, url in targets:
        if not may(name, "post", "operator") or name.startswith("console:account"):
            continue
        for headers in ({}, {"HX-Request": "true", "HX-Target": "registry-progress"}):
            answer = client.post(url, forms[which], headers=headers, follow=True)
            assert leaks(answer) == [], (name, which)
            assert facts(world) == before, (name, which)
            done += 1
    assert done > 25


def test_a_part_of_something_hidden_is_as_empty_as_one_of_nothing(world: ScopeWorld) -> None:
    client = client_of(world.limited("operator"))
    for listing, key in (
        *((name, "tag") for name in ("vulnerabilities", "malware", "sensitive", "packages")),
        ("scans", "run"),
        ("affected", "vulnerability"),
        ("holders", "package"),
    ):
        told = [
            client.post(reverse("console:export-start", args=[listing, row]), {"all": "1", "format": "csv"})
            for row in (world.hidden[key], 10**9)
        ]
        assert told[0].content == told[1].content, listing
        assert told[0].status_code == told[1].status_code, listing


# Pages that name or count it to whoever is not limited: else the tests above would find nothing.
TELLING = {
    *("inventory:image-list", "inventory:image", "registries:registry-list", "registries:progress"),
    *("registries:sync-list", "registries:tencent-account-list", "scanning:settings"),
    *("scanning:run-list", "scanning:run", "scanning:vulnerability-list", "scanning:package-list"),
    *("scanning:vulnerability", "scanning:schedule", "scanning:engines", "scanning:rematch", "console:view-list"),
}


def test_who_is_not_limited_sees_it_all(world: ScopeWorld) -> None:
    client = client_of(person("operator"))
    for name, url in addresses(world, person("viewer")):
        if name in TELLING:
            assert leaks(client.get(url)), name


# --- streams, threads, jobs, ticks and commands: what runs outside of a request, or longer than one -----------------
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
        assert tell(text) == [], name
    told = {name for name, text in exported(person("operator"), world.seen) if tell(text)}
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
