"""Looks into archives inside layers: zip (jar, wheel, …), tar, Debian packages, gzip, zstd, bzip2, xz.

Only its bytes tell an archive's kind, never its name. Everything is bounded, because the archive may have been made to
exhaust its reader; what a bound or damage kept from being seen is noted, so that it does not read as clean.
"""

from __future__ import annotations

import bz2
import io
import lzma
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scanning.engines import tar
from scanning.engines.notes import Notes
from scanning.layers.decompress import GZIP, ZSTD, plain

CHUNK = 1 << 16
DIRECTORY_BYTES = 16 << 20  # of a zip's directory, which its reader holds in memory
XZ_MEMORY = 128 << 20
MAGICS = {
    b"PK\x03\x04": "zip",
    GZIP + b"\x08": "gzip",
    ZSTD: "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"!<arch>\n": "ar",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
}


@dataclass
class Bounds:
    """What may still be unpacked in this layer."""

    depth: int = 3  # archives in archives
    member_bytes: int = 32 << 20  # of one file in an archive; of a larger one the first so many are looked at
    ratio: int = 200  # unpacked to packed, beyond 8 MiB
    files: int = 200_000
    bytes: int = 8 << 30

    @property
    def spent(self) -> bool:
        """Whether nothing more may be unpacked."""
        return self.files <= 0 or self.bytes <= 0


def kind(data: tar.Data) -> str:
    """Return what kind of archive ``data`` is, or ""."""
    head = bytes(data[:8])
    for magic, name in MAGICS.items():
        if head.startswith(magic) and (name != "bzip2" or bytes(data[4:10]) == b"1AY&SY"):
            return name
    return "tar" if bytes(data[257:262]) == b"ustar" else ""


def members(data: tar.Data, path: str, bounds: Bounds, notes: Notes) -> Iterator[tuple[str, tar.Data]]:
    """Yield path (``a.zip!/inner/x``) and bytes of the files in the archive ``data``, which lies at ``path``.

    A compressed tar counts as one archive. Never raises: damage is noted, what was yielded before it is good.
    """
    found = kind(data)
    try:
        if found in ("7z", "rar"):
            notes.add(f"packed with {found}, which is not looked into", path)
        elif found == "zip":
            yield from _zip(data, path, bounds, notes)
        elif found == "tar":
            yield from _tar(data, path, bounds, notes)
        elif found == "ar":
            yield from _ar(data, path, bounds, notes)
        elif found:
            content = _bounded(_stream(found, data), len(data), path, bounds, notes)
            if kind(content) == "tar":
                yield from _tar(content, path, bounds, notes)
            else:
                yield f"{path}!/{path.rpartition('/')[2].rpartition('.')[0] or 'content'}", content
    except Exception as error:  # whatever the readers of these formats raise at bytes made to break them
        notes.add(f"that cannot be unpacked ({_short(error)})", path)


def _bounded(chunks: Iterable[bytes], packed: int, path: str, bounds: Bounds, notes: Notes) -> bytes:
    """Return what ``chunks`` give, as far as the bounds let; count it and note what was cut."""
    content = bytearray()
    limit = min(bounds.member_bytes, bounds.bytes)
    try:
        for chunk in chunks:
            content += chunk
            if len(content) > 8 << 20 and len(content) > bounds.ratio * packed:
                notes.add(f"that unpack to more than {bounds.ratio} times their packed size", path)
                break
            if len(content) > limit:
                notes.add(f"in archives of which only the first {limit >> 20} MiB were looked at", path)
                del content[limit:]
                break
    except Exception as error:  # whatever the readers of these formats raise at bytes made to break them
        notes.add(f"that cannot be unpacked ({_short(error)})", path)
    bounds.files -= 1
    bounds.bytes -= len(content)
    return bytes(content)


def _spent(path: str, bounds: Bounds, notes: Notes) -> bool:
    if bounds.spent:
        notes.add("in archives that hold more than is unpacked of one layer", path)
    return bounds.spent


