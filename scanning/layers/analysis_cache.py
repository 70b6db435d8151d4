"""What engines have seen in layers, kept per layer and engine version for all images and all workers."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict

from django.db.models import QuerySet

from scanning.engines.base import LayerReport, MalwareFact, Severity
from scanning.engines.trivy.cache import CachedLayer, MaskedSecret
from scanning.models import LayerResult
from scanning.models.rows import storable_json

TRIVY_ENGINE = "trivy"
MAX_RECORD_BYTES = 64 * 1024**2  # bytes of a note when unpacked


def malware_reports(diff_ids: Collection[str], *, engine: str, version: str) -> dict[str, LayerReport]:
    """Return what a malware engine of this version has seen in those of the layers that it has looked at."""
    rows = LayerResult.objects.filter(diff_id__in=diff_ids, engine=engine, engine_version=version)
    return {
        row.diff_id: LayerReport(
            findings=tuple(MalwareFact(**{**fact, "severity": Severity(fact["severity"])}) for fact in row.findings),
            files=row.files,
            bytes=row.bytes,
            skipped=tuple(row.skipped),
        )
        for row in rows
    }


def store_malware_reports(reports: Mapping[tuple[str, str], LayerReport], versions: Mapping[str, str]) -> None:
    """Keep what malware engines have seen in layers, by name of the engine and diff ID; ``versions`` are theirs."""
    _store(
        LayerResult(
            diff_id=diff_id,
            engine=engine,
            engine_version=versions[engine],
            findings=[storable_json(asdict(fact)) for fact in report.findings],
            files=report.files,
            bytes=report.bytes,
            skipped=list(report.skipped),
        )
        for (engine, diff_id), report in reports.items()
    )


class DatabaseLayerCache:
    """Trivy's notes of layers, in the database that all workers share. See ``trivy.cache.LayerCache``."""

    def cached(self, variant: str, diff_ids: Collection[str], *, owner: str) -> frozenset[str]:
        """Return those of an image's layers of which there is a note."""
        own = frozenset(_notes(variant, diff_ids, owner).values_list("diff_id", flat=True))
        return own | _notes_of_others(variant, diff_ids, frozenset(diff_ids) - own).keys()

    def load(self, variant: str, diff_ids: Collection[str], *, owner: str) -> dict[str, CachedLayer]:
        """Return the notes there are of an image's layers; one that cannot be read counts as none."""
        rows = _notes(variant, diff_ids, owner).order_by("-engine_version")  # those that are good for all at last
        notes = {}
        for diff_id, packed in rows.values_list("diff_id", "record"):
            if (note := _unpacked(packed)) is not None:
                notes[diff_id] = note
        return notes | _notes_of_others(variant, diff_ids, frozenset(diff_ids) - notes.keys())

    def save(self, variant: str, notes: Mapping[str, CachedLayer], *, owner: str) -> None:
        """Keep notes by diff ID, in place of older ones; ``owner`` is for whom they were read, "" where each alone."""
        version = _version(variant, owner)
        _store(
            LayerResult(diff_id=diff_id, engine=TRIVY_ENGINE, engine_version=version, record=_packed(note))
            for diff_id, note in notes.items()
        )

    def discard(self, variant: str, diff_ids: Collection[str]) -> None:
        """Have these layers pulled and read again."""
        rows = LayerResult.objects.filter(diff_id__in=diff_ids, engine=TRIVY_ENGINE)
        rows.filter(engine_version__startswith=variant).delete()


def _version(variant: str, owner: str) -> str:
    return f"{variant} of {owner}" if owner else variant


def _notes(variant: str, diff_ids: Collection[str], owner: str) -> QuerySet[LayerResult]:
    versions = {variant, _version(variant, owner)}
    return LayerResult.objects.filter(diff_id__in=diff_ids, engine=TRIVY_ENGINE, engine_version__in=versions)


def _notes_of_others(variant: str, diff_ids: Collection[str], wanted: Collection[str]) -> dict[str, CachedLayer]:
    """Return the notes of the ``wanted`` layers that were read for another owner, with layers of this image alone."""
    if not wanted:
        return {}
    rows = LayerResult.objects.filter(diff_id__in=wanted, engine=TRIVY_ENGINE)
    rows = rows.filter(engine_version__startswith=f"{variant} of ")
    found = ((diff_id, _unpacked(packed)) for diff_id, packed in rows.values_list("diff_id", "record"))
    own = frozenset(diff_ids)
    return {diff_id: note for diff_id, note in found if note and note.read_with and own.issuperset(note.read_with)}


def _store(rows: Iterable[LayerResult]) -> None:
    if not (new := list(rows)):
        return
    LayerResult.objects.bulk_create(
        new,
        update_conflicts=True,
        unique_fields=["diff_id", "engine", "engine_version"],
        update_fields=["findings", "files", "bytes", "skipped", "record", "seen_at"],
    )


def _packed(note: CachedLayer) -> bytes:
    secrets = {key: [shown.masked, shown.fingerprint] for key, shown in note.secrets.items()}
    told: dict[str, object] = {"databases": dict(note.databases), "warnings": storable_json(dict(note.warnings))}
    told |= {"read_with": list(note.read_with)} if note.read_with else {}
    head = json.dumps({"key": note.key, "secrets": secrets, **told}).encode()
    return zlib.compress(head + b"\n" + note.record, 1)


def _unpacked(packed: bytes | memoryview | None) -> CachedLayer | None:
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(bytes(packed or b""), MAX_RECORD_BYTES)
        if not unpacker.eof:  # its checksum stands at the end
            return None
        head, _newline, told = plain.partition(b"\n")
        values = json.loads(head)
        secrets = {key: MaskedSecret(masked, fingerprint) for key, (masked, fingerprint) in values["secrets"].items()}
        read_with = tuple(values.get("read_with", ()))
        return CachedLayer(values["key"], told, secrets, dict(values["databases"]), dict(values["warnings"]), read_with)
    except (zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
