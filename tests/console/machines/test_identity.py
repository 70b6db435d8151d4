"""Which machine this is: a data folder keeps its id, and a copy of it has another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pytest_django import Settings

from console.machines import identity


@pytest.fixture(autouse=True)
def anew() -> None:
    identity._read_or_make.cache_clear()


def of(folder: Path, settings: Settings) -> str:
    settings.DATA_DIR = folder
    identity._read_or_make.cache_clear()  # as another process
    return identity.machine_id()


def test_a_data_folder_keeps_its_id_also_where_it_is_moved(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "here").mkdir()
    found = of(tmp_path / "here", settings)
    assert len(found) == 32
    assert of(tmp_path / "here", settings) == found
    (tmp_path / "here").rename(tmp_path / "there")
    assert of(tmp_path / "there", settings) == found


def test_a_copy_of_a_data_folder_is_another_machine(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "here").mkdir()
    found = of(tmp_path / "here", settings)
    shutil.copytree(tmp_path / "here", tmp_path / "copy")
    copied = of(tmp_path / "copy", settings)
    assert copied != found
    assert of(tmp_path / "copy", settings) == copied
    assert of(tmp_path / "here", settings) == found


def test_a_clone_of_a_virtual_machine_is_another_machine(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "machine-id").write_text("one")
    monkeypatch.setattr(identity, "MACHINE_ID_FILE", tmp_path / "machine-id")
    found = of(tmp_path, settings)
    (tmp_path / "machine-id").write_text("two")
    assert of(tmp_path, settings) != found


def test_a_damaged_file_is_made_anew(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "machine.json").write_text('{"id": ')
    found = of(tmp_path, settings)
    assert of(tmp_path, settings) == found
