"""The layer store: pulled once, verified, bounded, and empty again after every end of a scan."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import multiprocessing
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from scanning.layers import (
    CorruptLayer,
    DiffIdMismatch,
    LayerError,
    LayerLease,
    LayerStore,
    LayerTooLarge,
    StoredLayerFile,
    StoreFull,
    UnsupportedCompression,
    layer_store,
)

CONTENT = b"layer content " * 5000
PROCESSES = multiprocessing.get_context("fork")


class Stopped(Exception):
    """What a check raises."""


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Blob:
    """A blob of a registry that counts how often it is pulled."""

    def __init__(self, content: bytes, *, fail_after: int | None = None) -> None:
        self.content, self.fail_after, self.pulls = content, fail_after, 0

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        self.pulls += 1
        yield _Failing(self.content, self.fail_after)


class _Failing(io.BytesIO):
    def __init__(self, content: bytes, fail_after: int | None) -> None:
        super().__init__(content)
        self.fail_after = fail_after

    def read(self, size: int | None = -1, /) -> bytes:
        if self.fail_after is not None and self.tell() >= self.fail_after:
            raise ConnectionError("the registry went away")
        return super().read(size if self.fail_after is None else min(size or 1, self.fail_after))


def go_on() -> None:
    pass


def get(
    lease: LayerLease,
    blob: Blob,
    diff_id: str | None = None,
    *,
    size: int | None = None,
    check: Callable[[], None] = go_on,
    progress: Callable[[int], None] = lambda count: None,
    opened: Callable[[], AbstractContextManager[BinaryIO]] | None = None,
) -> StoredLayerFile:
    return lease.get(
        digest=digest(blob.content),
        size=len(blob.content) if size is None else size,
        diff_id=digest(CONTENT) if diff_id is None else diff_id,
        open_blob=opened or blob.open,
        check=check,
        progress=progress,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LayerStore]:
    store = LayerStore(tmp_path / "store", max_bytes=1 << 30, min_free_ratio=0.0, wait_seconds=0.3)
    yield store
    assert left(store) == []


def left(store: LayerStore) -> list[str]:
    """All that lies in the store, but for its own two locks."""
    files = (str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())
    return sorted(file for file in files if file not in ("lock", "space.lock"))


def test_a_layer_is_unpacked_verified_and_gone_after_the_scan(store: LayerStore) -> None:
    blob, seen = Blob(gzip.compress(CONTENT)), list[int]()
    with store.lease("scan-1-1") as lease:
        file = get(lease, blob, progress=seen.append)
        assert (file.path.read_bytes(), file.size, file.diff_id) == (CONTENT, len(CONTENT), digest(CONTENT))
        assert seen[-1] == len(blob.content)
    assert not file.path.exists()


def test_a_layer_is_pulled_once_for_all_scans_that_hold_it(store: LayerStore) -> None:
    blob = Blob(gzip.compress(CONTENT))
    with store.lease("scan-1-1") as first:
        with store.lease("scan-2-1") as second:
            assert get(first, blob) == get(second, blob) == get(second, blob)
        file = get(first, blob)
        assert file.path.read_bytes() == CONTENT  # the end of the second scan took nothing from the first
    assert blob.pulls == 1


def test_the_same_content_in_another_packing_is_pulled_too_for_its_diff_id_is_only_claimed(store: LayerStore) -> None:
    packed, plain = Blob(gzip.compress(CONTENT)), Blob(CONTENT)
    with store.lease("scan-1-1") as lease:
        get(lease, packed)
        get(lease, plain)
    assert (packed.pulls, plain.pulls) == (1, 1)


def test_a_layer_in_the_store_never_stands_for_another_that_claims_its_diff_id(store: LayerStore) -> None:
    with store.lease("scan-1-1") as lease:
        get(lease, Blob(gzip.compress(CONTENT)))
        other = Blob(gzip.compress(b"other" * 1000))
        with pytest.raises(DiffIdMismatch):
            get(lease, other, digest(CONTENT))
        assert get(lease, other, "").diff_id == digest(b"other" * 1000)
        with pytest.raises(DiffIdMismatch):  # in the store by now
            get(lease, other, digest(CONTENT))


def test_a_layer_whose_diff_id_nobody_knows_tells_it(store: LayerStore) -> None:
    blob = Blob(gzip.compress(CONTENT))
    with store.lease("scan-1-1") as lease:
        assert get(lease, blob, "").diff_id == digest(CONTENT)
        assert get(lease, blob, "").diff_id == digest(CONTENT)
    assert blob.pulls == 1


def test_a_layer_that_is_not_what_the_config_says_is_refused(store: LayerStore) -> None:
    with store.lease("scan-1-1") as lease, pytest.raises(DiffIdMismatch, match="Digest mismatch") as caught:
        get(lease, Blob(gzip.compress(CONTENT + b"!")))
    assert not caught.value.retry
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("blob", "error"),
    [
        (Blob(gzip.compress(CONTENT)[:-9]), CorruptLayer),
        (Blob(b"\xfd7zXZ\x00rest"), UnsupportedCompression),
        (Blob(gzip.compress(CONTENT), fail_after=20), ConnectionError),
    ],
)
def test_a_failed_pull_leaves_nothing_and_the_next_one_succeeds(
    store: LayerStore, blob: Blob, error: type[Exception]
) -> None:
    with store.lease("scan-1-1") as lease:
        with pytest.raises(error):
            get(lease, blob)
        assert [name for name in left(store) if not name.endswith("lock") and name.startswith("layers")] == []
        assert get(lease, Blob(gzip.compress(CONTENT))).path.read_bytes() == CONTENT


def test_a_scan_that_ends_by_an_exception_leaves_nothing(store: LayerStore) -> None:
    def scan() -> None:
        with store.lease("scan-1-1") as lease:
            get(lease, Blob(gzip.compress(CONTENT)))
            raise Stopped

    with pytest.raises(Stopped):
        scan()


def test_a_cancel_in_the_middle_of_a_pull_stops_it(store: LayerStore) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Stopped

    with store.lease("scan-1-1") as lease, pytest.raises(Stopped):
        get(lease, Blob(gzip.compress(os.urandom(8 << 20))), "", check=check)


def test_a_blob_longer_than_the_manifest_says_is_refused(store: LayerStore) -> None:
    with store.lease("scan-1-1") as lease, pytest.raises(CorruptLayer, match="longer"):
        get(lease, Blob(gzip.compress(CONTENT)), size=10)


def test_a_bomb_is_stopped_by_its_ratio_long_before_it_fills_the_disk(store: LayerStore) -> None:
    bomb = Blob(gzip.compress(bytes(20 << 20)) * 15)
    assert len(bomb.content) < 1 << 20
    with store.lease("scan-1-1") as lease, pytest.raises(LayerTooLarge, match="200 times"):
        get(lease, bomb, "")


def test_a_layer_over_the_bound_for_one_is_stopped(tmp_path: Path) -> None:
    store = LayerStore(tmp_path, max_bytes=1 << 30, min_free_ratio=0, max_layer_bytes=10_000)
    with store.lease("scan-1-1") as lease, pytest.raises(LayerTooLarge, match="larger than"):
        get(lease, Blob(gzip.compress(CONTENT)))
    assert left(store) == []


def test_an_image_that_can_never_fit_fails_at_once_without_a_pull(tmp_path: Path) -> None:
    store = LayerStore(tmp_path, max_bytes=1000, min_free_ratio=0, wait_seconds=60)
    blob = Blob(os.urandom(2000))
    with store.lease("scan-1-1") as lease, pytest.raises(StoreFull, match="this image need more") as caught:
        get(lease, blob, "")
    assert (caught.value.retry, blob.pulls, left(store)) == (False, 0, [])


def test_a_store_filled_by_other_scans_is_waited_for(tmp_path: Path) -> None:
    store = LayerStore(tmp_path, max_bytes=150_000, min_free_ratio=0, wait_seconds=0.3)
    first, second = Blob(os.urandom(100_000)), Blob(os.urandom(100_000))
    with store.lease("scan-1-1") as held:
        get(held, first, "")
        with store.lease("scan-2-1") as lease, pytest.raises(StoreFull, match="other scans use") as caught:
            get(lease, second, "")
        assert caught.value.retry
    store = LayerStore(tmp_path, max_bytes=150_000, min_free_ratio=0, wait_seconds=30)
    waiting = threading.Event()
    done: list[StoredLayerFile] = []

    def late() -> None:
        with store.lease("scan-2-2") as lease:
            done.append(get(lease, second, "", check=waiting.set))

    with store.lease("scan-1-2") as held:
        get(held, first, "")
        thread = threading.Thread(target=late)
        thread.start()
        assert waiting.wait(10)
        assert not done
    thread.join(30)
    assert done[0].size == 100_000
    assert left(store) == []


def test_scans_that_each_hold_room_and_need_more_come_to_their_end_one_after_the_other(tmp_path: Path) -> None:
    store = LayerStore(tmp_path, max_bytes=300_000, min_free_ratio=0, wait_seconds=600)
    blobs = [(Blob(os.urandom(29_000)), Blob(os.urandom(100_000))) for _scan in range(10)]
    meet = threading.Barrier(10)
    done: list[int] = []
    refusals: list[StoreFull] = []

    def scan(number: int) -> None:
        first = True
        while True:
            try:
                with store.lease(f"scan-{number}-1") as lease:
                    get(lease, blobs[number][0], "")
                    if first:
                        meet.wait(30)
                        first = False
                    get(lease, blobs[number][1], "")
                    done.append(number)
                    return
            except StoreFull as error:
                refusals.append(error)
                first = False
                time.sleep(0.05)

    threads = [threading.Thread(target=scan, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == list(range(10))
    assert refusals, "somebody had to give way"
    assert all(refusal.waits for refusal in refusals)
    assert left(store) == []


def test_the_oldest_scan_that_waits_for_room_is_not_overtaken(tmp_path: Path) -> None:
    store = LayerStore(tmp_path, max_bytes=100_000, min_free_ratio=0, wait_seconds=600)
    blob, small, large = Blob(os.urandom(50_000)), Blob(os.urandom(10_000)), Blob(os.urandom(80_000))
    waiting, got = threading.Event(), threading.Event()

    def oldest() -> None:
        with store.lease("scan-1-1") as lease:
            get(lease, small, "")
            get(lease, large, "", check=waiting.set)
            got.set()

    thread = threading.Thread(target=oldest)
    with store.lease("scan-0-1") as running:
        get(running, blob, "")
        thread.start()
        assert waiting.wait(10)
        with store.lease("scan-2-1") as younger:
            asked: list[int] = []

            def give_up() -> None:
                asked.append(1)
                if len(asked) > 2:
                    raise Stopped

            with pytest.raises(Stopped):  # there is room for 10,000 bytes, but it is the older one's
                get(younger, Blob(os.urandom(10_000)), "", check=give_up)
            assert not younger.waits_for_room
    assert got.wait(30)
    thread.join(30)
    assert left(store) == []


def test_nobody_gives_way_to_a_scan_that_was_killed_while_it_waited_for_room(store: LayerStore) -> None:
    with store.lease("scan-2-1") as lease:
        get(lease, Blob(gzip.compress(CONTENT)))
        dead = store.leases / "scan-1-1-dead"
        dead.mkdir()
        (dead / "lock").write_text("1")  # older, and nobody holds it
        (dead / "waiting").touch()
        get(lease, Blob(CONTENT))
    assert store.sweep() == 1


def test_a_registry_that_promises_much_and_sends_nothing_holds_no_room_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_store, "MAX_CLAIMED_ROOM_BYTES", 10_000)
    monkeypatch.setattr(layer_store, "ROOM_STEP_BYTES", 10_000)
    store = LayerStore(tmp_path, max_bytes=1_000_000, min_free_ratio=0, wait_seconds=0.3)
    asked, end = threading.Event(), threading.Event()

    @contextmanager
    def silent() -> Iterator[BinaryIO]:
        asked.set()
        end.wait(60)
        raise Stopped
        yield

    def promise() -> None:
        with store.lease("scan-1-1") as lease, pytest.raises(Stopped):
            get(lease, Blob(b"never sent"), "", size=999_000, opened=silent)

    thread = threading.Thread(target=promise)
    thread.start()
    try:
        assert asked.wait(10)
        with store.lease("scan-2-1") as lease:
            assert get(lease, Blob(os.urandom(900_000)), "").size == 900_000  # else StoreFull, after a moment
    finally:
        end.set()
        thread.join(30)
    assert left(store) == []


def test_a_lease_says_while_it_waits_for_room_longer_than_a_moment(tmp_path: Path) -> None:
    store = LayerStore(tmp_path, max_bytes=100_000, min_free_ratio=0, wait_seconds=600)
    said: list[bool] = []
    with store.lease("scan-1-1") as other, store.lease("scan-2-1") as lease:
        held = get(other, Blob(os.urandom(90_000)), "")

        def look() -> None:
            said.append(lease.waits_for_room)
            if said.count(True) == 2:
                other.release_file(held)

        get(lease, Blob(os.urandom(50_000)), "", check=look)
        assert not said[0]
        assert said.count(True) >= 2
        assert not lease.waits_for_room


def test_a_disk_that_must_stay_free_is_left_alone(tmp_path: Path) -> None:
    store = LayerStore(tmp_path, max_bytes=1 << 30, min_free_ratio=1.0, wait_seconds=60)
    blob = Blob(gzip.compress(CONTENT))
    with store.lease("scan-1-1") as lease, pytest.raises(StoreFull, match="not enough space") as caught:
        get(lease, blob)
    assert not caught.value.retry  # no other scan could give anything back
    assert (blob.pulls, left(store)) == (0, [])


def test_a_disk_that_fills_up_meanwhile_is_named_as_such(store: LayerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "ftruncate", full)
    with store.lease("scan-1-1") as lease, pytest.raises(StoreFull, match="no space left"):
        get(lease, Blob(gzip.compress(CONTENT)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 MB; room is taken in steps of 64."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full_fails_the_layer_and_is_empty_for_the_next_one(small_disk: Path) -> None:
    full = LayerStore(small_disk / "store", max_bytes=1 << 30, min_free_ratio=0.0, wait_seconds=0.3)
    content = bytes(160 << 20)
    blob = Blob(gzip.compress(content, 1))
    with full.lease("scan-1-1") as lease, pytest.raises(StoreFull, match="not enough space"):
        get(lease, blob, digest(content))
    assert left(full) == []
    assert shutil.disk_usage(small_disk).used < 1 << 20
    with full.lease("scan-2-1") as lease:
        assert get(lease, Blob(gzip.compress(CONTENT))).size == len(CONTENT)


@pytest.mark.parametrize(
    "bad", ["sha256:../../../etc/passwd", "sha256:" + "A" * 64, "md5:" + "a" * 32, "x", "sha256:" + "a" * 64 + "\n"]
)
def test_a_digest_that_is_none_never_becomes_a_file_name(store: LayerStore, bad: str) -> None:
    with store.lease("scan-1-1") as lease, pytest.raises(LayerError, match="the layer store does not support"):
        get(lease, Blob(CONTENT), bad)


@pytest.mark.parametrize("owner", ["", "../x", "a/b", ".hidden", "x" * 200])
def test_an_owner_that_is_no_name_is_refused(store: LayerStore, owner: str) -> None:
    with pytest.raises(ValueError), store.lease(owner):
        pass


def _pull_in_process(root: Path, content: bytes, journal: Path, start: float) -> None:
    store = LayerStore(root, max_bytes=1 << 30, min_free_ratio=0)

    @contextmanager
    def slowly() -> Iterator[BinaryIO]:
        with journal.open("a") as file:
            file.write("pull\n")
        time.sleep(0.3)
        yield io.BytesIO(content)

    time.sleep(max(0.0, start - time.time()))
    with store.lease(f"scan-{os.getpid()}-1") as lease:
        file = get(lease, Blob(content), opened=slowly)
        if file.path.read_bytes() != CONTENT:
            os._exit(1)
        time.sleep(0.2)


def test_processes_that_ask_at_once_pull_once(store: LayerStore, tmp_path: Path) -> None:
    journal, content = tmp_path / "journal", gzip.compress(CONTENT)
    start = time.time() + 0.3
    processes = [
        PROCESSES.Process(target=_pull_in_process, args=(store.root, content, journal, start)) for _ in range(5)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 5
    assert journal.read_text() == "pull\n"


def _come_and_go(root: Path, seed: int) -> None:
    store = LayerStore(root, max_bytes=1 << 30, min_free_ratio=0)
    for turn in range(12):
        contents = [bytes([(seed + turn + index) % 4]) * 1000 for index in range(3)]
        with store.lease(f"scan-{seed}-{turn}") as lease:
            for content in contents:
                if get(lease, Blob(content), digest(content)).path.read_bytes() != content:
                    os._exit(1)


def test_scans_that_come_and_go_at_the_same_time_neither_lose_nor_leave_a_layer(store: LayerStore) -> None:
    processes = [PROCESSES.Process(target=_come_and_go, args=(store.root, seed)) for seed in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
    assert [process.exitcode for process in processes] == [0] * 4


def _hang_in_the_middle(root: Path, content: bytes, reached: Path) -> None:
    store = LayerStore(root, max_bytes=1 << 30, min_free_ratio=0)

    def check() -> None:
        if reached.exists():
            signal.pause()

    with store.lease("scan-9-1") as lease:
        get(lease, Blob(gzip.compress(CONTENT)))
        get(lease, Blob(content), "", progress=lambda count: reached.touch(), check=check)


def test_what_a_killed_worker_left_is_swept_and_what_lives_is_not(store: LayerStore, tmp_path: Path) -> None:
    reached = tmp_path / "reached"
    process = PROCESSES.Process(target=_hang_in_the_middle, args=(store.root, os.urandom(5 << 20), reached))
    process.start()
    deadline = time.monotonic() + 30
    while not reached.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with store.lease("scan-1-1") as lease:
        blob = Blob(gzip.compress(CONTENT))
        file = get(lease, blob)
        assert store.sweep() == 0  # both live
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join(10)
        assert store.sweep() == 1
        assert [folder.name for folder in store.layers.iterdir()] == [digest(blob.content).replace(":", "-")]
        assert file.path.read_bytes() == CONTENT
    assert left(store) == []


def test_a_new_lease_sweeps_by_itself(store: LayerStore, tmp_path: Path) -> None:
    reached = tmp_path / "reached"
    process = PROCESSES.Process(target=_hang_in_the_middle, args=(store.root, os.urandom(5 << 20), reached))
    process.start()
    while not reached.exists():
        time.sleep(0.02)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(10)
    with store.lease("scan-2-1"):
        assert [folder.name[:8] for folder in store.leases.iterdir()] == ["scan-2-1"]
        assert list(store.layers.iterdir()) == []


def test_who_waits_for_another_pull_can_be_cancelled(store: LayerStore) -> None:
    pulling, end = threading.Event(), threading.Event()

    @contextmanager
    def slowly() -> Iterator[BinaryIO]:
        pulling.set()
        end.wait(30)
        yield io.BytesIO(CONTENT)

    def first() -> None:
        with store.lease("scan-1-1") as lease:
            get(lease, Blob(CONTENT), opened=slowly)

    def stop() -> None:
        raise Stopped

    thread = threading.Thread(target=first)
    thread.start()
    assert pulling.wait(10)
    with store.lease("scan-2-1") as lease, pytest.raises(Stopped):
        get(lease, Blob(CONTENT), check=stop)
    end.set()
    thread.join(30)
