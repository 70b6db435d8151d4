"""Finds the files in a zip archive in every way that its readers do; unpacks nothing.

Java, Python, Go and unzip read the directory at the end, whose offsets count from the start of the archive, which need
not be that of the file. Readers of streams (busybox, ``java.util.zip.ZipInputStream``, bsdtar) know nothing of it and
go by the header before each file. What the two say can differ, and either can be made to hide a file from the other.
Sections are those of PKWARE's APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from scanning.engines.formats.tar_fields import Data

LOCAL_MAGIC, CENTRAL_MAGIC, END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
NEXT_HEADER_PATTERN = re.compile(rb"PK(?:\x07\x08|\x03\x04|\x01\x02)")  # what may stand behind a file
END64_MAGIC, LOCATOR64_MAGIC = b"PK\x06\x06", b"PK\x06\x07"
SPANNED_MAGICS = (
    b"PK\x07\x08",
    b"PK00",
)  # stands before the first header of an archive in pieces, also where it is but one
TAIL_BYTES = 65_535 + 22  # of a file, in which the end record lies
SEARCH_CHUNK_BYTES = 1 << 20  # bytes that are searched at once, at most
MAX_END_RECORDS = 1024  # end records that are tried
ZIP64_FIELD_ID = 1
UNKNOWN_SIZE_FLAG = 1 << 3  # flag: the sizes follow the file
ENCRYPTED_FLAG = 1
MAX_DESCRIPTOR_BYTES = 24  # bytes behind a file whose size was not known before it (4.3.9)


@dataclass(frozen=True, slots=True)
class ZipHeader:
    """What one header says of a file. ``packed`` is None where the size is not known before it is unpacked."""

    name: bytes
    flags: int
    method: int
    crc: int | None
    packed: int | None
    size: int
    at: int  # offset of the header before the file
    data: int = 0  # offset of the file's bytes

    def differs(self, other: ZipHeader) -> bool:
        """Whether a reader of ``other``, the header before the file, reads something else."""
        return (
            self.name != other.name
            or self.method != other.method
            or (self.flags ^ other.flags) & ENCRYPTED_FLAG != 0
            or (other.packed is not None and other.packed != self.packed)
        )


@dataclass(frozen=True, slots=True)
class ZipDirectory:
    """One directory: where it begins, what its offsets count from, and whether other files hold parts of it."""

    start: int
    size: int
    bases: tuple[int, ...]
    is_spanned: bool = False
    hidden: bool = False  # among more end records than are tried, so that it is not looked for


def starts_as_zip(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is a zip archive from its first byte."""
    return head.startswith((LOCAL_MAGIC, END_MAGIC)) or (head.startswith(SPANNED_MAGICS) and head[4:8] == LOCAL_MAGIC)


def is_empty(data: Data) -> bool:
    """Whether an end record says that the archive holds nothing."""
    tail = bytes(data[-TAIL_BYTES:])
    at = tail.rfind(END_MAGIC)
    return at >= 0 and tail[at + 10 : at + 16] == bytes(6)


def find_directories(data: Data) -> list[ZipDirectory]:
    """Return the directories that readers find from the end of ``data``; none where nobody finds one.

    Where several end records lie there, readers take the last. One whose comment holds the later ones is taken by those
    that check the length of the comment.
    """
    origin = max(len(data) - TAIL_BYTES, 0)
    if isinstance(data, bytes) and (data.find(b"\x06", origin) < 0 or data.rfind(END_MAGIC, origin) < 0):
        return []  # most files; finding one byte is fast
    tail = bytes(data[origin:])
    found: list[ZipDirectory] = []
    at, tried = len(tail), 0
    while (at := tail.rfind(END_MAGIC, 0, at)) >= 0:
        tried += 1
        if tried > MAX_END_RECORDS:
            found.append(ZipDirectory(len(data), 0, (0,), hidden=True))
            break
        end = tail[at : at + 22]
        if len(end) < 22:
            continue
        reaches = at + 22 + int.from_bytes(end[20:22], "little") >= len(tail)
        if not found or reaches:
            found += [each for each in _directories(data, origin + at, end) if each not in found]
    return found


