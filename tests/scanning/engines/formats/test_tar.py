"""The tar walker sees what tarfile sees, and no mutated archive makes it crash, loop or read outside."""

from __future__ import annotations

import contextlib
import io
import mmap
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanning.engines.formats.tar import BLOCK_BYTES, EntryType, TarEntry, TarError, read, rooted, walk
from scanning.engines.formats.tar_sparse import MAX_SEGMENTS

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
KINDS = {
    tarfile.REGTYPE: EntryType.FILE,
    tarfile.AREGTYPE: EntryType.FILE,
    tarfile.CONTTYPE: EntryType.FILE,
    tarfile.GNUTYPE_SPARSE: EntryType.FILE,
    tarfile.LNKTYPE: EntryType.HARD_LINK,
    tarfile.SYMTYPE: EntryType.SYMLINK,
    tarfile.DIRTYPE: EntryType.DIRECTORY,
    tarfile.CHRTYPE: EntryType.CHARACTER_DEVICE,
    tarfile.BLKTYPE: EntryType.BLOCK_DEVICE,
    tarfile.FIFOTYPE: EntryType.FIFO,
}


def archive(*files: tuple[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def header(name: bytes, *, kind: bytes = b"0", size: bytes = b"0" * 11 + b"\0", rest: bytes = b"") -> bytes:
    """Make a header by hand; ``rest`` stands at byte 257."""
    block = bytearray(BLOCK_BYTES)
    block[: len(name)] = name
    block[100:108] = b"0000644\0"
    block[124:136] = size
    block[136:148] = b"0" * 11 + b"\0"
    block[156:157] = kind
    block[257 : 257 + len(rest)] = rest
    return sign(block)


def sign(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def octal(number: int) -> bytes:
    return b"%011o\0" % number


def pad(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK_BYTES)


def pax(*records: tuple[bytes, bytes]) -> bytes:
    body = b""
    for key, value in records:
        length = len(key) + len(value) + 3
        while len(str(length)) + len(key) + len(value) + 3 != length:
            length = len(str(length)) + len(key) + len(value) + 3
        body += b"%d %s=%s\n" % (length, key, value)
    return header(b"pax", kind=b"x", size=octal(len(body))) + pad(body)


END = bytes(2 * BLOCK_BYTES)

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300).filter(
    lambda name: not name.endswith("/")
)
members = st.lists(
    st.tuples(names, st.sampled_from(sorted(KINDS)), st.binary(max_size=1500), names), min_size=1, max_size=8
)


@settings(max_examples=300, deadline=None)
@given(members=members, format=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_any_archive_that_tarfile_writes_reads_the_same(
    members: list[tuple[str, bytes, bytes, str]], format: int
) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, pax_headers={"comment": "whole"}) as tar:
        for name, kind, content, target in members:
            info = tarfile.TarInfo(name)
            info.type = tarfile.REGTYPE if kind == tarfile.GNUTYPE_SPARSE else kind
            info.mode = 0o4755
            info.linkname = target if kind in (tarfile.LNKTYPE, tarfile.SYMTYPE) else ""
            if KINDS[kind] is EntryType.FILE:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data = out.getvalue()
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape", encoding="utf-8") as tar:
        expected = [
            (m.name, KINDS[m.type], m.size if m.isreg() else 0, m.offset_data if m.isreg() else 0, m.mode, m.linkname)
            for m in tar
        ]
    found = [
        (
            entry.name.decode("utf-8", "surrogateescape").rstrip("/"),
            entry.type,
            entry.size,
            entry.offset if entry.is_file else 0,
            entry.mode,
            entry.linkname.decode("utf-8", "surrogateescape"),
        )
        for entry in walk(data)
    ]
    assert found == expected


@settings(max_examples=800, deadline=None)
@given(
    base=st.sampled_from(FORMATS),
    edits=st.lists(st.tuples(st.integers(0, 8000), st.binary(min_size=1, max_size=16)), max_size=6),
    cut=st.integers(0, 9000),
    resign=st.booleans(),
)
def test_no_mutated_archive_makes_it_crash_or_read_outside(
    base: int, edits: list[tuple[int, bytes]], cut: int, resign: bool
) -> None:
    long = "" if base == tarfile.USTAR_FORMAT else "n" * 180
    data = bytearray(archive(("a", b"x" * 700), ("b" + long, b"yy"), ("dir/c", b""), ("d", b"z" * 512), format=base))
    data += pax((b"path", b"p"), (b"size", b"5"), (b"GNU.sparse.map", b"1,2,9,3")) + header(b"q", size=octal(5)) + END
    for offset, content in edits:
        data[offset : offset + len(content)] = content
    if resign:  # so that the checksum does not hide what is behind it
        for offset in range(0, len(data) - BLOCK_BYTES + 1, BLOCK_BYTES):
            block = bytes(data[offset : offset + BLOCK_BYTES])
            if block.strip(b"\0"):
                data[offset : offset + BLOCK_BYTES] = sign(bytearray(block))
    image = bytes(data[:cut])
    last = -1
    try:
        for entry in walk(image):
            assert entry.offset > last
            last = entry.offset
            if entry.is_file and entry.size < 1 << 20:
                assert len(read(image, entry)) == entry.size
    except TarError as error:
        if not 0 <= error.offset <= len(image):
            raise


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=3000))
def test_rubbish_ends_in_a_plain_error_or_in_nothing(data: bytes) -> None:
    with contextlib.suppress(TarError):
        assert all(isinstance(entry, TarEntry) for entry in walk(data))


