"""Matching one part of what a rematch matches: packages of one system, without those that break a run of Trivy.

A damaged advisory ends a run of Trivy with an error, and with it the matching of all packages that it was given. So a
part that fails is halved until what fails stands alone, within bounds: what is left over then counts as failed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from console.i18n.message_codes import Message
from scanning.engines.base import EngineError, MatchFact, StopCheck, VulnerabilityFact
from scanning.engines.trivy.match import Matcher

log = logging.getLogger(__name__)

MAX_PART_RUNS = 60  # of Trivy to find what fails in one part; 3,000 packages of which one fails take 25
MAX_PART_SECONDS = 600.0  # the same in time
PROBE_PACKAGE: Mapping[str, object] = {"Name": "tallyman-probe", "Version": "0", "Type": "gobinary"}


@dataclass(frozen=True)
class MatchFailure:
    """Variants (ids) of one system that could not be matched, and why."""

    system: str
    reason: Message
    variants: tuple[int, ...]


@dataclass
class SystemPart:
    """Variants of one system: their ids with those of their packages, and their records; then what was found."""

    system: str
    packages: dict[int, int]
    records: dict[int, dict[str, object]]
    matches: list[tuple[int, MatchFact]] = field(default_factory=list)
    vulnerabilities: dict[str, VulnerabilityFact] = field(default_factory=dict)
    failures: list[MatchFailure] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many variants there are."""
        return len(self.packages)

    @property
    def matched(self) -> dict[int, int]:
        """The variants that were matched, with their packages."""
        failed = {pk for failure in self.failures for pk in failure.variants}
        return {pk: package for pk, package in self.packages.items() if pk not in failed}


def match_part(
    matcher: Matcher,
    part: SystemPart,
    *,
    known: Collection[str],
    hopeless: MutableMapping[str, Message],
    scratch: Path,
    check: StopCheck,
) -> SystemPart:
    """Match ``part`` and return it, with what could not be matched among its failures.

    ``hopeless`` has systems of which too much has failed, with the reason: they are not tried, and one more is added.
    May run in several threads. Raises EngineError where Trivy does not work at all, and what ``check`` raises.
    """
    todo = [tuple(part.records)]
    again: set[tuple[int, ...]] = set()
    runs, until = 0, 0.0
    while todo:
        if part.system in hopeless:
            left = tuple(pk for some in todo for pk in some)
            part.failures.append(MatchFailure(part.system, hopeless[part.system], left))
            break
        some = todo.pop()
        try:
            records = {pk: part.records[pk] for pk in some}
            found = matcher.match(records, system=part.system, known=known, scratch=scratch, check=check)
        except EngineError as error:
            if not runs:
                _probe(matcher, error, scratch=scratch, check=check)
                until = time.monotonic() + MAX_PART_SECONDS
            log.warning("%s packages of %s could not be matched: %s", len(some), part.system or "languages", error)
            if error.retry and some not in again:  # it may pass; an advisory on which Trivy panics does not
                again.add(some)
                todo.append(some)
            elif len(some) == 1:
                part.failures.append(MatchFailure(part.system, error.reason, some))
            else:
                todo += [some[len(some) // 2 :], some[: len(some) // 2]]
            runs += 1
            if runs >= MAX_PART_RUNS or time.monotonic() > until:
                hopeless[part.system] = error.reason
        else:
            part.matches += found.matches
            part.vulnerabilities |= {fact.id: fact for fact in found.vulnerabilities}
            runs += bool(runs)
    return part


def _probe(matcher: Matcher, error: EngineError, *, scratch: Path, check: StopCheck) -> None:
    """Raise ``error`` where Trivy does not match anything now."""
    try:
        matcher.match({0: PROBE_PACKAGE}, system="", known=(), scratch=scratch, check=check)
    except EngineError:
        raise error from None
