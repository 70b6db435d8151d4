"""ScanRun: one start of scanning, for however many images; and what is chosen for it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from console.jobs.models import Job


class Scope(models.TextChoices):
    """Which images are meant."""

    RECOMMENDED = "recommended", _("Recommended images")
    ALL = "all", _("All images")
    CHOSEN = "chosen", _("Specified images")


class ScanRun(Job):
    """One start of scanning. As a job it queues the scans; as a record it stays, and its scans tell how it went.

    The job has succeeded when all scans are queued; the run is over at ``finished_at``, when the last of them ended.
    """

    kind = "run"

    class Trigger(models.TextChoices):
        MANUAL = "manual", _("By hand")
        EVENT = "event", _("Push event")
        SCHEDULE = "schedule", _("By schedule")

    trigger = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.MANUAL)
    schedule = models.ForeignKey(
        "scanning.ScanSchedule", null=True, blank=True, on_delete=models.SET_NULL, related_name="runs"
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    scope = models.CharField(max_length=12, choices=Scope.choices)
    chosen = models.ManyToManyField("inventory.Tag", blank=True, related_name="+")  # where scope is CHOSEN
    categories = models.JSONField(default=list)  # values of RiskCategory
    timeout = models.PositiveIntegerField(default=1800)  # seconds for one image
    tags = models.PositiveIntegerField(default=0)  # tags that get results
    images = models.PositiveIntegerField(default=0)  # scans queued, one an image ID
    skipped = models.JSONField(default=dict, blank=True)  # reason → number of tags for which no scan was started
    finished_at = models.DateTimeField(null=True, blank=True)  # when the last of its scans ended

    class Meta(Job.Meta):
        abstract = False
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "lane", "id"], name="scanrun_queue")]

    def __str__(self) -> str:
        return f"scan run {self.pk}"