@pytest.mark.parametrize("format", FORMATS)
def test_long_names_and_prefixes_are_whole(format: int) -> None:
    name = "/".join(["folder" * 5] * 6) + "/file"
    (entry,) = walk(archive((name, b"content"), format=format))
    assert entry.path == name


def test_a_size_in_base_256_is_understood() -> None:
    data = header(b"big", size=b"\x80" + (700).to_bytes(11, "big")) + pad(b"b" * 700) + header(b"after") + END
    big, after = walk(data)
    assert (big.size, after.path) == (700, "after")


def test_a_size_in_a_pax_header_overrules_the_header() -> None:
    data = pax((b"size", b"600")) + header(b"f", size=octal(0)) + pad(b"c" * 600) + header(b"after") + END
    file, after = walk(data)
    assert (read(data, file), after.path) == (b"c" * 600, "after")


@pytest.mark.parametrize("size", [b"-1", b"9" * 30, b"1e3", b" 1", b"0x1", b"+", b"1_0"])
def test_a_pax_size_that_is_no_size_is_refused(size: bytes) -> None:
    with pytest.raises(TarError, match="number"):
        list(walk(pax((b"size", size)) + header(b"f") + END))


def test_a_pax_size_with_sign_and_zeros_is_read_as_container_runtimes_read_it() -> None:
    (file,) = walk(pax((b"size", b"+" + b"0" * 30 + b"3")) + header(b"f") + pad(b"abc") + END)
    assert file.size == 3


def test_a_mode_that_is_no_number_does_not_hide_the_file() -> None:
    block = bytearray(header(b"f"))
    block[100:108] = b"\xff" * 8
    assert [entry.path for entry in walk(sign(block) + END)] == ["f"]


def test_a_negative_size_in_base_256_is_refused() -> None:
    with pytest.raises(TarError, match="below zero"):
        list(walk(header(b"f", size=b"\xff" * 12) + END))


def test_a_wrong_checksum_ends_the_walk_with_the_place_named() -> None:
    good = archive(("first", b"1"))[: 2 * BLOCK_BYTES]
    broken = bytearray(header(b"second"))
    broken[0] ^= 1
    entries: list[TarEntry] = []
    with pytest.raises(TarError, match="byte 1024"):
        entries.extend(walk(good + bytes(broken) + END))
    assert [entry.path for entry in walk(good)] == ["first"]


@pytest.mark.parametrize("cut", [100, BLOCK_BYTES + 10, 3 * BLOCK_BYTES + 7])
def test_a_cut_archive_says_so(cut: int) -> None:
    data = archive(("a", b"a" * 100), ("b", b"b" * 1000))[:cut]
    with pytest.raises(TarError, match="cut off"):
        list(walk(data))


