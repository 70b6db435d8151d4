"""The story of one scan: pull what no engine knows yet, look, record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from console.jobs.errors import JobFailure
from console.jobs.models import State
from console.jobs.work import JobRun
from inventory import resolve
from inventory.models import Image, Layer
from registries import limit
from registries.clients import RegistryClient, open_client
from registries.models import Registry
from registries.oci import Descriptor, ImageManifest, parse_manifest
from scanning import counts, installed, record
from scanning.engines.base import (
    EngineError,
    ImageInput,
    ImageReport,
    LayerReport,
    MalwareFact,
    RiskCategory,
    Severity,
    StoredLayer,
)
from scanning.engines.trivy import LayersMissing, TrivySession
from scanning.layers import LayerLease, StoredFile
from scanning.models import CategoryResult, LayerEvidence, Scan

CONFIG_BYTES = 4 * 1024 * 1024  # a config is a few KiB; more than a manifest may have is nonsense
ANALYSED_BY_TRIVY = frozenset({RiskCategory.VULNERABILITIES, RiskCategory.SENSITIVE})


@dataclass
class Outcome:
    """What became of one category."""

    outcome: CategoryResult.Outcome = CategoryResult.Outcome.DONE
    reason: str = ""
    remedy: str = ""
    engine_version: str = ""
    database_updated_at: datetime | None = None

    def fail(self, reason: str, remedy: str) -> None:
        """Note that this category gave no result."""
        self.outcome, self.reason, self.remedy = CategoryResult.Outcome.FAILED, reason, remedy


@dataclass
class Findings:
    """All that a scan has learnt, before it is written."""

    outcomes: dict[RiskCategory, Outcome] = field(default_factory=dict)
    report: ImageReport | None = None
    malware: list[tuple[str, MalwareFact]] = field(default_factory=list)  # diff ID, fact
    malware_skipped: list[str] = field(default_factory=list)
    changed_packages: set[int] = field(default_factory=set)
    bytes_pulled: int = 0
    layers_pulled: int = 0
    layers_known: int = 0


@dataclass
class Source:
    """An image in its registry, opened for reading."""

    client: RegistryClient
    repository: str
    manifest: ImageManifest
    config: bytes  # b"" for schema 1, which has none


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
    categories = {RiskCategory(category) for category in scan.categories}
    findings = Findings(outcomes={category: Outcome() for category in categories})
    ready = _ready(categories, findings)
    if ready:
        _look(run, ready, findings)
    run.check()
    _finish(run, findings)
    counts.recount(counts.images_with(findings.changed_packages, but=scan.image_id))


def _ready(categories: set[RiskCategory], findings: Findings) -> set[RiskCategory]:
    """Return the categories whose engine can work now; for the others note why it cannot."""
    ready = set()
    for category in categories:
        outcome = findings.outcomes[category]
        if category in ANALYSED_BY_TRIVY:
            readiness = installed.trivy().ready({category})
        else:
            readiness = installed.yara().ready()
        outcome.engine_version = readiness.version
        if category is RiskCategory.VULNERABILITIES:
            outcome.database_updated_at = readiness.database_updated_at
        if readiness.ready:
            ready.add(category)
        else:
            outcome.fail(readiness.reason, readiness.remedy)
    return ready


def _look(run: JobRun[Scan], categories: set[RiskCategory], findings: Findings) -> None:
    scan = run.job
    registry, tag = scan.registry, scan.tag
    if registry is None or tag is None:
        raise JobFailure(
            _("The tag this scan was to pull is no longer in the inventory."),
            _("Sync the registry and scan the image again by another of its tags."),
        )
    _take_unit(run, registry)
    analysed = categories & ANALYSED_BY_TRIVY
    with ExitStack() as stack:
        run.progress("pulling")
        client = stack.enter_context(open_client(registry, check=run.check))
        source = _open(client, repository=tag.repository.name, digest=scan.manifest_digest, image=scan.image)
        lease = stack.enter_context(installed.layer_store().lease(f"scan-{scan.pk}-{run.attempt}"))
        diff_ids = list(scan.image.image_layers.values_list("diff_id", flat=True))
        session = (
            stack.enter_context(installed.trivy().session(run.check, diff_ids=diff_ids, categories=analysed))
            if analysed
            else None
        )
        try:
            _pull_and_look(run, source, lease, session, categories, diff_ids, findings, trust_cache=True)
        except LayersMissing:
            _pull_and_look(run, source, lease, session, categories, diff_ids, findings, trust_cache=False)


def _take_unit(run: JobRun[Scan], registry: Registry) -> None:
    """Count this image against the registry's hourly limit, or go back into the queue until there is room."""
    waiting = Scan.objects.filter(registry=registry, state=State.QUEUED, not_before__isnull=False).count()
    until = limit.take(registry_id=registry.pk, image_id=run.job.image.image_id, waiting=waiting)
    if until is not None:
        run.postpone(until=until, reason=_("Waiting for the hourly limit of %(registry)s.") % {"registry": registry})


