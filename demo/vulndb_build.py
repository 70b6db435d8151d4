"""Makes a small vulnerability database in Trivy's format (schema 2) from the project's own advisory facts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from demo.advisories import ADVISORIES, SOURCES, Advisory, Affected
from scanning.engines.trivy import bbolt_writer

BUILT_AT = datetime(2026, 11, 1, tzinfo=UTC)  # when the facts were last looked through
SEVERITY_NAMES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")
STATUS_NAMES = (
    "unknown",
    "not_affected",
    "affected",
    "fixed",
    "under_investigation",
    "will_not_fix",
    "fix_deferred",
    "end_of_life",
)


def build_demo_vulndb(folder: Path, advisories: tuple[Advisory, ...] = ADVISORIES) -> Path:
    """Write ``trivy.db`` and ``metadata.json`` into ``folder``, which is made, and return it.

    The metadata say ``"Demo": true``, so that the page can tell it from the public database.
    """
    platforms: dict[bytes, dict[bytes, dict[bytes, bytes]]] = {}
    for advisory in advisories:
        for affected in advisory.affected:
            packages = platforms.setdefault(affected.platform.encode(), {})
            packages.setdefault(affected.package.encode(), {})[advisory.id.encode()] = _json(_affected(affected))
    sources = {platform.encode(): _json(_source(platform)) for platform in SOURCES}
    vulnerabilities = {advisory.id.encode(): _json(_vulnerability(advisory)) for advisory in advisories}
    folder.mkdir(parents=True, exist_ok=True)
    bbolt_writer.write(folder / "trivy.db", {**platforms, b"data-source": sources, b"vulnerability": vulnerabilities})
    metadata = {
        "Version": 2,
        "UpdatedAt": BUILT_AT.isoformat().replace("+00:00", "Z"),
        "NextUpdate": "2099-01-01T00:00:00Z",
        "DownloadedAt": BUILT_AT.isoformat().replace("+00:00", "Z"),
        "Demo": True,
    }
    (folder / "metadata.json").write_bytes(_json(metadata))
    return folder


def severity_of(score: float) -> str:
    """Return the rating of a CVSS 3.1 base score (specification, section 5)."""
    return SEVERITY_NAMES[sum(score >= least for least in (0.1, 4.0, 7.0, 9.0))]


def _source(platform: str) -> dict[str, str]:
    return dict(zip(("ID", "Name", "URL"), SOURCES[platform], strict=True))


def _affected(affected: Affected) -> dict[str, object]:
    if affected.vulnerable:
        return {"VulnerableVersions": affected.vulnerable, "PatchedVersions": affected.fixed}
    facts: dict[str, object] = {"FixedVersion": affected.fixed[0]} if affected.fixed else {}
    if affected.status:
        facts["Status"] = STATUS_NAMES.index(affected.status)
    if affected.severity:
        facts["Severity"] = SEVERITY_NAMES.index(affected.severity)
    return facts


def _vulnerability(advisory: Advisory) -> dict[str, object]:
    severity = severity_of(advisory.score)
    return {
        "Title": advisory.title,
        "Description": advisory.description,
        "Severity": severity,
        "VendorSeverity": {"nvd": SEVERITY_NAMES.index(severity)},
        "CVSS": {"nvd": {"V3Vector": f"CVSS:3.1/{advisory.vector}", "V3Score": advisory.score}},
        "CweIDs": advisory.cwes,
        "References": (*advisory.references, f"https://nvd.nist.gov/vuln/detail/{advisory.id}"),
        "PublishedDate": f"{advisory.published}T00:00:00Z",
        "LastModifiedDate": f"{advisory.published}T00:00:00Z",
    }


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
