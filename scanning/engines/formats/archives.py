"""Looks into archives inside layers: see detect.py for what is recognised, and docs/malware.md for the whole list.

Everything is bounded, because the archive may have been made to exhaust its reader; what a bound or damage kept from
being seen, and what is recognised and not opened, is noted, so that it does not read as clean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from isal import isal_zlib

from console.i18n.message_codes import Message
from scanning.engines.formats import containers, messages, streams, tar, zip
from scanning.engines.formats.detect import (
    READABLE_FORMATS,
    UNSURE_FORMATS,
    DetectedArchive,
    appended_between,
    detect_archives,
    is_program,
)
from scanning.engines.skipped_content import Notes

ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA, ZIP_ZSTD, ZIP_XZ = 0, 8, 12, 14, 93, 95  # methods of zip (APPNOTE 4.4.5)
ZIP_STREAMS = {ZIP_BZIP2: "bzip2", ZIP_ZSTD: "zstd", ZIP_XZ: "xz"}
UNSURE_STREAM_BYTES = 4096  # what gives less than this before it is damaged was only taken for a stream

Item = tuple[str, tar.Data]


@dataclass
class UnpackLimits:
    """What may still be unpacked in this layer."""

    depth: int = 3  # archives in archives
    member_bytes: int = 32 << 20  # of one file in an archive; of a larger one the first so many are looked at
    ratio: int = 200  # unpacked to packed, beyond 8 MiB
    files: int = 500_000
    entries: int = 2_000_000  # headers, also of folders and links
    bytes: int = 8 << 30

    @property
    def exceeded(self) -> bool:
        """Whether nothing more may be unpacked."""
        return self.files <= 0 or self.bytes <= 0 or self.entries <= 0


def members(
    data: tar.Data, path: str, bounds: UnpackLimits, notes: Notes, found: list[DetectedArchive] | None = None
) -> Iterator[Item]:
    """Yield path (``a.zip!/inner/x``) and bytes of the files in the archives that ``data``, at ``path``, is.

    ``found`` is what they were recognised as. A compressed tar or cpio counts as one archive. Never raises: damage is
    noted, what was yielded before it is good.
    """
    for each in detect_archives(data) if found is None else found:
        try:
            yield from _open(each, memoryview(data)[each.offset :] if each.offset else data, path, bounds, notes)
        except Exception as error:  # whatever the readers of these formats raise at bytes made to break them
            notes.add(messages.CANNOT_UNPACK(value=_short_message(error)), path)


def _open(recognised: DetectedArchive, data: tar.Data, path: str, bounds: UnpackLimits, notes: Notes) -> Iterator[Item]:
    found = recognised.format
    if found not in READABLE_FORMATS:
        notes.add(messages.UNKNOWN_PACKING(found=found), path)
    elif found == "zip":
        yield from _zip(data, path, bounds, notes)
    elif found == "tar":
        yield from _tar(data, path, bounds, notes)
    elif found == "cpio":
        yield from _cpio(data, path, bounds, notes)
    elif found == "ar":
        yield from _plain(containers.ar(data), data, path, bounds, notes)
    elif found == "rpm":
        begin = containers.rpm_payload(data)
        yield f"{path}!/payload", memoryview(data)[begin:]
    else:
        yield from _stream(recognised, data, path, bounds, notes)


def _stream(
    recognised: DetectedArchive, data: tar.Data, path: str, bounds: UnpackLimits, notes: Notes
) -> Iterator[Item]:
    """Yield what is packed in the stream ``data``: one file, or the files of the archive that it holds."""
    content, error = _collect(streams.decompress_stream(recognised.format, data), len(data), path, bounds, notes)
    if error is not None:
        unsure = len(content) < UNSURE_STREAM_BYTES and not isinstance(error, streams.TrailingData)
        if (recognised.format in UNSURE_FORMATS and unsure) or (not recognised.sure and not content):
            bounds.files += 1
            return
        notes.add(messages.CANNOT_UNPACK(value=_short_message(error)), path)
    if not content:
        return
    inner = detect_archives(content)
    if inner and inner[0].format in ("tar", "cpio"):
        yield from _open(inner[0], content, path, bounds, notes)
    else:
        yield f"{path}!/{path.rpartition('/')[2].rpartition('.')[0] or 'content'}", content


def _collect(
    chunks: Iterable[bytes], packed: int, path: str, bounds: UnpackLimits, notes: Notes
) -> tuple[bytes, Exception | None]:
    """Return what ``chunks`` give as far as the bounds let, and what they raised; count it and note what was cut."""
    content = bytearray()
    limit = min(bounds.member_bytes, bounds.bytes)
    failure = None
    try:
        for chunk in chunks:
            content += chunk
            if len(content) > 8 << 20 and len(content) > bounds.ratio * packed:
                notes.add(messages.EXPANDS_TOO_MUCH(ratio=bounds.ratio), path)
                break
            if len(content) > limit:
                notes.add(messages.ARCHIVE_READ_IN_PART(value=limit >> 20), path)
                del content[limit:]
                break
    except Exception as error:  # whatever the readers of these formats raise at bytes made to break them
        failure = error
    bounds.files -= 1
    bounds.bytes -= len(content)
    return bytes(content), failure


def _is_limit_reached(path: str, bounds: UnpackLimits, notes: Notes) -> bool:
    if bounds.exceeded:
        notes.add(messages.ARCHIVES_TOO_LARGE(), path)
    return bounds.exceeded


def _plain(
    found: Iterable[containers.Member], data: tar.Data, path: str, bounds: UnpackLimits, notes: Notes
) -> Iterator[Item]:
    """Yield files that lie bare in ``data``."""
    for member in found:
        bounds.entries -= 1
        if _is_limit_reached(path, bounds, notes):
            return
        bounds.files -= 1
        name = tar.rooted(member.name).decode("utf-8", "surrogateescape")
        yield f"{path}!/{name}", memoryview(data)[member.offset : member.offset + member.size]


def _cpio(data: tar.Data, path: str, bounds: UnpackLimits, notes: Notes) -> Iterator[Item]:
    """Yield the files of a cpio archive and of those behind it, packed or not, as the kernel reads an initramfs."""
    following: tar.Data | None = data
    while following is not None and not _is_limit_reached(path, bounds, notes):
        current, following = following, None
        for member in containers.cpio(current):
            if member.rest:
                following = memoryview(current)[member.offset :]
            else:
                yield from _plain([member], current, path, bounds, notes)
        if following is None:
            return
        for found in detect_archives(following):
            if found.format == "cpio":
                break
            yield from _open(found, following, path, bounds, notes)
        else:
            return


def _tar(data: tar.Data, path: str, bounds: UnpackLimits, notes: Notes) -> Iterator[Item]:
    for entry in tar.walk_all(data):
        bounds.entries -= 1
        if _is_limit_reached(path, bounds, notes):
            return
        if not entry.is_file or not entry.size:
            continue
        inner = f"{path}!/{entry.path}"
        if entry.segments is not None and entry.size > bounds.member_bytes:
            notes.add(messages.SPARSE_AND_LARGE(value=bounds.member_bytes >> 20), inner)
            continue
        bounds.files -= 1
        if entry.segments is not None:
            bounds.bytes -= entry.size
            yield inner, tar.read(data, entry)
        else:
            yield inner, memoryview(data)[entry.offset : entry.offset + entry.size]


def _zip(data: tar.Data, path: str, bounds: UnpackLimits, notes: Notes) -> Iterator[Item]:
    """Yield the files that any reader of zip finds: those of the directory, and those that stand in none."""
    covered = zip.CoveredRanges()
    directories = zip.find_directories(data)
    if any(directory.hidden for directory in directories):
        notes.add(messages.ZIP_TOO_MANY_ENDS(), path)
    if any(directory.is_spanned for directory in directories):
        notes.add(messages.ZIP_OF_SEVERAL(), path)
    elif not directories and not zip.is_empty(data):
        notes.add(messages.ZIP_WITHOUT_DIRECTORY(), path)
    for directory in directories:
        for listed in zip.directory_entries(data, directory):
            bounds.entries -= 1
            if _is_limit_reached(path, bounds, notes):
                return
            if listed is None:
                notes.add(messages.ZIP_DIRECTORY_TRUNCATED(), path)
                continue
            header, before = listed
            if not before and not directory.is_spanned and (header.packed or header.size):
                notes.add(messages.ZIP_MEMBER_MISSING(), _named(path, header))
            for local in before:
                yield from _zip_listed(data, header, local, path, bounds, notes, covered)
        covered.add(directory.start, directory.start + directory.size)
    yield from _zip_unlisted(data, path, bounds, notes, covered)


def _zip_listed(
    data: tar.Data,
    header: zip.ZipHeader,
    local: zip.ZipHeader,
    path: str,
    bounds: UnpackLimits,
    notes: Notes,
    covered: zip.CoveredRanges,
) -> Iterator[Item]:
    """Yield a file by what the directory says of it, and by the header before it where that says something else."""
    member = _ZipMember(data, header, local.data)
    yield from member.read(_named(path, header), bounds, notes)
    end = member.end
    if header.differs(local) or (local.packed == 0 and local.method == ZIP_DEFLATED):
        other = _ZipMember(data, local, local.data, streamed=True)
        yield from other.read(_named(path, local), bounds, notes)
        end = min(end, other.end)
    covered.add(local.at, end)


def _zip_unlisted(
    data: tar.Data, path: str, bounds: UnpackLimits, notes: Notes, covered: zip.CoveredRanges
) -> Iterator[Item]:
    """Yield the files that stand in no directory, as readers of streams see them, and archives before the first one."""
    program = is_program(bytes(data[:4]))
    chain = 0  # where a reader of streams comes to by what it has read
    for start, end in covered.gaps(len(data)):
        at = start
        while (at := zip.find_bytes(data, zip.LOCAL_MAGIC, at, end)) >= 0:
            bounds.entries -= 1
            if _is_limit_reached(path, bounds, notes):
                return
            header = zip.read_local_header(data, at)
            at += 4
            if header is None or header.data > len(data):
                continue
            member = _ZipMember(data, header, header.data, streamed=True)
            sure = 0 <= header.at - chain <= zip.MAX_DESCRIPTOR_BYTES
            yield from member.read(_named(path, header), bounds, notes, sure=sure)
            if member.good:
                chain = at = max(at, member.end)
        if program:
            for found in appended_between(data, start, end):
                yield from _open(found, memoryview(data)[found.offset : end], path, bounds, notes)


def _named(path: str, header: zip.ZipHeader) -> str:
    return f"{path}!/{tar.rooted(header.name).decode('utf-8', 'surrogateescape')}"


class _ZipMember:
    """One file of a zip archive, read as ``header`` says. ``end`` is where its bytes end, once they are read.

    ``streamed``: as readers of streams do, which inflate to the end of a deflate stream, whatever size is named.
    """

    def __init__(self, data: tar.Data, header: zip.ZipHeader, begin: int, *, streamed: bool = False) -> None:
        self._data, self._header, self._begin = memoryview(data), header, begin
        self._inflates = streamed and header.method == ZIP_DEFLATED
        self.end = begin + (header.packed or 0)
        self.good = False  # whether something was read that is surely this file's

    def read(self, path: str, bounds: UnpackLimits, notes: Notes, *, sure: bool = True) -> Iterator[Item]:
        """Yield the file. Unless this is ``sure`` to be one, what gives nothing is passed over without a word."""
        header = self._header
        if header.packed == 0 and not header.size:
            self.good = True
            if not self._inflates:
                return
            sure = False
        packed = self._packed()
        if header.flags & zip.ENCRYPTED_FLAG or header.method not in (ZIP_STORED, ZIP_DEFLATED, ZIP_LZMA, *ZIP_STREAMS):
            yield from self._pretended(packed, path, bounds, notes, sure=sure)
            return
        content, error, known = self._unpacked(packed, path, bounds, notes)
        known = known and len(content) <= bounds.member_bytes  # or reading it twice would take long
        if sure and error is None and known and header.crc is not None and isal_zlib.crc32(content) != header.crc:
            error = ValueError("its checksum is wrong")
        if error is not None and not sure and len(content) < UNSURE_STREAM_BYTES:
            return
        self.good |= bool(content) and (error is None or sure)
        if error is not None:
            notes.add(messages.CANNOT_UNPACK(value=_short_message(error)), path)
        if content:
            yield path, content

    def _packed(self) -> memoryview:
        if self._header.packed is not None and not self._inflates:
            return self._data[self._begin : self._begin + self._header.packed]
        if self._header.method != ZIP_STORED:
            return self._data[self._begin :]
        following = zip.NEXT_HEADER_PATTERN.search(self._data, self._begin)
        self.end = following.start() if following else len(self._data)
        return self._data[self._begin : self.end]

    def _unpacked(
        self, packed: memoryview, path: str, bounds: UnpackLimits, notes: Notes
    ) -> tuple[tar.Data, Exception | None, bool]:
        """Return the content, what was raised, and whether all of the content is there."""
        header = self._header
        if header.method == ZIP_STORED:
            bounds.files -= 1
            bounds.bytes -= len(packed)
            cut = header.packed is not None and len(packed) < header.packed
            return packed, EOFError("cut off") if cut else None, True
        if header.method == ZIP_DEFLATED:
            stream = streams.Inflated(packed)
            content, error = _collect(stream, len(packed), path, bounds, notes)
            if stream.ended or self._header.packed is None:
                self.end = self._begin + stream.used
            return content, error, stream.ended
        if header.method == ZIP_LZMA:
            chunks = streams.lzma_in_zip(packed, header.size)
        else:
            chunks = streams.decompress_stream(ZIP_STREAMS[header.method], packed)
        content, error = _collect(chunks, len(packed), path, bounds, notes)
        return content, error, len(content) == header.size

    def _pretended(
        self, packed: memoryview, path: str, bounds: UnpackLimits, notes: Notes, *, sure: bool
    ) -> Iterator[Item]:
        """Yield a file that is marked as encrypted or packed with an unknown method and is neither, as its CRC shows.

        Some readers go by the mark and some do not, so packers of malware set it. What is so, is noted.
        """
        header = self._header
        for method in {header.method if header.method == ZIP_DEFLATED else ZIP_STORED, ZIP_STORED}:
            if method == ZIP_STORED:
                content: tar.Data = packed
            else:
                content, _error = _collect(streams.Inflated(packed), len(packed), path, bounds, Notes())
            if len(content) > bounds.member_bytes:
                break
            if header.crc is not None and content and isal_zlib.crc32(content) == header.crc:
                self.good = True
                bounds.files -= 1
                yield path, content
                return
        if header.flags & zip.ENCRYPTED_FLAG and (sure or header.method in (ZIP_STORED, ZIP_DEFLATED, 99)):
            notes.add(messages.ENCRYPTED(), path)
        elif sure:
            notes.add(messages.ZIP_UNUSUAL_METHOD(), path)


def _short_message(error: Exception) -> str:
    text = getattr(error, "what", "") or str(error) or type(error).__name__
    return text if isinstance(text, Message) or len(text) <= 80 else text[:79] + "…"
