"""Unpacks streams: gzip, zstd, bzip2, xz, ``.lzma``, lzip, compress, zlib, deflate; in chunks, in bounded memory."""

from __future__ import annotations

import bz2
import io
import lzma
from collections.abc import Callable, Iterator
from typing import Protocol

from isal import isal_zlib

from scanning.engines.formats.decompress import decompressed
from scanning.engines.formats.tar_fields import Data

CHUNK_BYTES = 1 << 16
LZMA_MEMORY_BYTES = 128 << 20  # for .xz and .lzma; ``xz -9`` needs 65 MiB
MAX_DICTIONARY_BYTES = 64 << 20  # where the decoder itself has no bound, which is lzip and LZMA in zip
OLD_GZIP_MAGIC = b"\x1f\x9e"
LZW_FIRST_CODE_BITS, LZW_CLEAR_CODE = 9, 256  # bits of the first codes; the code that empties the table
LZIP_TRAILER_BYTES = {0: 12, 1: 20}  # bytes behind a stream, by version


class TrailingData(Exception):
    """A whole stream was unpacked, and what follows it is none."""


class Decoder(Protocol):
    """A decoder of ``bz2`` or ``lzma``."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


class Inflated:
    """The bytes of one deflate stream. ``used`` says how many packed bytes it took, ``ended`` whether it was whole.

    ``wbits`` as for zlib: -15 for a raw stream, 15 for one with zlib's header and checksum.
    """

    def __init__(self, packed: Data, wbits: int = -15) -> None:
        self._packed, self._wbits = memoryview(packed), wbits
        self.used, self.ended = 0, False

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content. Raises what the decoder raises, and EOFError where the stream is cut off."""
        decoder = isal_zlib.decompressobj(wbits=self._wbits)
        waiting: Data = b""
        while not decoder.eof:
            if not waiting:
                waiting = self._packed[self.used : self.used + CHUNK_BYTES]
                self.used += len(waiting)
            ended = not waiting
            content = decoder.decompress(waiting, CHUNK_BYTES)
            waiting = decoder.unconsumed_tail
            if content:
                yield content
            elif ended and not decoder.eof:
                raise EOFError("cut off")
        self.used -= len(decoder.unused_data)
        self.ended = True


