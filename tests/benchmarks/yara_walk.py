"""How fast a layer is read: our walk of headers in an mmap with YARA-X, against tarfile with read().

    python -m tests.benchmarks.yara_walk [LAYER]

LAYER is an uncompressed tar; without it one of up to 1 GB is made of this machine's programs and libraries. Both sides
use the same compiled rules. Prints processor time, MB/s and the ratio, for the walk alone and for the scan; archives in
the layer are looked into by ours alone, so the last lines give that separately: without the cage, and in it, where each
layer has a process of its own.
"""

from __future__ import annotations

import io
import mmap
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import yara_x

import scanning
from scanning.engines.formats import detect, tar
from scanning.engines.yara import scan as yara_scan
from scanning.engines.yara.engine import Yara
from tests.benchmarks.console import processor

SOURCES = ["/usr/bin", "/usr/lib/python3", "/usr/share", "/usr/lib/x86_64-linux-gnu"]
SAMPLE_BYTES = 1_000_000_000
SMALL_FILE_BYTES, SMALL_FILE_READS = 1_000_000, 50


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else _make(Path(folder) / "layer.tar")
        size = path.stat().st_size
        path.read_bytes()  # so that both find it in memory
        yara = Yara(rules=Path(scanning.__file__).parent / "rules")
        rules = yara_x.Rules.deserialize_from(io.BytesIO(yara._rules().compiled))
        entries = sum(1 for _ in _walk(path))
        print(f"{size / 1e6:.0f} MB, {entries} entries")
        theirs = _report("headers, tarfile", size, lambda: _tarfile_walk(path))
        ours = _report("headers, ours", size, lambda: sum(1 for _ in _walk(path)))
        print(f"  ratio {theirs / ours:.1f}")
        theirs = _report("scan, tarfile and read()", size, lambda: _tarfile_scan(path, yara_x.Scanner(rules)))
        yara_scan.detect_archives = lambda data: []  # type: ignore[attr-defined]
        ours = _report("scan, ours", size, lambda: _walk_and_scan(path, rules))
        print(f"  ratio {theirs / ours:.1f}")
        yara_scan.detect_archives = detect.detect_archives  # type: ignore[attr-defined]
        bare = _report("scan with archives, ours", size, lambda: _walk_and_scan(path, rules))
        sandbox = _report("the same in the cage", size, lambda: yara.scan_layer(path, check=lambda: None))
        print(f"  more by {(sandbox / bare - 1) * 100:.1f} %")
        small = _make(Path(folder) / "small.tar", SMALL_FILE_BYTES)
        _report("a layer of 1 MB, bare", SMALL_FILE_BYTES, lambda: _walk_and_scan(small, rules), SMALL_FILE_READS)
        _report(
            "a layer of 1 MB, caged",
            SMALL_FILE_BYTES,
            lambda: yara.scan_layer(small, check=lambda: None),
            SMALL_FILE_READS,
        )


def _report(label: str, size: int, work: Callable[[], object], times: int = 1) -> float:
    """Do ``work`` three times, each so many ``times``, and return the shortest processor time of one, in seconds."""
    seconds = min(_time(work, times) for _ in range(3)) / times
    print(f"{label:26} {seconds:7.3f} s {size / 1e6 / seconds:8.0f} MB/s")
    return seconds


def _time(work: Callable[[], object], times: int) -> float:
    start = processor(os.getpid())
    for _ in range(times):
        work()
    return processor(os.getpid()) - start


def _walk_and_scan(path: Path, rules: yara_x.Rules) -> None:
    with path.open("rb") as file:
        yara_scan.YaraLayerScan(yara_scan.make_scanner(rules), yara_scan.MAX_FILE_BYTES).layer(
            mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        )


def _walk(path: Path) -> list[tar.TarEntry]:
    with path.open("rb") as file:
        return list(tar.walk(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)))


def _tarfile_walk(path: Path) -> None:
    with tarfile.open(path, "r:") as archive:
        for _ in archive:
            pass


def _tarfile_scan(path: Path, scanner: yara_x.Scanner) -> None:
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            if member.isreg() and (file := archive.extractfile(member)):
                scanner.scan(file.read())


def _make(path: Path, left: int = SAMPLE_BYTES) -> Path:
    with tarfile.open(path, "w") as archive:
        for source in SOURCES:
            for file in sorted(Path(source).rglob("*")):
                if file.is_file() and not file.is_symlink() and (size := file.stat().st_size) < left:
                    archive.add(file, recursive=False)
                    left -= size
    return path


if __name__ == "__main__":
    main()
