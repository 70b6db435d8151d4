"""Reads the headers of an uncompressed tar in memory (an mmap of a layer) and says where each file's bytes lie.

Nothing is ever extracted. Where readers differ, this one follows Go's ``archive/tar``, with which container runtimes
unpack layers: what counts is what would be on the disk of a container. Formats: v7, ustar, star, pax, GNU (long names,
base-256 numbers, sparse files of all four kinds).
"""

from __future__ import annotations

import enum
import mmap
from collections.abc import Iterator
from dataclasses import dataclass

Data = bytes | bytearray | memoryview | mmap.mmap

BLOCK = 512
MAX_SPECIAL_BYTES = 1 << 20  # of a pax header or a long name, as in Go; a path needs 4 KiB
MAX_SEGMENTS = 1 << 16  # of a sparse file
MAX_NUMBER = (1 << 63) - 1
ZERO_BLOCK = bytes(BLOCK)

USTAR_MAGIC, GNU_MAGIC, STAR_TRAILER = b"ustar\x00", b"ustar  \x00", b"tar\x00"


class TarError(Exception):
    """The archive is damaged at ``offset``; what was yielded before is good, what follows cannot be read."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(f"{what} at byte {offset}")
        self.offset, self.what = offset, what


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
class Segment:
    """A run of bytes of a sparse file: ``size`` bytes of the archive from ``offset`` belong at ``position``."""

    position: int
    offset: int
    size: int


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


def walk(data: Data) -> Iterator[TarEntry]:
    """Yield the entries of the archive in order; memory does not grow with their number.

    Ends at two zero blocks or at the end of ``data``. Raises TarError where the archive cannot be read on.
    """
    end = len(data)
    offset = 0
    pax: dict[bytes, bytes] = {}
    long_name = long_link = b""
    while offset < end:
        start = offset
        block = bytes(data[offset : offset + BLOCK])
        offset += BLOCK
        if block == ZERO_BLOCK:
            if bytes(data[offset : offset + BLOCK]) in (ZERO_BLOCK, b""):
                return
            continue
        if len(block) < BLOCK:
            raise TarError(start, "a header that is cut off")
        _check_sum(block, start)
        kind = block[156:157]
        stored = _number(block[124:136], start)
        if kind in b"xgLK":
            if stored > MAX_SPECIAL_BYTES:
                raise TarError(start, f"an extended header of {stored} bytes")
            body = _span(data, offset, stored, end, start)
            offset += _padded(stored)
            if kind == b"L":
                long_name = body.split(b"\x00", 1)[0]
            elif kind == b"K":
                long_link = body.split(b"\x00", 1)[0]
            elif (
                kind == b"g"
            ):  # of the whole archive: Go does not apply it to entries, and forgets a pax header before it
                pax, long_name, long_link = {}, b"", b""
            else:
                pax = _pax_records(body, start)
            continue
        entry, offset = _entry(data, block, offset, stored, pax, long_name, long_link, end)
        yield entry
        pax, long_name, long_link = {}, b"", b""
    if pax or long_name or long_link:
        raise TarError(end, "an extended header without its file")


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
) -> tuple[TarEntry, int]:
    """Return the entry of header ``block`` whose body begins at ``offset``, and the offset of the next header."""
    start = offset - BLOCK
    kind = block[156:157]
    name = long_name or pax.get(b"path") or _name(block)
    linkname = long_link or pax.get(b"linkpath") or block[157:257].split(b"\x00", 1)[0]
    mode = _number(block[100:108], start)
    if size_record := pax.get(b"size"):
        stored = _decimal(size_record, start)
    type_ = _TYPES.get(kind, EntryType.FILE)
    if type_ is not EntryType.FILE:
        return TarEntry(name, type_, 0, offset, mode, linkname), offset
    segments = None
    size = stored
    first = offset
    if kind == b"S":
        segments, size, first = _old_sparse(data, block, offset, end)
    elif any(key.startswith(b"GNU.sparse.") for key in pax):
        segments, size, first, name = _pax_sparse(data, pax, offset, stored, name, start, end)
    body = first if kind == b"S" else offset  # where its stored bytes begin, with the map of format 1.0 among them
    following = body + _padded(stored)
    if body + stored > end:
        raise TarError(start, f"a file of {stored} bytes that is cut off")
    if kind == b"\x00" and name.endswith(b"/"):  # how v7 archives write a folder
        return TarEntry(name, EntryType.DIRECTORY, 0, offset, mode, linkname), following
    if segments is not None:
        _check_segments(segments, size, body + stored, start)
    return TarEntry(name, type_, size, first, mode, linkname, segments), following


def _check_sum(block: bytes, start: int) -> None:
    expected = _number(block[148:156], start)
    unsigned = sum(block) - sum(block[148:156]) + 8 * 0x20
    if unsigned == expected:
        return
    if unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:]) == expected:  # as some old writers summed
        return
    raise TarError(start, "something that is no header (its checksum is wrong)")


def _name(block: bytes) -> bytes:
    name = block[:100].split(b"\x00", 1)[0]
    if block[257:263] != USTAR_MAGIC:
        return name
    prefix = block[345 : 476 if block[508:512] == STAR_TRAILER else 500].split(b"\x00", 1)[0]
    return prefix + b"/" + name if prefix else name


def _number(field: bytes, start: int) -> int:
    """Return the number in a header field: octal digits, or base-256 where the highest bit is set."""
    if field[0] & 0x80:
        number = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] & 0x40 or number > MAX_NUMBER:
            raise TarError(start, "a number below zero or beyond all bounds")
        return number
    digits = field.strip(b" \x00").split(b"\x00", 1)[0].rstrip(b" ")
    if digits.strip(b"01234567"):
        raise TarError(start, "a number that is none")
    return int(digits or b"0", 8)


def _decimal(text: bytes, start: int) -> int:
    if not text.isdigit() or len(text) > 19 or int(text) > MAX_NUMBER:
        raise TarError(start, "an extended header with a number that is none")
    return int(text)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _span(data: Data, offset: int, size: int, end: int, start: int) -> bytes:
    if offset + size > end:
        raise TarError(start, "an extended header that is cut off")
    return bytes(data[offset : offset + size])


def _pax_records(body: bytes, start: int) -> dict[bytes, bytes]:
    """Return the records ``length key=value\\n``; the pairs of the oldest sparse format are gathered into its map."""
    records: dict[bytes, bytes] = {}
    pairs: list[bytes] = []
    position = 0
    while position < len(body):
        space = body.find(b" ", position, position + 8)
        length = body[position:space]
        if space < 0 or not length.isdigit():
            raise TarError(start, "an extended header that is malformed")
        following = position + int(length)
        record = body[space + 1 : following]
        key, equals, value = record[:-1].partition(b"=")
        if following > len(body) or record[-1:] != b"\n" or not equals or not key:
            raise TarError(start, "an extended header that is malformed")
        position = following
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            pairs.append(value)
        else:
            records[key] = value
    if pairs:
        records[b"GNU.sparse.map"] = b",".join(pairs)
    return records


def _old_sparse(data: Data, block: bytes, offset: int, end: int) -> tuple[tuple[Segment, ...], int, int]:
    """Return map, unpacked size and first byte of a file of type ``S``; its map goes on in blocks before the bytes."""
    start = offset - BLOCK
    size = _number(block[483:495], start)
    pairs: list[tuple[int, int]] = []
    table, count, more = block[386:], 4, block[482]
    while True:
        for index in range(count):
            field = table[index * 24 : index * 24 + 24]
            if field[0] == 0:
                break
            pairs.append((_number(field[:12], start), _number(field[12:], start)))
        if not more:
            return _segments(pairs, offset), size, offset
        table = _span(data, offset, BLOCK, end, start)
        count, more = 21, table[504]
        offset += BLOCK
        if len(pairs) > MAX_SEGMENTS or offset - start > (MAX_SEGMENTS // 21 + 2) * BLOCK:
            raise TarError(start, "a sparse file of too many pieces")


def _pax_sparse(
    data: Data, pax: dict[bytes, bytes], offset: int, stored: int, name: bytes, start: int, end: int
) -> tuple[tuple[Segment, ...] | None, int, int, bytes]:
    """Return map, unpacked size, first byte and name of a sparse file in the pax formats 0.0, 0.1 and 1.0."""
    version = (pax.get(b"GNU.sparse.major", b""), pax.get(b"GNU.sparse.minor", b""))
    if version == (b"1", b"0"):
        numbers, first = _sparse_map_in_body(data, offset, min(offset + stored, end), start)
    elif version in ((b"0", b"0"), (b"0", b"1")) or (version == (b"", b"") and pax.get(b"GNU.sparse.map")):
        text = pax.get(b"GNU.sparse.map", b"")
        if text.count(b",") > 2 * MAX_SEGMENTS:
            raise TarError(start, "a sparse file of too many pieces")
        numbers, first = [_decimal(part, start) for part in text.split(b",")] if text else [], offset
    else:
        return None, stored, offset, name
    if len(numbers) % 2:
        raise TarError(start, "a sparse file whose map is incomplete")
    name = pax.get(b"GNU.sparse.name") or name
    size_record = pax.get(b"GNU.sparse.realsize") or pax.get(b"GNU.sparse.size")
    size = _decimal(size_record, start) if size_record else stored
    return _segments(list(zip(numbers[::2], numbers[1::2], strict=True)), first), size, first, name


def _sparse_map_in_body(data: Data, offset: int, end: int, start: int) -> tuple[list[int], int]:
    """Return the numbers of a 1.0 map (a count, then pairs, one number a line, whole blocks) and what follows it."""
    text = b""
    numbers: list[int] = []
    wanted = 1
    while len(numbers) < wanted:
        block = bytes(data[offset : min(offset + BLOCK, end)])
        if len(block) < BLOCK:
            raise TarError(start, "a sparse file whose map is cut off")
        offset += BLOCK
        *lines, text = (text + block).split(b"\n")
        if len(text) > BLOCK:
            raise TarError(start, "a sparse file whose map is malformed")
        for line in lines[: wanted - len(numbers) if wanted > 1 else None]:
            numbers.append(_decimal(line, start))
            if len(numbers) == 1:
                wanted = 1 + 2 * numbers[0]
                if numbers[0] > MAX_SEGMENTS:
                    raise TarError(start, "a sparse file of too many pieces")
            if len(numbers) == wanted:
                break
    return numbers[1:], offset


def _segments(pairs: list[tuple[int, int]], first: int) -> tuple[Segment, ...]:
    segments = []
    for position, size in pairs:
        segments.append(Segment(position, first, size))
        first += size
    return tuple(segments)


def _check_segments(segments: tuple[Segment, ...], size: int, limit: int, start: int) -> None:
    """Refuse a map whose pieces overlap, go backwards, or lie outside the file or the archive."""
    position = 0
    for segment in segments:
        if (
            segment.position < position
            or segment.position + segment.size > size
            or segment.offset + segment.size > limit
        ):
            raise TarError(start, "a sparse file whose map is wrong")
        position = segment.position + segment.size
