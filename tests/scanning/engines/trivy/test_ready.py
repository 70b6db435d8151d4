from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scanning.engines.base import EngineError, ImageInput, RiskCategory
from scanning.engines.trivy.engine import Trivy
from tests.scanning.engines.conftest import (
    AWS_KEY_ID,
    AWS_SECRET,
    BASE,
    MemoryLayerCache,
    analyse,
    on_disk,
)


def test_a_ready_engine_tells_version_hash_and_database(trivy: Trivy) -> None:
    readiness = trivy.ready()
    facts = dict(readiness.facts)
    assert readiness.ready
    assert readiness.database_is_demo
    assert readiness.database_updated_at
    assert facts["Version"] == "0.76.0"
    assert len(facts["SHA-256"]) == 64
    assert "Database built" in facts
    assert readiness.version == trivy.version() == "trivy 0.76.0, database demo-20261101T000000Z"


def test_a_missing_executable_is_told_with_its_remedy(make_trivy: Callable[..., Trivy], tmp_path: Path) -> None:
    readiness = make_trivy(executable=tmp_path / "none", expected_sha256=None).ready()
    assert not readiness.ready
    assert "TALLYMAN_TRIVY" in readiness.reason
    assert readiness.remedy


def test_an_executable_that_may_not_be_executed_is_told(make_trivy: Callable[..., Trivy], tmp_path: Path) -> None:
    (tmp_path / "trivy").write_text("")
    readiness = make_trivy(executable=tmp_path / "trivy", expected_sha256=None).ready()
    assert "is not executable" in readiness.reason
    assert "chmod" in readiness.remedy


def test_an_executable_that_is_no_program_is_told(make_trivy: Callable[..., Trivy], tmp_path: Path) -> None:
    for content in (b"nonsense", b"#!/bin/sh\necho hello\n", b"#!/nonexistent\n"):
        path = tmp_path / "trivy"
        path.write_bytes(content)
        path.chmod(0o755)
        readiness = make_trivy(executable=path, expected_sha256=None).ready()
        assert not readiness.ready
        assert readiness.reason
        assert readiness.remedy


def test_a_pinned_executable_with_one_byte_changed_is_refused(
    make_trivy: Callable[..., Trivy], image: ImageInput, tmp_path: Path, scratch: Path
) -> None:
    path = tmp_path / "trivy"
    path.write_bytes(b'#!/bin/sh\necho \'{"Version": "0.76.0"}\'\n')
    path.chmod(0o755)
    trivy = make_trivy(executable=path)
    readiness = trivy.ready()
    assert not readiness.ready
    assert "SHA-256" in readiness.reason
    with pytest.raises(EngineError, match="SHA-256"):
        analyse(trivy, image, scratch)


def test_a_change_of_the_executable_is_noticed_while_the_worker_runs(
    fake_trivy: Callable[[str], Trivy], tmp_path: Path
) -> None:
    trivy = fake_trivy("exit 0")
    before = dict(trivy.ready().facts)["SHA-256"]
    path = tmp_path / "fake-trivy"
    path.write_text(path.read_text() + "# changed\n")
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 1))
    assert dict(trivy.ready().facts)["SHA-256"] != before


def test_without_a_database_sensitive_data_can_be_looked_for_and_vulnerabilities_not(
    make_trivy: Callable[..., Trivy], image: ImageInput, tmp_path: Path, scratch: Path
) -> None:
    trivy = make_trivy(database=tmp_path / "none")
    readiness = trivy.ready()
    assert not readiness.ready
    assert "no vulnerability database" in readiness.reason
    assert "update_vulnerability_db" in readiness.remedy
    assert trivy.ready({RiskCategory.SENSITIVE}).ready
    assert len(analyse(trivy, image, scratch, {RiskCategory.SENSITIVE}).secrets) == 1
    with pytest.raises(EngineError, match="no vulnerability database"):
        analyse(trivy, image, scratch)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ("{", "damaged"),
        ('{"Version": 1, "UpdatedAt": "2026-01-01T00:00:00Z"}', "schema 1"),
        ('{"Version": 2}', "damaged"),
    ],
)
def test_a_database_of_another_kind_is_told(
    make_trivy: Callable[..., Trivy], demo_database: Path, tmp_path: Path, metadata: str, reason: str
) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "trivy.db").write_bytes((demo_database / "trivy.db").read_bytes())
    (tmp_path / "db" / "metadata.json").write_text(metadata)
    assert reason in make_trivy(database=tmp_path / "db").ready().reason


def test_raw_secrets_are_kept_nowhere(trivy: Trivy, notes: MemoryLayerCache, tmp_path: Path, scratch: Path) -> None:
    text = f"AWS_ACCESS_KEY_ID={AWS_KEY_ID}\nAWS_SECRET_ACCESS_KEY={AWS_SECRET}\n"
    report = analyse(trivy, on_disk(tmp_path / "layers", {**BASE, "app/.env": text}), scratch)
    assert {fact.rule for fact in report.secrets} == {"aws-access-key-id", "aws-secret-access-key"}
    files = [path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()]
    for kept in [*files, repr(notes.kept).encode()]:
        assert AWS_SECRET.encode() not in kept
        assert AWS_KEY_ID.encode() not in kept
    assert notes.kept
    assert AWS_SECRET not in repr(report)
