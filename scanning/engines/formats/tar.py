"""Reads the headers of an uncompressed tar in memory (an mmap of a layer) and says where each file's bytes lie.

Nothing is ever extracted. Where readers differ, this one follows Go's ``archive/tar``, with which container runtimes
unpack layers: what counts is what would be on the disk of a container. Formats: v7, ustar, star, pax, GNU (long names,
base-256 numbers, sparse files of all four kinds).
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from scanning.engines.formats.tar_fields import (
    BLOCK_BYTES,
    Data,
    TarError,
    decimal,
    is_header,
    number,
    padded,
    pax_records,
    span,
    verify_checksum,
)
from scanning.engines.formats.tar_sparse import Segment, check_segments, old_sparse, pax_sparse

__all__ = ["BLOCK_BYTES", "Data", "EntryType", "Segment", "TarEntry", "TarError", "read", "rooted", "walk", "walk_all"]

MAX_EXTENDED_HEADER_BYTES = 1 << 20  # of a pax header or a long name, as in Go; a path needs 4 KiB
MAX_EXTENDED_HEADERS = 100  # of them before one file; writers make three. Without a file nobody gets to stop the reader
SEARCH_WINDOW_BYTES = 128 * BLOCK_BYTES  # that is searched at once for a header
ZERO_BLOCK = bytes(BLOCK_BYTES)

USTAR_MAGIC, GNU_MAGIC, STAR_TRAILER = b"ustar\x00", b"ustar  \x00", b"tar\x00"


class EntryType(enum.Enum):
    """What an entry is."""

    FILE = "file"
    HARD_LINK = "hard link"
    SYMLINK = "symbolic link"
    DIRECTORY = "directory"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    FIFO = "named pipe"


_TYPES = {
    b"1": EntryType.HARD_LINK,
    b"2": EntryType.SYMLINK,
    b"3": EntryType.CHARACTER_DEVICE,
    b"4": EntryType.BLOCK_DEVICE,
    b"5": EntryType.DIRECTORY,
    b"6": EntryType.FIFO,
}


@dataclass(frozen=True, slots=True)
class TarEntry:
    """One entry. ``name`` and ``linkname`` are the archive's bytes as they are, whatever they hold."""

    name: bytes
    type: EntryType
    size: int  # bytes of the file when unpacked; 0 for what is no file
    offset: int  # where its bytes begin in the archive
    mode: int
    linkname: bytes
    segments: tuple[Segment, ...] | None = None  # of a sparse file; None: the bytes lie in one piece

    @property
    def is_file(self) -> bool:
        """Whether this is a regular file with bytes of its own."""
        return self.type is EntryType.FILE

    @property
    def path(self) -> str:
        """The path within the image: below its root whatever ``name`` says, lossless by ``surrogateescape``."""
        return rooted(self.name).decode("utf-8", "surrogateescape")


def rooted(name: bytes) -> bytes:
    """Return ``name`` without leading slash, empty, ``.`` and ``..`` parts, as if it started at ``/``."""
    if not (name.startswith((b"/", b".")) or b"//" in name or b"/." in name or name.endswith(b"/")):
        return name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


class _CutOff(TarError):
    """A file of which only the first bytes are there; ``entry`` is what there is of it."""

    def __init__(self, offset: int, what: str, entry: TarEntry) -> None:
        super().__init__(offset, what)
        self.entry = entry


def walk_all(data: Data) -> Iterator[TarEntry]:
    """Yield the entries of an archive as the most lenient readers see them, for archives that are no layers.

    Goes on behind the end and behind damage as GNU tar does (``--ignore-zeros``; "Skipping to next header"), yields
    what is there of a file that is cut off, and what a folder of the oldest format holds. At last raises the first
    TarError.
    """
    offset, first = 0, None
    while offset >= 0:
        try:
            offset = yield from _walk(data, offset, lenient=True)
        except TarError as error:
            first = first or error
            if isinstance(error, _CutOff):
                yield error.entry
                break
            offset = error.offset + BLOCK_BYTES
        offset = _next_header(data, offset)
    if first is not None:
        raise first


def _next_header(data: Data, offset: int) -> int:
    """Return where the next header from ``offset`` lies, -1 where there is none."""
    while offset < len(data):
        window = bytes(data[offset : offset + SEARCH_WINDOW_BYTES])
        if window.strip(b"\x00"):
            for at in range(0, len(window), BLOCK_BYTES):
                if is_header(window[at : at + BLOCK_BYTES]):
                    return offset + at
        offset += len(window)
    return -1


def walk(data: Data) -> Iterator[TarEntry]:
    """Yield the entries of the archive in order; memory does not grow with their number.

    Ends at two zero blocks or at the end of ``data``. Raises TarError where the archive cannot be read on. Whatever
    the archive holds, little is read between two entries.
    """
    yield from _walk(data, 0)


