"""The story of one scan: pull what no engine knows yet, look, record."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from functools import partial

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from console.db.clock import by_database, database_now
from console.jobs.errors import JobFailure
from console.jobs.models import Lane, State
from console.jobs.runner import JobRun
from inventory import summary
from inventory.models import Image
from inventory.sync import resolve
from registries import login_guard, pull_limit
from registries.client_pool import reading_client
from registries.clients import RegistryClient
from registries.models import Registry
from registries.models.registry import IS_REFUSED
from registries.oci import ImageManifest, parse_manifest
from registries.oci.errors import AccountLocked, CredentialsRefused, RateLimited, RegistryError, Unreachable
from scanning import scanners
from scanning.engines.base import RiskCategory
from scanning.execution.analyze import Look, Seen, Source
from scanning.execution.finish import Findings, Outcome, finish
from scanning.execution.preemption import Stopping
from scanning.execution.undelivered import ask_meanwhile, hand_over
from scanning.layers import LayerError, StoreFull
from scanning.models import Scan
from scanning.runs import refused_credentials

CONFIG_BYTES = 4 * 1024 * 1024  # a config is a few KiB; more than a manifest may have is nonsense
LONGEST_PAUSE = timedelta(hours=24)  # that a registry may ask for
ROOM_PAUSE = timedelta(seconds=15)  # before a scan asks again for room that others hold
HELD_BACK = 200  # scans that get a time of their own when a registry is at its limit
ANALYSED_BY_TRIVY = frozenset({RiskCategory.VULNERABILITIES, RiskCategory.SENSITIVE})


def scan_image(run: JobRun[Scan]) -> None:
    """Scan the image of ``run`` for its categories and record the result and the final state together.

    A category whose engine is not ready ends the scan as failed, with the results of the other categories kept.
    Raises JobFailure, RegistryError, EngineError or LayerError where nothing could be found out.
    """
    scan = run.job
    run.set_deadline(
        scan.timeout,
        reason=_("Timed out after %(minutes)s min.") % {"minutes": max(1, scan.timeout // 60)},
        remedy=_("Raise the timeout in Scanning settings, or scan again when the registry is faster."),
    )
    findings = Findings(outcomes={RiskCategory(category): Outcome() for category in scan.categories})
    if ready := _ready(findings):
        try:
            findings.seen = _look(run, ready, findings)
            _insist_on_all(scan, findings)
        except RateLimited as error:  # the place goes to another registry meanwhile
            if error.retry_at is None or error.retry_at > timezone.now() + LONGEST_PAUSE:
                raise
            until = by_database(error.retry_at)
            if isinstance(error, AccountLocked) and scan.registry is not None:
                refused_credentials.hold_back(scan.registry, until=until, reason=error.reason)
            ask_meanwhile(run, until=until)
            run.postpone(until=until, reason=error.reason)
        except CredentialsRefused as error:
            hand_over(run, error)
            if scan.registry is None or not Registry.objects.filter(IS_REFUSED, pk=scan.registry.pk).exists():
                raise  # nothing would keep it from being tried again
            refused_credentials.mark(scan.registry)
            run.postpone(until=database_now(), reason=refused_credentials.WAITING)
        except StoreFull as error:  # no fault of the registry
            if not error.waits:
                raise
            run.postpone(until=database_now() + ROOM_PAUSE, reason=_("Waiting for room in the layer store."))
        except (RegistryError, LayerError, JobFailure) as error:
            if isinstance(error, Unreachable) and scan.registry:
                scan.registry.note_slow()
            hand_over(run, error)
            raise
    run.check()
    finish(run, findings)


def _insist_on_all(scan: Scan, findings: Findings) -> None:
    """Raise where less was seen of a shared image than when it was proven: that is no result for those who share it."""
    if scan.image.is_shared and not findings.seen.proven:
        raise JobFailure(
            " ".join(findings.seen.unseen) or _("The registry no longer gives all layers of this image."),
            _("Push the image again, with all of its layers."),
        )


def _ready(findings: Findings) -> set[RiskCategory]:
    """Return the categories whose engines can work now; for the others note why they cannot."""
    ready = set()
    for category, outcome in findings.outcomes.items():
        if category in ANALYSED_BY_TRIVY:
            told = [scanners.trivy().ready({category})]
        else:
            told = [engine.ready() for engine in scanners.malware()]
        outcome.engine_version = ", ".join(readiness.version for readiness in told)[:200]
        if category is RiskCategory.VULNERABILITIES:
            outcome.database_updated_at = told[0].database_updated_at
        for readiness in told:
            if not readiness.ready:
                outcome.fail(readiness.reason, readiness.remedy)
                break
        else:
            ready.add(category)
    return ready


def _look(run: JobRun[Scan], categories: set[RiskCategory], findings: Findings) -> Seen:
    scan = run.job
    whole = Scan._base_manager.select_related("image", "registry", "tag__repository").get(pk=scan.pk)
    scan.image, scan.registry, scan.tag = whole.image, whole.registry, whole.tag
    registry, tag = scan.registry, scan.tag
    if registry is None or tag is None:
        raise JobFailure(
            _("The tag this scan was to pull is no longer in the inventory."),
            _("Sync the registry and scan the image again by another of its tags."),
        )
    if registry.credentials_refused:
        raise login_guard.refused()
    _take_unit(run, registry)
    analysed = categories & ANALYSED_BY_TRIVY
    check = Stopping(run)
    with ExitStack() as stack:
        client = stack.enter_context(reading_client(registry, check=check.on_network))
        source = _open(client, repository=tag.repository.name, digest=scan.manifest_digest, image=scan.image)
        owner, origin = f"scan-{scan.pk}-{run.attempt}", str(registry.pk)
        lease = stack.enter_context(scanners.layer_store().lease(owner, source=origin))
        session = scanners.trivy().session(categories=analysed, owner=origin) if analysed else None
        rest = analysed - {RiskCategory.VULNERABILITIES}
        if session:
            stack.enter_context(session.coming())
        malware = RiskCategory.MALWARE in categories
        look = Look(
            run,
            source,
            lease,
            session=session,
            without_matching=partial(scanners.trivy().session, categories=rest) if rest != analysed and rest else None,
            malware=malware,
            check=check,
        )
        seen = look.see()
    if seen.failure:
        for category in analysed:
            findings.outcomes[category].fail(seen.failure.reason, seen.failure.remedy)
    elif seen.unmatched:
        findings.outcomes[RiskCategory.VULNERABILITIES].fail(seen.unmatched.reason, seen.unmatched.remedy)
    if seen.malware_failure:
        findings.outcomes[RiskCategory.MALWARE].fail(seen.malware_failure.reason, seen.malware_failure.remedy)
    return seen


def _take_unit(run: JobRun[Scan], registry: Registry) -> None:
    """Count this image against the registry's hourly limit, or go back into the queue until there is room."""
    if registry.limit is None:
        return
    until = pull_limit.take(
        registry_id=registry.pk, image_id=run.job.image.image_id, waiting=_waiting(registry, run.job.lane)
    )
    if until is not None:
        reason = _("Waiting for the hourly limit of %(registry)s.") % {"registry": registry}
        _hold_back(registry, reason)
        ask_meanwhile(run, until=until)
        run.postpone(until=until, reason=reason)