def test_a_missing_end_mark_is_no_fault() -> None:
    assert [entry.path for entry in walk(archive(("a", b"a"))[: 2 * BLOCK_BYTES])] == ["a"]


def test_one_zero_block_between_entries_hides_nothing_and_two_end_the_archive() -> None:
    a, b, c = header(b"a"), header(b"b"), header(b"c")
    assert [entry.path for entry in walk(a + bytes(BLOCK_BYTES) + b + END + c + END)] == ["a", "b"]


def sparse_pieces() -> tuple[bytes, bytes]:
    return b"A" * 512, b"B" * 300


def old_gnu_sparse(pieces: int = 2) -> bytes:
    size, body = pieces * 1000 + 512, b"".join(bytes([65 + index % 26]) * 512 for index in range(pieces))
    pairs = [octal(index * 1000) + octal(512) for index in range(pieces)]
    rest = bytearray(255)
    rest[:8] = b"ustar  \0"
    rest[386 - 257 : 386 - 257 + 96] = b"".join(pairs[:4]).ljust(96, b"\0")
    rest[482 - 257] = pieces > 4
    rest[483 - 257 : 495 - 257] = octal(size)
    blocks = header(b"sparse", kind=b"S", size=octal(len(body)), rest=bytes(rest))
    for index in range(4, pieces, 21):
        blocks += (b"".join(pairs[index : index + 21]).ljust(504, b"\0") + bytes([pieces > index + 21])).ljust(
            BLOCK_BYTES, b"\0"
        )
    return blocks + pad(body)


