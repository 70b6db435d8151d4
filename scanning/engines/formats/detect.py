"""Recognises archives and packed files by their bytes, never by their name, wherever in a file they begin.

A file can be several things at once: a shell script with a zip archive behind it, or a gzip stream that ends as a zip.
Each reader takes what it knows, so each is named. Sources: the formats' own descriptions, and what GNU tar, gzip, xz,
busybox, unzip, Java's ``java.util.zip`` and Python's ``zipimport`` accept.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from scanning.engines.formats.tar_fields import BLOCK_BYTES, Data, is_header
from scanning.engines.formats.zip import ZipDirectory, find_bytes, find_directories, starts_as_zip

HEAD_BYTES = BLOCK_BYTES
MAX_OVERLAY_GAP_BYTES = 4096  # bytes between the end of a program and what is appended to it
MAX_APPENDED_ARCHIVES = 16  # places in one file where an archive may begin
MAX_SEARCH_BYTES = 32 << 20  # bytes of a script or program that are searched for one

READABLE_FORMATS = frozenset(
    {"zip", "tar", "ar", "cpio", "rpm", "gzip", "zstd", "bzip2", "xz", "lzma", "lzip", "compress", "zlib"}
)  # everything else that is recognised is noted
UNSURE_FORMATS = frozenset({"zlib", "lzma", "compress"})  # a few bytes tell these; what does not unpack is none
PYINSTALLER_MAGIC = b"MEI\x0c\x0b\x0a\x0b\x0e"  # near the end of a program that PyInstaller has made


class DetectedArchive(NamedTuple):
    """An archive in a file: what it is, and where in the file it begins."""

    format: str
    offset: int = 0
    sure: bool = True  # False: a few bytes within a file look so, and what does not unpack is none


MagicCheck = Callable[[bytes], bool]


def _bzip2(head: bytes) -> bool:
    return head[3:4] in b"123456789" and head[4:10] in (
        b"1AY&SY",
        b"\x17rE8P\x90",
    )  # a block, or the end of an empty one


def _zlib(head: bytes) -> bool:
    return len(head) > 7


def _lzma(head: bytes) -> bool:
    """Whether these are the properties, dictionary and size that xz takes for a ``.lzma`` file."""
    if len(head) < 18 or head[0] >= 225 or head[13]:  # the first byte of the coded data is always 0
        return False
    dictionary, size = struct.unpack_from("<IQ", head, 1)
    high = 1 << max(dictionary.bit_length() - 1, 0)
    return (
        dictionary >= 1 << 12
        and dictionary in (high, high | high >> 1, 0xFFFFFFFF)
        and (size == (1 << 64) - 1 or 0 < size < 1 << 38)
    )


def _compress(head: bytes) -> bool:
    return len(head) > 4 and 9 <= head[2] & 0x1F <= 16 and not head[2] & 0x60


def _old_cpio(head: bytes) -> bool:
    return len(head) >= 26 and int.from_bytes(head[20:22], "little" if head[0] == 0xC7 else "big") in range(2, 4097)


def _crc_matches(start: int, end: int, at: int) -> MagicCheck:
    """Whether the CRC-32 of bytes ``start`` to ``end`` stands at ``at``."""
    return lambda head: len(head) >= end and struct.unpack_from("<I", head, at)[0] == zlib.crc32(head[start:end])


def _rar(head: bytes) -> bool:
    if head[6:8] == b"\x01\x00":
        return len(head) > 14 and head[12] <= 64
    return head[6:7] == b"\x00" and head[9:10] in (b"\x73", b"\x72")


def _arj(head: bytes) -> bool:
    size = int.from_bytes(head[2:4], "little")
    return 0 < size <= HEAD_BYTES - 8 and head[4 + size : 8 + size] == zlib.crc32(head[4 : 4 + size]).to_bytes(
        4, "little"
    )


def _lha(head: bytes) -> bool:
    return head[6:7] == b"-" and head[4:5] in (b"h", b"z")


def _always(head: bytes) -> bool:
    return True


# first bytes, what it is, and what else must hold of the first 512 bytes
MAGICS: tuple[tuple[bytes, str, MagicCheck], ...] = (
    (b"PK", "zip", starts_as_zip),
    (b"\x1f\x8b\x08", "gzip", _always),
    (b"\x1f\x9e\x08", "gzip", _always),  # as gzip wrote before 1993, and reads to this day
    (b"\x28\xb5\x2f\xfd", "zstd", _always),
    *((bytes([number]) + b"\x2a\x4d\x18", "zstd", _always) for number in range(0x50, 0x60)),  # a frame to be skipped
    (b"BZh", "bzip2", _bzip2),
    (b"\xfd7zXZ\x00", "xz", _always),
    (b"LZIP", "lzip", lambda head: head[4:5] in (b"\x00", b"\x01")),
    (b"\x1f\x9d", "compress", _compress),
    (b"!<arch>\n", "ar", _always),
    (b"\xed\xab\xee\xdb", "rpm", lambda head: head[4:5] in (b"\x03", b"\x04")),
    (b"07070", "cpio", lambda head: head[5:6] in (b"1", b"2", b"7")),
    (b"\xc7\x71", "cpio", _old_cpio),
    (b"\x71\xc7", "cpio", _old_cpio),
    # recognised, and noted as not looked into
    (b"7z\xbc\xaf\x27\x1c", "7z", _always),
    (b"Rar!\x1a\x07", "rar", _always),
    (b"hsqs", "SquashFS", lambda head: head[28:30] == b"\x04\x00"),
    (b"sqsh", "SquashFS", lambda head: head[28:30] == b"\x00\x04"),
    (b"MSCF\x00\x00\x00\x00", "cab", _always),
    (b"MSWIM\x00\x00\x00", "wim", _always),
    (b"xar!\x00\x1c", "xar", _always),
    (b"\x04\x22\x4d\x18", "lz4", _always),
    (b"\x02\x21\x4c\x18", "lz4", _always),
    (b"\x89LZO\x00\r\n\x1a\n", "lzop", _always),
    (b"LRZI", "lrzip", lambda head: head[4:5] == b"\x00"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy", _always),
    *((bytes([number]) + b"\xb5\x2f\xfd", "an old zstd", _always) for number in range(0x22, 0x28)),
    (b"\x60\xea", "arj", _arj),
    (b"ADBd", "apk 3", _always),
    (b"ADBc", "apk 3", _always),
    (b"ADB.", "apk 3", _always),
    (b"-rom1fs-", "romfs", _always),
    (b"\x45\x3d\xcd\x28", "cramfs", lambda head: head[16:32] == b"Compressed ROMFS"),
    (b"XFSB\x00\x00", "XFS", _always),
    (b"QFI\xfb\x00\x00\x00", "qcow2", _always),
    (b"KDMV", "vmdk", lambda head: head[5:8] == b"\x00\x00\x00"),
    (b"vhdxfile", "vhdx", _always),
    # zlib (RFC 1950): deflate with a window of up to 32 KiB, no dictionary, and a header that 31 divides
    *(
        (bytes([method, flags]), "zlib", _zlib)
        for method in range(0x08, 0x79, 0x10)
        for flags in range(256)
        if not flags & 0x20 and not (method * 256 + flags) % 31
    ),
)
_MAGICS_BY_START: dict[bytes, tuple[tuple[bytes, str, MagicCheck], ...]] = {
    first: tuple(magic for magic in MAGICS if magic[0][:2] == first) for first in {magic[0][:2] for magic in MAGICS}
}
# offsets of the magic numbers of disk images
_ISO_OFFSET, _EXT_OFFSET, _EROFS_OFFSET, _BTRFS_OFFSET = 32769, 1080, 1024, 65600
_APPENDED_PATTERN = re.compile(
    rb"\x1f\x8b\x08[\x00-\x1f]|\x1f\x9d\x90|\xfd7zXZ\x00|BZh[1-9](?:1AY&SY|\x17rE8P\x90)|\x28\xb5\x2f\xfd|LZIP[\x00\x01]"
    rb"|\x04\x22\x4d\x18|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|MSCF\x00\x00\x00\x00|hsqs|07070[127]|!<arch>\n|\xed\xab\xee\xdb"
    rb"|\x89LZO\x00\r\n\x1a\n|\x5d\x00\x00[\x00-\xff]{10}\x00|ustar",
    re.DOTALL,
)


def detect_archives(data: Data) -> list[DetectedArchive]:
    """Return the archives that ``data`` is, or that stand behind a program or a script in it.

    Done for every file, so what a file surely is not is seen at once. Of ``bytes`` nothing is copied.
    """
    head = bytes(data[:HEAD_BYTES])
    found = []
    if name := _format_of(head, data):
        found.append(DetectedArchive(name))
    if name != "zip" and len(data) >= 22 and any(not _is_member(name, data, each) for each in find_directories(data)):
        found.append(DetectedArchive("zip"))
    elif not name and is_program(head):
        found += _appended(head, data)
    return found


def _is_member(name: str, data: Data, directory: ZipDirectory) -> bool:
    """Whether the zip archive of ``directory`` is a file in the archive ``name`` around it, and so read there."""
    begin = directory.bases[0]
    if name == "tar":
        return begin >= BLOCK_BYTES and is_header(bytes(data[begin - BLOCK_BYTES : begin]))
    return name == "ar" and begin >= 2 and bytes(data[begin - 2 : begin]) == b"`\n"


def is_program(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is one that can unpack what is appended to it."""
    return head[:2] in (b"#!", b"MZ") or head[:4] == b"\x7fELF"


