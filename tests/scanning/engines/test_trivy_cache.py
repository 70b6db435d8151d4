from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scanning.engines import trivy_cache
from scanning.engines.base import EngineError
from scanning.engines.trivy_cache import Shown, take_slot

LAYERS = [f"sha256:{number:064x}" for number in range(4)]


def test_a_slot_is_held_by_one_and_free_again_afterwards(tmp_path: Path) -> None:
    with (
        take_slot(tmp_path, variant="v", diff_ids=[]) as first,
        take_slot(tmp_path, variant="v", diff_ids=[]) as second,
    ):
        assert (first.folder.name, second.folder.name) == ("slot-0", "slot-1")
    with take_slot(tmp_path, variant="v", diff_ids=[]) as third:
        assert third.folder.name == "slot-0"


def test_the_slot_of_a_worker_that_was_killed_is_free(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from scanning.engines.trivy_cache import take_slot\n"
        "with take_slot(Path(sys.argv[1]), variant='v', diff_ids=[]): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with take_slot(tmp_path, variant="v", diff_ids=[]) as other:
            assert other.folder.name == "slot-1"
        holder.kill()
        holder.wait()
    with take_slot(tmp_path, variant="v", diff_ids=[]) as freed:
        assert freed.folder.name == "slot-0"


def test_the_slot_that_knows_most_is_taken_first(tmp_path: Path) -> None:
    with (
        take_slot(tmp_path, variant="v", diff_ids=[]) as first,
        take_slot(tmp_path, variant="v", diff_ids=[]) as second,
    ):
        first.remember(LAYERS[0], {})
        second.remember(LAYERS[0], {})
        second.remember(LAYERS[1], {})
    with take_slot(tmp_path, variant="v", diff_ids=LAYERS) as taken:
        assert taken.folder == second.folder
        assert [taken.knows(diff_id) for diff_id in LAYERS] == [True, True, False, False]
    with take_slot(tmp_path, variant="other settings", diff_ids=LAYERS) as taken:
        assert not any(map(taken.knows, LAYERS))


def test_what_is_noted_of_secrets_comes_back(tmp_path: Path) -> None:
    shown = {"key": Shown("TOKEN=ghp_****r8", "f" * 64)}
    with take_slot(tmp_path, variant="v", diff_ids=[]) as slot:
        slot.remember(LAYERS[0], shown)
        assert slot.secrets(LAYERS[0]) == shown
        slot.forget(LAYERS)
        assert slot.secrets(LAYERS[0]) == {}
        assert not slot.knows(LAYERS[0])


def test_a_cache_that_has_grown_too_large_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trivy_cache, "CACHE_BYTES", 100)
    with take_slot(tmp_path, variant="v", diff_ids=[]) as slot:
        slot.prepare(None)
        slot.remember(LAYERS[0], {})
        (slot.cache / "fanal").mkdir()
        (slot.cache / "fanal" / "fanal.db").write_bytes(bytes(101))
        slot.prepare(None)
        assert not slot.knows(LAYERS[0])
        assert not (slot.cache / "fanal").exists()


def test_the_database_of_a_slot_is_the_one_of_the_session(tmp_path: Path) -> None:
    with take_slot(tmp_path, variant="v", diff_ids=[]) as slot:
        for database in (tmp_path / "one", tmp_path / "two", None):
            slot.prepare(database)
            assert (slot.cache / "db").is_symlink() == (database is not None)
            assert database is None or (slot.cache / "db").readlink() == database


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(EngineError, match="cannot be used"),
        take_slot(tmp_path / "file" / "cache", variant="v", diff_ids=[]),
    ):
        pass


def test_there_is_an_end_to_the_number_of_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trivy_cache, "MAX_SLOTS", 1)
    with (
        take_slot(tmp_path, variant="v", diff_ids=[]),
        pytest.raises(EngineError, match="in use"),
        take_slot(tmp_path, variant="v", diff_ids=[]),
    ):
        pass