def _hold_back(registry: Registry, reason: str) -> None:
    """Have all other queued scans of ``registry`` wait too, so that not each takes a worker to find that out.

    The next of them get times of their own, one for each unit that becomes free; the others the time of the last.
    """
    now = database_now()
    ready = Q(not_before=None) | Q(not_before__lte=now)
    line = Scan.objects.filter(ready, registry=registry, state=State.QUEUED)
    times = pull_limit.free_times(
        registry_id=registry.pk, waiting=_waiting(registry, Lane.SCHEDULE) + 1, count=HELD_BACK
    )
    if not times:
        return
    chosen = list(line.order_by("lane", "pk").only("pk", "image_id")[: len(times)])
    for scan, until in zip(chosen, times, strict=False):
        scan.not_before, scan.reason = until, reason
    with transaction.atomic():
        Scan.objects.filter(state=State.QUEUED).bulk_update(chosen, ["not_before", "reason"], batch_size=100)
        summary.record_waiting([(scan.image_id, registry.pk) for scan in chosen], reason=reason)
        if len(chosen) == len(times):
            line.update(not_before=times[-1], reason=reason)


def _waiting(registry: Registry, lane: int) -> int:
    """Return how many scans of the registry wait for its limit that go before one in this lane."""
    line = Scan.objects.filter(registry=registry, state=State.QUEUED, lane__lte=lane)
    return line.filter(not_before__gt=database_now()).count()


def _open(client: RegistryClient, *, repository: str, digest: str, image: Image) -> Source:
    """Read the manifest, and the config where it was not read before, and record what that tells of the image."""
    raw = client.manifest(repository, digest)
    parsed = parse_manifest(raw)
    if not isinstance(parsed, ImageManifest):
        raise JobFailure(
            _("The registry answered with something that is no image manifest."),
            _("Sync the registry; if that does not help, push the image again."),
        )
    if str(parsed.config.digest if parsed.config else raw.digest) != image.image_id:
        raise JobFailure(
            _("The manifest names another image than it did when the registry was synced."),
            _("Sync the registry and scan the image again."),
        )
    if parsed.config and not image.config_known:
        resolve.record_config(image, client.blob_bytes(repository, parsed.config, limit=CONFIG_BYTES))
    diff_ids = list(image.image_layers.values_list("diff_id", flat=True)) if parsed.config else None
    return Source(client=client, repository=repository, manifest=parsed, diff_ids=diff_ids)
