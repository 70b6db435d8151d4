"""Archives of every kind that is recognised, each with one file inside: as they are packed, and as attackers bend them.

Made on the spot by Python's own writers and by hand where those write nothing so odd.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

import zstandard

from tests.scanning.layer import tar

SHELL = b'#!/bin/sh\nexec tail -n +3 "$0" | tar xz\n\n'
ELF_END = 64 + 56 + 100
Builder = Callable[[bytes], bytes]


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return out.getvalue()


def local(name: bytes, content: bytes, *, method: int = 8, flags: int = 0, packed: bytes | None = None) -> bytes:
    """A header of a zip archive with its file behind it."""
    if packed is None:
        packed = raw_deflate(content) if method == 8 else content
    sizes = (0, 0, 0) if flags & 8 else (zlib.crc32(content), len(packed), len(content))
    return struct.pack("<4s5H3I2H", b"PK\3\4", 20, flags, method, 0, 0, *sizes, len(name), 0) + name + packed


def central(
    name: bytes,
    content: bytes,
    at: int,
    *,
    method: int = 8,
    flags: int = 0,
    packed: bytes | None = None,
    disk: int = 0,
    extra: bytes = b"",
    attributes: int = 0,
) -> bytes:
    """An entry in the directory of a zip archive."""
    if packed is None:
        packed = raw_deflate(content) if method == 8 else content
    sizes = zlib.crc32(content), len(packed), len(content)
    lengths = len(name), len(extra), 0, disk, 0
    fields = b"PK\1\2", 20, 20, flags, method, 0, 0, *sizes, *lengths, attributes, at
    return struct.pack("<4s6H3I5H2I", *fields) + name + extra


def end(directory: bytes, at: int, *, count: int = 1, disk: int = 0, comment: bytes = b"") -> bytes:
    """The end record of a zip archive."""
    return struct.pack("<4s4H2IH", b"PK\5\6", disk, disk, count, count, len(directory), at, len(comment)) + comment


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def zip_of_entries(*parts: tuple[bytes, bytes], comment: bytes = b"") -> bytes:
    """A zip archive of (what stands before, entry in the directory)."""
    body = b"".join(part[0] for part in parts)
    directory = b"".join(part[1] for part in parts)
    return body + directory + end(directory, len(body), count=len(parts), comment=comment)


def one(content: bytes, name: bytes = b"x", **changes: int) -> bytes:
    """A zip archive of one file whose directory entry says something else than the header before the file."""
    before = local(name, content)
    directory = central(name, content, 0)
    position = {"method": 10, "flags": 8, "attributes": 38}
    edited = bytearray(directory)
    for field, value in changes.items():
        struct.pack_into("<I" if field == "attributes" else "<H", edited, position[field], value)
    return zip_of_entries((before, bytes(edited)))


def spanned(content: bytes) -> bytes:
    """An archive in pieces of which there is but one: its marker stands before all."""
    inner = local(b"x", content)
    directory = central(b"x", content, 4)
    return b"PK\7\x08" + inner + directory + end(directory, 4 + len(inner))


def last_piece(content: bytes) -> bytes:
    directory = central(b"x", content, 0, disk=0)
    return directory + end(directory, 0, disk=1)


def zip64(content: bytes) -> bytes:
    before = local(b"x", content)
    extra = struct.pack("<HHQQQ", 1, 24, len(content), len(raw_deflate(content)), 0)
    directory = bytearray(central(b"x", content, 0xFFFFFFFF, extra=extra))
    struct.pack_into("<II", directory, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    at = len(before) + len(directory)
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(directory), len(before))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    last = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return before + bytes(directory) + record + locator + last


def streamed(content: bytes) -> bytes:
    """Without a directory, and with the sizes behind the file: what is made for a pipe."""
    packed = raw_deflate(content)
    descriptor = struct.pack("<4s3I", b"PK\7\x08", zlib.crc32(content), len(packed), len(content))
    return local(b"x", content, flags=8) + descriptor


def hidden_from_directory(content: bytes) -> bytes:
    good = local(b"good", b"good")
    directory = central(b"good", b"good", 0)
    body = good + local(b"x", content)
    return body + directory + end(directory, len(body))


def hidden_in_extent(content: bytes) -> bytes:
    """The directory says that a file is longer than its stream is; behind that lies another."""
    packed = raw_deflate(b"good")
    extent = packed + local(b"x", content)
    before = local(b"good", b"good", packed=packed)
    return zip_of_entries((before + local(b"x", content), central(b"good", b"good", 0, packed=extent)))


def differing(content: bytes) -> bytes:
    """The directory says that a file is stored, the header before it that it is packed."""
    packed = raw_deflate(content)
    return zip_of_entries((local(b"x", content, packed=packed), central(b"x", packed, 0, method=0)))


def sizes_of_nothing(content: bytes) -> bytes:
    """Both headers say that the file is empty; a reader of streams inflates what is there all the same."""
    before, directory = bytearray(local(b"x", content)), bytearray(central(b"x", content, 0))
    before[14:26] = directory[16:28] = bytes(12)
    return zip_of_entries((bytes(before), bytes(directory)))


def behind_the_directory(content: bytes) -> bytes:
    return zipped({"good": b"good"}) + local(b"x", content)


def two_ends(content: bytes) -> bytes:
    """An end record whose comment holds another one, that of an empty archive."""
    before, directory = local(b"x", content), central(b"x", content, 0)
    return zip_of_entries((before, directory), comment=end(b"", 0, count=0))


def lzma_method(content: bytes) -> bytes:
    return zipped({"x": content}, zipfile.ZIP_LZMA)


def by_method(method: int, pack: Builder) -> Builder:
    def build(content: bytes) -> bytes:
        packed = pack(content)
        return zip_of_entries(
            (
                local(b"x", content, method=method, packed=packed),
                central(b"x", content, 0, method=method, packed=packed),
            )
        )

    return build


def encrypted(content: bytes, flags: int = 1) -> bytes:
    scrambled = bytes(byte ^ 0x5A for byte in b"twelve bytes" + content)
    return zip_of_entries(
        (
            local(b"x", content, flags=flags, packed=scrambled),
            central(b"x", content, 0, flags=flags, packed=scrambled),
        )
    )


def v7(content: bytes, name: bytes = b"d/x", *, magic: bytes = b"", size: int | None = None) -> bytes:
    """A tar of the oldest format, whose headers have no magic; or with a magic of nobody's."""
    header = bytearray(512)
    header[: len(name)] = name
    header[100:108], header[108:116], header[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    header[124:136] = b"%011o\0" % (len(content) if size is None else size)
    header[136:148] = b"%011o\0" % 0
    header[257 : 257 + len(magic)] = magic
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content + bytes(-len(content) % 512) + bytes(1024)


def binary_checksum(content: bytes) -> bytes:
    data = bytearray(v7(content))
    data[148:156] = b"\x80" + int(data[148:154], 8).to_bytes(7, "big")
    return bytes(data)


def tar_of(format: int) -> Builder:
    def build(content: bytes) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=format) as archive:
            info = tarfile.TarInfo("d/" + "long-" * (10 if format == tarfile.USTAR_FORMAT else 40) + "/x")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        return out.getvalue()

    return build


