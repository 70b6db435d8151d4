"""The report on an image: Trivy's, with what is known of its layers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

from scanning.engines.base import ImageReport, RiskCategory, SecretFact, StoredLayer
from scanning.engines.formats import package_databases
from scanning.engines.trivy.advisory_texts import read_vulnerabilities
from scanning.engines.trivy.cache import CachedLayer, MaskedSecret, hidden_paths
from scanning.engines.trivy.match import system_of
from scanning.engines.trivy.releases import is_listed
from scanning.engines.trivy.report import TrivyReport
from scanning.engines.trivy.secrets import FoundSecret
from scanning.engines.trivy.setup import LayersMissing, TrivySetup


def make_image_report(
    tool: TrivySetup, report: TrivyReport, layers: Sequence[StoredLayer], notes: Mapping[str, CachedLayer]
) -> ImageReport:
    """Return what is told of the image of these layers, of each of which there is a note.

    Raises LayersMissing where the note of a layer does not have a secret of the report.
    """
    family = str(report.system.get("Family") or "")
    has_packages = any(fact.record is not None and "Type" not in fact.record for fact in report.packages.values())
    system = system_of(report, [notes[layer.diff_id].record for layer in layers])
    looked_up = RiskCategory.VULNERABILITIES in tool.categories
    names = dict.fromkeys(match.vulnerability for match in report.matches.values())
    return ImageReport(
        os_name=report.os_name,
        os_end_of_life=report.os_end_of_life,
        os_listed=report.os_listed,
        packages=tuple(report.packages.values()) if looked_up else (),
        vulnerabilities=tuple(read_vulnerabilities(tool.database.folder, names)) if tool.database else (),
        matches=tuple(report.matches.values()),
        secrets=_secrets(report.secrets, notes) if RiskCategory.SENSITIVE in tool.categories else (),
        system=system,
        matched_with=tool.matched_with,
        os_unknown=report.os_unknown,
        release_listed=_is_listed(tool, report.system, system),
        **_unreadable(layers, notes, family=family, has_packages=has_packages),
    )


def _is_listed(tool: TrivySetup, system: Mapping[str, object], described: str | None) -> bool:
    """Return whether the database has advisories for a system; ``described`` is the ImageReport's ``system``.

    Alpine's packages are matched by the release of their repository where it is of another than the system.
    """
    if tool.database is None:
        return True
    repository = json.loads(described).get("Repository") if described else None
    if repository and repository.get("Family") == system.get("Family"):
        system = {**system, "Name": repository.get("Release")}
    return is_listed(tool.database.folder, system)


class _Unreadable(TypedDict):
    damaged_database: str
    damage: str
    unread: tuple[str, ...]


def _unreadable(
    layers: Sequence[StoredLayer], notes: Mapping[str, CachedLayer], *, family: str, has_packages: bool
) -> _Unreadable:
    """Return what of an image's packages could not be read, by the notes of its layers."""
    own = [notes[layer.diff_id] for layer in layers]
    gone = [hidden_paths(note) for note in own]
    shown = package_databases.databases_of_image(zip((note.databases for note in own), gone, strict=True))
    path, damage = package_databases.damage_of_image(family, shown, has_packages=has_packages)
    unread = package_databases.databases_of_image(zip((note.warnings for note in own), gone, strict=True))
    return {"damaged_database": path, "damage": damage.value, "unread": tuple(sorted(unread.keys() - {path}))}


def _secrets(found: Sequence[FoundSecret], notes: Mapping[str, CachedLayer]) -> tuple[SecretFact, ...]:
    """Return the secrets of a report as they are shown."""
    known = [secret for secret in found if secret.diff_id in notes]
    missing = {secret.diff_id for secret in known if secret.key not in notes[secret.diff_id].secrets}
    if missing:
        raise LayersMissing(missing)
    return tuple(_secret_fact(secret, notes[secret.diff_id].secrets[secret.key]) for secret in known)


def _secret_fact(secret: FoundSecret, shown: MaskedSecret) -> SecretFact:
    return SecretFact(
        rule=secret.rule,
        category=secret.category,
        title=secret.title,
        severity=secret.severity,
        path=secret.path,
        start_line=secret.start_line,
        end_line=secret.end_line,
        masked=shown.masked,
        fingerprint=shown.fingerprint,
        diff_id=secret.diff_id,
    )