class Decoded:
    """The bytes of one stream of bzip2, xz or LZMA; ``used`` as of :class:`Inflated`."""

    def __init__(self, packed: Data, decoder: Decoder) -> None:
        self._packed, self._decoder = memoryview(packed), decoder
        self.used = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content. Raises what the decoder raises, and EOFError where the stream is cut off."""
        decoder = self._decoder
        while not decoder.eof:
            waiting = b""
            if decoder.needs_input:
                waiting = bytes(self._packed[self.used : self.used + CHUNK_BYTES])
                self.used += len(waiting)
                if not waiting:
                    raise EOFError("cut off")
            if content := decoder.decompress(waiting, CHUNK_BYTES):
                yield content
        self.used -= len(decoder.unused_data)


def decompress_stream(name: str, data: Data) -> Iterator[bytes]:
    """Yield what the stream ``data`` in the format ``name`` holds. Raises whatever the decoder raises at damage."""
    if name in ("gzip", "zstd"):
        yield from decompressed(_AsGzip(data) if bytes(data[:2]) == OLD_GZIP_MAGIC else reader(data))
    elif name == "zlib":
        yield from Inflated(data, 15)
    elif name == "compress":
        yield from _lzw(data)
    elif name == "lzip":
        yield from _lzip(data)
    elif name == "bzip2":
        yield from _members(data, bz2.BZ2Decompressor)
    else:
        kind = lzma.FORMAT_ALONE if name == "lzma" else lzma.FORMAT_XZ
        yield from _members(data, lambda: lzma.LZMADecompressor(format=kind, memlimit=LZMA_MEMORY_BYTES))


def lzma_in_zip(packed: Data, size: int) -> Iterator[bytes]:
    """Yield the ``size`` bytes of a file packed with method 14 of zip (APPNOTE 5.8.8)."""
    head = bytes(packed[:9])
    if len(head) < 9 or int.from_bytes(head[2:4], "little") != 5:
        raise ValueError("its LZMA properties are malformed")
    left = size
    for content in Decoded(memoryview(packed)[9:], _raw(head[4], int.from_bytes(head[5:9], "little"))):
        yield content[:left]
        left -= len(content)
        if left <= 0:
            return


def _raw(properties: int, dictionary: int) -> lzma.LZMADecompressor:
    if dictionary > MAX_DICTIONARY_BYTES or properties >= 225:
        raise ValueError("its LZMA properties are malformed or ask for too much memory")
    lzma1 = {
        "id": lzma.FILTER_LZMA1,
        "dict_size": max(dictionary, 4096),
        "lc": properties % 9,
        "lp": properties // 9 % 5,
        "pb": properties // 45,
    }
    return lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=[lzma1])


def _lzip(data: Data) -> Iterator[bytes]:
    """Yield the content of all members (https://www.nongnu.org/lzip/manual/lzip_manual.html, File format)."""
    at, view = 0, memoryview(data)
    while bytes(view[at : at + 4]) == b"LZIP" and len(view) >= at + 6:
        version, code = view[at + 4], view[at + 5]
        if version not in LZIP_TRAILER_BYTES or not 12 <= code & 0x1F <= 29:
            raise ValueError("its lzip header is malformed")
        base = 1 << (code & 0x1F)
        stream = Decoded(view[at + 6 :], _raw(93, base - base // 16 * (code >> 5)))  # lc 3, lp 0, pb 2
        yield from stream
        at += 6 + stream.used + LZIP_TRAILER_BYTES[version]
    if at < len(view):
        raise ValueError("something that is not lzip follows its lzip stream")


def _lzw(data: Data) -> Iterator[bytes]:
    """Yield the content of a ``.Z`` file of compress(1).

    Codes come in groups of eight. A group in which their width changes or the table is emptied is not read to its end.
    """
    view = memoryview(data)
    most = 1 << (view[2] & 0x1F)
    clear = LZW_CLEAR_CODE if view[2] & 0x80 else -1
    prefixes, suffixes = [0] * most, bytearray(most)
    free, width, at = LZW_CLEAR_CODE + (clear > 0), LZW_FIRST_CODE_BITS, 3
    last, first = -1, 0
    content = bytearray()
    while group := bytes(view[at : at + width]):
        at += width
        codes, wide = int.from_bytes(group, "little"), width
        for _ in range(len(group) * 8 // width):
            code, codes = codes & ((1 << wide) - 1), codes >> wide
            if code == clear:
                free, width = LZW_CLEAR_CODE, LZW_FIRST_CODE_BITS
                break
            if code > free or (last < 0 and code > 255):
                raise ValueError("its codes are malformed")
            entry, text = code, bytearray()
            if code == free and last >= 0:
                text.append(first)
                entry = last
            while entry > 255:
                text.append(suffixes[entry])
                entry = prefixes[entry]
            first = entry
            text.append(first)
            text.reverse()
            content += text
            if last >= 0 and free < most:
                prefixes[free], suffixes[free] = last, first
                free += 1
            last = code
            if free >= 1 << width and 1 << width < most:
                width += 1
                break
        if len(content) >= CHUNK_BYTES:
            yield bytes(content)
            content.clear()
    yield bytes(content)


def _members(data: Data, new: Callable[[], Decoder]) -> Iterator[bytes]:
    """Yield the content of one stream behind the other; zeros may stand behind a stream."""
    at, view, ended = 0, memoryview(data), False
    while at < len(view):
        window = bytes(view[at : at + CHUNK_BYTES])
        zeros = len(window) - len(window.lstrip(b"\0"))
        at += zeros
        if zeros == len(window):
            continue
        stream = Decoded(view[at:], new())
        try:
            yield from stream
        except Exception as error:
            if ended:
                raise TrailingData("something that cannot be unpacked follows its stream") from error
            raise
        at, ended = at + stream.used, True


def reader(data: Data) -> io.BytesIO | io.BufferedReader:
    """Return a file of ``data`` that copies no more than is read."""
    return io.BytesIO(data) if isinstance(data, bytes) else io.BufferedReader(_Window(memoryview(data)), CHUNK_BYTES)


class _AsGzip:
    """A file of ``data``, which begins as gzip did before 1993, that begins as it does now."""

    def __init__(self, data: Data) -> None:
        self._source = reader(data)
        self._head = b"\x1f\x8b"

    def read(self, size: int = -1, /) -> bytes:
        head, self._head = self._head, b""
        return head + self._source.read(size)[len(head) :]


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
