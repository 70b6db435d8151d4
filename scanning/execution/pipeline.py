"""The story of one scan: pull what no engine knows yet, look, record."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from functools import partial

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from console.db.clock import database_now, to_database_time
from console.i18n.explained import Message, sentences
from console.jobs.errors import JobFailure
from console.jobs.models import Priority, State
from console.jobs.runner import JobRun
from inventory import summary
from inventory.models import Image
from inventory.sync import resolve
from registries import login_guard, pull_limit
from registries.client_pool import pooled_client
from registries.clients import RegistryClient
from registries.models import Registry
from registries.models.registry import IS_REFUSED
from registries.oci import ImageManifest, parse_manifest
from registries.oci.errors import AccountLocked, CredentialsRefused, RateLimited, RegistryError, Unreachable
from scanning import scanners
from scanning.engines.base import RiskCategory
from scanning.execution import messages
from scanning.execution.analyze import ImageAnalysis, ImageAnalyzer, ImageSource
from scanning.execution.failover import fail_over, fail_over_while_waiting
from scanning.execution.finish import CategoryOutcome, ScanResults, finish
from scanning.execution.preemption import PreemptionCheck
from scanning.layers import LayerError, StoreFull
from scanning.models import Scan
from scanning.runs import refused_credentials

MAX_CONFIG_BYTES = 4 * 1024 * 1024  # a config is a few KiB; more than a manifest may have is nonsense
MAX_REGISTRY_PAUSE = timedelta(hours=24)  # that a registry may ask for
STORE_FULL_PAUSE = timedelta(seconds=15)  # before a scan asks again for room that others hold
MAX_RESCHEDULED_SCANS = 200  # scans that get a time of their own when a registry is at its limit
ANALYSED_BY_TRIVY = frozenset({RiskCategory.VULNERABILITIES, RiskCategory.SENSITIVE})


def scan_image(run: JobRun[Scan]) -> None:
    """Scan the image of ``run`` for its categories and record the result and the final state together.

    A category whose engine is not ready ends the scan as failed, with the results of the other categories kept.
    Raises JobFailure, RegistryError, EngineError or LayerError where nothing could be found out.
    """
    scan = run.job
    run.set_deadline(
        scan.timeout,
        reason=messages.TIMED_OUT(minutes=max(1, scan.timeout // 60)),
        remedy=messages.RAISE_TIMEOUT(),
    )
    findings = ScanResults(outcomes={RiskCategory(category): CategoryOutcome() for category in scan.categories})
    if ready := _ready_categories(findings):
        try:
            findings.analysis = _analyze(run, ready, findings)
            _require_all_layers(scan, findings)
        except RateLimited as error:  # the place goes to another registry meanwhile
            if error.retry_at is None or error.retry_at > timezone.now() + MAX_REGISTRY_PAUSE:
                raise
            until = to_database_time(error.retry_at)
            if isinstance(error, AccountLocked) and scan.registry is not None:
                refused_credentials.postpone_queued(scan.registry, until=until, reason=error.reason)
            fail_over_while_waiting(run, until=until)
            run.postpone(until=until, reason=error.reason)
        except CredentialsRefused as error:
            fail_over(run, error)
            if scan.registry is None or not Registry.objects.filter(IS_REFUSED, pk=scan.registry.pk).exists():
                raise  # nothing would keep it from being tried again
            refused_credentials.mark_waiting(scan.registry)
            run.postpone(until=database_now(), reason=refused_credentials.WAITING_REASON)
        except StoreFull as error:  # no fault of the registry
            if not error.waits:
                raise
            run.postpone(until=database_now() + STORE_FULL_PAUSE, reason=messages.WAITING_FOR_ROOM())
        except (RegistryError, LayerError, JobFailure) as error:
            if isinstance(error, Unreachable) and scan.registry:
                scan.registry.mark_slow()
            fail_over(run, error)
            raise
    run.check()
    finish(run, findings)


def _require_all_layers(scan: Scan, findings: ScanResults) -> None:
    """Raise where less was seen of a shared image than when it was proven: that is no result for those who share it."""
    if scan.image.is_shared and not findings.analysis.proven:
        raise JobFailure(
            sentences(*findings.analysis.unscanned_reasons) or messages.LAYERS_MISSING(),
            messages.PUSH_ALL_LAYERS(),
        )


def _ready_categories(findings: ScanResults) -> set[RiskCategory]:
    """Return the categories whose engines can work now; for the others note why they cannot."""
    ready = set()
    for category, outcome in findings.outcomes.items():
        if category in ANALYSED_BY_TRIVY:
            readinesses = [scanners.trivy().ready({category})]
        else:
            readinesses = [engine.ready() for engine in scanners.malware_engines()]
        outcome.engine_version = ", ".join(readiness.version for readiness in readinesses)[:200]
        if category is RiskCategory.VULNERABILITIES:
            outcome.database_updated_at = readinesses[0].database_updated_at
        for readiness in readinesses:
            if not readiness.ready:
                outcome.fail(readiness.reason, readiness.remedy)
                break
        else:
            ready.add(category)
    return ready


def _analyze(run: JobRun[Scan], categories: set[RiskCategory], findings: ScanResults) -> ImageAnalysis:
    scan = run.job
    whole = Scan._base_manager.select_related("image", "registry", "tag__repository").get(pk=scan.pk)
    scan.image, scan.registry, scan.tag = whole.image, whole.registry, whole.tag
    registry, tag = scan.registry, scan.tag
    if registry is None or tag is None:
        raise JobFailure(
            messages.TAG_GONE(),
            messages.SCAN_OTHER_TAG(),
        )
    if registry.credentials_refused:
        raise login_guard.already_refused()
    _take_pull_unit(run, registry)
    analysed = categories & ANALYSED_BY_TRIVY
    check = PreemptionCheck(run)
    with ExitStack() as stack:
        client = stack.enter_context(pooled_client(registry, check=check.on_network))
        source = _open_image(client, repository=tag.repository.name, digest=scan.manifest_digest, image=scan.image)
        owner, origin = f"scan-{scan.pk}-{run.attempt}", str(registry.pk)
        lease = stack.enter_context(scanners.layer_store().lease(owner, source=origin))
        session = scanners.trivy().session(categories=analysed, owner=origin) if analysed else None
        rest = analysed - {RiskCategory.VULNERABILITIES}
        if session:
            stack.enter_context(session.announce())
        malware = RiskCategory.MALWARE in categories
        analyzer = ImageAnalyzer(
            run,
            source,
            lease,
            session=session,
            without_matching=partial(scanners.trivy().session, categories=rest) if rest != analysed and rest else None,
            malware=malware,
            check=check,
        )
        analysis = analyzer.analyze()
    if analysis.failure:
        for category in analysed:
            findings.outcomes[category].fail(analysis.failure.reason, analysis.failure.remedy)
    elif analysis.unmatched:
        findings.outcomes[RiskCategory.VULNERABILITIES].fail(analysis.unmatched.reason, analysis.unmatched.remedy)
    if analysis.malware_failure:
        findings.outcomes[RiskCategory.MALWARE].fail(analysis.malware_failure.reason, analysis.malware_failure.remedy)
    return analysis


def _take_pull_unit(run: JobRun[Scan], registry: Registry) -> None:
    """Count this image against the registry's hourly limit, or go back into the queue until there is room."""
    if registry.limit is None:
        return
    until = pull_limit.take_unit(
        registry_id=registry.pk, image_id=run.job.image.image_id, waiting=_count_waiting(registry, run.job.priority)
    )
    if until is not None:
        reason = messages.WAITING_FOR_HOURLY_LIMIT(registry=registry)
        _reschedule_queued(registry, reason)
        fail_over_while_waiting(run, until=until)
        run.postpone(until=until, reason=reason)


