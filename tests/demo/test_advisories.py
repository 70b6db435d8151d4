from __future__ import annotations

import re

import pytest

from demo.advisories import ADVISORIES, SOURCES, Advisory
from demo.vulndb_build import severity_of

WEIGHTS = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
}
PRIVILEGES = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}


def base_score(vector: str) -> float:
    """CVSS 3.1, section 7.1."""
    metrics = dict(part.split(":") for part in vector.split("/"))
    changed = metrics["S"] == "C"
    loss = 1.0
    for metric in "CIA":
        loss *= 1 - WEIGHTS["C"][metrics[metric]]
    isc = 1 - loss
    impact = 7.52 * (isc - 0.029) - 3.25 * (isc - 0.02) ** 15 if changed else 6.42 * isc
    exploitability = 8.22 * PRIVILEGES[metrics["S"]][metrics["PR"]]
    for metric in ("AV", "AC", "UI"):
        exploitability *= WEIGHTS[metric][metrics[metric]]
    if impact <= 0:
        return 0.0
    raised = round(min((1.08 if changed else 1.0) * (impact + exploitability), 10) * 100_000)
    return raised / 100_000 if raised % 10_000 == 0 else (raised // 10_000 + 1) / 10


@pytest.mark.parametrize("advisory", ADVISORIES, ids=lambda advisory: advisory.id)
def test_each_score_is_that_of_its_vector(advisory: Advisory) -> None:
    assert base_score(advisory.vector) == advisory.score


def test_each_vulnerability_is_there_once_and_well_formed() -> None:
    assert len({advisory.id for advisory in ADVISORIES}) == len(ADVISORIES) >= 40
    for advisory in ADVISORIES:
        assert re.fullmatch(r"CVE-\d{4}-\d{4,}", advisory.id)
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", advisory.published)
        assert all(re.fullmatch(r"CWE-\d+", cwe) for cwe in advisory.cwes)
        assert all(reference.startswith("https://") for reference in advisory.references)
        assert advisory.affected
        assert {affected.platform for affected in advisory.affected} <= SOURCES.keys()
        assert all(affected.fixed or affected.status for affected in advisory.affected)


def test_every_platform_has_several() -> None:
    platforms = [affected.platform for advisory in ADVISORIES for affected in advisory.affected]
    assert all(platforms.count(platform) >= 10 for platform in SOURCES)


@pytest.mark.parametrize(
    ("score", "severity"),
    [(0.0, "UNKNOWN"), (0.1, "LOW"), (3.9, "LOW"), (4.0, "MEDIUM"), (6.9, "MEDIUM"), (7.0, "HIGH"), (9.0, "CRITICAL")],
)
def test_ratings_follow_the_specification(score: float, severity: str) -> None:
    assert severity_of(score) == severity
