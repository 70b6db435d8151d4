from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scanning.engines.base import EngineError, Severity, VulnerabilityFact
from scanning.engines.trivy import bbolt_writer
from scanning.engines.trivy.advisory_texts import parse_vulnerability, read_vulnerabilities

NVD, GHSA = {"V3Score": 5.0, "V3Vector": "n"}, {"V3Score": 9.1, "V3Vector": "g"}


def database(folder: Path, **entries: bytes) -> Path:
    folder.mkdir()
    table = {name.encode(): value for name, value in entries.items()}
    bbolt_writer.write(folder / "trivy.db", {b"vulnerability": table, b"data-source": {}})
    return folder


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"VendorSeverity": {"ghsa": 3}, "CVSS": {"nvd": NVD, "ghsa": GHSA}}, (9.1, "g")),
        ({"VendorSeverity": {"debian": 1}, "CVSS": {"nvd": {"V2Score": 4.0, "V2Vector": "2"} | NVD}}, (5.0, "n")),
        ({"CVSS": {"redhat": {"V2Score": 4.0, "V2Vector": "2"}}}, (4.0, "2")),
        ({"CVSS": {"ghsa": {"V40Score": 8.7, "V40Vector": "4"}}}, (8.7, "4")),
        ({"CVSS": None}, (None, "")),
        ({"CVSS": {"nvd": {"V3Score": "high"}}}, (None, "")),
    ],
)
def test_the_score_is_that_of_the_source_of_the_severity_else_of_the_nvd(
    told: dict[str, Any], expected: tuple[float | None, str]
) -> None:
    fact = parse_vulnerability("CVE-2024-1", told)
    assert (fact.cvss_score, fact.cvss_vector) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"VendorSeverity": {"debian": 4, "nvd": 1}}, (Severity.LOW, "nvd")),
        ({"VendorSeverity": {"debian": 4, "ghsa": 2}, "Severity": "LOW"}, (Severity.MEDIUM, "ghsa")),
        ({"VendorSeverity": {"debian": 9}, "Severity": "HIGH"}, (Severity.HIGH, "")),
        ({"Severity": "DREADFUL"}, (Severity.UNKNOWN, "")),
        ({}, (Severity.UNKNOWN, "")),
    ],
)
def test_the_severity_is_the_same_whatever_package_has_it(told: dict[str, Any], expected: tuple[Severity, str]) -> None:
    fact = parse_vulnerability("CVE-2024-1", told)
    assert (fact.severity, fact.severity_source) == expected


def test_dates_that_are_none_are_left_out() -> None:
    fact = parse_vulnerability("CVE-2024-1", {"PublishedDate": "yesterday", "LastModifiedDate": "0001-01-01T00:00:00Z"})
    assert (fact.published_at, fact.modified_at) == (None, None)


def test_entries_are_found_in_a_table_of_many_pages(tmp_path: Path) -> None:
    names = [f"CVE-2024-{number:05}" for number in range(3000)]
    entries = {name: json.dumps({"Title": f"of {name}", "Description": "d" * 300}).encode() for name in names}
    folder = database(tmp_path / "db", **entries)
    facts = list(read_vulnerabilities(folder, names))
    assert [(fact.id, fact.title) for fact in facts] == [(name, f"of {name}") for name in names]
    missing = ["", "A", "CVE-2024-00000x", "CVE-2023-1", "ZZZ"]
    assert list(read_vulnerabilities(folder, missing)) == [VulnerabilityFact(id=name) for name in missing]


def test_an_entry_that_cannot_be_read_has_its_name_alone(tmp_path: Path) -> None:
    folder = database(tmp_path / "db", a=b"{", b=b"[1]", c=b'{"Title": 7, "References": "x"}')
    assert list(read_vulnerabilities(folder, ["a", "b", "c", "a"])) == [VulnerabilityFact(id=name) for name in "abc"]


def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    folder = database(tmp_path / "db", a=b"{}")
    (folder / "trivy.db").write_bytes(b"nothing")
    with pytest.raises(EngineError, match="damaged"):
        list(read_vulnerabilities(folder, ["a"]))