def _format_of(head: bytes, data: Data) -> str:
    """Return what ``data`` is by its first bytes, or by those at a place that its format names; else ""."""
    for magic, name, check in _MAGICS_BY_START.get(head[:2], ()):
        if head.startswith(magic) and check(head):
            return name
    if len(head) < 18:
        return ""
    if head[257:262] == b"ustar" or is_header(head):
        return "tar"
    if head[2:4] == b"-l" and _lha(head):
        return "lha"
    if head[7:14] == b"**ACE**":
        return "ace"
    if head[1] in (0, 255) and _lzma(head):
        return "lzma"
    return _disk_format(head, data) if len(data) > _EXT_OFFSET else ""


def _disk_format(head: bytes, data: Data) -> str:
    """Return which disk image ``data`` is, or "tar" where nothing but an empty block stands before the first header."""
    if data[_EXT_OFFSET : _EXT_OFFSET + 2] == b"\x53\xef" and _is_ext(bytes(data[1024:1536])):
        return "ext4"
    if data[_EROFS_OFFSET : _EROFS_OFFSET + 4] == b"\xe2\xe1\xf5\xe0":
        return "EROFS"
    if len(data) > _ISO_OFFSET and data[_ISO_OFFSET : _ISO_OFFSET + 5] == b"CD001":
        return "ISO 9660"
    if len(data) > _BTRFS_OFFSET and data[_BTRFS_OFFSET : _BTRFS_OFFSET + 8] == b"_BHRfS_M":
        return "Btrfs"
    if not head[0] and head == bytes(BLOCK_BYTES) and is_header(bytes(data[BLOCK_BYTES : 2 * BLOCK_BYTES])):
        return "tar"
    return ""


