"""What a made-up inventory lacks to fill every page: a long audit trail, large runs, exports, a large choice."""

from __future__ import annotations

from datetime import date, time, timedelta

from django.db import connection
from django.db.models import Count, Q
from django.utils import timezone

from console.jobs.models import State
from console.models import AuditEvent, Export, JobEvent, User
from inventory.models import Image, Tag
from registries.models import ConnectionTest, Registry
from scanning.models import Rematch, Scan, ScanRun, ScanSchedule, ScanScope, Selection

ACTIONS = ("sign-in.done", "scan.start", "registry.change", "access.denied", "export", "schedule.change")
CHOSEN_IMAGES = 10_000  # images of a schedule, and of what somebody is choosing


def fill(user: User, *, scans: int, events: int) -> None:
    """Add to an inventory what every page shows; what is there already is not added again."""
    _trail(user, events)
    for index in range(60 - Export.objects.count()):
        Export.objects.create(
            requested_by=user, listing="images", state=State.FAILED, columns=[], time_zone="UTC", language="en",
            description=f"All rows {index}", ended_at=timezone.now(), reason="The disk is full.",
        )  # fmt: skip
    if not ScanSchedule.objects.filter(scope=ScanScope.CHOSEN).exists():
        schedule = ScanSchedule.objects.create(
            name="Chosen", at=time(1), starts_on=date(2026, 1, 1), categories=["malware"], scope=ScanScope.CHOSEN
        )
        schedule.chosen.set(Tag.objects.order_by("pk")[:CHOSEN_IMAGES].values_list("pk", flat=True))
    selection, _made = Selection.objects.get_or_create(owner=user, purpose="scan")
    selection.replace(Tag.objects.filter(pk__in=Tag.objects.order_by("-pk").values("pk")[:CHOSEN_IMAGES]))
    if not Rematch.objects.exists():
        Rematch.objects.create(state=State.SUCCEEDED, ended_at=timezone.now(), new_matches=12)
    if not ConnectionTest.objects.filter(user=user).exists():
        ConnectionTest.objects.create(registry=Registry.objects.first(), user=user, saved=True)
    if not ScanRun.objects.filter(tags=scans).exists():
        _run(user, scans, over=True)
        _run(user, scans, over=False)


def _trail(user: User, events: int) -> None:
    now = timezone.now()
    for start in range(AuditEvent.objects.count(), events, 5000):
        AuditEvent.objects.bulk_create(
            AuditEvent(
                actor_id=user.pk, actor_name=f"person-{n % 40}", action=ACTIONS[n % 6], target=f"harbor/team-{n}/app",
                address="192.0.2.7", detail={"run": n},
            )
            for n in range(start, min(events, start + 5000))
        )  # fmt: skip
        JobEvent.objects.bulk_create(
            JobEvent(at=now, kind="scan", job_id=n, from_state="queued", to_state="running", attempt=1)
            for n in range(start, min(events, start + 5000))
        )


def _run(user: User, scans: int, *, over: bool) -> None:
    """Add a run of ``scans`` scans; of one that is not over, the last hundredth waits."""
    now = timezone.now()
    run = ScanRun.objects.create(
        state=State.SUCCEEDED, requested_by=user, scope=ScanScope.ALL, categories=["malware"], tags=scans, images=scans,
        started_at=now - timedelta(hours=2), ended_at=now - timedelta(hours=2),
    )  # fmt: skip
    free = Image.objects.exclude(scans__state__in=(State.QUEUED, State.RUNNING)).order_by("pk")
    images = list(free.values_list("pk", "image_id")[:scans])
    waiting = set() if over else {pk for pk, _digest in images[: len(images) // 100]}
    made = 0
    while made < scans:
        part = images[: scans - made]
        Scan.objects.bulk_create(
            [
                Scan(
                    image_id=pk, run=run, manifest_digest=digest, address=f"example.com/team/app-{made}@{digest}",
                    categories=["malware"], created_at=now, attempt=1,
                    **_stands(pk, pk in waiting and not made, now),
                )
                for pk, digest in part
            ],
            batch_size=1000,
        )  # fmt: skip
        made += len(part)
    if over:
        run.finished_at = now
        run.save(update_fields=["finished_at"])
        counted = run.scans.aggregate(failed=Count("pk", filter=Q(state=State.FAILED)), all=Count("pk"))
        run.failed, run.succeeded = counted["failed"], counted["all"] - counted["failed"]
        run.failures = [{"reason": "The registry did not answer.", "remedy": "Scan again.", "scans": run.failed}]
        run.save(update_fields=["failed", "succeeded", "failures"])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _stands(pk: int, waits: bool, now: object) -> dict[str, object]:
    if waits:
        return {"state": State.QUEUED}
    failed = pk % 30 == 0
    return {
        "state": State.FAILED if failed else State.SUCCEEDED,
        "started_at": now,
        "ended_at": now,
        "reason": f"The registry did not answer ({pk % 7})." if failed else "",
    }