def _walk(data: Data, offset: int, *, lenient: bool = False) -> Generator[TarEntry, None, int]:
    """Yield the entries from ``offset`` on, and return where they end."""
    end = len(data)
    pax: dict[bytes, bytes] = {}
    long_name = long_link = b""
    special = 0  # extended headers since the last entry
    while offset < end:
        start = offset
        block = bytes(data[offset : offset + BLOCK_BYTES])
        offset += BLOCK_BYTES
        if block == ZERO_BLOCK:
            if bytes(data[offset : offset + BLOCK_BYTES]) in (ZERO_BLOCK, b""):
                return offset
            continue
        if len(block) < BLOCK_BYTES:
            raise TarError(start, "a header that is cut off")
        verify_checksum(block, start)
        kind = block[156:157]
        stored = number(block[124:136], start)
        if kind in b"xgLK":
            special += 1
            if special > MAX_EXTENDED_HEADERS:
                raise TarError(start, f"more than {MAX_EXTENDED_HEADERS} extended headers before one file")
            if stored > MAX_EXTENDED_HEADER_BYTES:
                raise TarError(start, f"an extended header of {stored} bytes")
            body = span(data, offset, stored, end, start)
            offset += padded(stored)
            if kind == b"L":
                long_name = body.split(b"\x00", 1)[0]
            elif kind == b"K":
                long_link = body.split(b"\x00", 1)[0]
            elif (
                kind == b"g"
            ):  # of the whole archive: Go does not apply it to entries, and forgets a pax header before it
                pax, long_name, long_link = {}, b"", b""
            else:
                pax = pax_records(body, start)
            continue
        entry, offset = _entry(data, block, offset, stored, pax, long_name, long_link, end, lenient=lenient)
        yield entry
        pax, long_name, long_link, special = {}, b"", b"", 0
    if pax or long_name or long_link:
        raise TarError(end, "an extended header without its file")
    return end


def read(data: Data, entry: TarEntry) -> bytes:
    """Return the bytes of a file. The caller bounds ``entry.size`` first: a sparse file can say it is of any size."""
    if entry.segments is None:
        return bytes(data[entry.offset : entry.offset + entry.size])
    content = bytearray(entry.size)
    for segment in entry.segments:
        content[segment.position : segment.position + segment.size] = data[
            segment.offset : segment.offset + segment.size
        ]
    return bytes(content)


def _entry(
    data: Data,
    block: bytes,
    offset: int,
    stored: int,
    pax: dict[bytes, bytes],
    long_name: bytes,
    long_link: bytes,
    end: int,
    *,
    lenient: bool,
) -> tuple[TarEntry, int]:
    """Return the entry of header ``block`` whose body begins at ``offset``, and the offset of the next header."""
    start = offset - BLOCK_BYTES
    kind = block[156:157]
    name = long_name or pax.get(b"path") or _name(block)
    linkname = long_link or pax.get(b"linkpath") or block[157:257].split(b"\x00", 1)[0]
    try:
        mode = number(block[100:108], start)
    except TarError:  # it decides nothing here, and must not hide the file
        mode = 0
    if size_record := pax.get(b"size"):
        stored = decimal(size_record, start)
    type_ = _TYPES.get(kind, EntryType.FILE)
    if type_ is not EntryType.FILE:
        return TarEntry(name, type_, 0, offset, mode, linkname), offset
    segments = None
    size = stored
    first = offset
    if kind == b"S":
        segments, size, first = old_sparse(data, block, offset, end)
    elif any(key.startswith(b"GNU.sparse.") for key in pax):
        segments, size, first, name = pax_sparse(data, pax, offset, stored, name, start, end)
    body = first if kind == b"S" else offset  # where its stored bytes begin, with the map of format 1.0 among them
    following = body + padded(stored)
    if body + stored > end:
        part = TarEntry(name, type_, max(end - first, 0) if segments is None else 0, first, mode, linkname)
        raise _CutOff(start, f"a file of {stored} bytes that is cut off", part)
    if kind == b"\x00" and name.endswith(b"/") and not (lenient and stored):  # how v7 archives write a folder
        return TarEntry(name, EntryType.DIRECTORY, 0, offset, mode, linkname), following
    if segments is not None:
        check_segments(segments, size, body + stored, start)
    return TarEntry(name, type_, size, first, mode, linkname, segments), following


def _name(block: bytes) -> bytes:
    name = block[:100].split(b"\x00", 1)[0]
    if block[257:263] != USTAR_MAGIC:
        return name
    prefix = block[345 : 476 if block[508:512] == STAR_TRAILER else 500].split(b"\x00", 1)[0]
    return prefix + b"/" + name if prefix else name
