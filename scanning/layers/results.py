"""What engines have seen in layers, kept per layer and engine version for all images and all workers."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict

from scanning.engines.base import LayerReport, MalwareFact, Severity
from scanning.engines.trivy.cache import LayerNote, Shown
from scanning.models import LayerEvidence
from scanning.models.rows import plain

TRIVY = "trivy"
MAX_RECORD = 64 * 1024**2  # bytes of a note when unpacked


def malware(diff_ids: Collection[str], *, engine: str, version: str) -> dict[str, LayerReport]:
    """Return what a malware engine of this version has seen in those of the layers that it has looked at."""
    rows = LayerEvidence.objects.filter(diff_id__in=diff_ids, engine=engine, engine_version=version)
    return {
        row.diff_id: LayerReport(
            findings=tuple(MalwareFact(**{**fact, "severity": Severity(fact["severity"])}) for fact in row.findings),
            files=row.files,
            bytes=row.bytes,
            skipped=tuple(row.skipped),
        )
        for row in rows
    }


def keep_malware(reports: Mapping[tuple[str, str], LayerReport], versions: Mapping[str, str]) -> None:
    """Keep what malware engines have seen in layers, by name of the engine and diff ID; ``versions`` are theirs."""
    _keep(
        LayerEvidence(
            diff_id=diff_id,
            engine=engine,
            engine_version=versions[engine],
            findings=[plain(asdict(fact)) for fact in report.findings],
            files=report.files,
            bytes=report.bytes,
            skipped=list(report.skipped),
        )
        for (engine, diff_id), report in reports.items()
    )


class LayerMemory:
    """Trivy's notes of layers, in the database that all workers share. See ``scanning.engines.trivy.cache.Memory``."""

    def knows(self, variant: str, diff_ids: Collection[str]) -> frozenset[str]:
        """Return those of the layers of which there is a note."""
        rows = LayerEvidence.objects.filter(diff_id__in=diff_ids, engine=TRIVY, engine_version=variant)
        return frozenset(rows.values_list("diff_id", flat=True))

    def recall(self, variant: str, diff_ids: Collection[str]) -> dict[str, LayerNote]:
        """Return the notes there are of these layers; one that cannot be read counts as none."""
        rows = LayerEvidence.objects.filter(diff_id__in=diff_ids, engine=TRIVY, engine_version=variant)
        notes = {}
        for diff_id, packed in rows.values_list("diff_id", "record"):
            if (note := _unpacked(packed)) is not None:
                notes[diff_id] = note
        return notes

    def keep(self, variant: str, notes: Mapping[str, LayerNote]) -> None:
        """Keep notes by diff ID, in place of older ones."""
        _keep(
            LayerEvidence(diff_id=diff_id, engine=TRIVY, engine_version=variant, record=_packed(note))
            for diff_id, note in notes.items()
        )

    def forget(self, variant: str, diff_ids: Collection[str]) -> None:
        """Have these layers pulled and read again."""
        LayerEvidence.objects.filter(diff_id__in=diff_ids, engine=TRIVY, engine_version=variant).delete()


def _keep(rows: Iterable[LayerEvidence]) -> None:
    if not (new := list(rows)):
        return
    LayerEvidence.objects.bulk_create(
        new,
        update_conflicts=True,
        unique_fields=["diff_id", "engine", "engine_version"],
        update_fields=["findings", "files", "bytes", "skipped", "record", "seen_at"],
    )


def _packed(note: LayerNote) -> bytes:
    secrets = {key: [shown.masked, shown.fingerprint] for key, shown in note.secrets.items()}
    told = {"databases": dict(note.databases), "warnings": plain(dict(note.warnings))}
    head = json.dumps({"key": note.key, "secrets": secrets, **told}).encode()
    return zlib.compress(head + b"\n" + note.record, 1)


def _unpacked(packed: bytes | memoryview | None) -> LayerNote | None:
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(bytes(packed or b""), MAX_RECORD)
        if not unpacker.eof:  # its checksum stands at the end
            return None
        head, _newline, told = plain.partition(b"\n")
        values = json.loads(head)
        secrets = {key: Shown(masked, fingerprint) for key, (masked, fingerprint) in values["secrets"].items()}
        return LayerNote(values["key"], told, secrets, dict(values["databases"]), dict(values["warnings"]))
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
