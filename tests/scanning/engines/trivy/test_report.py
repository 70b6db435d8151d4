from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanning.engines.base import EngineError, Severity
from scanning.engines.trivy.report import TrivyReport, read_report

PACKAGE: dict[str, Any] = {
    "Name": "libssl3",
    "Identifier": {"UID": "u1", "PURL": "pkg:deb/debian/libssl3@3"},
    "Version": "3",
}
FOUND: dict[str, Any] = {
    "VulnerabilityID": "CVE-2024-1",
    "PkgName": "libssl3",
    "PkgIdentifier": {"UID": "u1", "PURL": "pkg:deb/debian/libssl3@3"},
    "InstalledVersion": "3",
    "Severity": "HIGH",
}


def report(*results: dict[str, Any], **top: Any) -> TrivyReport:
    return read_report(json.dumps({"SchemaVersion": 2, "Results": list(results), **top}).encode())


def result(**members: Any) -> dict[str, Any]:
    return {"Target": "image (debian 12)", "Class": "os-pkgs", "Type": "debian", **members}


def test_a_report_of_nothing_is_empty() -> None:
    assert read_report(b'{"SchemaVersion": 2}') == TrivyReport()
    assert report(Metadata=None) == TrivyReport()


def test_versions_are_written_as_the_package_manager_does() -> None:
    package = PACKAGE | {
        "Version": "1.2",
        "Release": "3",
        "Epoch": 1,
        "SrcName": "s",
        "SrcVersion": "1.2",
        "SrcRelease": "4",
    }
    (fact,) = report(result(Packages=[package])).packages.values()
    assert (fact.version, fact.source_version) == ("1:1.2-3", "1.2-4")


def test_a_package_without_a_purl_gets_one_and_its_vulnerabilities_the_same() -> None:
    package = PACKAGE | {"Identifier": {"UID": "u1"}, "Name": "a b", "Version": "1/2"}
    found = FOUND | {"PkgIdentifier": {"UID": "u1"}, "PkgName": "something else"}
    read = report(result(Packages=[package], Vulnerabilities=[found]))
    (fact,) = read.packages.values()
    assert (fact.purl, fact.type) == ("pkg:generic/a%20b@1%2F2", "debian")
    assert list(read.matches) == [(fact.identity, "CVE-2024-1")]
    assert [match.purl for match in read.matches.values()] == [fact.purl]


def test_the_same_package_in_two_places_is_two_packages_with_one_vulnerability() -> None:
    packages = [PACKAGE | {"FilePath": path} for path in ("a/METADATA", "b/METADATA")]
    read = report(result(Packages=packages, Vulnerabilities=[FOUND, FOUND]))
    assert [fact.path for fact in read.packages.values()] == ["a/METADATA", "b/METADATA"]
    assert len(read.matches) == 1


def test_a_severity_that_is_not_known_is_unknown() -> None:
    read = report(result(Packages=[PACKAGE], Vulnerabilities=[FOUND | {"Severity": "DREADFUL"}]))
    assert [match.severity for match in read.matches.values()] == [Severity.UNKNOWN]


def test_the_system_and_its_end_of_life_are_told() -> None:
    read = report(Metadata={"OS": {"Family": "alpine", "Name": "3.18.2", "EOSL": True}})
    assert (read.os_name, read.os_end_of_life) == ("alpine 3.18.2", True)


@pytest.mark.parametrize("system", [None, {}, {"Family": "none", "Name": ""}])
def test_a_system_that_trivy_does_not_know_has_no_name(system: object) -> None:
    assert report(Metadata={"OS": system}).os_name == ""


def test_what_a_container_names_in_its_labels_is_no_finding() -> None:
    labels = {"Labels": {"VulnerabilityID": "CVE-1", "PkgName": "x"}}
    assert report(Metadata={"ImageConfig": {"config": labels}}).matches == {}


def test_one_purl_with_two_sources_is_two_packages_and_each_has_its_own_vulnerabilities() -> None:
    other = PACKAGE | {"Identifier": PACKAGE["Identifier"] | {"UID": "u2"}, "SrcName": "harmless", "SrcVersion": "9999"}
    read = report(result(Packages=[PACKAGE, other], Vulnerabilities=[FOUND]))
    vulnerable = next(fact for fact in read.packages.values() if not fact.source_name)
    assert len({fact.identity for fact in read.packages.values()}) == len(read.packages) == 2
    assert list(read.matches) == [(vulnerable.identity, "CVE-2024-1")]


@pytest.mark.parametrize(
    "told", [{"SrcEpoch": 1}, {"Release": "2"}, {"Modularitylabel": "nodejs:12:8:9"}, {"Repository": {"Class": "x"}}]
)
def test_whatever_trivy_matches_by_is_part_of_the_identity(told: dict[str, Any]) -> None:
    (fact,) = report(result(Packages=[PACKAGE])).packages.values()
    (other,) = report(result(Packages=[PACKAGE | told])).packages.values()
    assert fact.identity != other.identity


def test_where_a_package_lies_is_no_part_of_its_identity() -> None:
    moved = {"FilePath": "a/b", "Layer": {"DiffID": "sha256:1"}, "Licenses": ["MIT"], "DependsOn": ["x"], "ID": "y"}
    (fact,) = report(result(Packages=[PACKAGE])).packages.values()
    (other,) = report(result(Packages=[PACKAGE | moved])).packages.values()
    assert fact.identity == other.identity


def test_a_vulnerability_without_an_id_of_its_package_is_of_all_namesakes_from_one_source() -> None:
    named = [
        PACKAGE | {"Identifier": {"UID": arch}, "Arch": arch, "SrcName": source}
        for arch, source in (("x86_64", "openssl"), ("aarch64", "openssl"), ("i686", "else"))
    ]
    found = FOUND | {"PkgIdentifier": {"UID": "x86_64"}}
    read = report(result(Packages=named, Vulnerabilities=[found]))
    held = {fact.identity: fact.architecture for fact in read.packages.values()}
    assert sorted(held[identity] for identity, _name in read.matches) == ["aarch64", "x86_64"]
    read = report(result(Packages=named, Vulnerabilities=[found | {"PkgID": "libssl3@3"}]))
    assert [held[identity] for identity, _name in read.matches] == ["x86_64"]


def test_a_vulnerability_of_a_package_that_is_not_listed_is_no_report() -> None:
    with pytest.raises(EngineError):
        report(result(Vulnerabilities=[FOUND]))


NAMES = ["SchemaVersion", "Results", "Target", "Class", "Packages", "Vulnerabilities", "Secrets", "Name", "Identifier"]
NAMES += [
    "VulnerabilityID",
    "RuleID",
    "StartLine",
    "EndLine",
    "Layer",
    "DiffID",
    "CVSS",
    "nvd",
    "V3Score",
    "Code",
    "Lines",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | st.text(max_size=5) | st.just(2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=400, deadline=None)
@given(st.fixed_dictionaries({"SchemaVersion": st.just(2), "Results": JSON, "Metadata": JSON}))
def test_any_report_is_read_or_refused(value: object) -> None:
    with contextlib.suppress(EngineError):
        read_report(json.dumps(value).encode())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_are_refused(text: bytes) -> None:
    with pytest.raises(EngineError):
        read_report(text)


def test_a_report_nested_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(EngineError):
        read_report(b'{"SchemaVersion":2,"Results":' + b"[" * 200_000)
