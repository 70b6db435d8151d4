"""ScanRun: one start of scanning, for however many images; and what is chosen for it."""

from __future__ import annotations

from django.conf import settings
from django.db import models, transaction
from django.db.models import Count, Max, OuterRef
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from console import visibility
from console.i18n.fields import MessagesField
from console.jobs.models import Job, State
from console.visibility import Scope, ScopedManager, current

MAX_FAILURE_REASONS = 20  # of the failures of a run, those that are most common


class ScanScope(models.TextChoices):
    """Which images are meant."""

    RECOMMENDED = "recommended", _("Recommended images")
    ALL = "all", _("All images")
    CHOSEN = "chosen", _("Specified images")


class ScanRunQuerySet(models.QuerySet["ScanRun"]):
    """Runs; see :meth:`close`."""

    def unfinished(self) -> ScanRunQuerySet:
        """Return the runs that are not over."""
        return self.filter(finished_at=None)

    def close(self) -> int:
        """Note of those whose last scan has ended that they are over and what came of them; return how many are.

        Cheap where there is nothing to close. Two last scans that end at the same moment may each miss the other's
        end: the next tick closes the run then.
        """
        from scanning.models.scan import Scan

        scans = Scan.objects.filter(run=OuterRef("pk"))
        over = self.unfinished().filter(state__in=State.final())
        over = over.exclude(models.Exists(scans.filter(state=State.QUEUED)))
        over = over.exclude(models.Exists(scans.filter(state=State.RUNNING)))
        closed = 0
        for run in over:
            with transaction.atomic():
                if self.model._base_manager.filter(pk=run.pk, finished_at=None).update(finished_at=Now()):
                    run.summarise()
                    closed += 1
        return closed


class ScanRun(Job):
    """One start of scanning. As a job it queues the scans; as a record it stays, and its scans tell how it went.

    The job has succeeded when all scans are queued; the run is over at ``finished_at``, when the last of them ended.
    What came of it is counted then and stays when scans go with their images.
    """

    kind = "run"

    class Trigger(models.TextChoices):
        MANUAL = "manual", _("Manual")
        EVENT = "event", _("Push event")
        SCHEDULE = "schedule", _("Scheduled")

    trigger = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.MANUAL)
    schedule = models.ForeignKey(
        "scanning.ScanSchedule", null=True, blank=True, on_delete=models.SET_NULL, related_name="runs"
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    scope = models.CharField(max_length=12, choices=ScanScope.choices)
    chosen = models.ManyToManyField("inventory.Tag", blank=True, related_name="+")  # where scope is CHOSEN
    choice = models.JSONField(default=dict, blank=True)  # of the schedule: see scanning.runs.narrow
    categories = models.JSONField(default=list)  # values of RiskCategory
    timeout = models.PositiveIntegerField(default=1800)  # seconds for one image
    tags = models.PositiveIntegerField(default=0)  # tags that get results
    images = models.PositiveIntegerField(default=0)  # scans queued, one an image ID
    skipped = MessagesField(default=dict, blank=True)  # reason → number of tags for which no scan was started
    # Ids of the registries that whoever started it saw, where that were not all: no others are scanned.
    registries = models.JSONField(null=True, blank=True, editable=False)
    cursor = models.BigIntegerField(default=0, editable=False)  # the last tag looked at, where queueing goes on
    finished_at = models.DateTimeField(null=True, blank=True)  # when the last of its scans ended
    succeeded = models.PositiveIntegerField(default=0)  # counts of ended scans, written when the run is over
    failed = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    failures = MessagesField(default=list, blank=True)  # [{reason, remedy, scans}], the most common first

    objects = ScopedManager.from_queryset(ScanRunQuerySet)()

    class Meta(Job.Meta):
        abstract = False
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "priority", "id"], name="scanrun_queue"),
            models.Index(fields=["finished_at"], name="scanrun_finished"),
        ]

    def __str__(self) -> str:
        return f"scan run {self.pk}"

    def state_changed(self, to: State) -> None:
        """A run without scans is over when its job is."""
        if to in State.final():
            with visibility.unrestricted():
                ScanRun.objects.filter(pk=self.pk).close()

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those with a scan in scope, and own ones. How many scans they have is counted from those in scope."""
        from scanning.models.scan import Scan

        scans = Scan._base_manager.filter(Scan.in_scope(scope), run=OuterRef("pk"))
        return models.Q(models.Exists(scans)) | models.Q(requested_by__in=[scope.person])

    @property
    def visible_to_starter(self) -> visibility.Visibility:
        """What it may scan: what whoever started it could see then."""
        if self.registries is None:
            return visibility.EVERYTHING
        return Scope(frozenset(self.registries), self.requested_by_id)

    @property
    def is_over(self) -> bool:
        """Whether all of its scans have ended."""
        return self.finished_at is not None

    @property
    def skipped_tags(self) -> int:
        """Tags for which no scan was started."""
        return sum(self.skipped.values())

    def counts(self) -> dict[str, int]:
        """Return how many of its scans stand where: succeeded, failed, cancelled, queued, running."""
        if self.is_over and current() is None:
            return {"succeeded": self.succeeded, "failed": self.failed, "cancelled": self.cancelled} | dict.fromkeys(
                State.active(), 0
            )
        found = dict(self.scans.order_by().values_list("state").annotate(n=Count("*")))
        return {state: found.get(state, 0) for state in State.values}

    def current_failures(self) -> list[dict[str, str | int]]:
        """Return why scans failed: ``reason``, ``remedy`` and number of ``scans``, the most common first."""
        if self.is_over and current() is None:
            found: list[dict[str, str | int]] = self.failures
            return found
        failed = self.scans.filter(state=State.FAILED).order_by().values("reason")
        grouped = failed.annotate(remedy=Max("remedy"), scans=Count("pk")).order_by("-scans", "reason")
        return [{name: row[name] for name in ("reason", "remedy", "scans")} for row in grouped[:MAX_FAILURE_REASONS]]

    def summarise(self) -> None:
        """Write what came of the scans. Belongs into the transaction that closes the run."""
        counts = self.counts()
        self.succeeded, self.failed, self.cancelled = counts["succeeded"], counts["failed"], counts["cancelled"]
        self.failures = self.current_failures()
        self.save(update_fields=["succeeded", "failed", "cancelled", "failures"])
