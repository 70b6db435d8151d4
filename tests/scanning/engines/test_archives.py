"""Every kind of archive is opened, or noted with its path; none is passed over without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

import scanning
from scanning.engines.yara import Yara
from tests.scanning.archive_samples import NOTED, ODD, OPENED
from tests.scanning.engines.conftest import never
from tests.scanning.layer import EICAR, layer

RULES = Path(scanning.__file__).parent / "rules"


@pytest.fixture(scope="module")
def yara() -> Yara:
    return Yara(rules=RULES)


@pytest.mark.parametrize("kind", OPENED)
def test_what_the_readers_of_a_format_open_is_opened(yara: Yara, tmp_path: Path, kind: str) -> None:
    name, build, path = OPENED[kind]
    report = yara.scan_layer(layer(tmp_path, {f"srv/{name}": build(EICAR)}), check=never)
    assert path in {found.path.removeprefix("srv/") for found in report.findings}
    assert [ODD[kind] in line and f"srv/{name}" in line for line in report.skipped] == [True] * (kind in ODD)


@pytest.mark.parametrize("kind", NOTED)
def test_what_is_recognised_and_not_opened_is_noted_with_its_path(yara: Yara, tmp_path: Path, kind: str) -> None:
    name, build, words = NOTED[kind]
    report = yara.scan_layer(layer(tmp_path, {f"srv/{name}": build(EICAR)}), check=never)
    (line,) = report.skipped
    assert words in line
    assert f"srv/{name}" in line
