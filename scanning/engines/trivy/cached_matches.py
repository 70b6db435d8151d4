"""What Trivy has told of packages with one database, so that it is asked of none twice in one process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from scanning.engines.base import Check, MatchFact, PackageFact, VulnerabilityFact
from scanning.engines.trivy.advisory_texts import describe
from scanning.engines.trivy.cache import LayerNote
from scanning.engines.trivy.match import Matcher
from scanning.engines.trivy.report import Report
from scanning.engines.trivy.squash import Json, Stack, languages

MOST = 20_000  # packages; some 2 KB each
STALE_SECONDS = 3600.0  # after which Trivy is asked anew whether a system gets notices still


@dataclass
class _Known:
    """What is known of packages: those of one operating system, or those of programming languages."""

    facts: dict[str, PackageFact | None] = field(default_factory=dict)  # None: Trivy leaves it out
    matches: dict[str, tuple[MatchFact, ...]] = field(default_factory=dict)  # by identity of the package
    report: Report = field(default_factory=Report)  # what is told of the system itself
    asked_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Matched:
    """What is known of the packages of an image."""

    system: Report
    packages: tuple[PackageFact, ...]
    matches: tuple[MatchFact, ...]
    vulnerabilities: tuple[VulnerabilityFact, ...]


class KnownPackages:
    """For the threads of one process, and for one database. A package of a language is the same on every system."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._languages = _Known()
        self._systems: dict[str, _Known] = {"": _Known(asked_at=float("inf"))}
        self._vulnerabilities: dict[str, VulnerabilityFact] = {}

    def missing(self, stacked: Stack) -> dict[str, Json]:
        """Return the records of those packages of which Trivy must be asked, by their canonical form."""
        with self._lock:
            system = self._fresh(stacked.system) or _Known()
            records = {_canonical(package.record): package.record for package in stacked.packages}
            return {form: record for form, record in records.items() if form not in self._of(record, system).facts}

    def ask(self, matcher: Matcher, records: Mapping[str, Json], *, system: str, scratch: Path, check: Check) -> None:
        """Ask Trivy of packages. Raises EngineError, and what ``check`` raises."""
        forms = list(records)
        reports = list(matcher.reports(dict(enumerate(records.values())), system=system, scratch=scratch, check=check))
        with self._lock:
            self._make_room(len(forms))
            if (known := self._fresh(system)) is None:
                told = replace(reports[-1], packages={}, matches={}, secrets=[])
                known = self._systems[system] = _Known(report=told)
            for form, record in records.items():
                self._of(record, known).facts.setdefault(form, None)
            for report in reports:
                facts = {forms[int(fact.path)]: fact for fact in report.packages.values()}
                for form, fact in facts.items():
                    self._of(records[form], known).facts[form] = fact
                self._take_over(report, facts.values(), known, matcher.database.folder)

    def learn(self, report: Report, notes: Iterable[LayerNote], *, database: Path) -> None:
        """Take over what a report on any image with the layers of these notes tells of packages of languages."""
        told = {
            (str(record.get("Type")), record.get("Name"), record.get("Version"), fact.path): fact
            for fact in report.packages.values()
            if (record := fact.record) and "Type" in record
        }
        forms: dict[object, set[str]] = {}
        for note in notes:
            for path, record in languages(note):
                place = (str(record["Type"]), record.get("Name"), record.get("Version"), path)
                forms.setdefault(place, set()).add(_canonical(record))
        sure = {form: told[place] for place, (form, *more) in forms.items() if place in told and not more}
        with self._lock:
            self._make_room(len(sure))
            self._languages.facts |= sure
            self._take_over(report, sure.values(), _Known(), database)

    def look_up(self, stacked: Stack) -> Matched | None:
        """Return what is known of the packages of an image; None where Trivy must be asked of some."""
        packages: dict[tuple[str, str], PackageFact] = {}
        matches: dict[tuple[str, str], MatchFact] = {}
        with self._lock:
            if (system := self._fresh(stacked.system)) is None:
                return None
            for package in stacked.packages:
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
        return Matched(system.report, tuple(packages.values()), tuple(matches.values()), vulnerabilities)

    def _fresh(self, system: str) -> _Known | None:
        """Return what is known of a system, unless it was told too long ago."""
        known = self._systems.get(system)
        return known if known and time.monotonic() - known.asked_at <= STALE_SECONDS else None

    def _of(self, record: Mapping[str, object], system: _Known) -> _Known:
        """Return where a package belongs: to the languages, or to its system."""
        return self._languages if "Type" in record else system

    def _take_over(self, report: Report, facts: Iterable[PackageFact], system: _Known, database: Path) -> None:
        """Take over the vulnerabilities of packages; where several reports tell of one package, those of all."""
        found: dict[str, dict[str, MatchFact]] = {}
        for match in report.matches.values():
            found.setdefault(match.package, {})[match.vulnerability] = match
        new: set[str] = set()
        for fact in facts:
            known = self._of(fact.record or {}, system)
            before = {match.vulnerability: match for match in known.matches.get(fact.identity, ())}
            together = found.get(fact.identity, {}) | before
            known.matches[fact.identity] = tuple(together.values())
            new |= together.keys() - self._vulnerabilities.keys()
        self._vulnerabilities |= {fact.id: fact for fact in describe(database, new)}

    def _make_room(self, more: int) -> None:
        if more + len(self._languages.facts) + sum(len(each.facts) for each in self._systems.values()) > MOST:
            self._languages = _Known()
            self._systems = {"": _Known(asked_at=float("inf"))}
            self._vulnerabilities = {}


def _canonical(record: Mapping[str, object]) -> str:
    return json.dumps(record, sort_keys=True)
