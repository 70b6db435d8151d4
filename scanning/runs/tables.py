"""The lists of scan runs and of the scans of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db.models import Case, Count, DateTimeField, F, IntegerField, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce, Now
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.i18n.lists import listed
from console.jobs.models import State
from console.listing import Column, Listing, Needs, Ranks
from console.visibility import Seen, current
from scanning.findings.filters import RUN_RESULTS, RunFilters, ScanFilters
from scanning.models import Scan, ScanRun
from scanning.runs import progress
from scanning.runs.forms import CATEGORY_LABELS

LIVE_COUNTS = ("succeeded", "failed", "cancelled")


def _count(scans: QuerySet[Scan]) -> Subquery:
    mine = scans.filter(run=OuterRef("pk")).order_by().values("run")
    return Subquery(mine.annotate(n=Count("*")).values("n"), output_field=IntegerField())  # "*": an index suffices


def _live_count(name: str) -> Case | Coalesce:
    """What is counted at the end of a run, and before it from its scans; of scans in scope always from these."""
    counted = _count(Scan.objects.filter(state=name))
    if current() is not None:
        return Coalesce(counted, 0)
    return Case(When(finished_at__isnull=False, then=F(name)), default=counted)


def counts_now() -> dict[str, Any]:
    """Return the annotations that say how many scans of a run have ended how."""
    return {f"now_{name}": _live_count(name) for name in LIVE_COUNTS}


def progress_now() -> dict[str, Any]:
    """Return the annotations that say how far a run is."""
    return {
        **counts_now(),
        "now_held": Case(
            When(finished_at__isnull=False, then=0),
            default=_count(Scan.objects.filter(state=State.QUEUED, not_before__gt=Now())),
        ),
        "now_started": Case(
            When(finished_at__isnull=False, then=None),
            default=progress.first_start(),
            output_field=DateTimeField(null=True),
        ),
    }


def visible_runs() -> QuerySet[ScanRun]:
    """Return the runs that are seen, to sort by what is seen of them."""
    runs = ScanRun.objects.all()
    if current() is None:
        return runs
    scans = Coalesce(_count(Scan.objects.all()), 0)
    return runs.annotate(seen_images=scans, seen_tags=scans)


def set_visible_counts(runs: Iterable[ScanRun]) -> None:
    """Set on ``runs`` (unsaved) what their scans in scope come to, where not everything is seen.

    What is not known by registry is left out: of how many tags the run gives results, and what was skipped.
    """
    scope = current()
    if scope is None:
        return
    mine = {run.pk: run for run in runs if run.registries is None or not scope.registries.issuperset(run.registries)}
    found: dict[int, Counter[str]] = {pk: Counter() for pk in mine}
    rows = Scan.objects.filter(run__in=list(mine)).order_by().values_list("run", "state").annotate(n=Count("pk"))
    for pk, state, number in rows:
        found[pk][state] = number
    for pk, run in mine.items():
        run.images = run.tags = found[pk].total()
        run.succeeded, run.failed, run.cancelled = (found[pk][name] for name in LIVE_COUNTS)
        run.failures, run.skipped = [], {}


# What goes on first, then what wants a look, then what waits.
STATE_ORDER = (State.RUNNING, State.FAILED, State.QUEUED, State.CANCELLED, State.SUCCEEDED)
STATE_RANK = Case(
    *(When(state=state, then=place) for place, state in enumerate(STATE_ORDER)), output_field=IntegerField()
)


def scan_count(run: ScanRun, name: str) -> int:
    """Return how many scans of ``run`` have succeeded, failed or been cancelled so far."""
    return getattr(run, f"now_{name}", None) or 0


def result_of(run: ScanRun) -> str:
    """Return the word in RUN_RESULTS for where ``run`` stands."""
    if not run.is_over:
        return "running"
    if run.state == State.FAILED:
        return "failed"
    if run.state == State.CANCELLED or run.cancelled or run.cancel_requested_at is not None:
        return "cancelled"
    if run.failed:
        return "exceptions"
    return "done" if run.images else "nothing"


def result_label(run: ScanRun) -> str:
    """Return where ``run`` stands, in words."""
    return str(RUN_RESULTS[result_of(run)][0])


def ended(run: ScanRun) -> int:
    """Return how many of its scans have ended."""
    return sum(scan_count(run, name) for name in LIVE_COUNTS)


def remaining(run: ScanRun) -> timedelta | None:
    """Return about how long ``run`` still takes, where that can be told."""
    return progress.remaining(
        now=timezone.now(),
        started=getattr(run, "now_started", None),
        ended=ended(run),
        total=run.images,
        held=(getattr(run, "now_held", None) or 0) + (run.state in State.active()),
    )


def categories_of(run: ScanRun) -> str:
    """Return what ``run`` looks for, in words."""
    return listed(CATEGORY_LABELS[name][0] if name in CATEGORY_LABELS else name for name in run.categories)


def started_by(run: ScanRun) -> str:
    """Return who or what started ``run``."""
    if run.trigger == ScanRun.Trigger.SCHEDULE and run.schedule:
        return _("Schedule %(name)s") % {"name": run.schedule.name}
    if run.requested_by:
        return run.requested_by.get_full_name() or run.requested_by.get_username()
    return str(run.get_trigger_display())


def _ended_column(
    name: str, label: object, slot: str = "", template: str = "console/listing/number.html"
) -> Column[ScanRun]:
    return Column(
        name=name,
        label=label,  # type: ignore[arg-type]
        value=lambda run: scan_count(run, name),
        sort=(f"now_{name}",),
        needs=Needs(annotate=counts_now),
        template=template,
        descending_first=True,
        css="num",
        slot=slot,
        live=True,
    )


def _run_duration(run: ScanRun) -> int | None:
    return round((run.finished_at - run.created_at).total_seconds()) if run.finished_at else None


def _scan_duration(scan: Scan) -> int | None:
    return round((scan.ended_at - scan.started_at).total_seconds()) if scan.ended_at and scan.started_at else None


RUNS = Listing[ScanRun](
    name="runs",
    title=gettext_lazy("Scan runs"),
    noun=gettext_lazy("scan runs"),
    singular=gettext_lazy("scan run"),
    queryset=visible_runs,
    apply_scope=set_visible_counts,
    filterset=RunFilters,
    default_sort="-created",
    columns=(
        Column(
            name="run",
            label=gettext_lazy("Scan run"),
            value=lambda run: f"{run.pk} {run.get_scope_display()}",
            sort=("pk",),
            needs=Needs(fields=("scope",)),
            template="scanning/cells/run.html",
            locked=True,
            css="pin",
            slot="addr",
        ),
        Column(
            name="result",
            live=True,
            label=gettext_lazy("Result"),
            value=result_label,
            needs=Needs(
                fields=("state", "finished_at", "failed", "cancelled", "cancel_requested_at", "images", "reason"),
                annotate=progress_now,
            ),
            template="scanning/cells/run_result.html",
            slot="status",
        ),
        Column(
            name="created",
            label=gettext_lazy("Started"),
            value=lambda run: run.created_at,
            sort=("created_at",),
            needs=Needs(fields=("created_at",)),
            template="console/listing/time.html",
            descending_first=True,
            slot="ver",
        ),
        Column(
            name="trigger",
            label=gettext_lazy("Started by"),
            value=started_by,
            sort=("trigger", "schedule__name", "requested_by__username"),
            needs=Needs(
                fields=(
                    *("trigger", "schedule__name"),
                    *("requested_by__username", "requested_by__first_name", "requested_by__last_name"),
                )
            ),
        ),
        Column(
            name="tags",
            live=True,
            label=gettext_lazy("Tags"),
            value=lambda run: run.tags,
            sort=(Seen("tags"),),
            needs=Needs(fields=("tags",)),
            template="console/listing/number.html",
            descending_first=True,
            css="num",
        ),
        Column(
            name="images",
            live=True,
            label=gettext_lazy("Scans"),
            value=lambda run: run.images,
            sort=(Seen("images"),),
            needs=Needs(fields=("images",)),
            template="console/listing/number.html",
            descending_first=True,
            css="num",
            slot="fact",
        ),
        _ended_column("succeeded", gettext_lazy("Scanned")),
        _ended_column(
            "failed", gettext_lazy("Scan exceptions"), slot="risks", template="scanning/cells/run_failed.html"
        ),
        _ended_column("cancelled", gettext_lazy("Cancelled")),
        Column(
            name="skipped",
            live=True,
            label=gettext_lazy("Skipped"),
            value=lambda run: run.skipped_tags,
            needs=Needs(fields=("skipped",)),
            template="console/listing/number.html",
            css="num",
        ),
        Column(
            name="ended",
            live=True,
            label=gettext_lazy("Ended"),
            value=lambda run: run.finished_at,
            sort=("finished_at",),
            needs=Needs(fields=("finished_at",)),
            template="console/listing/time.html",
            default=False,
            descending_first=True,
        ),
        Column(
            name="took",
            live=True,
            label=gettext_lazy("Duration, seconds"),
            value=_run_duration,
            sort=(F("finished_at") - F("created_at"),),
            needs=Needs(fields=("created_at", "finished_at")),
            template="console/listing/number.html",
            default=False,
            descending_first=True,
            css="num",
        ),
        Column(
            name="categories",
            label=gettext_lazy("Risk categories"),
            value=categories_of,
            needs=Needs(fields=("categories",)),
            default=False,
        ),
    ),
    needs=Needs(fields=("state", "finished_at", "reason", "remedy", "failures", "skipped", "registries")),
    detail="scanning/cells/run_reason_row.html",
    bulk="scanning/_export_bulk.html",
    tools="scanning/_export_tools.html",
    empty="scanning/_no_runs.html",
    columns_view="scanning:run-columns",
)

SCANS = Listing[Scan](
    name="scans",
    title=gettext_lazy("Scans of the run"),
    noun=gettext_lazy("scans"),
    singular=gettext_lazy("scan"),
    queryset=Scan.objects.all,
    filterset=ScanFilters,
    default_sort="state",
    columns=(
        Column(
            name="address",
            label=gettext_lazy("Image"),
            value=lambda scan: scan.address,
            sort=("address",),
            needs=Needs(fields=("address", "tag")),
            template="scanning/cells/scan_address.html",
            locked=True,
            css="grow pin",
            slot="addr",
        ),
        Column(
            name="state",
            live=True,
            label=gettext_lazy("Result"),
            value=lambda scan: scan.get_state_display(),
            sort=(STATE_RANK, "pk"),
            ranks=Ranks(lambda scans: [Q(state=state) for state in STATE_ORDER], within=("pk",)),
            needs=Needs(fields=("state", "stage", "progress_done", "progress_total", "reason", "not_before")),
            template="scanning/cells/scan_state.html",
            slot="status",
        ),
        Column(
            name="started",
            live=True,
            label=gettext_lazy("Started"),
            value=lambda scan: scan.started_at,
            sort=("started_at",),
            needs=Needs(fields=("started_at",)),
            template="console/listing/time.html",
            descending_first=True,
            slot="ver",
        ),
        Column(
            name="took",
            live=True,
            label=gettext_lazy("Duration, seconds"),
            value=_scan_duration,
            sort=(F("ended_at") - F("started_at"),),
            needs=Needs(fields=("started_at", "ended_at")),
            template="console/listing/number.html",
            descending_first=True,
            css="num",
        ),
        Column(
            name="pulled",
            live=True,
            label=gettext_lazy("Pulled"),
            value=lambda scan: scan.bytes_pulled,
            sort=("bytes_pulled",),
            needs=Needs(fields=("bytes_pulled",)),
            template="console/listing/size.html",
            descending_first=True,
            css="num",
        ),
    ),
    needs=Needs(fields=("state", "reason", "remedy", "run")),  # "run": else Django asks for it row by row
    detail="scanning/cells/scan_reason_row.html",
    bulk="scanning/_export_bulk.html",
    tools="scanning/_export_tools.html",
    within=lambda pk: Scan.objects.filter(run=pk),
)