def pax_sparse(minor: str) -> bytes:
    first, second = sparse_pieces()
    named = [(b"GNU.sparse.name", b"sparse"), (b"GNU.sparse.realsize", b"3000")]
    body = first + second
    if minor == "1.0":
        body = pad(b"2\n0\n512\n2000\n300\n") + body
        records = [*named, (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0")]
    elif minor == "0.1":
        records = [named[0], (b"GNU.sparse.size", b"3000"), (b"GNU.sparse.map", b"0,512,2000,300")]
    else:
        pairs = [(b"GNU.sparse.offset", b"0"), (b"GNU.sparse.numbytes", b"512")]
        pairs += [(b"GNU.sparse.offset", b"2000"), (b"GNU.sparse.numbytes", b"300")]
        records = [(b"GNU.sparse.size", b"3000"), *pairs, (b"path", b"sparse")]
    return pax(*records) + header(b"GNUSparseFile.0/sparse", size=octal(len(body))) + pad(body)


@pytest.mark.parametrize(
    "make",
    [
        *(lambda minor=minor: pax_sparse(minor) for minor in ("0.0", "0.1", "1.0")),
        lambda: old_gnu_sparse(3),
        lambda: old_gnu_sparse(40),
    ],
)
def test_sparse_files_of_every_kind_read_as_tarfile_reads_them(make: Callable[[], bytes]) -> None:
    data = make() + pad(header(b"after")) + END
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        member = tar.getmembers()[0]
        file = tar.extractfile(member)
        assert file is not None
        expected = (member.name, member.size, file.read())
    sparse, after = walk(data)
    assert (sparse.path, sparse.size, read(data, sparse)) == expected
    assert after.path == "after"


@pytest.mark.parametrize("numbers", [b"5,10,0,5", b"0,10,5,5", b"0,9999", b"100000,1", b"1,2,3", b"1,x"])
def test_a_sparse_map_that_lies_is_refused(numbers: bytes) -> None:
    records = ((b"GNU.sparse.size", b"3000"), (b"GNU.sparse.map", numbers), (b"GNU.sparse.name", b"s"))
    with pytest.raises(TarError):
        list(walk(pax(*records) + header(b"s", size=octal(15)) + pad(b"x" * 15) + END))


def test_a_sparse_map_without_end_is_bounded() -> None:
    block = (octal(0) + octal(0)) * 21
    chain = block.ljust(504, b"\0") + b"\1" + bytes(7)
    rest = bytearray(255)
    rest[482 - 257] = 1
    rest[483 - 257 : 495 - 257] = octal(0)
    with pytest.raises(TarError, match="too many pieces"):
        list(walk(header(b"s", kind=b"S", rest=bytes(rest)) + chain * (MAX_SEGMENTS // 21 + 10)))


def test_an_extended_header_of_many_bytes_is_refused() -> None:
    with pytest.raises(TarError, match="extended header of"):
        list(walk(header(b"x", kind=b"x", size=octal(2 << 20)) + bytes(2 << 20)))


def test_odd_names_are_kept_byte_for_byte() -> None:
    odd = [b"\xff\xfe", b"line\nbreak", "\u202egnp.exe".encode(), b"n" * 4096, b"nul\0inside"]
    data = b"".join(pax((b"path", name)) + header(b"short") for name in odd) + END
    entries = list(walk(data))
    assert [entry.name for entry in entries] == odd
    assert [entry.path.encode("utf-8", "surrogateescape") for entry in entries] == odd


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"../../etc/passwd", "etc/passwd"),
        (b"/etc/passwd", "etc/passwd"),
        (b"./usr//bin/./x", "usr/bin/x"),
        (b"a/../../b/..", ""),
        (b"usr/lib/", "usr/lib"),
        (b"..hidden/.x", "..hidden/.x"),
    ],
)
def test_no_path_leads_out_of_the_image(name: bytes, path: str) -> None:
    assert rooted(name).decode() == path


def test_links_and_devices_have_no_bytes_whatever_their_size_says() -> None:
    kinds = [b"1", b"2", b"3", b"4", b"5", b"6"]
    data = b"".join(header(b"n", kind=kind, size=octal(4096)) for kind in kinds) + header(b"last") + END
    entries = list(walk(data))
    assert [entry.size for entry in entries] == [0] * 7
    assert entries[-1].is_file


def test_a_pax_header_without_its_file_is_damage() -> None:
    with pytest.raises(TarError, match="without its file"):
        list(walk(pax((b"path", b"x"))))


def test_a_header_of_the_whole_archive_moves_no_file() -> None:
    body = pax((b"path", b"evil"), (b"size", b"512"))
    globally = bytearray(body[:BLOCK_BYTES])
    globally[156:157] = b"g"
    data = sign(globally) + body[BLOCK_BYTES:] + header(b"honest") + header(b"next") + END
    assert [entry.path for entry in walk(data)] == ["honest", "next"]


def test_extended_headers_without_end_end_the_walk_long_before_the_archive() -> None:
    few = pax((b"comment", b"x")) * 50
    assert [entry.path for entry in walk(few + header(b"file") + few + header(b"next") + END)] == ["file", "next"]
    for many in (pax((b"comment", b"x")), bytes(BLOCK_BYTES) + pax((b"comment", b"x"))):
        with pytest.raises(TarError, match="before one file") as caught:
            list(walk(many * 5000))
        assert caught.value.offset < 200 * len(many)


class Counting(bytes):
    """An archive that counts what is read of it."""

    reads = total = 0

    def __getitem__(self, part: Any) -> Any:
        found = super().__getitem__(part)
        self.reads, self.total = self.reads + 1, self.total + len(found)
        return found


def test_the_walk_reads_each_header_once_and_no_file() -> None:
    count = 20_000
    body = bytes(BLOCK_BYTES * 4)
    data = Counting((header(b"some/folder/file", size=octal(len(body))) + body) * count + END)
    assert sum(1 for _ in walk(data)) == count
    assert data.reads <= count + 4
    assert data.total <= (count + 4) * BLOCK_BYTES


def test_any_number_of_entries_is_walked_in_an_mmap_with_flat_memory(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "layer"
    block = header(b"some/folder/file") * 1000
    with path.open("wb") as file:
        for _ in range(20):
            file.write(block)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
        tracemalloc.start()
        try:
            assert sum(1 for _ in walk(data)) == 20_000
            assert tracemalloc.get_traced_memory()[1] < 256 * 1024
        finally:
            tracemalloc.stop()