def _is_ext(sector: bytes) -> bool:
    """Whether state, size of blocks, creator and revision are such as a superblock of ext2 to ext4 has."""
    if len(sector) < BLOCK_BYTES or sector[58:60] not in (b"\x00\x00", b"\x01\x00", b"\x02\x00"):
        return False
    creator, revision = struct.unpack_from("<II", sector, 72)
    return bool(sector[24] <= 6 and creator <= 4 and revision <= 1)


def _appended(head: bytes, data: Data) -> Iterator[DetectedArchive]:
    """Yield what is appended to a shell script or a program, each where it begins."""
    if head[:2] == b"#!":
        if find_bytes(data, b"\x00", 2, min(len(data), MAX_SEARCH_BYTES)) >= 0:
            yield from search_archives(data, 2, len(data))
        if len(data) > MAX_SEARCH_BYTES:
            yield DetectedArchive("so much that not all of it is searched for archives")
        return
    end = _end_of_elf(head, data) if head[:4] == b"\x7fELF" else _end_of_pe(head, data)
    if end is None or not HEAD_BYTES < end < len(data):
        return
    rest = bytes(data[end : end + MAX_OVERLAY_GAP_BYTES + HEAD_BYTES])
    skipped = len(rest) - len(rest.lstrip(b"\x00"))
    if name := _format_of(rest[skipped : skipped + HEAD_BYTES], b""):
        yield DetectedArchive(name, end + skipped)
    else:
        yield from search_archives(data, end, end + MAX_OVERLAY_GAP_BYTES)
    if PYINSTALLER_MAGIC in bytes(data[-8192:]):
        yield DetectedArchive("PyInstaller", end)