def lzip(content: bytes) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 2}]
    raw = lzma.compress(content, lzma.FORMAT_RAW, filters=filters)
    trailer = struct.pack("<IQQ", zlib.crc32(content), len(content), 6 + len(raw) + 20)
    return b"LZIP\1\x10" + raw + trailer


def compressed(content: bytes, bits: int = 16) -> bytes:
    """As compress(1) packs it where it finds no repetition: each byte a code, which get wider as the table fills."""
    out, width, free = bytearray([0x1F, 0x9D, 0x80 | bits]), 9, 257
    group: list[int] = []
    for number, byte in enumerate(content):
        group.append(byte)
        if number and free < 1 << bits:
            free += 1
        wider = free >= 1 << width and width < bits
        if len(group) == 8 or wider or number == len(content) - 1:
            packed = sum(code << place * width for place, code in enumerate(group))
            last = number == len(content) - 1
            out += packed.to_bytes(-(-len(group) * width // 8) if last else width, "little")
            group = []
        width += wider
    return bytes(out)


def lzma_alone(content: bytes) -> bytes:
    return lzma.compress(content, lzma.FORMAT_ALONE)


def ar(name: bytes, content: bytes) -> bytes:
    return b"!<arch>\n%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, b"100644", len(content)) + content


def newc(content: bytes, magic: bytes = b"070701") -> bytes:
    def entry(name: bytes, body: bytes, mode: int) -> bytes:
        numbers = 1, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name) + 1, 0
        head = magic + b"".join(b"%08X" % number for number in numbers) + name + b"\0"
        return head + bytes(-len(head) % 4) + body + bytes(-len(body) % 4)

    return entry(b"d/x", content, 0o100644) + entry(b"TRAILER!!!", b"", 0)


def odc(content: bytes) -> bytes:
    def entry(name: bytes, body: bytes) -> bytes:
        head = b"070707" + b"%06o" * 7 % (0, 1, 0o100644, 0, 0, 1, 0)
        return head + b"%011o%06o%011o" % (0, len(name) + 1, len(body)) + name + b"\0" + body

    return entry(b"d/x", content) + entry(b"TRAILER!!!", b"")


def old_cpio(content: bytes) -> bytes:
    def entry(name: bytes, body: bytes) -> bytes:
        numbers = 0o070707, 0, 1, 0o100644, 0, 0, 1, 0, 0, 0, len(name) + 1, len(body) >> 16, len(body) & 0xFFFF
        head = struct.pack("<13H", *numbers) + name + b"\0"
        return head + bytes(len(head) % 2) + body + bytes(len(body) % 2)

    return entry(b"d/x", content) + entry(b"TRAILER!!!", b"")


def rpm(content: bytes) -> bytes:
    header = b"\x8e\xad\xe8\x01" + bytes(4) + struct.pack(">II", 1, 5) + bytes(16) + b"hello"
    lead = b"\xed\xab\xee\xdb\3\0" + bytes(90)
    return lead + header + bytes(-len(header) % 8) + header + lzma.compress(newc(content))


def elf(payload: bytes) -> bytes:
    """A program of one segment with ``payload`` behind its end."""
    head = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 1000, 1000, 4096)
    return (head + segment).ljust(1000, b"\x90") + payload


