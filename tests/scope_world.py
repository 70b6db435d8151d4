"""A console with a registry that some people see and one that they do not. All that is hidden is named HIDDEN."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any, ParamSpec, TypeVar

from django.test import Client
from django.utils import timezone

from console import visibility
from console.exports import files
from console.jobs.models import State
from console.listing.registered_listings import LISTINGS
from console.models import Export, SavedView, Team, User
from inventory.models import Image, Snapshot, Tag
from registries.models import CloudAccount, ConnectionTest, Registry, Removal, SyncRun
from scanning.exposure import recount
from scanning.models import CategoryResult, Rematch, Scan, ScanRun, ScanSchedule, ScanScope, ScheduleRun, Selection
from scanning.schedules import scheduler
from tests import factories
from tests.people import person

P = ParamSpec("P")
R = TypeVar("R")

HIDDEN_NAME = "zebra"
HIDDEN_REASON = "The connection to zebra.test broke."
HIDDEN_FIGURE = 987_654  # of all images; nobody who is limited is told any


def anew(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call ``function`` as a new thread or process does: with nothing set that may be seen."""

    def unset() -> R:
        with visibility.set_to(None):
            return function(*args, **kwargs)

    # Not in an empty context: where a loop runs, as after a test with a browser, Django keeps its connection in it.
    return copy_context().run(unset)


@dataclass(frozen=True)
class ScopeWorld:
    """``seen`` and ``hidden`` are one row of each kind, keyed as in ``tests.test_access.May.arguments``."""

    lab: Registry
    zebra: Registry
    team: Team
    seen: dict[str, Any]
    hidden: dict[str, Any]

    def limited(self, role: str, **values: Any) -> User:
        """Somebody who is limited to ``lab``, and sees all columns of all lists."""
        made = person(role, username=f"limited-{role}", limited=True, **values)
        made.teams.add(self.team)
        return made


def _scan(run: ScanRun, tag: Tag, state: State = State.SUCCEEDED, **values: Any) -> Scan:
    image = tag.image
    assert image
    return Scan.objects.create(
        image=image,
        tag=tag,
        manifest_digest=tag.digest,
        address=str(tag),
        registry=tag.repository.registry,
        run=run,
        state=state,
        categories=["malware"],
        started_at=timezone.now() - timedelta(minutes=2),
        ended_at=None if state == State.RUNNING else timezone.now(),
        **values,
    )


