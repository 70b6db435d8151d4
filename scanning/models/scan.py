"""Scan: one look at one image."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Case, Count, Exists, ExpressionWrapper, F, Min, OuterRef, Subquery, When
from django.db.models.functions import Now
from django.utils import timezone

from console import visibility
from console.db.compiled_queries import CompiledQuery
from console.i18n.message_codes import Message, sentences
from console.jobs.models import Job, Priority, State
from console.visibility import Scope, ScopedManager
from inventory import image_summary
from inventory.content import image_sharing
from inventory.models import Image
from registries.models import Registry
from registries.models.registry import IS_REFUSED, IS_SLOW
from scanning.models import messages
from scanning.models.run import ScanRun

LANE_STEP = 1 << 40  # more than any id of a scan
MACHINE_WORKER_PREFIX = f"{socket.gethostname()}:"  # how the name of each worker of this machine begins
IMAGE_STATES = {
    State.QUEUED: Image.ScanState.QUEUED,
    State.RUNNING: Image.ScanState.RUNNING,
    State.SUCCEEDED: Image.ScanState.SCANNED,
    State.FAILED: Image.ScanState.FAILED,
    State.CANCELLED: Image.ScanState.CANCELLED,
}


class ScanStage(models.TextChoices):
    """What a running scan does."""

    WAITING = "waiting"
    PULLING = "pulling"
    ROOM = "room"
    ANALYSING = "analysing"
    READING = "reading"  # all else has been looked for


STAGES = {  # in words
    ScanStage.WAITING: messages.WAITING,
    ScanStage.PULLING: messages.PULLING,
    ScanStage.ROOM: messages.WAITING_FOR_SPACE,
    ScanStage.ANALYSING: messages.ANALYSING,
    ScanStage.READING: messages.READING,
}


def stage_message(stage: str) -> Message:
    """Return a stage in words; one that is not known is its own."""
    return STAGES[ScanStage(stage)]() if stage in ScanStage.values else Message(stage)


def slow_scan_limit() -> int:
    """Return how many scans of registries that do not answer a machine may have at work: at most half of all."""
    return settings.SCAN_WORKERS * settings.SCANS_PER_WORKER // 2


class Scan(Job):
    """A scan of an image for some categories, a job while it runs and a record afterwards."""

    kind = "scan"
    first_stage = ScanStage.PULLING.value

    image = models.ForeignKey("inventory.Image", on_delete=models.CASCADE, related_name="scans")
    # Where to pull from: a tag at the time of the start. Kept as text too, for the record when the tag is gone.
    tag = models.ForeignKey("inventory.Tag", null=True, on_delete=models.SET_NULL, related_name="+")
    manifest_digest = models.CharField(max_length=140)
    address = models.CharField(max_length=700)
    registry = models.ForeignKey("registries.Registry", null=True, on_delete=models.SET_NULL, related_name="+")
    run = models.ForeignKey(
        "scanning.ScanRun", null=True, blank=True, on_delete=models.SET_NULL, related_name="scans", db_index=False
    )
    categories = models.JSONField(default=list)  # values of RiskCategory
    timeout = models.PositiveIntegerField(default=1800)  # seconds, over pull and analysis
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    bytes_pulled = models.BigIntegerField(default=0)
    layers_pulled = models.PositiveSmallIntegerField(default=0)
    layers_known = models.PositiveSmallIntegerField(default=0)  # neither pulled nor read again

    # The first scan of its image ID in its run: one unit of the quota, whatever rows of it are scanned.
    counted = models.BooleanField(default=True)

    # Set while the results of a completed analysis are written: see _choose_row().
    analyzed = False
    proven: Image | None = (
        None  # of which the registry holds exactly what the config names, and which is not shared yet
    )

    objects = ScopedManager["Scan"]()

    class Meta(Job.Meta):
        abstract = False
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "priority", "id"], name="scan_queue"),
            models.Index(fields=["state", "registry", "not_before", "priority", "id"], name="scan_line"),
            models.Index(fields=["image", "-id"], name="scan_image"),
            models.Index(fields=["run", "state", "id"], name="scan_run"),
            models.Index(fields=["run", "started_at", "id"], name="scan_run_started"),
            models.Index(fields=["started_at"], name="scan_started"),  # for the quota
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["image", "registry"],
                condition=models.Q(state__in=list(State.active())),
                name="scan_one_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"scan {self.pk} of {self.address}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those that pull from a registry in scope, whoever else holds the image."""
        return models.Q(registry__in=scope.registries)

    @classmethod
    def next_to_claim(cls, queue: models.QuerySet[Scan], *, priority: Priority | None) -> Scan | None:
        """Return the next scan: by priority, then of the registry with the fewest scans at work, then by age.

        So a registry that is merely large holds no more than its share of the workers while others wait. Those that do
        not answer get no more than theirs, all together, even while nobody waits: others could not get the places back
        soon. Those that have refused their credentials get none: one wrong password more may lock the account.
        Each registry costs two looks into the index ``scan_line``, however long the queue is.
        """
        first, slow = set[int](), set[int | None]()
        for *found, slow_one in _NEXT_BY_REGISTRY.rows(priority):
            first |= {pk % LANE_STEP for pk in found if pk}
            slow |= {slow_one} - {None}
        first |= {
            place % LANE_STEP
            for query in (_NEXT_WITHOUT_REGISTRY, _DUE_WITHOUT_REGISTRY)
            for (place,) in query.rows(priority)
        }
        at_work = _RUNNING.rows()
        busy = Counter(registry for registry, _worker, _lane in at_work)
        held = Counter(
            priority
            for registry, worker, priority in at_work
            if registry in slow and worker.startswith(MACHINE_WORKER_PREFIX)
        )

        def at_their_share(scan: Scan) -> bool:
            return scan.registry_id in slow and held.total() >= slow_scan_limit()

        def barred(scan: Scan) -> bool:
            count = (
                held[Priority.MANUAL] if scan.priority == Priority.MANUAL else held.total()
            )  # those have a worker more
            return scan.registry_id in slow and count >= max(1, slow_scan_limit())

        candidates = [scan for scan in cls.objects.filter(pk__in=first) if not barred(scan)]
        by_rank = [(scan.priority, at_their_share(scan), busy[scan.registry_id], scan.pk) for scan in candidates]
        return dict(zip(by_rank, candidates, strict=True))[min(by_rank)] if by_rank else None

    @classmethod
    def claimable(cls, queue: models.QuerySet[Scan]) -> models.QuerySet[Scan]:
        """Return those of ``queue`` whose registry has not refused its credentials: thousands may wait for days."""
        return queue.exclude(registry__in=Registry._base_manager.filter(IS_REFUSED).values("pk"))

    @classmethod
    def slow_scans_block_others(cls) -> bool:
        """Whether slow registries have more than their share of this machine while others could go on."""
        slow = Registry.objects.filter(IS_SLOW)
        here = cls.objects.filter(state=State.RUNNING, registry__in=slow, worker__startswith=MACHINE_WORKER_PREFIX)
        if here.count() <= slow_scan_limit():
            return False
        theirs = cls.objects.filter(state=State.QUEUED, registry=OuterRef("pk"))
        ready = Exists(theirs.filter(not_before=None)) | Exists(theirs.filter(not_before__lte=Now()))
        return Registry.objects.filter(ready).exclude(IS_SLOW).exclude(IS_REFUSED).exists()

    def should_yield(self) -> bool:
        """Whether this scan should leave its place on this machine to one of a registry that has fewer here.

        That is so of one scan at a time, the last that was started of those that pull, and only for one that is next in
        the queue and of no lower priority. Afterwards the other registry has no more slots than this one.
        """
        here = Scan.objects.filter(state=State.RUNNING, worker__startswith=MACHINE_WORKER_PREFIX).order_by()
        held = dict(here.values_list("registry").annotate(n=Count("pk")))
        own = held.get(self.registry_id, 0)
        if own < 2:
            return False
        pulling = here.filter(registry=self.registry_id, stage=ScanStage.PULLING).order_by(
            "-priority", "-started_at", "-pk"
        )
        if pulling.values_list("pk", flat=True).first() != self.pk:
            return False
        first = Scan.next_to_claim(Scan.objects.filter(state=State.QUEUED), priority=None)
        return first is not None and first.priority <= self.priority and held.get(first.registry_id, 0) + 1 < own

    def state_changed(self, to: State) -> None:
        """Write the summary of the image, and where the scan failed as a whole that each category did."""
        with visibility.unrestricted():
            if self._choose_row(to):
                self._write(to)
            else:
                restore_state(self.image_id)
            if (
                to in State.final()
                and self.run_id is not None
                and not Scan.objects.filter(run=self.run_id, state__in=State.active()).exists()
            ):
                ScanRun.objects.filter(pk=self.run_id).close()

    def _choose_row(self, to: State) -> bool:
        """See on which row of the image what this scan has come to belongs; return whether on any.

        One that has proven an image shares it. One that failed as a whole says nothing of what others hold too: where
        the tags that it was for are gone, it says nothing.
        """
        if to is State.SUCCEEDED and self.proven is not None and not self._covers_less(self.proven):
            own, self.image_id = self.image_id, image_sharing.share_image(self.proven)
            if self.image_id != own:
                Scan._base_manager.filter(image=own).update(image=self.image_id)
        elif to is State.FAILED and not self.analyzed:
            shared, own_row = self.image, None
            if self.registry_id is not None:
                own_row = image_sharing.unshare_image(
                    shared, registry_id=self.registry_id, manifest_digest=self.manifest_digest
                )
            if own_row is not None:
                self.image_id = own_row
                Scan._base_manager.filter(pk=self.pk).update(image=own_row)
                restore_state(shared.pk)
            else:
                digest = self.manifest_digest
                return not image_sharing.other_tags(
                    shared, registry_id=self.registry_id, manifest_digest=digest
                ).exists()
        return True

    def _covers_less(self, image: Image) -> bool:
        """Whether ``image`` has a result that this scan does not bring again: that may be of a look that saw less."""
        from scanning.models.results import CategoryResult

        if image.last_scanned_at is None:
            return False
        known = CategoryResult._base_manager.filter(image=image.pk)
        return known.exclude(category__in=self.categories).exists()

    def _write(self, to: State) -> None:
        ended = self.ended_at if to in (State.SUCCEEDED, State.FAILED) else None
        image_summary.record_state(
            image_id=self.image_id,
            state=IMAGE_STATES[to],
            reason=self.reason,
            remedy=self.remedy,
            stage=self.stage_text if to is State.RUNNING else "",
            started_at=timezone.now() if to is State.RUNNING else None,
            ended_at=ended,
            registry_id=self.registry_id,
            resumes_at=self.not_before if to is State.QUEUED else None,
        )
        if to is State.CANCELLED and image_sharing.images_of_several_registries([self.image_id]):
            restore_state(self.image_id)
        if to is not State.FAILED:
            return
        from scanning.models.results import CategoryResult

        told = CategoryResult.objects.filter(image_id=self.image_id, scan=self).values_list("category", flat=True)
        for category in set(self.categories) - set(told):
            CategoryResult.objects.update_or_create(
                image_id=self.image_id,
                category=category,
                defaults={
                    "outcome": CategoryResult.Outcome.FAILED,
                    "reason": self.reason,
                    "remedy": self.remedy,
                    "ended_at": ended or timezone.now(),
                    "scan": self,
                },
            )
        from scanning.models import image_coverage

        image_coverage.write_coverage([self.image_id])

    @classmethod
    def states_changed(cls, jobs: Sequence[Self], to: State) -> None:
        """Write the summaries of many images at once where nothing but their state changes."""
        if to is not State.CANCELLED:
            super().states_changed(jobs, to)
            return
        with visibility.unrestricted():
            image_ids = [scan.image_id for scan in jobs]
            image_summary.record_states(image_ids=image_ids, state=IMAGE_STATES[to])
            for image_id in image_sharing.images_of_several_registries(image_ids):
                restore_state(image_id)
            ScanRun.objects.filter(pk__in={scan.run_id for scan in jobs if scan.run_id is not None}).close()

    def progress_changed(self) -> None:
        """Show the stage on the image's row, and how far it is where that can be told."""
        image_summary.record_state(
            image_id=self.image_id, state=Image.ScanState.RUNNING, stage=self.stage_text, percent=self.percent
        )

    @property
    def percent(self) -> int | None:
        """How much of its stage is done; None where that is not known."""
        if self.stage != ScanStage.PULLING or not self.progress_total:
            return None
        return min(100, self.progress_done * 100 // self.progress_total)

    @property
    def stage_text(self) -> Message:
        """What the scan does now, for a person: "pulling 12 of 340 MiB"; "" where it does not run."""
        if self.stage != ScanStage.PULLING or not self.progress_total:
            return stage_message(self.stage)
        return messages.PULLING_SOME(done=self.progress_done // 2**20, total=-(-self.progress_total // 2**20))


def restore_state(image_id: int) -> None:
    """Write of an image where it stands without a scan that has come to nothing which is to show there."""
    from scanning.models.results import CategoryResult

    active = set(Scan._base_manager.filter(image=image_id, state__in=State.active()).values_list("state", flat=True))
    if active:
        state = State.RUNNING if State.RUNNING in active else State.QUEUED
        image_summary.record_state(image_id=image_id, state=IMAGE_STATES[state])
        return
    failed = CategoryResult._base_manager.filter(image_id=image_id, outcome=CategoryResult.Outcome.FAILED)
    all_told = list(failed.order_by("ended_at", "pk").values_list("reason", "remedy", "scan__registry"))
    # They may name the registry that their scan has pulled from: those of the last one, with that.
    registry_id = all_told[-1][2] if all_told else None
    told = [(reason, remedy) for reason, remedy, registry in all_told if registry == registry_id is not None]
    image_summary.record_state(
        image_id=image_id,
        state=Image.ScanState.FAILED if all_told else Image.ScanState.SCANNED,
        reason=sentences(*(reason for reason, _remedy in told)),
        remedy=sentences(*(remedy for _reason, remedy in told)),
        registry_id=registry_id,
    )


def _queued_in_lane(priority: Priority | None) -> models.QuerySet[Scan]:
    queued = Scan.objects.filter(state=State.QUEUED)
    return queued if priority is None else queued.filter(priority=priority)


def _without_delay(priority: Priority | None) -> models.QuerySet[Any, Any]:
    """Those that wait for nothing, the first one first."""
    return _queued_in_lane(priority).filter(not_before=None).order_by("priority", "pk").values("pk")


def _delay_over(priority: Priority | None) -> models.QuerySet[Any, Any]:
    """The first of those whose time has come, for each registry.

    By the least of priority and id in one number: by ORDER BY, SQLite takes another index.
    """
    place = ExpressionWrapper(F("priority") * LANE_STEP + F("pk"), output_field=models.BigIntegerField())
    return (
        _queued_in_lane(priority).filter(not_before__lte=Now()).order_by().values("registry").annotate(least=Min(place))
    )


# Asked at each claim, with other figures in none: making the SQL takes several times as long as the database does.
_NEXT_BY_REGISTRY = CompiledQuery(
    lambda priority: (
        Registry.objects.exclude(IS_REFUSED)
        .order_by()
        .values_list(
            Subquery(_without_delay(priority).filter(registry=OuterRef("pk"))[:1]),
            Subquery(_delay_over(priority).filter(registry=OuterRef("pk")).values("least")),
            Case(When(IS_SLOW, then=F("pk"))),
        )
    )
)
_NEXT_WITHOUT_REGISTRY = CompiledQuery(
    lambda priority: _without_delay(priority).filter(registry=None).values_list("pk")[:1]
)
_DUE_WITHOUT_REGISTRY = CompiledQuery(lambda priority: _delay_over(priority).filter(registry=None).values_list("least"))
_RUNNING = CompiledQuery(
    lambda: Scan.objects.filter(state=State.RUNNING).order_by().values_list("registry_id", "worker", "priority")
)