def pe(payload: bytes) -> bytes:
    head = bytearray(b"MZ".ljust(1024, b"\0"))
    head[60:64] = struct.pack("<I", 128)
    head[128:152] = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x14C, 1, 0, 0, 0, 0, 2)
    head[152:192] = struct.pack("<8sIIII12sI", b".text", 512, 0, 512, 512, b"", 0)
    return bytes(head) + payload


def lying(name: bytes = b"x", **changes: int) -> Builder:
    return lambda content: one(content, name, **changes)


# kind → name of the file, how it is built of what it holds, and the path by which what it holds is told
OPENED_SAMPLES: dict[str, tuple[str, Builder, str]] = {
    "zip": ("a.zip", lambda it: zipped({"in/x": it}), "a.zip!/in/x"),
    "zip, stored": ("a.jar", lambda it: zipped({"x": it}, 0), "a.jar!/x"),
    "zip behind a script": ("run", lambda it: b"#!/bin/sh\nexec java -jar $0\n" + zipped({"x": it}), "run!/x"),
    "zip behind MZ": ("a.exe", lambda it: b"MZ" + bytes(300) + zipped({"x": it}), "a.exe!/x"),
    "zip behind a program": ("prog", lambda it: elf(zipped({"x": it})), "prog!/x"),
    "zip behind anything": ("a.gif", lambda it: b"GIF89a" + bytes(70_000) + zipped({"x": it}), "a.gif!/x"),
    "zip with a comment": (
        "c.zip",
        lambda it: zip_of_entries((local(b"x", it), central(b"x", it, 0)), comment=b"c" * 65_535),
        "c.zip!/x",
    ),
    "zip with bytes behind": ("b.zip", lambda it: zipped({"x": it}) + b"rest" * 1000, "b.zip!/x"),
    "zip, spanned, of one piece": ("s.zip", spanned, "s.zip!/x"),
    "zip64": ("64.zip", zip64, "64.zip!/x"),
    "zip without a directory": ("p.zip", streamed, "p.zip!/x"),
    "zip, not in its directory": ("h.zip", hidden_from_directory, "h.zip!/x"),
    "zip, in the extent of another": ("e.zip", hidden_in_extent, "e.zip!/x"),
    "zip, behind its directory": ("d.zip", behind_the_directory, "d.zip!/x"),
    "zip, directory and header differ": ("v.zip", differing, "v.zip!/x"),
    "zip, sizes of nothing": ("n.zip", sizes_of_nothing, "n.zip!/x"),
    "zip with two ends": ("t.zip", two_ends, "t.zip!/x"),
    "jar member that claims to be a link": ("l.jar", lying(attributes=0o120777 << 16), "l.jar!/x"),
    "jar member that ends in a slash": ("f.jar", lying(b"x/"), "f.jar!/x"),
    "zip that claims to be encrypted": ("fake.apk", lying(flags=1), "fake.apk!/x"),
    "zip of an unknown method that is stored": (
        "m.apk",
        by_method(0x1234, bytes),
        "m.apk!/x",
    ),
    "zip, bzip2": ("m12.zip", lambda it: zipped({"x": it}, zipfile.ZIP_BZIP2), "m12.zip!/x"),
    "zip, lzma": ("m14.zip", lzma_method, "m14.zip!/x"),
    "zip, zstd": ("m93.zip", by_method(93, zstandard.compress), "m93.zip!/x"),
    "zip, xz": ("m95.zip", by_method(95, lzma.compress), "m95.zip!/x"),
    "tar, v7": ("v7.tar", v7, "v7.tar!/d/x"),
    "tar, blank magic": ("blank.tar", lambda it: v7(it, magic=b"     "), "blank.tar!/d/x"),
    "tar, magic of nobody": ("own.tar", lambda it: v7(it, magic=b"rstar\0"), "own.tar!/d/x"),
    "tar, v7, checksum in base 256": ("c.tar", binary_checksum, "c.tar!/d/x"),
    "tar, ustar": ("u.tar", tar_of(tarfile.USTAR_FORMAT), "u.tar!/d/" + "long-" * 10 + "/x"),
    "tar, gnu": ("g.tar", tar_of(tarfile.GNU_FORMAT), "g.tar!/d/" + "long-" * 40 + "/x"),
    "tar, pax": ("x.tar", tar_of(tarfile.PAX_FORMAT), "x.tar!/d/" + "long-" * 40 + "/x"),
    "tar behind the end of another": ("i.tar", lambda it: tar({"good": b"good"}) + tar({"d/x": it}), "i.tar!/d/x"),
    "tar behind an empty block": ("z.tar", lambda it: bytes(512) + tar({"d/x": it}), "z.tar!/d/x"),
    "tar member called like a folder": ("r.tar", lambda it: v7(it, b"d/x/"), "r.tar!/d/x"),
    "gzip": ("x.gz", gzip.compress, "x.gz!/x"),
    "gzip of a tar": ("t.tgz", lambda it: gzip.compress(tar({"d/x": it})), "t.tgz!/d/x"),
    "gzip of a v7 tar": ("v7.tgz", lambda it: gzip.compress(v7(it)), "v7.tgz!/d/x"),
    "gzip of 1992": ("92.gz", lambda it: b"\x1f\x9e" + gzip.compress(it)[2:], "92.gz!/92"),
    "gzip, two members": ("2.gz", lambda it: gzip.compress(b"") + gzip.compress(it), "2.gz!/2"),
    "zip behind gzip": ("gz.jar", lambda it: gzip.compress(b"good") + zipped({"x": it}), "gz.jar!/x"),
    "bzip2": ("x.bz2", bz2.compress, "x.bz2!/x"),
    "bzip2 behind an empty one": ("2.bz2", lambda it: bz2.compress(b"") + bz2.compress(it), "2.bz2!/2"),
    "xz": ("x.xz", lzma.compress, "x.xz!/x"),
    "xz, two streams": ("2.xz", lambda it: lzma.compress(b"") + bytes(4) + lzma.compress(it), "2.xz!/2"),
    "lzma": ("x.lzma", lzma_alone, "x.lzma!/x"),
    "lzma of a v7 tar": ("t.tlz", lambda it: lzma_alone(v7(it)), "t.tlz!/d/x"),
    "compress": ("x.Z", compressed, "x.Z!/x"),
    "compress of a tar": ("t.Z", lambda it: compressed(tar({"d/x": it})), "t.Z!/d/x"),
    "lzip": ("x.lz", lzip, "x.lz!/x"),
    "lzip, two members": ("2.lz", lambda it: lzip(b"") + lzip(it), "2.lz!/2"),
    "zstd": ("x.zst", zstandard.compress, "x.zst!/x"),
    "zstd behind a skippable frame": (
        "s.zst",
        lambda it: b"\x52\x2a\x4d\x18\4\0\0\0skip" + zstandard.compress(it),
        "s.zst!/s",
    ),
    "zlib": ("x.zz", zlib.compress, "x.zz!/x"),
    "deb": (
        "p.deb",
        lambda it: ar(b"debian-binary", b"2.0\n") + ar(b"data.tar", tar({"x": it}))[8:],
        "p.deb!/data.tar!/x",
    ),
    "ar": ("x.a", lambda it: ar(b"x/", it), "x.a!/x"),
    "ar of an archive": ("z.a", lambda it: ar(b"in.gz/", gzip.compress(it)), "z.a!/in.gz!/in"),
    "ar, name of BSD": ("b.a", lambda it: ar(b"#1/4", b"in\0\0" + gzip.compress(it)), "b.a!/in!/content"),
    "cpio, newc": ("n.cpio", newc, "n.cpio!/d/x"),
    "cpio, crc": ("c.cpio", lambda it: newc(it, b"070702"), "c.cpio!/d/x"),
    "cpio, odc": ("o.cpio", odc, "o.cpio!/d/x"),
    "cpio, binary": ("b.cpio", old_cpio, "b.cpio!/d/x"),
    "initramfs": ("initrd", lambda it: newc(b"early") + bytes(512) + gzip.compress(newc(it)), "initrd!/d/x"),
    "rpm": ("p.rpm", rpm, "p.rpm!/payload!/d/x"),
    "script with a tar": ("i.run", lambda it: SHELL + gzip.compress(tar({"x": it})), "i.run!/x"),
    "script with xz": ("x.run", lambda it: SHELL + lzma.compress(it), "x.run!/x"),
    "script with a bare tar": ("t.run", lambda it: SHELL + tar({"x": it}), "t.run!/x"),
    "program with a tar": ("p.run", lambda it: elf(gzip.compress(tar({"x": it}))), "p.run!/x"),
    "Windows program with zstd": ("w.exe", lambda it: pe(b"KAY" + zstandard.compress(it)), "w.exe!/w"),
}