def build_world() -> ScopeWorld:
    """Make it."""
    now = timezone.now()
    owner = person("administrator", username="owner")
    lab = factories.registry(name="lab", address="https://lab.test")
    zebra = factories.registry(name="zebra-registry", address="https://zebra.test")
    gone = factories.registry(name="zebra-gone", address="https://gone.zebra.test", deleting_at=now)
    Removal.objects.create(registry=gone, name=gone.name, state=State.FAILED, reason=HIDDEN_REASON)
    team = Team.objects.create(name="lab people")
    lab.teams.add(team)

    ours = factories.image(**factories.scanned(critical=1, fixable=1, packages=1))
    both = factories.image(
        **factories.scanned(high=1)
        | {
            "scan_state": Image.ScanState.FAILED,
            "scan_reason": HIDDEN_REASON,
            "scan_remedy": HIDDEN_REASON,
            "scanned_from": zebra.pk,
        }
    )
    theirs = factories.image(**factories.scanned(critical=3, viruses=1, sensitive=1))
    seen_tag = factories.tag("v1", of=ours, in_=lab, path="team/app")
    shared = factories.tag("v2", of=both, in_=lab, path="team/shared")
    factories.tag("zebra-v2", of=both, in_=zebra, path="zebra/shared")
    hidden_tag = factories.tag("zebra-v3", of=theirs, in_=zebra, path="zebra/only")
    known = factories.vulnerability(ours, package="openssl", name="CVE-2024-11111", title="Known")
    factories.vulnerability(both, package="openssl", name="CVE-2024-22222", title="Known too", version="2.5.0-2")
    factories.vulnerability(theirs, package="zebra-ssl", name="CVE-2024-11111", fixed_version="9-zebra", severity=5)
    secret = factories.vulnerability(theirs, package="zebra-lib", name="CVE-2024-9-zebra", title="zebra", type="npm")
    factories.malware(theirs, path="opt/zebra.com", rule="zebra_rule")
    factories.secret(theirs, path="zebra.env", title="zebra key", category="zebra")
    rematch = Rematch.objects.create(state=State.SUCCEEDED, new_matches=HIDDEN_FIGURE, new_in_images=HIDDEN_FIGURE)
    for match in (known, secret):
        match.rematch = rematch
        match.save()

    SyncRun.objects.create(registry=lab, state=State.SUCCEEDED, complete=True, ended_at=now)
    SyncRun.objects.create(
        registry=zebra, state=State.RUNNING, reason=HIDDEN_REASON, started_at=now, tags=HIDDEN_FIGURE
    )
    SyncRun.objects.create(registry=zebra, state=State.FAILED, reason=HIDDEN_REASON, remedy=HIDDEN_REASON, ended_at=now)
    account = CloudAccount.objects.create(name="zebra-cloud", secret_id="AKID-zebra")
    Registry.objects.filter(pk__in=[lab.pk, zebra.pk]).update(cloud_account=account)

    values: dict[str, Any] = {"categories": ["malware"], "scope": ScanScope.CHOSEN, "state": State.SUCCEEDED}
    hidden_schedule = ScanSchedule(name="zebra nightly", at=time(3), starts_on=date(2026, 1, 1), categories=["malware"])
    hidden_schedule.scope = ScanScope.CHOSEN
    scheduler.save(hidden_schedule, chosen=Tag.objects.filter(pk=hidden_tag.pk), now=now)
    schedule = ScanSchedule(name="everything", at=time(4), starts_on=date(2026, 1, 1), categories=["malware"])
    schedule.scope = ScanScope.ALL
    scheduler.save(schedule, chosen=None, now=now)
    hidden_run = ScanRun.objects.create(requested_by=owner, schedule=hidden_schedule, **values)
    _scan(hidden_run, hidden_tag, State.RUNNING)
    mixed = ScanRun.objects.create(requested_by=owner, schedule=schedule, **values)
    _scan(mixed, seen_tag)
    failed = _scan(mixed, Tag.objects.get(name="zebra-v2"), State.FAILED, reason=HIDDEN_REASON, remedy=HIDDEN_REASON)
    factories.result(
        both, "vulnerabilities", CategoryResult.Outcome.FAILED, reason=HIDDEN_REASON, remedy=HIDDEN_REASON, scan=failed
    )
    ScanRun.objects.filter(pk=mixed.pk).update(
        finished_at=now,
        images=HIDDEN_FIGURE,
        tags=HIDDEN_FIGURE,
        failed=HIDDEN_FIGURE,
        skipped={HIDDEN_REASON: HIDDEN_FIGURE},
        failures=[{"reason": HIDDEN_REASON, "remedy": HIDDEN_REASON, "scans": HIDDEN_FIGURE}],
    )
    for at, run in ((now - timedelta(days=1), mixed), (now - timedelta(days=2), hidden_run)):
        ScheduleRun.objects.create(schedule=schedule, due_at=at, outcome=ScheduleRun.Outcome.STARTED, run=run)

    SavedView.objects.create(user=owner, listing="images", name="zebra view", query="q=zebra", shared=True)
    for day in (0, 1, 2):
        names = ("images", "scanned", "at_risk", "partly_scanned", "safe", "critical", "high", "medium", "low")
        figures = dict.fromkeys((*names, "unknown", "fixable"), HIDDEN_FIGURE)
        at = now - timedelta(days=day)
        Snapshot.objects.create(
            day=timezone.localdate(at), at=at, malware=HIDDEN_FIGURE, sensitive=HIDDEN_FIGURE, **figures
        )
    recount.recount()
    rows = {"listing": "images", "part": "affected", "account": account.pk, "unknown": 0}
    return ScopeWorld(
        lab=lab,
        zebra=zebra,
        team=team,
        seen=rows
        | {
            "registry": lab.pk,
            "tag": shared.pk,
            "vulnerability": known.vulnerability_id,
            "name": known.vulnerability.name,
            "package": known.package_id,
            "run": mixed.pk,
            "rematch": rematch.pk,
            "schedule": schedule.pk,
        },
        hidden=rows
        | {
            "registry": zebra.pk,
            "tag": hidden_tag.pk,
            "vulnerability": secret.vulnerability_id,
            "name": secret.vulnerability.name,
            "package": secret.package_id,
            "run": hidden_run.pk,
            "schedule": hidden_schedule.pk,
        },
    )


def add_own_rows(world: ScopeWorld, user: User) -> dict[str, Any]:
    """What ``user`` made before there was a limit, of what is hidden now; keyed as the rows of ``world``."""
    choice = Selection.objects.create(owner=user, purpose="scan")
    choice.tags.add(world.hidden["tag"])
    made = Export.objects.create(
        requested_by=user, listing="images", description="Registry: zebra-registry", time_zone="UTC", language="en"
    )
    (files.exports_folder() / f"{made.pk}-1.csv").write_text("zebra.test/zebra/only,zebra-v3")
    Export.objects.filter(pk=made.pk).update(
        state=State.SUCCEEDED, file=f"{made.pk}-1.csv", format="csv", ended_at=timezone.now()
    )
    test = ConnectionTest.objects.create(user=user, registry=world.zebra, saved=True, ended_at=timezone.now())
    return {"selection": choice.pk, "export": made.pk, "test": test.pk}


def client_of(user: User) -> Client:
    """Return a client signed in as ``user``, whose lists show all their columns."""
    user.columns = {name: [column.name for column in each.listing.columns] for name, each in LISTINGS.items()}
    user.save()
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def hidden_lines(text: str) -> list[str]:
    """Return the lines that name something hidden."""
    telling = (HIDDEN_NAME, f"{HIDDEN_FIGURE:,}", str(HIDDEN_FIGURE))
    return [line.strip()[:300] for line in text.splitlines() if any(word in line.lower() for word in telling)]
