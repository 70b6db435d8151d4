"""A shared image that one registry does not deliver: its tags alone show that, and another registry is asked."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from console.db.clock import database_now
from console.jobs.errors import JobFailure
from console.jobs.job_run import JobRun
from console.jobs.models import State
from inventory import image_summary
from inventory.content import image_sharing
from inventory.models import Image
from registries.models import Registry
from registries.oci.errors import RegistryError
from scanning.execution import messages
from scanning.layers import LayerError
from scanning.models import CategoryResult, Scan, image_coverage
from scanning.runs import limit_waits

SHORT_WAIT = timedelta(minutes=1)  # that a scan waits for its registry before another one is asked
FAILOVER_PAUSE = timedelta(seconds=15)  # before it is


def fail_over(run: JobRun[Scan], error: RegistryError | LayerError | JobFailure) -> None:
    """Have another registry that holds the image asked where this one does not deliver it.

    Raises Postponed then. Does nothing where the same registry is to be tried again first, where nobody else holds the
    image, or where those who want the scan may use no other registry: then the scan fails with ``error``.
    """
    if not Image.objects.filter(pk=run.job.image_id, registry=None).exists() or (error.retry and not run.job.retried):
        return
    with transaction.atomic():
        if not _switch_registry(run, error):
            return
    run.postpone(until=database_now(), reason=messages.TRYING_ANOTHER_REGISTRY())


def fail_over_while_waiting(run: JobRun[Scan], *, until: datetime, only_with_room: bool = False) -> None:
    """Have another registry that holds the image asked where this one wants to be left alone until ``until``.

    Raises Postponed then. Nothing has failed by that; and where the other wants the same, the turn comes back.
    ``only_with_room`` asks none that is at its own hourly limit.
    """
    is_shared = Image.objects.filter(pk=run.job.image_id, registry=None).exists()
    if not is_shared or until < database_now() + SHORT_WAIT:
        return
    with transaction.atomic():
        if not _switch_registry(run, None, only_with_room=only_with_room):
            return
    run.postpone(until=database_now() + FAILOVER_PAUSE, reason=messages.TRYING_ANOTHER_REGISTRY())


def _switch_registry(
    run: JobRun[Scan], error: RegistryError | LayerError | JobFailure | None, *, only_with_room: bool = False
) -> bool:
    """Have the scan go on through another registry; ``error`` is why this one does not deliver, if it does not."""
    scan = run.job
    # Where only its tag is gone, any other one does, and nobody has failed.
    failed = scan.registry_id if scan.tag_id is not None else None
    tags = image_sharing.other_tags(scan.image, registry_id=failed, manifest_digest=scan.manifest_digest)
    tags = tags.filter(limit_waits.allowed_registries(scan), registry__deleting_at=None, missing_since=None)
    if only_with_room:
        room = limit_waits.room_of(tags.order_by().values_list("registry", flat=True).distinct())
        tags = tags.filter(registry__in=[pk for pk, left in room.items() if left is None or left > 0])
    tags = tags.exclude(registry__connection=Registry.Connection.REFUSED).exclude(registry__refused_login__gt="")
    tag = tags.select_related("manifest__default_manifest").order_by("pk").first()
    if tag is None:
        return False
    manifest = tag.manifest.default_manifest or tag.manifest
    rows = Scan._base_manager.filter(pk=scan.pk, attempt=run.attempt, state=State.RUNNING)
    values = {"tag": tag, "registry": tag.registry_id, "manifest_digest": manifest.digest, "address": str(tag)}
    try:
        with transaction.atomic():
            if not rows.update(**values):
                return False
    except IntegrityError:  # the image is being scanned through that one
        return False
    if failed is not None and error is not None:
        parted = image_sharing.unshare_image(scan.image, registry_id=failed, manifest_digest=scan.manifest_digest)
        if parted is not None:
            _store_failure(parted, scan, error)
    return True


def _store_failure(image_id: int, scan: Scan, error: RegistryError | LayerError | JobFailure) -> None:
    now = timezone.now()
    image_summary.record_state(
        image_id=image_id,
        state=Image.ScanState.FAILED,
        reason=error.reason,
        remedy=error.remedy,
        ended_at=now,
        registry_id=scan.registry_id,
    )
    for category in scan.categories:
        CategoryResult.objects.update_or_create(
            image_id=image_id,
            category=category,
            defaults={
                "outcome": CategoryResult.Outcome.FAILED,
                "reason": error.reason,
                "remedy": error.remedy,
                "ended_at": now,
            },
        )
    image_coverage.write_coverage([image_id])