# what is opened, and noted as well, since some readers refuse it
ODD_SAMPLE_REASONS = {
    "zip without a directory": "zip directory is missing",
    "zip behind gzip": "followed by data that is not gzip",
}
ARJ = b"\x1e\x0b\1\0\0\0\2\0" + bytes(22)
EXT = bytearray(4096)
EXT[1080:1084] = b"\x53\xef\1\0"
ISO = bytearray(40_000)
ISO[32769:32774] = b"CD001"


# kind → name of the file, its bytes, and the words with which it is noted
REFUSED_SAMPLES: dict[str, tuple[str, Builder, str]] = {
    "zip, encrypted": ("a.zip", encrypted, "encrypted with a password"),
    "zip, unsupported compression method": (
        "a.zip",
        by_method(9, lambda it: b"deflate64" + it),
        "unsupported compression method",
    ),
    "zip, cut off": ("a.zip", lambda it: zipped({"x": it})[:-30], "zip directory is missing"),
    "zip, one of several pieces": ("a.zip", last_piece, "one part of a multi-part zip archive"),
    "zip, listed and not there": (
        "a.zip",
        lambda it: zip_of_entries((local(b"good", b"good"), central(b"x", it, 7))),
        "missing from the archive",
    ),
    "tar, cut off": ("a.tar", lambda it: v7(it, size=10_000), "cut off"),
    "tar, wrong checksum": ("a.tar", lambda it: b"b" + tar({"a": it})[1:], "checksum is wrong"),
    "gzip, cut off": ("a.gz", lambda it: gzip.compress(it)[:-6], "truncated"),
    "gzip with something behind": ("a.gz", lambda it: gzip.compress(b"good") + it, "followed by data that is not gzip"),
    "lzma, cut off": (
        "a.lzma",
        lambda it: lzma.compress(bytes(range(256)) * 40, lzma.FORMAT_ALONE)[:-6] + b"",
        "cut off",
    ),
    "lzma with something behind": ("a.lzma", lambda it: lzma_alone(it) + b"rest", "follows its stream"),
    "7z": ("a.7z", lambda it: b"7z\xbc\xaf\x27\x1c\0\4" + it, "in 7z format"),
    "7z behind decoys in a script": (
        "a.run",
        lambda it: SHELL + b"\x1f\x8b\x08\0 decoy " * 100 + b"7z\xbc\xaf\x27\x1c\0\4" + it,
        "more archives than are tried",
    ),
    "zip with end records without number": (
        "a.zip",
        lambda it: zip_of_entries((local(b"x", it), central(b"x", it, 0)), comment=(b"PK\5\6" + b"x" * 18) * 2000)[1:],
        "too many end records",
    ),
    "script with much behind it": (
        "a.run",
        lambda it: SHELL + bytes(33 << 20) + it,
        "not all of it is searched",
    ),
    "7z behind a script": ("a.run", lambda it: SHELL + b"7z\xbc\xaf\x27\x1c\0\4" + it, "in 7z format"),
    "rar": ("a.rar", lambda it: b"Rar!\x1a\7\0" + it, "in rar format"),
    "SquashFS": ("a.snap", lambda it: b"hsqs".ljust(28, b"\1") + b"\4\0" + it, "in SquashFS format"),
    "AppImage": ("a.app", lambda it: elf(b"hsqs".ljust(28, b"\1") + b"\4\0" + it), "in SquashFS format"),
    "ISO 9660": ("a.iso", lambda it: bytes(ISO), "in ISO 9660 format"),
    "ext4": ("a.img", lambda it: bytes(EXT), "in ext4 format"),
    "cab": ("a.cab", lambda it: b"MSCF\0\0\0\0" + it, "in cab format"),
    "lz4": ("a.lz4", lambda it: b"\x04\x22\x4d\x18" + it, "in lz4 format"),
    "lzop": ("a.lzo", lambda it: b"\x89LZO\0\r\n\x1a\n" + it, "in lzop format"),
    "arj": (
        "a.arj",
        lambda it: b"\x60\xea" + struct.pack("<H", len(ARJ)) + ARJ + struct.pack("<I", zlib.crc32(ARJ)),
        "arj",
    ),
    "lha": ("a.lzh", lambda it: b"\x1e\x55-lh5-" + bytes(40), "in lha format"),
    "PyInstaller": ("a.bin", lambda it: elf(bytes(600) + b"MEI\x0c\x0b\x0a\x0b\x0e" + bytes(80)), "PyInstaller"),
    "rpm, cut off": ("a.rpm", lambda it: rpm(it)[:200], "cannot be unpacked"),
    "cpio, cut off": ("a.cpio", lambda it: newc(b"x" * 5000)[:300], "cut off"),
    "nested too deep": (
        "a.zip",
        lambda it: zipped({"x": zipped({"x": zipped({"x": zipped({"x": it})})})}),
        "nested deeper than 3",
    ),
}
