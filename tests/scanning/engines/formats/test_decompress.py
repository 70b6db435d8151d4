"""Layers become plain whatever they are packed with, in bounded memory; damage is named and never read as an end."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from scanning.engines.formats.decompress import CHUNK_BYTES, decompressed
from scanning.layers import CorruptLayer, LayerTooLarge, UnsupportedCompression

SKIPPABLE = (0x184D2A53).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"hello"
CONTENT = os.urandom(3000) + bytes(5000) + b"the end of the content"


class Dripping(io.BytesIO):
    """Gives a few bytes at a time, as a slow network does."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(7, size) if size and size > 0 else 7)


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


def unpack(data: bytes) -> bytes:
    return b"".join(decompressed(io.BytesIO(data)))


@pytest.mark.parametrize(
    "packed",
    [
        CONTENT,
        gzip.compress(CONTENT),
        gzip.compress(CONTENT[:100]) + gzip.compress(b"") + gzip.compress(CONTENT[100:]),
        gzip.compress(CONTENT) + bytes(10_000),
        zstd(CONTENT),
        zstd(CONTENT[:100]) + zstd(b"") + zstd(CONTENT[100:]),
        SKIPPABLE + zstd(CONTENT[:50]) + SKIPPABLE + zstd(CONTENT[50:]) + SKIPPABLE,
    ],
    ids=["plain", "gzip", "gzip members", "gzip and zeros", "zstd", "zstd frames", "zstd skippable"],
)
def test_every_packing_gives_the_content_also_in_drips(packed: bytes) -> None:
    class Whole(io.BytesIO):
        ended = False

        def read(self, size: int | None = -1, /) -> bytes:
            chunk = super().read(size)
            self.ended = not chunk
            return chunk

    source = Whole(packed)
    assert b"".join(decompressed(source)) == CONTENT
    assert source.ended  # so that a reader that judges the digest at the end has judged
    assert b"".join(decompressed(Dripping(packed))) == CONTENT


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_stream_that_is_cut_off_anywhere_is_damage(pack: object) -> None:
    packed = pack(CONTENT[:200] + bytes(300))  # type: ignore[operator]
    for cut in range(12, len(packed)):
        with pytest.raises(CorruptLayer):
            unpack(packed[:cut])


@pytest.mark.parametrize("packed", [gzip.compress(CONTENT), zstd(CONTENT)], ids=["gzip", "zstd"])
def test_a_flipped_bit_and_rubbish_behind_are_damage(packed: bytes) -> None:
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 4
    for bad in (bytes(flipped), packed + b"rubbish", packed + b"\x1f"):
        with pytest.raises(CorruptLayer):
            unpack(bad)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2 * CHUNK_BYTES + 3), st.booleans()), max_size=4),
    st.sampled_from(["gzip", "zstd"]),
)
def test_lengths_around_the_chunk_lose_nothing(parts: list[tuple[int, bool]], how: str) -> None:
    contents = [
        (os.urandom(1000) * (length // 1000 + 1))[:length] if noise else bytes(length) for length, noise in parts
    ]
    pack = zstd if how == "zstd" else lambda content: gzip.compress(content, 1)
    assert unpack(b"".join(map(pack, contents))) == b"".join(contents)


def test_a_tar_is_a_tar_though_its_first_file_is_called_like_an_archive() -> None:
    content = b"BZh9".ljust(257, b"\0") + b"ustar".ljust(300, b"\0")
    assert unpack(content) == content


@pytest.mark.parametrize(
    ("data", "name"),
    [(lzma.compress(b"x"), "xz"), (b"BZh91AY", "bzip2"), (b"PK\3\4", "zip")],
    ids=["xz", "bzip2", "zip"],
)
def test_other_packings_are_refused_by_name(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedCompression, match=name):
        unpack(data)


def test_nothing_is_an_empty_layer() -> None:
    assert unpack(b"") == b""


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_bomb_comes_in_small_chunks(pack: object) -> None:
    packed = 3 * pack(bytes(20 << 20))  # type: ignore[operator]
    tracemalloc.start()
    try:
        chunks = decompressed(io.BytesIO(packed))
        assert max(map(len, chunks)) <= CHUNK_BYTES + 64
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_zstd_window_beyond_reason_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=28, enable_ldm=True)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(LayerTooLarge, match="window"):
        unpack(compressor.compress(b"x" * 1000) + compressor.flush())


class Stopped(Exception):
    pass


@pytest.mark.parametrize("packed", [CONTENT, gzip.compress(CONTENT), zstd(CONTENT)], ids=["plain", "gzip", "zstd"])
def test_what_the_reader_raises_comes_through_as_it_is(packed: bytes) -> None:
    class Stopping(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 1000:
                raise Stopped
            return super().read(min(600, size or 1))

    with pytest.raises(Stopped):
        list(decompressed(Stopping(packed)))
