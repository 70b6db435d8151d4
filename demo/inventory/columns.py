"""Which columns of which tables the maker writes; the others have the defaults of their fields."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from demo.inventory.tables import TableWriter
from inventory.models import Image, ImageLayer, Layer, Manifest, ManifestLayer, RegistryLayer, Repository, Tag
from scanning.models import CategoryResult, ImagePackage, MalwareFinding, Scan, ScanRun, SecretFinding


def tables_of(now: datetime) -> dict[str, TableWriter]:
    """Return the tables by the names that the maker calls them; ``now`` is what times default to."""
    counts = ("critical", "high", "medium", "low", "unknown", "fixable", "viruses", "trojans", "sensitive", "packages")

    def table(model: Any, *columns: str, plain: bool = False) -> TableWriter:
        return TableWriter(model, columns, now=now, plain=plain)

    return {
        "repository": table(Repository, "id", "registry_id", "name", "first_seen", "synced_at"),
        "image": table(
            Image,
            *("id", "image_id", "os", "architecture", "created", "history", "config_known", "layer_count"),
            *("scan_state", "scan_reason", "scan_remedy", "scanned_from", "last_scanned_at", "os_name"),
            *(*counts, "malware_highest", "sensitive_highest", "highest", *Image.COVERAGES),
        ),
        "manifest": table(Manifest, "id", "digest", "media_type", "kind", "size", "image_digest", "last_seen_at"),
        "layer": table(Layer, "id", "digest", "diff_id", "verified", "size", "media_type", plain=True),
        "registry_layer": table(RegistryLayer, "registry_id", "layer_id", plain=True),
        "manifest_layer": table(ManifestLayer, "manifest_id", "position", "layer_id", "size", plain=True),
        "image_layer": table(ImageLayer, "image_id", "position", "diff_id", "step", plain=True),
        "tag": table(
            Tag,
            *("id", "repository_id", "registry_id", "name", "digest", "manifest_id", "image_id", "address", "size"),
            *("pushed_at", "first_seen"),
        ),
        "held": table(ImagePackage, "image_id", "variant_id", "package_id", "path", "diff_id", plain=True),
        "result": table(
            CategoryResult,
            *("image_id", "category", "outcome", "reason", "remedy", "engine_version", "ended_at", "looked_at"),
            "scan_id",
        ),
        "secret": table(
            SecretFinding,
            *("image_id", "rule", "category", "title", "severity", "path", "start_line", "end_line", "masked"),
            *("fingerprint", "diff_id", "first_seen"),
        ),
        "malware": table(
            MalwareFinding,
            *("image_id", "engine", "rule", "family", "kind", "severity", "description", "path", "size", "sha256"),
            *("diff_id", "first_seen"),
        ),
        "run": table(
            ScanRun,
            *("id", "state", "created_at", "started_at", "ended_at", "trigger", "scope", "categories"),
        ),
        "scan": table(
            Scan,
            *("id", "image_id", "manifest_digest", "registry_id", "tag_id", "address", "categories"),
            *("state", "created_at", "started_at", "ended_at", "run_id", "reason", "remedy", "bytes_pulled"),
        ),
    }
