"""The figures of whoever is limited to some registries: those of these registries, each image once."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from datetime import date, time, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from console import visibility
from console.exports import list_export
from console.exports.tasks import export
from console.jobs.configuration import JobTimes
from console.jobs.models import Priority, State
from console.models import Export, Team, User
from demo.inventory.make import make
from inventory import summary
from inventory.dashboard import figures as dashboard_figures
from inventory.dashboard import trend
from inventory.models import Image, Snapshot, Tag
from registries.models import Registry
from scanning import tasks
from scanning.exposure import aggregate, visible
from scanning.models import (
    ImagePackage,
    Package,
    PackageVariant,
    PackageVulnerability,
    Scan,
    ScanRun,
    ScanSchedule,
    ScheduleRun,
    Vulnerability,
)
from scanning.models.run import ScanScope
from scanning.runs import start as runs_start
from scanning.schedules import scheduler
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db


def limited(*registries: Registry, role: str = "operator", name: str = "") -> User:
    made = person(role, username=name or f"limited-{role}", limited=True)
    team = Team.objects.create(name=f"team of {made}")
    team.registries.set(registries)
    made.teams.add(team)
    return made


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def fleet() -> list[Registry]:
    """Images in one, two and three of four registries, with packages in common."""
    rng = random.Random(7)
    registries = [factories.registry(name=f"r{number}") for number in range(4)]
    for number in range(24):
        image = factories.image(**factories.scanned(high=1))
        for package in rng.sample(range(6), 3):
            for flaw in range(2):
                name = f"CVE-2024-{package}{flaw}"
                severity = rng.randrange(1, 6)
                held = PackageVariant.objects.filter(package__name=f"package-{package}").first()
                if held and PackageVulnerability.objects.filter(variant=held, vulnerability__name=name).exists():
                    ImagePackage.objects.get_or_create(image=image, variant=held, path="", defaults={"diff_id": ""})
                    continue
                factories.vulnerability(
                    image, package=f"package-{package}", name=name, severity=severity, path="", version="1"
                )
        for registry in rng.sample(registries, rng.choice([1, 1, 2, 3])):
            for tag in range(rng.choice([1, 2])):
                factories.tag(f"{number}-{tag}", of=image, in_=registry, path="team/app")
    aggregate.recount()
    return registries


@pytest.mark.parametrize("which", [[0], [0, 1], [1, 2, 3], [0, 1, 2, 3], []])
def test_packages_and_vulnerabilities_are_counted_in_these_registries_alone(
    fleet: list[Registry], which: list[int]
) -> None:
    user = limited(*(fleet[number] for number in which))
    ids = [fleet[number].pk for number in which]
    tags = Tag.objects.filter(repository__registry__in=ids)
    images = set(tags.values_list("image", flat=True))
    kinds: list[tuple[Any, Callable[[], Any], str]] = [
        (Package, visible.packages, "package"),
        (Vulnerability, visible.vulnerabilities, "variant__matches__vulnerability"),
    ]
    for model, rows, path in kinds:
        held = ImagePackage.objects.filter(image__in=images).values_list(path, "image")
        right: dict[int, set[int]] = {}
        for thing, image in held:
            if thing is not None:
                right.setdefault(thing, set()).add(image)
        expected = {thing: (len(some), tags.filter(image__in=some).count()) for thing, some in right.items()}
        with visibility.set_to(visibility.of(user)):
            found = list(rows())
            sorted_by = {row.pk: (row.seen_images, row.seen_tags) for row in found}
            visible.set_visible_counts(found)
        assert {row.pk: (row.images, row.tags) for row in found} == expected, model
        assert sorted_by == expected, model
    if ids:
        assert len(expected) > 3


def test_what_is_said_of_a_vulnerability_is_said_of_packages_in_these_registries(fleet: list[Registry]) -> None:
    here, elsewhere = factories.image(), factories.image()
    factories.tag(of=here, in_=fleet[0], path="a")
    factories.tag(of=elsewhere, in_=fleet[1], path="b")
    factories.vulnerability(here, package="mild", name="CVE-2025-1", severity=2, fixed_version="")
    factories.vulnerability(elsewhere, package="grave", name="CVE-2025-1", severity=5, type="npm")
    aggregate.recount()
    client = signed_in(limited(fleet[0]))
    url = reverse("scanning:vulnerability-list")
    page = client.get(url, {"q": "CVE-2025-1"}).context["page"]
    (row,) = page.rows
    assert (row.get_highest_display(), row.package_names, row.package_types.split()) == ("Low", "mild", ["deb"])
    assert (row.fixable, row.fixed_versions, row.images) == (False, "", 1)
    for query, number in (
        *(({"severity": "low"}, 1), ({"severity": "critical"}, 0), ({"fixable": "yes"}, 0), ({"fixable": "no"}, 1)),
        *(({"type": "deb"}, 1), ({"type": "npm"}, 0), ({"q": "mild CVE-2025-1"}, 1), ({"q": "grave"}, 0)),
    ):
        total = client.get(url, {"q": "CVE-2025-1"} | query).context["page"].total
        assert total.number == number, query
    everybody = signed_in(person("viewer")).get(url, {"q": "CVE-2025-1"}).context["page"].rows[0]
    assert (everybody.get_highest_display(), everybody.images) == ("Critical", 2)


def test_the_figures_above_the_images_and_their_trend_are_those_of_these_registries(
    fleet: list[Registry], settings: Settings
) -> None:
    settings.KEPT_FROM_SECONDS = 0  # those of everybody are kept, and must not be shown
    assert dashboard_figures.read_overview().images == Image.objects.count()
    user = limited(fleet[0], fleet[1])
    other = limited(fleet[0], fleet[1], name="another")
    images = Image.objects.filter(tags__repository__registry__in=fleet[:2]).distinct()
    now = timezone.now()
    Snapshot.objects.create(
        **dict.fromkeys(
            ("images", "scanned", "at_risk", "partly_scanned", "safe", *summary.SEVERITIES, "fixable"), 999
        ),
        malware=999,
        sensitive=999,
        day=timezone.localdate(now) - timedelta(days=1),
        at=now,
    )
    trend.write_snapshots(now=now - timedelta(days=1, hours=1))
    trend.write_snapshots(now=now)
    with visibility.set_to(visibility.of(user)):
        figures = dashboard_figures.read_overview()
        lines = trend.read_trend()
    assert figures.images == images.count() < Image.objects.count()
    assert (figures.registries, figures.vulnerabilities) == (2, images.count())
    assert lines["vulnerabilities"].last.value == images.count()
    assert {point.value for point in lines["vulnerabilities"].known} == {images.count()}
    with visibility.set_to(visibility.of(other)):
        assert trend.read_trend()["vulnerabilities"].last.value == images.count(), "who sees the same shares the days"
    assert trend.read_trend()["vulnerabilities"].last.value == Image.objects.count()
    assert dashboard_figures.read_overview().images == Image.objects.count(), "nobody is shown what was kept for others"


def run_of(*tags: Tag, **values: Any) -> ScanRun:
    run = runs_start.start_run(scope=ScanScope.CHOSEN, tag_ids=[tag.pk for tag in tags], **values)
    assert run.images == len(tags)
    return run


@pytest.fixture
def two() -> tuple[Registry, Registry, Tag, Tag]:
    here, there = factories.registry(name="here"), factories.registry(name="there")
    return here, there, factories.tag(in_=here, path="a"), factories.tag(in_=there, path="b")


def test_a_run_of_others_shows_its_part_in_these_registries(two: tuple[Registry, Registry, Tag, Tag]) -> None:
    here, _there, mine, theirs = two
    run = run_of(mine, theirs)
    client = signed_in(limited(here))
    (row,) = client.get(reverse("scanning:run-list")).context["page"].rows
    assert (row.images, row.tags) == (1, 1)
    page = client.get(reverse("scanning:run", args=[run.pk]))
    assert [scan.tag for scan in page.context["page"].rows] == [mine]
    assert page.context["counts"]["queued"] == 1


def test_cancelling_a_run_of_others_ends_its_part_in_these_registries(
    two: tuple[Registry, Registry, Tag, Tag],
) -> None:
    here, _there, mine, theirs = two
    run = run_of(mine, theirs)
    client = signed_in(limited(here))
    client.post(reverse("scanning:run-cancel", args=[run.pk]))
    states = dict(Scan.objects.values_list("tag", "state"))
    assert states == {mine.pk: State.CANCELLED, theirs.pk: State.QUEUED}
    run.refresh_from_db()
    assert not run.is_over, "a scan that the operator does not see still waits"
    Scan.objects.filter(tag=theirs).update(state=State.FAILED, ended_at=timezone.now())
    ScanRun.objects.all().close()
    run.refresh_from_db()
    assert (run.cancelled, run.failed) == (1, 1), "the record of a run counts all of it"
    url = reverse("scanning:run-list")
    for result, number in (("cancelled", 1), ("exceptions", 0), ("done", 0)):
        assert client.get(url, {"result": result}).context["page"].total.number == number, result
    (row,) = client.get(url).context["page"].rows
    assert (row.failed, row.cancelled, row.now_failed, row.now_cancelled) == (0, 1, 0, 1)


def test_cancelling_everything_ends_what_is_seen(two: tuple[Registry, Registry, Tag, Tag]) -> None:
    here, _there, mine, theirs = two
    whole = ScanRun.objects.create(scope=ScanScope.ALL, categories=["malware"])
    run_of(mine, theirs)
    signed_in(limited(here)).post(reverse("scanning:cancel"), {"everything": "1"})
    states = dict(Scan.objects.values_list("tag", "state"))
    assert states == {mine.pk: State.CANCELLED, theirs.pk: State.QUEUED}
    whole.refresh_from_db()
    assert whole.state == State.QUEUED


@pytest.mark.parametrize("scope", [ScanScope.ALL, ScanScope.RECOMMENDED])
def test_a_start_by_whoever_is_limited_scans_these_registries_in_the_background_too(
    two: tuple[Registry, Registry, Tag, Tag], scope: ScanScope, settings: Settings
) -> None:
    settings.JOB_TIMES = JobTimes(poll=60, chain=0)  # other threads see nothing of this test's rows
    here, _there, mine, _theirs = two
    form = {"scope": scope, "categories": ["malware"], "timeout": "30"}
    signed_in(limited(here)).post(reverse("scanning:settings"), form)
    run = ScanRun.objects.get()
    tasks.run(run.pk)
    run.refresh_from_db()
    assert (run.state, run.reason, run.images) == (State.SUCCEEDED, "", 1)
    assert [scan.tag for scan in Scan.objects.all()] == [mine]


def test_running_a_schedule_of_everything_now_scans_these_registries_and_the_due_time_still_comes(
    two: tuple[Registry, Registry, Tag, Tag], settings: Settings
) -> None:
    settings.JOB_TIMES = JobTimes(poll=60, chain=0)  # other threads see nothing of this test's rows
    here, _there, mine, theirs = two
    nightly = ScanSchedule(
        name="all", at=time(3), starts_on=date(2026, 1, 1), categories=["malware"], scope=ScanScope.ALL
    )
    scheduler.save(nightly, now=timezone.now())
    signed_in(limited(here)).post(reverse("scanning:schedule-run", args=[nightly.pk]))
    tasks.run(ScanRun.objects.get().pk)
    assert [scan.tag for scan in Scan.objects.all()] == [mine]
    nightly.refresh_from_db()
    assert nightly.next_due_at
    firing = scheduler.run_due(nightly.pk, now=nightly.next_due_at)
    assert firing
    assert firing.outcome == ScheduleRun.Outcome.STARTED
    tasks.run(ScanRun.objects.order_by("pk").last().pk)  # type: ignore[union-attr]
    assert set(Scan.objects.values_list("tag", flat=True)) == {mine.pk, theirs.pk}


def test_an_image_held_by_both_is_seen_by_its_tags_here(two: tuple[Registry, Registry, Tag, Tag]) -> None:
    here, there, mine, _theirs = two
    assert mine.image
    other = factories.tag("elsewhere", of=mine.image, in_=there, path="secret/name")
    client = signed_in(limited(here))
    html = client.get(reverse("inventory:image", args=[mine.pk])).content.decode()
    assert "elsewhere" not in html
    for digest in (mine.image.image_id, other.digest):
        assert client.get(reverse("inventory:image-list"), {"q": digest}).context["page"].rows == [mine]
    assert client.get(reverse("inventory:image-list"), {"q": _theirs.digest}).context["page"].rows == []


def test_a_scan_through_a_registry_that_is_hidden_is_neither_waited_for_nor_cancelled(
    two: tuple[Registry, Registry, Tag, Tag],
) -> None:
    here, there, mine, _theirs = two
    assert mine.image
    there_too = factories.tag("copy", of=mine.image, in_=there, path="copy")
    run_of(there_too)
    client = signed_in(limited(here))
    client.post(reverse("scanning:scan"), {"ids": [mine.pk]})
    theirs, ours = Scan.objects.order_by("pk")
    assert (theirs.registry, ours.registry, ours.image) == (there, here, theirs.image)
    client.post(reverse("scanning:scan"), {"ids": [mine.pk]})
    assert Scan.objects.count() == 2
    client.post(reverse("scanning:cancel"), {"ids": [mine.pk]})
    assert list(Scan.objects.order_by("pk").values_list("state", flat=True)) == [State.QUEUED, State.CANCELLED]
    assert client.get(reverse("scanning:run-list")).context["page"].rows[0].requested_by is not None


@pytest.mark.django_db(transaction=True)
def test_an_export_in_the_background_holds_what_its_owner_sees_and_goes_with_the_limit(
    two: tuple[Registry, Registry, Tag, Tag], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOB_TIMES = JobTimes(poll=60, chain=0)  # other threads see nothing of this test's rows
    monkeypatch.setattr(list_export, "MAX_IMMEDIATE_EXPORT_ROWS", 1)
    here, there, mine, theirs = two
    factories.tag("second", in_=here, path="c")
    user = limited(here)
    client = signed_in(user)

    def ask() -> Export:
        client.post(reverse("inventory:image-export"), {"all": "1", "format": "csv", "view": ""})
        made = Export._base_manager.order_by("pk").last()
        assert made
        return made

    def content(made: Export) -> list[list[str]]:
        answer = client.get(reverse("console:export-file", args=[made.pk]))
        assert answer.status_code == 200
        return list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))

    made = ask()
    export(made.pk)
    told = str(content(made))
    assert mine.address in told
    assert theirs.address not in told
    stranger = signed_in(limited(here, name="colleague"))
    for name in ("export-file", "export-cancel", "export-remove"):
        url = reverse(f"console:{name}", args=[made.pk])
        assert (stranger.get(url) if name == "export-file" else stranger.post(url)).status_code == 404

    waiting = ask()
    team = user.teams.get()
    team.registries.set([there])
    export(waiting.pk)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.file) == (State.FAILED, "")
    assert client.get(reverse("console:export-file", args=[made.pk])).status_code == 404
    assert client.get(reverse("console:export-list")).context["page"].rows == []
    User.objects.filter(pk=user.pk).update(limited=False)
    assert mine.address in str(content(made)), "whoever is not limited any more has all own files"


def test_lists_take_as_many_queries_with_a_limit_for_many_rows_as_for_few(settings: Settings) -> None:
    user = limited()
    client = signed_in(user)
    team = user.teams.get()
    pages = [
        reverse(name)
        for name in (
            *("inventory:image-list", "registries:registry-list", "registries:sync-list", "scanning:run-list"),
            *("scanning:vulnerability-list", "scanning:package-list", "scanning:settings"),
        )
    ]
    taken = []
    for seed, tags in ((1, 6), (2, 400)):
        make(tags=tags, images=tags // 2, seed=seed, now=timezone.now())
        team.registries.set(Registry.objects.order_by("pk")[:3])
        aggregate.recount()
        counts = {}
        for url in pages:
            client.get(url)
            with CaptureQueriesContext(connection) as queries:
                assert client.get(url).status_code == 200
            counts[url] = len(queries)
        taken.append(counts)
    few, many = taken
    assert {url: (few[url], many[url]) for url in pages if many[url] > few[url]} == {}


def test_whoever_is_not_limited_asks_the_database_what_was_asked_without_limits() -> None:
    """No query of a manager changes; the request itself adds none either."""
    for model in (Tag, Image, Registry, Scan, Package, Vulnerability, ImagePackage):
        assert str(model.objects.all().query) == str(model._base_manager.all().query)
    client = signed_in(person("viewer"))
    url = reverse("console:preferences")
    client.get(url)
    with CaptureQueriesContext(connection) as queries:
        client.get(url)
    assert not [query for query in queries if "registr" in query["sql"]]
    assert Priority.MANUAL < Priority.SCHEDULE
