"""Sparse files in tar archives: the old GNU format and the three in pax headers. For the walker alone."""

from __future__ import annotations

from dataclasses import dataclass

from scanning.engines.formats.tar_fields import BLOCK_BYTES, Data, TarError, decimal, number, span

MAX_SEGMENTS = 1 << 16  # of a sparse file


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of bytes of a sparse file: ``size`` bytes of the archive from ``offset`` belong at ``position``."""

    position: int
    offset: int
    size: int


def old_sparse(data: Data, block: bytes, offset: int, end: int) -> tuple[tuple[Segment, ...], int, int]:
    """Return map, unpacked size and first byte of a file of type ``S``; its map goes on in blocks before the bytes."""
    start = offset - BLOCK_BYTES
    size = number(block[483:495], start)
    pairs: list[tuple[int, int]] = []
    table, count, more = block[386:], 4, block[482]
    while True:
        for index in range(count):
            field = table[index * 24 : index * 24 + 24]
            if field[0] == 0:
                break
            pairs.append((number(field[:12], start), number(field[12:], start)))
        if not more:
            return _segments(pairs, offset), size, offset
        table = span(data, offset, BLOCK_BYTES, end, start)
        count, more = 21, table[504]
        offset += BLOCK_BYTES
        if len(pairs) > MAX_SEGMENTS or offset - start > (MAX_SEGMENTS // 21 + 2) * BLOCK_BYTES:
            raise TarError(start, "a sparse file of too many pieces")


def pax_sparse(
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
        numbers, first = [decimal(part, start) for part in text.split(b",")] if text else [], offset
    else:
        return None, stored, offset, name
    if len(numbers) % 2:
        raise TarError(start, "a sparse file whose map is incomplete")
    name = pax.get(b"GNU.sparse.name") or name
    size_record = pax.get(b"GNU.sparse.realsize") or pax.get(b"GNU.sparse.size")
    size = decimal(size_record, start) if size_record else stored
    return _segments(list(zip(numbers[::2], numbers[1::2], strict=True)), first), size, first, name


def _sparse_map_in_body(data: Data, offset: int, end: int, start: int) -> tuple[list[int], int]:
    """Return the numbers of a 1.0 map (a count, then pairs, one number a line, whole blocks) and what follows it."""
    text = b""
    numbers: list[int] = []
    wanted = 1
    while len(numbers) < wanted:
        block = bytes(data[offset : min(offset + BLOCK_BYTES, end)])
        if len(block) < BLOCK_BYTES:
            raise TarError(start, "a sparse file whose map is cut off")
        offset += BLOCK_BYTES
        *lines, text = (text + block).split(b"\n")
        if len(text) > BLOCK_BYTES:
            raise TarError(start, "a sparse file whose map is malformed")
        for line in lines[: wanted - len(numbers) if wanted > 1 else None]:
            numbers.append(decimal(line, start))
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


def check_segments(segments: tuple[Segment, ...], size: int, limit: int, start: int) -> None:
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
