"""An image with more vulnerabilities than one report of Trivy can hold: its packages are matched some at a time.

First Trivy is asked for all but vulnerabilities, by giving it a database that has none. Then the packages go through
the matcher of stored packages, each part a report of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from console.db.batches import batched
from scanning.engines.base import EngineError, MatchFact, PackageFact, StopCheck, VulnerabilityFact
from scanning.engines.trivy import messages
from scanning.engines.trivy.command import ReportTooLarge
from scanning.engines.trivy.match import Matcher

PART_PACKAGES = 256  # packages; those of a part that is too much still are matched in halves
MAX_IMAGE_VULNERABILITIES = 1_000_000  # vulnerabilities of one image; some 600 bytes of memory each


def match(
    matcher: Matcher, packages: Sequence[PackageFact], *, system: str, scratch: Path, check: StopCheck
) -> tuple[tuple[MatchFact, ...], tuple[VulnerabilityFact, ...]]:
    """Return the vulnerabilities of ``packages`` of an image of ``system``, and what is known of each.

    Raises EngineError, also where they are more than MOST, and what ``check`` does.
    """
    matches: dict[tuple[str, str], MatchFact] = {}
    known: dict[str, VulnerabilityFact] = {}
    own = {number: fact for number, fact in enumerate(packages) if fact.record}
    languages = [number for number, fact in own.items() if "Type" in (fact.record or {})]
    of_system = [number for number in own if number not in set(languages)] if system else []
    for of, numbers in ((system, of_system), ("", languages)):
        todo = list(batched(numbers, PART_PACKAGES))
        while todo:
            part = todo.pop()
            records = {number: dict(own[number].record or {}) for number in part}
            try:
                found = matcher.match(records, system=of, known=known, scratch=scratch, check=check)
            except ReportTooLarge:
                if len(part) == 1:
                    raise
                todo += [part[: len(part) // 2], part[len(part) // 2 :]]
                continue
            known |= {fact.id: fact for fact in found.vulnerabilities}
            for number, fact in found.matches:
                package = own[number]
                told = replace(fact, purl=package.purl, package=package.identity)
                matches.setdefault((package.identity, fact.vulnerability), told)
            if len(matches) > MAX_IMAGE_VULNERABILITIES:
                raise EngineError(
                    messages.TOO_MANY_VULNERABILITIES(most=f"{MAX_IMAGE_VULNERABILITIES:,}"),
                    messages.SPLIT_IMAGE(),
                )
    return tuple(matches.values()), tuple(known.values())
