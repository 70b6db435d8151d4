"""The list of schedules, and what came of each last."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.aggregates import Count
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.i18n.lists import listed
from console.listing import AnyCondition, AnyOf, Column, Listing, ListingFilterSet, Needs
from console.visibility import current
from inventory.models import Tag
from scanning.models import ScanRun, ScanSchedule, ScanScope, ScheduleRun
from scanning.runs.forms import CATEGORY_LABELS
from scanning.runs.tables import result_label, result_of, set_visible_counts


@dataclass(frozen=True)
class LastRun:
    """How a schedule went last: its last run, or the due time since then that started none."""

    run: ScanRun | None
    skipped: ScheduleRun | None

    @property
    def result(self) -> str:
        """The word in RUN_RESULTS for where its run stands, "" where there is none."""
        return result_of(self.run) if self.run else ""

    @property
    def label(self) -> str:
        """What came of it, in words."""
        if self.skipped:
            return self.skipped.get_outcome_display()
        return result_label(self.run) if self.run else ""

    @property
    def at(self) -> datetime | None:
        """When that was."""
        return self.skipped.due_at if self.skipped else self.run.created_at if self.run else None


def _chosen() -> dict[str, Any]:
    """Return how many of the images that a schedule names are seen."""
    held = ScanSchedule.chosen.through._base_manager.filter(scanschedule=OuterRef("pk"))
    if current() is not None:
        held = held.filter(tag__in=Tag.objects.values("pk"))
    number: QuerySet[Any] = held.order_by().values("scanschedule").annotate(n=Count("*"))
    number = number.values("n")
    return {"chosen_count": Coalesce(Subquery(number, output_field=IntegerField()), 0)}


def _last() -> dict[str, Any]:
    runs = ScanRun.objects.filter(schedule=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    firings = ScheduleRun.objects.filter(schedule=OuterRef("pk")).order_by("-due_at").values("pk")[:1]
    return {"last_run": Subquery(runs), "last_firing": Subquery(firings)}


def set_last(schedules: Iterable[ScanSchedule]) -> None:
    """Set ``last`` on schedules that were fetched with the annotations of ``_last``, in two queries."""
    asked: list[Any] = [one for one in schedules if hasattr(one, "last_run")]
    runs = ScanRun.objects.in_bulk([one.last_run for one in asked if one.last_run])
    set_visible_counts(runs.values())
    firings = ScheduleRun.objects.in_bulk([one.last_firing for one in asked if one.last_firing])
    for one in asked:
        firing = firings.get(one.last_firing)
        skipped = firing if firing and firing.outcome != ScheduleRun.Outcome.STARTED else None
        one.last = LastRun(runs.get(one.last_run), skipped)


def with_last() -> list[ScanSchedule]:
    """Return all schedules that are seen, with ``last`` and ``chosen_count``, in a constant number of queries."""
    schedules = list(ScanSchedule.objects.annotate(**_chosen(), **_last()))
    set_last(schedules)
    return schedules


def _frequency(schedule: ScanSchedule) -> str:
    until = f"–{schedule.until:%H:%M}" if schedule.until else ""
    return f"{schedule.get_every_days_display()}, {schedule.at:%H:%M}{until}"


def _images(schedule: Any) -> str:
    what: str = schedule.get_scope_display()
    return f"{what}, {schedule.chosen_count:,}" if schedule.scope == ScanScope.CHOSEN else what


def _last_of(schedule: Any) -> LastRun:
    last: LastRun = schedule.last
    return last


class ScheduleFilters(ListingFilterSet):
    """What Scheduled scan settings can be narrowed to."""

    on = AnyCondition(
        label=gettext_lazy("On/Off"),
        choices=[("on", gettext_lazy("On")), ("off", gettext_lazy("Off"))],
        conditions={"on": Q(is_on=True), "off": Q(is_on=False)},
    )
    every = AnyOf(label=gettext_lazy("Frequency"), field_name="every_days", choices=ScanSchedule.Every.choices)
    scope = AnyOf(label=gettext_lazy("Images"), choices=ScanScope.choices)
    placeholder = gettext_lazy("Name")
    prominent = ("on", "every", "scope")

    class Meta:
        model = ScanSchedule
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        """Return where ``word`` is in the name."""
        return Q(name__icontains=word)


SCHEDULES = Listing[ScanSchedule](
    name="schedules",
    title=gettext_lazy("Schedules"),
    noun=gettext_lazy("schedules"),
    singular=gettext_lazy("schedule"),
    queryset=lambda: ScanSchedule.objects.all(),
    apply_scope=set_last,
    filterset=ScheduleFilters,
    default_sort="name",
    columns=(
        Column(
            name="name",
            label=gettext_lazy("Name"),
            value=lambda schedule: schedule.name,
            sort=("name",),
            needs=Needs(fields=("name",)),
            template="scanning/cells/schedule.html",
            locked=True,
            css="pin",
            slot="addr",
        ),
        Column(
            name="on",
            label=gettext_lazy("On/Off"),
            value=lambda schedule: _("On") if schedule.is_on else _("Off"),
            sort=("is_on", "name"),
            needs=Needs(fields=("is_on",)),
            template="scanning/cells/enabled.html",
            descending_first=True,
            slot="status",
        ),
        Column(
            name="frequency",
            label=gettext_lazy("Frequency"),
            value=_frequency,
            sort=("every_days", "at", "name"),
            needs=Needs(fields=("every_days", "at", "until")),
            slot="fact",
        ),
        Column(
            name="categories",
            label=gettext_lazy("Risk categories"),
            value=lambda schedule: listed(
                CATEGORY_LABELS[name][0] for name in schedule.categories if name in CATEGORY_LABELS
            ),
            needs=Needs(fields=("categories",)),
        ),
        Column(
            name="images",
            label=gettext_lazy("Images"),
            value=_images,
            sort=("scope", "name"),
            needs=Needs(fields=("scope",), annotate=_chosen),
            slot="fact",
        ),
        Column(
            name="next",
            label=gettext_lazy("Next run"),
            value=lambda schedule: schedule.next_due_at,
            sort=("next_due_at",),
            needs=Needs(fields=("next_due_at",)),
            template="console/listing/time.html",
            slot="fact",
        ),
        Column(
            name="last",
            label=gettext_lazy("Last run"),
            value=lambda schedule: _last_of(schedule).at,
            needs=Needs(annotate=_last),
            template="console/listing/time.html",
            slot="fact",
        ),
        Column(
            name="result",
            label=gettext_lazy("Result"),
            value=lambda schedule: _last_of(schedule).label or None,
            needs=Needs(annotate=_last),
            template="scanning/cells/schedule_result.html",
            slot="risks",
        ),
        Column(
            name="timeout",
            label=gettext_lazy("Timeout, minutes"),
            value=lambda schedule: schedule.timeout // 60,
            sort=("timeout",),
            needs=Needs(fields=("timeout",)),
            template="console/listing/number.html",
            default=False,
            descending_first=True,
            css="num",
        ),
        Column(
            name="changed",
            label=gettext_lazy("Changed"),
            value=lambda schedule: schedule.updated_at,
            sort=("updated_at",),
            needs=Needs(fields=("updated_at",)),
            template="console/listing/time.html",
            default=False,
            descending_first=True,
        ),
    ),
    needs=Needs(fields=("name",)),
    bulk="scanning/_export_bulk.html",
    tools="scanning/_export_tools.html",
    empty="scanning/_no_schedules.html",
    columns_view="scanning:schedule-columns",
)
