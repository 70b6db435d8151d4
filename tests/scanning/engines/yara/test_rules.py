"""Each of the project's rules fires on its sample and keeps silent on ordinary files and on texts about malware."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yara_x

import scanning
import tests.scanning
from scanning import configured_engines
from scanning.engines.base import EngineError, LayerReport
from scanning.engines.yara.engine import Yara
from scanning.engines.yara.ruleset import EXTERNAL_VARIABLES, project_rules_sha256, read_sources
from tests.scanning.layer import layer
from tests.scanning.malware_samples import SAMPLES

RULES = Path(scanning.__file__).parent / "rules"
ORDINARY = [Path("/usr/bin"), Path("/usr/sbin"), Path("/etc"), Path(os.__file__).parent, Path("/usr/share")]
ORDINARY_BYTES = 150 << 20


def go_on() -> None:
    pass


@pytest.fixture(scope="module")
def yara() -> Yara:
    return Yara(rules=RULES)


def look(yara: Yara, tmp_path: Path, files: dict[str, bytes]) -> LayerReport:
    return yara.scan_layer(layer(tmp_path, files), check=go_on)


def compiler() -> yara_x.Compiler:
    compiler = yara_x.Compiler(includes_enabled=False)
    for variable in EXTERNAL_VARIABLES:
        compiler.define_global(variable, "")
    for file in sorted(RULES.glob("*.yar")):
        compiler.new_namespace(file.name)
        compiler.add_source(file.read_text(), origin=file.name)
    return compiler


def public_rules() -> dict[str, dict[str, object]]:
    """The rules that make findings, each with its metadata; helper rules are private and have none."""
    return {rule.identifier: dict(rule.metadata) for rule in compiler().build() if rule.metadata}


def test_every_rule_has_a_sample_and_every_sample_a_rule() -> None:
    written = re.findall(r"^rule (\w+)", "\n".join(file.read_text() for file in RULES.glob("*.yar")), re.MULTILINE)
    assert sorted(written) == sorted(public_rules()) == sorted(SAMPLES)
    assert len(set(written)) == len(written) >= 40


@pytest.mark.parametrize("rule", sorted(SAMPLES))
def test_a_rule_fires_on_its_samples(yara: Yara, tmp_path: Path, rule: str) -> None:
    for sample in SAMPLES[rule]:
        path, content = sample if isinstance(sample, tuple) else ("sample", sample)
        report = look(yara, tmp_path, {path: content})
        assert rule in [found.rule for found in report.findings], sample


@pytest.mark.parametrize("rule", sorted(SAMPLES))
def test_a_rule_does_not_fire_on_half_of_what_it_looks_for(yara: Yara, tmp_path: Path, rule: str) -> None:
    """Each first sample is cut to its first half: a single telling word is not yet malware."""
    sample = SAMPLES[rule][0]
    path, content = sample if isinstance(sample, tuple) else ("sample", sample)
    report = look(yara, tmp_path, {path: content[: len(content) // 2]})
    assert rule not in [found.rule for found in report.findings]


def test_every_rule_tells_what_a_person_needs() -> None:
    for name, meta in public_rules().items():
        assert meta["severity"] in ("low", "medium", "high", "critical"), name
        assert meta["kind"] in ("virus", "trojan"), name
        assert str(meta["reference"]).startswith("https://"), name
        assert meta["author"] == "Tallyman", name
        assert meta["family"], name
        assert str(meta["description"]).endswith("."), name


def test_no_rule_is_slow_by_the_judgement_of_the_compiler() -> None:
    warnings = compiler().warnings()
    assert [warning["text"] for warning in warnings if warning["code"] != "text_as_hex"] == []


def ordinary_files() -> Iterator[tuple[str, bytes]]:
    left = {root: ORDINARY_BYTES // len(ORDINARY) for root in ORDINARY}
    for root in ORDINARY:
        for folder, _, names in os.walk(root):
            for name in sorted(names):
                path = Path(folder, name)
                try:
                    if path.is_symlink() or not path.is_file() or path.stat().st_size > 20 << 20:
                        continue
                    content = path.read_bytes()
                except OSError:
                    continue
                left[root] -= len(content)
                if left[root] < 0:
                    break
                yield str(path).lstrip("/"), content


def test_no_rule_fires_on_the_programs_libraries_and_texts_of_this_machine(yara: Yara, tmp_path: Path) -> None:
    report = look(yara, tmp_path, dict(ordinary_files()))
    assert [(found.rule, found.path) for found in report.findings] == []
    assert report.files > 500


TEXTS = {
    "rules": RULES,
    "tests": Path(tests.scanning.__file__).parent,
}


@pytest.mark.parametrize("folder", sorted(TEXTS))
def test_no_rule_fires_on_the_rules_themselves_or_their_tests(yara: Yara, tmp_path: Path, folder: str) -> None:
    files = {path.name: path.read_bytes() for path in TEXTS[folder].iterdir() if path.is_file()}
    assert look(yara, tmp_path, files).findings == ()


def test_no_rule_fires_on_a_text_that_explains_what_it_looks_for(yara: Yara, tmp_path: Path) -> None:
    files = {}
    for rule, samples in SAMPLES.items():
        for number, sample in enumerate(samples):
            content = sample[1] if isinstance(sample, tuple) else sample
            words = content.replace(b"\0", b"\n").decode("latin-1").encode()
            files[f"{rule}-{number}.md"] = (
                b"# About " + rule.encode() + b"\n\nLook for this:\n\n```\n" + words + b"\n```\n"
            )
    report = look(yara, tmp_path, files)
    assert [(found.rule, found.path) for found in report.findings] == []


def test_rules_of_the_project_that_somebody_has_changed_are_refused(tmp_path: Path) -> None:
    assert project_rules_sha256(read_sources(RULES, None)) == configured_engines.RULES_SHA256, (
        "write the first into scanning/configured_engines.py"
    )
    folder = tmp_path / "rules"
    shutil.copytree(RULES, folder)
    assert Yara(rules=folder, expected_sha256=configured_engines.RULES_SHA256).ready().ready
    changed = sorted(folder.glob("*.yar"))[0]
    changed.write_bytes(changed.read_bytes() + b" ")
    yara = Yara(rules=folder, expected_sha256=configured_engines.RULES_SHA256)
    readiness = yara.ready()
    assert not readiness.ready
    assert "not those of this version" in readiness.reason
    assert "install Tallyman again" in readiness.remedy
    with pytest.raises(EngineError):
        yara.scan_layer(changed, check=lambda: None)