def _zip(data: tar.Data, path: str, bounds: Bounds, notes: Notes) -> Iterator[tuple[str, tar.Data]]:
    if _directory_bytes(data) > DIRECTORY_BYTES:
        notes.add("that hold too many files to be unpacked", path)
        return
    with zipfile.ZipFile(_reader(data)) as archive:
        for info in archive.infolist():
            if _spent(path, bounds, notes):
                return
            inner = f"{path}!/{info.filename}"
            if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
                continue
            if info.flag_bits & 1:
                notes.add("in archives encrypted with a password", inner)
            elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                notes.add("in zip archives packed with an unusual method", inner)
            else:
                yield inner, _bounded(_zip_member(archive, info), info.compress_size, inner, bounds, notes)


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _directory_bytes(data: tar.Data) -> int:
    """Return the size of a zip's directory, by its end record (APPNOTE 4.3.14 to 4.3.16)."""
    tail = bytes(data[-65_557:])
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        raise zipfile.BadZipFile("its directory is missing")
    size = int.from_bytes(tail[end + 12 : end + 16], "little")
    if size == 0xFFFFFFFF and tail[end - 76 : end - 72] == b"PK\x06\x06":
        size = int.from_bytes(tail[end - 36 : end - 28], "little")
    return size


def _tar(data: tar.Data, path: str, bounds: Bounds, notes: Notes) -> Iterator[tuple[str, tar.Data]]:
    for entry in tar.walk(data):
        if not entry.is_file or not entry.size:
            continue
        if _spent(path, bounds, notes):
            return
        inner = f"{path}!/{entry.path}"
        if entry.segments is not None and entry.size > bounds.member_bytes:
            notes.add(f"with holes and over {bounds.member_bytes >> 20} MiB", inner)
            continue
        bounds.files -= 1
        if entry.segments is not None:
            yield inner, tar.read(data, entry)
        else:
            yield inner, memoryview(data)[entry.offset : entry.offset + entry.size]


def _ar(data: tar.Data, path: str, bounds: Bounds, notes: Notes) -> Iterator[tuple[str, tar.Data]]:
    """Yield the parts of a Debian package; any other ``ar`` is a static library, whose objects lie bare in it."""
    if bytes(data[8:21]) != b"debian-binary":
        return
    offset = 8
    while offset + 60 <= len(data) and not _spent(path, bounds, notes):
        head = bytes(data[offset : offset + 60])
        size = int(head[48:58])
        if size < 0 or head[58:60] != b"`\n":
            raise tar.TarError(offset, "a header that is none")
        bounds.files -= 1
        inner = head[:16].rstrip(b" /").decode("utf-8", "surrogateescape")
        yield f"{path}!/{inner}", memoryview(data)[offset + 60 : offset + 60 + size]
        offset += 60 + size + size % 2


def _stream(found: str, data: tar.Data) -> Iterator[bytes]:
    reader = _reader(data)
    if found in ("gzip", "zstd"):
        yield from plain(reader)
        return
    new = bz2.BZ2Decompressor if found == "bzip2" else lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY)
    packed = reader.read(CHUNK)
    while packed.strip(b"\0"):  # padding may stand behind a stream
        unpacker = new()
        while not unpacker.eof:
            if unpacker.needs_input and not packed and not (packed := reader.read(CHUNK)):
                raise EOFError("cut off")
            content = unpacker.decompress(packed, CHUNK)
            packed = b""
            yield content
        packed = unpacker.unused_data or reader.read(CHUNK)


def _reader(data: tar.Data) -> io.BytesIO | io.BufferedReader:
    """Return a file of ``data`` that copies no more than is read."""
    return io.BytesIO(data) if isinstance(data, bytes) else io.BufferedReader(_Window(memoryview(data)), CHUNK)


class _Window(io.RawIOBase):
    def __init__(self, view: memoryview) -> None:
        self._view, self._position = view, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._view)}[whence]
        if start + offset < 0:
            raise ValueError("before the start")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        chunk = self._view[self._position : self._position + len(buffer)]
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)


def _short(error: Exception) -> str:
    text = getattr(error, "what", "") or str(error) or type(error).__name__
    return text if len(text) <= 80 else text[:79] + "…"