def appended_between(data: Data, start: int, end: int) -> Iterator[DetectedArchive]:
    """Yield what may be appended to a script or a program between ``start`` and ``end``, beside a zip archive."""
    head = bytes(data[:HEAD_BYTES])
    if head[:2] == b"#!":
        yield from search_archives(data, max(start, 2), end)
        return
    program = _end_of_elf(head, data) if head[:4] == b"\x7fELF" else _end_of_pe(head, data)
    if program is not None and start <= program < end:
        yield from search_archives(data, program, min(end, program + MAX_OVERLAY_GAP_BYTES))


def search_archives(data: Data, start: int, end: int) -> Iterator[DetectedArchive]:
    """Yield what may be archives that begin between ``start`` and ``end``, as far as MAX_SEARCH_BYTES."""
    count = 0
    for match in _APPENDED_PATTERN.finditer(memoryview(data)[: min(end, start + MAX_SEARCH_BYTES)], start):
        at = match.start() - (257 if match.end() - match.start() == len(b"ustar") and match[0][:1] == b"u" else 0)
        if at < start or not (name := _format_of(bytes(data[at : at + HEAD_BYTES]), b"")):
            continue
        yield DetectedArchive(name, at, sure=False)
        count += 1
        if name in ("tar", "cpio", "ar"):  # the next would be in this one
            return
        if count >= MAX_APPENDED_ARCHIVES:
            yield DetectedArchive("more archives than are tried", at)
            return


def _end_of_elf(head: bytes, data: Data) -> int | None:
    """Return where an ELF program ends: behind its sections, or behind its segments where those are stripped."""
    order = {1: "<", 2: ">"}.get(head[5])
    if order is None or len(head) < 64:
        return None
    wide = head[4] == 2
    programs, sections = struct.unpack_from(order + ("QQ" if wide else "II"), head, 32 if wide else 28)
    program_size, program_count, section_size, section_count = struct.unpack_from(
        order + "4H", head, 54 if wide else 42
    )
    end = sections + section_size * section_count if sections else 0
    table = bytes(data[programs : programs + program_size * min(program_count, 64)])
    for at in range(0, len(table) - program_size + 1, program_size or len(table) + 1):
        if program_size >= (56 if wide else 32):
            offset = struct.unpack_from(order + ("Q" if wide else "I"), table, at + (8 if wide else 4))[0]
            size = struct.unpack_from(order + ("Q" if wide else "I"), table, at + (32 if wide else 16))[0]
            end = max(end, offset + size)
    return end


def _end_of_pe(head: bytes, data: Data) -> int | None:
    """Return where a Windows program ends: behind the last of its sections."""
    at = int.from_bytes(head[60:64], "little")
    header = bytes(data[at : at + 24])
    if header[:4] != b"PE\x00\x00" or len(header) < 24:
        return None
    count, optional = struct.unpack_from("<H", header, 6)[0], struct.unpack_from("<H", header, 20)[0]
    end = 0
    table = bytes(data[at + 24 + optional : at + 24 + optional + 40 * min(count, 96)])
    for place in range(0, len(table) - 39, 40):
        size, offset = struct.unpack_from("<II", table, place + 16)
        end = max(end, offset + size)
    return end