def _reschedule_queued(registry: Registry, reason: Message) -> None:
    """Have all other queued scans of ``registry`` wait too, so that not each takes a worker to find that out.

    The next of them get times of their own, one for each unit that becomes free; the others the time of the last.
    """
    now = database_now()
    ready = Q(not_before=None) | Q(not_before__lte=now)
    line = Scan.objects.filter(ready, registry=registry, state=State.QUEUED)
    times = pull_limit.free_times(
        registry_id=registry.pk, waiting=_count_waiting(registry, Priority.SCHEDULE) + 1, count=MAX_RESCHEDULED_SCANS
    )
    if not times:
        return
    chosen = list(line.order_by("priority", "pk").only("pk", "image_id")[: len(times)])
    for scan, until in zip(chosen, times, strict=False):
        scan.not_before, scan.reason = until, reason
    with transaction.atomic():
        Scan.objects.filter(state=State.QUEUED).bulk_update(chosen, ["not_before", "reason"], batch_size=100)
        summary.record_waiting([(scan.image_id, registry.pk) for scan in chosen], reason=reason)
        if len(chosen) == len(times):
            line.update(not_before=times[-1], reason=reason)


def _count_waiting(registry: Registry, priority: int) -> int:
    """Return how many scans of the registry wait for its limit that go before one of this priority."""
    line = Scan.objects.filter(registry=registry, state=State.QUEUED, priority__lte=priority)
    return line.filter(not_before__gt=database_now()).count()


def _open_image(client: RegistryClient, *, repository: str, digest: str, image: Image) -> ImageSource:
    """Read the manifest, and the config where it was not read before, and record what that tells of the image."""
    raw = client.manifest(repository, digest)
    parsed = parse_manifest(raw)
    if not isinstance(parsed, ImageManifest):
        raise JobFailure(
            messages.NO_MANIFEST(),
            messages.SYNC_OR_PUSH(),
        )
    if str(parsed.config.digest if parsed.config else raw.digest) != image.image_id:
        raise JobFailure(
            messages.ANOTHER_IMAGE(),
            messages.SYNC_AND_SCAN(),
        )
    if parsed.config and not image.config_known:
        resolve.record_config(image, client.blob_bytes(repository, parsed.config, limit=MAX_CONFIG_BYTES))
    diff_ids = list(image.image_layers.values_list("diff_id", flat=True)) if parsed.config else None
    return ImageSource(client=client, repository=repository, manifest=parsed, diff_ids=diff_ids)
