"""What Trivy has told of packages with one database, so that it is asked of none twice in one process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from scanning.engines.base import MatchFact, PackageFact, StopCheck, VulnerabilityFact
from scanning.engines.trivy.advisory_texts import read_vulnerabilities
from scanning.engines.trivy.cache import CachedLayer
from scanning.engines.trivy.match import Matcher
from scanning.engines.trivy.merge_layers import Json, SquashedImage, language_packages
from scanning.engines.trivy.report import TrivyReport

MAX_CACHED_PACKAGES = 20_000  # packages; some 2 KB each
SYSTEM_STALE_SECONDS = 3600.0  # after which Trivy is asked anew whether a system gets notices still


@dataclass
class _CachedSystem:
    """What is known of packages: those of one operating system, or those of programming languages."""

    facts: dict[str, PackageFact | None] = field(default_factory=dict)  # None: Trivy leaves it out
    matches: dict[str, tuple[MatchFact, ...]] = field(default_factory=dict)  # by identity of the package
    report: TrivyReport = field(default_factory=TrivyReport)  # what is told of the system itself
    matched_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class ImageMatches:
    """What is known of the packages of an image."""

    system: TrivyReport
    packages: tuple[PackageFact, ...]
    matches: tuple[MatchFact, ...]
    vulnerabilities: tuple[VulnerabilityFact, ...]


class MatchCache:
    """For the threads of one process, and for one database. A package of a language is the same on every system."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._languages = _CachedSystem()
        self._systems: dict[str, _CachedSystem] = {"": _CachedSystem(matched_at=float("inf"))}
        self._vulnerabilities: dict[str, VulnerabilityFact] = {}

    def missing(self, squashed: SquashedImage) -> dict[str, Json]:
        """Return the records of those packages of which Trivy must be asked, by their canonical form."""
        with self._lock:
            system = self._fresh(squashed.system) or _CachedSystem()
            records = {_canonical(package.record): package.record for package in squashed.packages}
            return {form: record for form, record in records.items() if form not in self._of(record, system).facts}

    def ask(
        self, matcher: Matcher, records: Mapping[str, Json], *, system: str, scratch: Path, check: StopCheck
    ) -> None:
        """Ask Trivy of packages. Raises EngineError, and what ``check`` raises."""
        forms = list(records)
        reports = list(matcher.reports(dict(enumerate(records.values())), system=system, scratch=scratch, check=check))
        with self._lock:
            self._make_room(len(forms))
            if (known := self._fresh(system)) is None:
                described = replace(reports[-1], packages={}, matches={}, secrets=[])
                known = self._systems[system] = _CachedSystem(report=described)
            for form, record in records.items():
                self._of(record, known).facts.setdefault(form, None)
            for report in reports:
                facts = {forms[int(fact.path)]: fact for fact in report.packages.values()}
                for form, fact in facts.items():
                    self._of(records[form], known).facts[form] = fact
                self._add_matches(report, facts.values(), known, matcher.database.folder)

    def add_report(self, report: TrivyReport, notes: Iterable[CachedLayer], *, database: Path) -> None:
        """Take over what a report on any image with the layers of these notes tells of packages of languages."""
        described = {
            (str(record.get("Type")), record.get("Name"), record.get("Version"), fact.path): fact
            for fact in report.packages.values()
            if (record := fact.record) and "Type" in record
        }
        forms: dict[object, set[str]] = {}
        for note in notes:
            for path, record in language_packages(note):
                place = (str(record["Type"]), record.get("Name"), record.get("Version"), path)
                forms.setdefault(place, set()).add(_canonical(record))
        sure = {form: described[place] for place, (form, *more) in forms.items() if place in described and not more}
        with self._lock:
            self._make_room(len(sure))
            self._languages.facts |= sure
            self._add_matches(report, sure.values(), _CachedSystem(), database)

    def look_up(self, squashed: SquashedImage) -> ImageMatches | None:
        """Return what is known of the packages of an image; None where Trivy must be asked of some."""
        packages: dict[tuple[str, str], PackageFact] = {}
        matches: dict[tuple[str, str], MatchFact] = {}
        with self._lock:
            if (system := self._fresh(squashed.system)) is None:
                return None
            for package in squashed.packages:
                known = self._of(package.record, system)
                if (form := _canonical(package.record)) not in known.facts:
                    return None
                if fact := known.facts[form]:
                    own = replace(fact, path=package.path, diff_id=package.diff_id, licenses=package.licenses)
                    packages.setdefault((fact.identity, own.path), own)
                    found = known.matches.get(fact.identity, ())
                    matches |= {(each.package, each.vulnerability): each for each in found}
            names = {match.vulnerability for match in matches.values()}
            vulnerabilities = tuple(self._vulnerabilities[name] for name in names)
        return ImageMatches(system.report, tuple(packages.values()), tuple(matches.values()), vulnerabilities)

    def _fresh(self, system: str) -> _CachedSystem | None:
        """Return what is known of a system, unless it was told too long ago."""
        known = self._systems.get(system)
        return known if known and time.monotonic() - known.matched_at <= SYSTEM_STALE_SECONDS else None

    def _of(self, record: Mapping[str, object], system: _CachedSystem) -> _CachedSystem:
        """Return where a package belongs: to the languages, or to its system."""
        return self._languages if "Type" in record else system

    def _add_matches(
        self, report: TrivyReport, facts: Iterable[PackageFact], system: _CachedSystem, database: Path
    ) -> None:
        """Take over the vulnerabilities of packages; where several reports tell of one package, those of all."""
        found: dict[str, dict[str, MatchFact]] = {}
        for match in report.matches.values():
            found.setdefault(match.package, {})[match.vulnerability] = match
        new: set[str] = set()
        for fact in facts:
            known = self._of(fact.record or {}, system)
            before = {match.vulnerability: match for match in known.matches.get(fact.identity, ())}
            merged = found.get(fact.identity, {}) | before
            known.matches[fact.identity] = tuple(merged.values())
            new |= merged.keys() - self._vulnerabilities.keys()
        self._vulnerabilities |= {fact.id: fact for fact in read_vulnerabilities(database, new)}

    def _make_room(self, more: int) -> None:
        if (
            more + len(self._languages.facts) + sum(len(each.facts) for each in self._systems.values())
            > MAX_CACHED_PACKAGES
        ):
            self._languages = _CachedSystem()
            self._systems = {"": _CachedSystem(matched_at=float("inf"))}
            self._vulnerabilities = {}


def _canonical(record: Mapping[str, object]) -> str:
    return json.dumps(record, sort_keys=True)
