"""One scan of one layer by YARA-X. Runs in the sandbox (child.py): what it reads may have been made to take it over.

A layer is read in place: its headers are walked in an mmap and each file's bytes are given to YARA-X, nothing is
unpacked to disk. Files over 64 MiB are given in overlapping pieces, each behind the file's first 4 KiB so that rules
see what kind of file it is; memory stays flat whatever the size of the layer.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yara_x

from scanning.engines.formats import tar
from scanning.engines.formats.archives import UnpackLimits, members
from scanning.engines.formats.detect import DetectedArchive, detect_archives
from scanning.engines.skipped_content import Notes, printable_path
from scanning.engines.yara import messages

PIECE_BYTES = 64 << 20
OVERLAP_BYTES = 1 << 20
HEAD_BYTES = 4096
MAX_FILE_BYTES = 4 << 30
MAX_LAYER_FINDINGS = 5000  # in a layer
PIECE_TIMEOUT_SECONDS = 20  # seconds for one piece
RELEASE_STEP_BYTES = 64 << 20  # pages of the mmap are given back in steps of this


@dataclass(frozen=True)
class Hit:
    """One file that one rule knows."""

    namespace: str
    rule: str
    path: str
    size: int
    sha256: str


def make_scanner(rules: Any) -> Any:
    """Return what looks at files with compiled ``rules``, one after the other."""
    scanner = yara_x.Scanner(rules)
    scanner.set_timeout(PIECE_TIMEOUT_SECONDS)
    scanner.max_matches_per_pattern(1000)
    scanner.fast_scan(True)
    return scanner


class YaraLayerScan:
    """One look at one layer by ``scanner``, at files of up to ``max_file_bytes`` each."""

    def __init__(self, scanner: Any, max_file_bytes: int) -> None:
        self.hits: list[Hit] = []
        self.files = self.bytes = 0
        self.notes = Notes()
        self._max_file_bytes = max_file_bytes
        self._bounds = UnpackLimits()
        self._data: mmap.mmap | None = None
        self._touched = 0
        self._scanner = scanner

    def layer(self, data: mmap.mmap) -> None:
        """Look at all files of the layer."""
        self._data = data
        view = memoryview(data)
        try:
            for entry in tar.walk(data):
                if entry.is_file and entry.size:
                    if entry.size > self._max_file_bytes:
                        self.notes.add(messages.TOO_LARGE(value=f"{self._max_file_bytes / (1 << 30):.1f}"), entry.path)
                    elif entry.segments is None:
                        self._file(entry.path, view[entry.offset : entry.offset + entry.size])
                    elif entry.size <= PIECE_BYTES:
                        self._file(entry.path, tar.read(data, entry))
                    else:  # of mostly nothing: what is there, without the holes
                        self.notes.add(messages.SPARSE_READ_IN_PARTS(value=PIECE_BYTES >> 20), entry.path)
                        for segment in entry.segments:
                            self._file(entry.path, view[segment.offset : segment.offset + segment.size])
                self._release(tar.BLOCK_BYTES)
        except tar.TarError as error:
            self.notes.add(messages.LAYER_DAMAGED(), str(error))

    def _file(self, path: str, content: tar.Data, depth: int = 0) -> None:
        """Look at one file, and at the files in it if it is an archive."""
        self.files += 1
        self.bytes += len(content)
        hits: dict[tuple[str, str], None] = {}  # in the order of the rules
        self._name(path)
        piece = b""
        for piece in _pieces(content):
            try:
                for rule in self._scanner.scan(piece).matching_rules:
                    hits[rule.namespace, rule.identifier] = None
            except yara_x.TimeoutError:
                self.notes.add(messages.GIVEN_UP(timeout=PIECE_TIMEOUT_SECONDS), path)
            except yara_x.ScanError as error:
                self.notes.add(messages.FAILED_AT_FILE(error=error), path)
            self._release(len(piece))
        if hits:
            self._found(path, content, list(hits))
        if found := detect_archives(
            piece if len(content) <= PIECE_BYTES else content
        ):  # a copy of it that is there already
            self._archive(path, content, found, depth)

    def _release(self, count: int) -> None:
        """Give back the pages of the mmap after every so many bytes read, so that they do not count as our memory."""
        self._touched += count
        if self._touched > RELEASE_STEP_BYTES and self._data is not None:
            self._data.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

    def _archive(self, path: str, content: tar.Data, found: list[DetectedArchive], depth: int) -> None:
        if depth >= self._bounds.depth:
            if all(each.format == "zlib" for each in found):  # which two bytes tell, and nothing unpacks by itself
                return
            self.notes.add(messages.NESTED_TOO_DEEP(depth=depth), path)
            return
        for inner, member in members(content, path, self._bounds, self.notes, found):
            if member:
                self._file(inner, member, depth + 1)

    def _found(self, path: str, content: tar.Data, rules: list[tuple[str, str]]) -> None:
        digest = hashlib.sha256()
        for start in range(0, len(content), PIECE_BYTES):
            digest.update(content[start : start + PIECE_BYTES])
            self._release(PIECE_BYTES)
        for namespace, rule in rules:
            if len(self.hits) >= MAX_LAYER_FINDINGS:
                self.notes.add(messages.TOO_MANY_FINDINGS(max_findings=MAX_LAYER_FINDINGS), path)
                return
            self.hits.append(Hit(namespace, rule, printable_path(path), len(content), digest.hexdigest()))

    def _name(self, path: str) -> None:
        name = path.rpartition("/")[2]
        values = {"filename": name, "filepath": f"/{path}", "extension": os.path.splitext(name)[1]}  # noqa: PTH122
        for variable, value in values.items():
            self._scanner.set_global(variable, printable_path(value))


def _pieces(content: tar.Data) -> Iterator[bytes]:
    if len(content) <= PIECE_BYTES:
        yield bytes(content)
        return
    head = bytes(content[:HEAD_BYTES])
    yield bytes(content[:PIECE_BYTES])
    for start in range(PIECE_BYTES - OVERLAP_BYTES, len(content) - OVERLAP_BYTES, PIECE_BYTES - OVERLAP_BYTES):
        yield b"".join((head, content[start : start + PIECE_BYTES]))