def _directories(data: Data, at: int, end: bytes) -> Iterator[ZipDirectory]:
    """Yield the directories of the end record ``end`` at ``at`` (4.3.16) and of the zip64 one before it (4.3.14)."""
    disk, start_disk, _here, _count, size, offset = struct.unpack("<4x4HII2x", end)
    records = [(at, size, offset)]
    locator = bytes(data[max(at - 20, 0) : at])
    if locator.startswith(LOCATOR64_MAGIC):
        for record_at in {int.from_bytes(locator[8:16], "little"), at - 20 - 56}:
            record = bytes(data[record_at : record_at + 56]) if 0 <= record_at < len(data) else b""
            if record.startswith(END64_MAGIC) and len(record) == 56:
                records.append((record_at, *struct.unpack_from("<QQ", record, 40)))
    is_spanned = disk not in (0, 0xFFFF) or start_disk not in (0, 0xFFFF)
    nothing = True
    for record_at, size, offset in reversed(records):
        for start in {record_at - size, offset}:
            if size and 0 <= start < len(data) and bytes(data[start : start + 4]) == CENTRAL_MAGIC:
                bases = (start - offset, 0) if start - offset > 0 else (0,)
                nothing = False
                yield ZipDirectory(start, size, bases, is_spanned)
    if nothing and is_spanned and at + 22 == len(data):
        yield ZipDirectory(at, 0, (0,), is_spanned)


def directory_entries(data: Data, directory: ZipDirectory) -> Iterator[tuple[ZipHeader, list[ZipHeader]] | None]:
    """Yield each file that ``directory`` names, with the headers before it that its offset leads to; None at damage.

    Goes on for as long as entries follow, whatever the end record says of their number and size.
    """
    at = directory.start
    while bytes(data[at : at + 4]) == CENTRAL_MAGIC:
        fixed = bytes(data[at : at + 46])
        if len(fixed) < 46:
            break
        (flags, method, crc, packed, size, names, extras, comments, offset) = struct.unpack("<8xHH4xIIIHHH8xI", fixed)
        name = bytes(data[at + 46 : at + 46 + names])
        extra = bytes(data[at + 46 + names : at + 46 + names + extras])
        size, packed, offset = _zip64_sizes(extra, size, packed, offset)
        at += 46 + names + extras + comments
        before = [header for base in directory.bases if (header := read_local_header(data, base + offset))]
        yield ZipHeader(name, flags, method, crc, packed, size, directory.bases[0] + offset), before
    if at < directory.start + directory.size:
        yield None


def read_local_header(data: Data, at: int) -> ZipHeader | None:
    """Return what the header at ``at`` says (4.3.7), None where there is none."""
    if not 0 <= at < len(data):
        return None
    fixed = bytes(data[at : at + 30])
    if not fixed.startswith(LOCAL_MAGIC) or len(fixed) < 30:
        return None
    flags, method, crc, packed, size, names, extras = struct.unpack("<6xHH4xIIIHH", fixed)
    name = bytes(data[at + 30 : at + 30 + names])
    size, packed, _offset = _zip64_sizes(bytes(data[at + 30 + names : at + 30 + names + extras]), size, packed, 0)
    begin = at + 30 + names + extras
    if flags & UNKNOWN_SIZE_FLAG:
        return ZipHeader(name, flags, method, None, None, size, at, begin)
    return ZipHeader(name, flags, method, crc, packed, size, at, begin)


def _zip64_sizes(extra: bytes, *values: int) -> tuple[int, ...]:
    """Return size, packed size and offset, with those of the zip64 field (4.5.3) for what 32 bits cannot hold."""
    if 0xFFFFFFFF not in values:
        return values
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == ZIP64_FIELD_ID:
            wide = iter(struct.unpack_from(f"<{min(length, len(extra) - at - 4) // 8}Q", extra, at + 4))
            return tuple(next(wide, value) if value == 0xFFFFFFFF else value for value in values)
        at += 4 + length
    return values


@dataclass
class CoveredRanges:
    """The bytes of an archive that a reader has accounted for."""

    parts: list[tuple[int, int]] = field(default_factory=list)

    def add(self, start: int, end: int) -> None:
        """Account for the bytes from ``start`` to ``end``."""
        if (
            self.parts and self.parts[-1][0] <= start <= self.parts[-1][1] + MAX_DESCRIPTOR_BYTES
        ):  # no header fits between
            self.parts[-1] = self.parts[-1][0], max(self.parts[-1][1], end)
        elif end > start:
            self.parts.append((start, end))

    def gaps(self, length: int) -> Iterator[tuple[int, int]]:
        """Yield what is left of ``length`` bytes, in order."""
        at = 0
        for start, end in sorted(self.parts):
            if start > at:
                yield at, start
            at = max(at, end)
        if at < length:
            yield at, length


def find_bytes(data: Data, what: bytes, start: int, end: int) -> int:
    """Return where ``what`` begins within these bounds, -1 where it is not there."""
    at, size = start, 256  # small at first: what is searched for may follow at once, many times
    while at < end:
        window = bytes(data[at : min(at + size + len(what) - 1, end)])
        if (place := window.find(what)) >= 0:
            return at + place
        at, size = at + size, min(size * 4, SEARCH_CHUNK_BYTES)
    return -1
