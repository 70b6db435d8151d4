"""Fields of tar headers: numbers, checksums, pax records. For the walker alone."""

from __future__ import annotations

import mmap
import re

Data = bytes | bytearray | memoryview | mmap.mmap

BLOCK_BYTES = 512
CHECKSUM_PATTERN = re.compile(rb" *[0-7]+(?:[ \x00]|\Z)")  # the field of a header, or it is in base 256
MAX_FIELD_NUMBER = (1 << 63) - 1


class TarError(Exception):
    """The archive is damaged at ``offset``; what was yielded before is good, what follows cannot be read."""

    def __init__(self, offset: int, what: str) -> None:
        super().__init__(f"{what} at byte {offset}")
        self.offset, self.what = offset, what


def verify_checksum(block: bytes, start: int) -> None:
    """Raise TarError unless the header's checksum is right, summed as unsigned or as signed bytes."""
    expected = number(block[148:156], start)
    unsigned = sum(block) - sum(block[148:156]) + 8 * 0x20
    if unsigned == expected:
        return
    if unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:]) == expected:  # as some old writers summed
        return
    raise TarError(start, "something that is no header (its checksum is wrong)")


def is_header(block: bytes) -> bool:
    """Whether ``block`` is the header of a file, of whatever format: the oldest have nothing but their checksum."""
    if (
        not (CHECKSUM_PATTERN.match(block, 148, 156) or block[148:153] == b"\x80\x00\x00\x00\x00")
        or len(block) < BLOCK_BYTES
    ):
        return False
    try:
        verify_checksum(block, 0)
        number(block[124:136], 0)
    except TarError:
        return False
    return True


def number(field: bytes, start: int) -> int:
    """Return the number in a header field: octal digits, or base-256 where the highest bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] & 0x40 or value > MAX_FIELD_NUMBER:
            raise TarError(start, "a number below zero or beyond all bounds")
        return value
    digits = field.strip(b" \x00").split(b"\x00", 1)[0].rstrip(b" ")
    if digits.strip(b"01234567"):
        raise TarError(start, "a number that is none")
    return int(digits or b"0", 8)


def decimal(text: bytes, start: int) -> int:
    """Return the number in a pax record; sign and leading zeros as Go's reader takes them."""
    text = text.removeprefix(b"+").lstrip(b"0") or text[-1:]
    if not text.isdigit() or len(text) > 19 or int(text) > MAX_FIELD_NUMBER:
        raise TarError(start, "an extended header with a number that is none")
    return int(text)


def padded(size: int) -> int:
    """Return ``size`` in whole blocks."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def span(data: Data, offset: int, size: int, end: int, start: int) -> bytes:
    """Return ``size`` bytes of a header's body; ``start`` is where the header lies, ``end`` where the archive ends."""
    if offset + size > end:
        raise TarError(start, "an extended header that is cut off")
    return bytes(data[offset : offset + size])


def pax_records(body: bytes, start: int) -> dict[bytes, bytes]:
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
