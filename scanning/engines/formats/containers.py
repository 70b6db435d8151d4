"""Reads what holds files bare: ``ar`` (Debian packages, static libraries), ``cpio`` (initramfs), and RPM packages."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from scanning.engines.formats.tar_fields import Data

RPM_LEAD_BYTES, RPM_MAGIC = 96, b"\x8e\xad\xe8\x01"
CPIO_TRAILER = b"TRAILER!!!"
MAX_NAME_BYTES = 4096
LINKER_TABLE_NAMES = (b"/", b"//", b"/SYM64/", b"__.SYMDEF", b"__.SYMDEF SORTED")
ELF_RELOCATABLE = 1  # type of an ELF file: an object for a linker, which nothing runs


class DamagedArchive(Exception):
    """The archive cannot be read on; what was yielded before is good."""


class Member(NamedTuple):
    """One file: its name, and where its bytes lie. ``rest``: not a file but what follows the archive."""

    name: bytes
    offset: int
    size: int
    rest: bool = False


def ar(data: Data) -> Iterator[Member]:
    """Yield the members of an ``ar`` archive but for tables of names and objects of linkers.

    Objects lie bare in the file, which is looked at as a whole. Names are those of System V (``name/``) and of BSD
    (``#1/length``, with the name before the bytes). Raises Damaged.
    """
    at = 8
    while at + 60 <= len(data):
        head = bytes(data[at : at + 60])
        digits = head[48:58].strip()
        if head[58:60] != b"`\n" or not digits.isdigit():
            raise DamagedArchive(f"a header that is malformed at byte {at}")
        name, begin, size = head[:16].rstrip(b" "), at + 60, int(digits)
        at = begin + size + size % 2
        if begin + size > len(data):
            yield Member(name, begin, len(data) - begin)
            raise DamagedArchive(f"a member that is cut off at byte {begin}")
        if name.startswith(b"#1/") and name[3:].isdigit():
            length = min(int(name[3:]), size)
            name, begin, size = bytes(data[begin : begin + min(length, MAX_NAME_BYTES)]), begin + length, size - length
            name = name.rstrip(b"\0")
        if name not in LINKER_TABLE_NAMES and size and not _is_object(bytes(data[begin : begin + 18])):
            yield Member(name.rstrip(b"/") or name, begin, size)


def _is_object(head: bytes) -> bool:
    order = "big" if head[5:6] == b"\x02" else "little"
    elf = head.startswith(b"\x7fELF") and int.from_bytes(head[16:18], order) == ELF_RELOCATABLE  # type: ignore[arg-type]
    return elf or head.startswith((b"BC\xc0\xde", b"\x64\x86"))


def cpio(data: Data) -> Iterator[Member]:
    """Yield the files of a ``cpio`` archive: newc with and without checksums, odc, and the old binary form.

    At last whatever follows its end, since an initramfs is several archives one behind the other. Raises Damaged.
    """
    at = 0
    while at < len(data):
        magic = bytes(data[at : at + 6])
        start = at
        try:
            if magic in (b"070701", b"070702"):
                fields = bytes(data[at + 6 : at + 110])
                size, names = int(fields[48:56], 16), int(fields[88:96], 16)
                name_at, unit = at + 110, 4
            elif magic == b"070707":
                fields = bytes(data[at + 6 : at + 76])
                names, size = int(fields[53:59], 8), int(fields[59:70], 8)
                name_at, unit = at + 76, 1
            elif magic[:2] in (b"\xc7\x71", b"\x71\xc7"):
                words = struct.unpack(("<" if magic[0] == 0xC7 else ">") + "13H", bytes(data[at : at + 26]))
                names, size = words[10], words[11] << 16 | words[12]
                name_at, unit = at + 26, 2
            else:
                raise ValueError
            if names <= 0 or size < 0 or names > MAX_NAME_BYTES:
                raise ValueError
        except (ValueError, struct.error):
            raise DamagedArchive(f"a header that is malformed at byte {start}") from None
        name = bytes(data[name_at : name_at + names]).split(b"\0", 1)[0]
        begin = _aligned(name_at + names, unit)
        at = _aligned(begin + size, unit)
        if name == CPIO_TRAILER:
            rest = _skip_zeros(data, at)
            if rest < len(data):
                yield Member(b"", rest, len(data) - rest, rest=True)
            return
        if size:
            yield Member(name, begin, min(size, max(len(data) - begin, 0)))
        if begin + size > len(data):
            raise DamagedArchive(f"a file that is cut off at byte {begin}")
    raise DamagedArchive("no end")


def _aligned(offset: int, unit: int) -> int:
    return -(-offset // unit) * unit


def _skip_zeros(data: Data, at: int) -> int:
    """Return where the first byte from ``at`` lies that is not zero."""
    while at < len(data):
        window = bytes(data[at : at + 65536])
        if rest := window.lstrip(b"\0"):
            return at + len(window) - len(rest)
        at += len(window)
    return at


def rpm_payload(data: Data) -> int:
    """Return where the payload of an RPM package begins: behind its lead and two headers. Raises Damaged."""
    at = RPM_LEAD_BYTES
    for unit in (8, 1):
        head = bytes(data[at : at + 16])
        if len(head) < 16 or not head.startswith(RPM_MAGIC):
            raise DamagedArchive(f"a header that is malformed at byte {at}")
        entries, size = struct.unpack_from(">II", head, 8)
        at = _aligned(at + 16 + 16 * entries + size, unit)
    if at >= len(data):
        raise DamagedArchive("no payload")
    return at
