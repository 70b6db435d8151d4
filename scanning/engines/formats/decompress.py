"""Makes a compressed stream a plain one, by its first bytes and not by what the manifest says of it.

Memory is bounded whatever the stream holds: neither reader gives more than was asked for, and zstd's window is capped.
"""

from __future__ import annotations

import io
from collections.abc import Generator
from typing import Protocol

import zstandard
from isal import isal_zlib
from isal.igzip_lib import IsalError

from scanning.engines.formats import messages
from scanning.engines.formats.layer_errors import CorruptLayer, LayerTooLarge, UnsupportedCompression

CHUNK_BYTES = 1 << 20
ZSTD_WINDOW_BYTES = 1 << 27  # 128 MiB, the most that ``zstd --ultra --long`` makes by default
GZIP_MAGIC, ZSTD_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
UNSUPPORTED_MAGICS = {
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "a zip archive",
}

# A frame that is put behind the last: its content comes out only where the stream before it was complete. The reader
# of zstandard does not tell a stream that is cut off from one that has ended.
_END_MARK = b"tallyman: the end"
_END_FRAME = zstandard.ZstdCompressor().compress(_END_MARK)


class Readable(Protocol):
    """What gives bytes."""

    def read(self, size: int = -1, /) -> bytes: ...


def decompressed(source: Readable) -> Generator[bytes, None, None]:
    """Yield the uncompressed bytes of ``source`` in chunks of at most 1 MiB. Reads ``source`` to its very end.

    Raises UnsupportedCompression, CorruptLayer, LayerTooLarge (zstd window), and whatever ``source`` raises.
    """
    head = _head(source, 512)
    if head[257:262] == b"ustar":  # a tar, whatever its first file is called
        return _uncompressed_chunks(_Prefixed(head, source))
    if head.startswith(GZIP_MAGIC):
        return _gunzip(_Prefixed(head, source))
    if head.startswith(ZSTD_MAGIC) or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):  # or a skippable frame
        return _unzstd(_Prefixed(head, source, end=_END_FRAME))
    for magic, found in UNSUPPORTED_MAGICS.items():
        if head.startswith(magic):
            raise UnsupportedCompression(found if " " in found else f"compressed with {found}")
    return _uncompressed_chunks(_Prefixed(head, source))


def _head(source: Readable, size: int) -> bytes:
    head = b""
    while len(head) < size and (more := source.read(size - len(head))):
        head += more
    return head


class _Prefixed(io.BytesIO):
    """``source`` with its first bytes put back, and ``end`` behind its last."""

    def __init__(self, head: bytes, source: Readable, end: bytes = b"") -> None:
        super().__init__()
        self._head, self._source, self._end = head, source, end

    def read(self, size: int | None = -1, /) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        if chunk := self._source.read(CHUNK_BYTES if size is None or size < 0 else size):
            return chunk
        end, self._end = self._end, b""
        return end


def _uncompressed_chunks(source: Readable) -> Generator[bytes, None, None]:
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def _gunzip(source: Readable) -> Generator[bytes, None, None]:
    """Yield the content of all members; zeros may follow the last, as tape writers leave them."""
    data = source.read(CHUNK_BYTES)
    while data:
        member = isal_zlib.decompressobj(wbits=31)
        while not member.eof:
            ended = not data and not (data := source.read(CHUNK_BYTES))
            try:
                content = member.decompress(data, CHUNK_BYTES)  # with no data: what it still holds back
            except IsalError as error:  # type: ignore[misc]  # its stub calls the class an instance
                raise CorruptLayer(messages.GZIP_DAMAGED(error=error)) from error
            if ended and not content and not member.eof:
                raise CorruptLayer(messages.GZIP_TRUNCATED())
            data = member.unused_data if member.eof else member.unconsumed_tail
            if content:
                yield content
        while len(data := data.lstrip(b"\0")) < len(GZIP_MAGIC) and (more := source.read(CHUNK_BYTES)):
            data += more
        if data and not data.startswith(GZIP_MAGIC):
            raise CorruptLayer(messages.GZIP_FOLLOWED())


def _unzstd(source: _Prefixed) -> Generator[bytes, None, None]:
    """Yield the content of all frames; skippable frames (as of zstd:chunked) are skipped."""
    held = b""
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    try:
        with decompressor.stream_reader(source, read_size=CHUNK_BYTES // 8, read_across_frames=True) as reader:
            while chunk := reader.read(CHUNK_BYTES):
                held += chunk
                if len(held) > len(_END_MARK):
                    yield held[: -len(_END_MARK)]
                    held = held[-len(_END_MARK) :]
    except zstandard.ZstdError as error:
        if "too much memory" in str(error):
            raise LayerTooLarge(messages.ZSTD_WINDOW_TOO_LARGE(size=ZSTD_WINDOW_BYTES >> 20)) from error
        raise CorruptLayer(messages.ZSTD_DAMAGED(error=error)) from error
    if held != _END_MARK:
        raise CorruptLayer(messages.ZSTD_TRUNCATED())