def _open(client: RegistryClient, *, repository: str, digest: str, image: Image) -> Source:
    """Read manifest and config, and record what the config tells of the image."""
    parsed = parse_manifest(client.manifest(repository, digest))
    if not isinstance(parsed, ImageManifest):
        raise JobFailure(
            _("The registry answered with something that is no image manifest."),
            _("Sync the registry; if that does not help, push the image again."),
        )
    config = b""
    if parsed.config is not None:
        config = client.blob_bytes(repository, parsed.config, limit=CONFIG_BYTES)
        resolve.record_config(image, config)
    return Source(client=client, repository=repository, manifest=parsed, config=config)


def _pull_and_look(
    run: JobRun[Scan],
    source: Source,
    lease: LayerLease,
    session: TrivySession | None,
    categories: set[RiskCategory],
    diff_ids: list[str],
    findings: Findings,
    *,
    trust_cache: bool,
) -> None:
    analysed = categories & ANALYSED_BY_TRIVY
    layers = source.manifest.layers
    expected = diff_ids if len(diff_ids) == len(layers) else [""] * len(layers)
    in_cache = session.known(diff_ids, analysed) if session and trust_cache else frozenset[str]()
    evidence = _evidence(diff_ids) if RiskCategory.MALWARE in categories else {}
    proven = _proven(layers)
    known = {
        str(layer.digest)
        for layer, diff_id in zip(layers, expected, strict=True)
        if proven.get(str(layer.digest)) == diff_id
        and (session is None or diff_id in in_cache)
        and (RiskCategory.MALWARE not in categories or diff_id in evidence)
    }
    total = sum(layer.size for layer in layers if str(layer.digest) not in known)
    findings.bytes_pulled = findings.layers_pulled = findings.layers_known = 0
    stored: list[StoredLayer] = []
    for position, (descriptor, diff_id) in enumerate(zip(layers, expected, strict=True)):
        run.check()
        if str(descriptor.digest) in known:
            findings.layers_known += 1
            stored.append(StoredLayer(position=position, diff_id=diff_id, path=None))
            continue
        file = _pull(run, source, lease, descriptor, diff_id, findings, total=total)
        layer = StoredLayer(position=position, diff_id=file.diff_id, path=file.path, size=file.size)
        stored.append(layer)
        if RiskCategory.MALWARE in categories and layer.diff_id not in evidence:
            run.progress("analysing", findings.bytes_pulled, total)
            evidence[layer.diff_id] = _keep_evidence(layer.diff_id, file.path, run)
    if RiskCategory.MALWARE in categories:
        findings.malware, findings.malware_skipped = [], []
        for layer in stored:
            report = evidence[layer.diff_id]
            findings.malware += [(layer.diff_id, fact) for fact in report.findings]
            findings.malware_skipped += report.skipped
    if session:
        run.progress("analysing")
        image = ImageInput(config=source.config or _made_config(stored), layers=stored, history=run.job.image.history)
        try:
            findings.report = session.analyse(
                image, analysed, scratch=run.scratch, check=run.check, timeout=float(run.job.timeout)
            )
        except LayersMissing:
            raise
        except EngineError as error:
            if error.retry:
                raise
            for category in analysed:
                findings.outcomes[category].fail(error.reason, error.remedy)


def _pull(
    run: JobRun[Scan],
    source: Source,
    lease: LayerLease,
    descriptor: Descriptor,
    diff_id: str,
    findings: Findings,
    *,
    total: int,
) -> StoredFile:
    """Bring one layer into the store, verified and uncompressed."""
    before = findings.bytes_pulled

    def progress(pulled: int) -> None:
        run.progress("pulling", before + pulled, total)

    file = lease.get(
        digest=str(descriptor.digest),
        size=descriptor.size,
        diff_id=diff_id,
        open_blob=lambda: source.client.blob(source.repository, descriptor),
        check=run.check,
        progress=progress,
    )
    findings.bytes_pulled = before + descriptor.size
    findings.layers_pulled += 1
    resolve.record_diff_id(digest=str(descriptor.digest), diff_id=file.diff_id)
    return file


def _proven(layers: Sequence[Descriptor]) -> dict[str, str]:
    """Return the diff IDs by digest of those layers that a pull has unpacked: what a config says is only a claim."""
    digests = [str(layer.digest) for layer in layers]
    return dict(Layer.objects.filter(digest__in=digests, verified=True).values_list("digest", "diff_id"))


