"""Export: a file made of the rows of a list in the background."""

from __future__ import annotations

from collections import Counter

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from console.jobs.models import Job, Priority, State
from console.jobs.slots import job_capacity
from console.machines.models import SharedFile
from console.visibility import Scope, ScopedManager


class Export(Job):
    """A file made of rows of a list in the background: what was asked for, and when ready where it lies.

    The filters are judged again when the work starts; the columns are those of the moment it was asked for.
    """

    kind = "export"

    class Format(models.TextChoices):
        XLSX = "xlsx", _("Excel")
        CSV = "csv", _("CSV")

    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="exports")
    listing = models.CharField(max_length=40)  # name of a registered list
    within = models.BigIntegerField(null=True, blank=True)  # what the list is narrowed to: see Listing.within
    view = models.TextField(blank=True)  # query of the view: filters and order
    ids = models.JSONField(default=list, blank=True)  # of the rows chosen; empty for all that match
    columns = models.JSONField(default=list)
    description = models.CharField(max_length=300, blank=True)  # which rows, in words
    format = models.CharField(max_length=4, choices=Format.choices, default=Format.XLSX)
    time_zone = models.CharField(max_length=64)
    language = models.CharField(max_length=10)

    visibility_key = models.CharField(
        max_length=64, blank=True, editable=False
    )  # key of what its owner saw when asking

    rows = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    cut = models.PositiveBigIntegerField(default=0, editable=False)  # cells cut to what a spreadsheet can hold
    size = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    file = models.CharField(max_length=60, blank=True, editable=False)  # its name in the folder of exports
    stored = models.ForeignKey(  # the same file for other machines, where there are some
        SharedFile, on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    expires_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ScopedManager["Export"]()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"export {self.pk} of {self.listing}"

    @classmethod
    def next_to_claim(cls, queue: models.QuerySet[Export], *, priority: Priority | None) -> Export | None:
        """Return the next export: of the person who has the fewest at work, then by age.

        One person has half of the places at most, so that nobody waits for the large ones of another.
        """
        rows = queue if priority is None else queue.filter(priority=priority)
        at_work = Counter(
            Export._base_manager.filter(state=State.RUNNING).order_by().values_list("requested_by", flat=True)
        )
        full = [person for person, count in at_work.items() if count >= max(1, job_capacity(cls.kind) // 2)]
        waiting = list(rows.exclude(requested_by__in=full).values_list("pk", "requested_by"))
        if not waiting:
            return None
        return Export._base_manager.get(pk=min(waiting, key=lambda each: (at_work[each[1]], each[0]))[0])

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Own ones, asked for while the same was seen: a file of more than that is out of reach."""
        return models.Q(requested_by__in=[scope.person], visibility_key=scope.key)
