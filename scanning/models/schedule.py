"""ScanSchedule: when which images are scanned by themselves; and each time that came due."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from console.visibility import Scope as Seen
from console.visibility import ScopedManager
from inventory.models import Tag
from scanning.models.run import ScanScope


class ScanSchedule(models.Model):
    """One named schedule. Times of day are those of the console's time zone.

    Carried by a django-q2 schedule row of its own, which only :mod:`scanning.schedules.scheduler` writes.
    """

    class Every(models.IntegerChoices):
        DAY = 1, _("Every day")
        WEEK = 7, _("Every 7 days")
        HALF_MONTH = 15, _("Every 15 days")
        MONTH = 30, _("Every 30 days")

    name = models.CharField(max_length=100, unique=True)
    is_on = models.BooleanField(default=True)
    every_days = models.PositiveSmallIntegerField(choices=Every.choices, default=Every.DAY)
    at = models.TimeField()  # of a time range its start
    until = models.TimeField(null=True, blank=True)  # end of the time range in which it may run; None: no bound
    starts_on = models.DateField()  # the first day; every ``every_days`` from it
    scope = models.CharField(max_length=12, choices=ScanScope.choices, default=ScanScope.RECOMMENDED)
    chosen = models.ManyToManyField("inventory.Tag", blank=True, related_name="+")
    choice = models.JSONField(default=dict, blank=True)  # which tags of the scope: see scanning.runs.narrow
    categories = models.JSONField(default=list)
    timeout = models.PositiveIntegerField(default=1800)
    next_due_at = models.DateTimeField(null=True, blank=True, editable=False)  # None while it is off
    queue_row = models.BigIntegerField(null=True, blank=True, editable=False)  # id of its django-q2 schedule row
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ScopedManager["ScanSchedule"]()

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def in_scope(cls, scope: Seen) -> models.Q:
        """Those of all or of recommended images, and those in which an image in scope is chosen."""
        tags = Tag._base_manager.filter(Tag.in_scope(scope))
        chosen = cls.chosen.through._base_manager.filter(scanschedule=models.OuterRef("pk"), tag__in=tags.values("pk"))
        return ~models.Q(scope=ScanScope.CHOSEN) | models.Q(models.Exists(chosen))


class ScheduleRun(models.Model):
    """A due time of a schedule and what became of it. One row a due time: a second call finds it and does nothing."""

    class Outcome(models.TextChoices):
        """What became of a due time."""

        STARTED = "started", _("Started")
        OVERLAP = "overlap", _("Skipped: the previous run was still in progress")
        MISSED = "missed", _("Missed: the console was down")

    schedule = models.ForeignKey(ScanSchedule, on_delete=models.CASCADE, related_name="occurrences")
    due_at = models.DateTimeField()
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    run = models.ForeignKey("scanning.ScanRun", null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    objects = ScopedManager["ScheduleRun"]()

    class Meta:
        ordering = ["-due_at"]
        constraints = [models.UniqueConstraint(fields=["schedule", "due_at"], name="firing_once")]

    def __str__(self) -> str:
        return f"{self.schedule_id} at {self.due_at}: {self.outcome}"

    @classmethod
    def in_scope(cls, scope: Seen) -> models.Q:
        """Those of schedules in scope."""
        return models.Q(schedule__in=ScanSchedule._base_manager.filter(ScanSchedule.in_scope(scope)).values("pk"))