def _made_config(layers: list[StoredLayer]) -> bytes:
    """Return a config for an image of the old format (schema 1), which has none."""
    rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {}}).encode()


def _evidence(diff_ids: list[str]) -> dict[str, LayerReport]:
    """Return what the malware engine of this version has seen in these layers before."""
    engine = installed.yara()
    rows = LayerEvidence.objects.filter(diff_id__in=diff_ids, engine=engine.name, engine_version=engine.version())
    return {
        row.diff_id: LayerReport(
            findings=tuple(MalwareFact(**{**fact, "severity": Severity(fact["severity"])}) for fact in row.findings),
            files=row.files,
            bytes=row.bytes,
            skipped=tuple(row.skipped),
        )
        for row in rows
    }


def _keep_evidence(diff_id: str, path: Path, run: JobRun[Scan]) -> LayerReport:
    """Read one layer with the malware engine and keep what it saw for every other image with that layer."""
    engine = installed.yara()
    report = engine.scan_layer(path, check=run.check)
    LayerEvidence.objects.update_or_create(
        diff_id=diff_id,
        engine=engine.name,
        engine_version=engine.version(),
        defaults={
            "findings": [record.plain(asdict(fact)) for fact in report.findings],
            "files": report.files,
            "bytes": report.bytes,
            "skipped": list(report.skipped),
        },
    )
    return report


def _finish(run: JobRun[Scan], findings: Findings) -> None:
    """Write results and final state in one transaction, fenced by the attempt."""
    _judge_coverage(findings)
    failed = [outcome for outcome in findings.outcomes.values() if outcome.outcome is CategoryResult.Outcome.FAILED]
    reasons = list(dict.fromkeys(outcome.reason for outcome in failed))
    remedies = list(dict.fromkeys(outcome.remedy for outcome in failed))
    run.finish(
        to=State.FAILED if failed else State.SUCCEEDED,
        reason=" ".join(reasons),
        remedy=" ".join(remedies),
        write=lambda: _write(run.job, findings),
    )


def _judge_coverage(findings: Findings) -> None:
    """Turn what could not be seen into outcomes, so that it does not read as a zero."""
    malware = findings.outcomes.get(RiskCategory.MALWARE)
    if malware and malware.outcome is CategoryResult.Outcome.DONE and findings.malware_skipped:
        malware.outcome = CategoryResult.Outcome.PARTIAL
        malware.reason = "; ".join(dict.fromkeys(findings.malware_skipped))
        malware.remedy = _("What is named here was not looked at; look at it by hand where it matters.")
    matched = findings.outcomes.get(RiskCategory.VULNERABILITIES)
    report = findings.report
    if report is None or matched is None or matched.outcome is not CategoryResult.Outcome.DONE:
        return
    if not report.os_name and not report.packages:
        matched.outcome = CategoryResult.Outcome.UNSUPPORTED
        matched.reason = _("No operating system and no packages were recognised in this image.")
        matched.remedy = _(
            "Nothing to do for an image of a single binary; else check that its package database is kept."
        )
    elif report.os_end_of_life:
        matched.outcome = CategoryResult.Outcome.PARTIAL
        matched.reason = _("%(system)s gets no more security notices from its makers.") % {"system": report.os_name}
        matched.remedy = _(
            "Rebuild the image on a supported release: newer vulnerabilities are not listed for this one."
        )


def _write(scan: Scan, findings: Findings) -> None:
    now = timezone.now()
    image = scan.image
    looked = {
        category
        for category, outcome in findings.outcomes.items()
        if outcome.outcome is not CategoryResult.Outcome.FAILED
    }
    report = findings.report
    if report is not None and RiskCategory.VULNERABILITIES in looked:
        findings.changed_packages = record.record_packages(image=image, report=report)
    if report is not None and RiskCategory.SENSITIVE in looked:
        record.record_secrets(image=image, secrets=report.secrets)
    if RiskCategory.MALWARE in looked:
        record.record_malware(image=image, findings=findings.malware)
    for category, outcome in findings.outcomes.items():
        values: dict[str, Any] = asdict(outcome) | {"ended_at": now, "scan": scan}
        if category in looked:
            values["looked_at"] = now
        CategoryResult.objects.update_or_create(image=image, category=category.value, defaults=values)
    pulled = {name: getattr(findings, name) for name in ("bytes_pulled", "layers_pulled", "layers_known")}
    Scan.objects.filter(pk=scan.pk).update(**pulled)
    counts.recount([image.pk], os_name=report.os_name if report else None)
