"""Finds the secrets that Trivy reports in their layer, to mask them and to make a keyed hash of each.

Trivy gives the line around a secret with asterisks over it, and the secret's offset in its file. Both together say
where the secret lies and how long it is. The raw value is in memory for a moment and leaves this module as a hash.
"""

from __future__ import annotations

import hashlib
import hmac
import mmap
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scanning.engines.base import Severity, StopCheck
from scanning.engines.formats import tar
from scanning.engines.trivy.cache import MaskedSecret

SHOWN_FIRST_CHARACTERS, SHOWN_LAST_CHARACTERS = 4, 2  # characters of a secret that are shown at most
SHORT_SECRET_CHARACTERS = 12  # a shorter secret shows nothing
MAX_ASTERISKS = 20  # asterisks at most, so that the length of a long secret is not told
CONTEXT_BYTES = 90  # bytes of the line shown before and after
MAX_SECRET_BYTES = 64 * 1024  # bytes; Trivy reads files in pieces of that size
MAX_TOKEN_TAIL_BYTES = 512
MAX_SPARSE_BYTES = 16 * 1024 * 1024
CHECK_EVERY_ENTRIES = 512  # entries of a layer

_TOKEN_BYTES = re.compile(rb"[A-Za-z0-9_-]*")
_TRIVYS_MASK = re.compile(r"[A-Za-z0-9_-]*\*{3,}[A-Za-z0-9_*-]*")

ReadRange = Callable[[int, int], bytes]  # the bytes of a file from one offset to another, cut at its ends


@dataclass(frozen=True)
class FoundSecret:
    """A secret as Trivy reports it; its ``match`` is a line with asterisks."""

    rule: str
    category: str
    title: str
    severity: Severity
    path: str
    start_line: int
    end_line: int
    offset: int | None  # of its first byte in the file
    match: str
    last_line: str  # its last line as Trivy shows it, for secrets of several lines
    diff_id: str

    @property
    def key(self) -> str:
        """The name under which what is shown of it is kept with its layer."""
        parts = (self.rule, self.path, str(self.start_line), str(self.end_line), str(self.offset), self.match)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class _Span:
    start: int
    end: int


def mask_secrets(
    secrets: Sequence[FoundSecret], layer: Path, *, key: bytes, check: StopCheck
) -> dict[str, MaskedSecret]:
    """Return what is shown of each of the secrets, all of which lie in the uncompressed ``layer``, by their keys.

    Where a secret cannot be located (in a compiled Python file, say), Trivy's masking is kept and the hash is one of
    the place rather than of the value.
    """
    by_path: dict[str, list[FoundSecret]] = defaultdict(list)
    for secret in secrets:
        by_path[secret.path].append(secret)
    shown = {secret.key: _by_place(secret, key) for secret in secrets}
    with layer.open("rb") as file, _mapped(file.fileno()) as data:
        for path, read in _files(data, set(by_path), check):
            found = {secret.key: span for secret in by_path[path] if (span := _locate(secret, read))}
            whole = len(found) == len({secret.key for secret in by_path[path]})
            spans = _merged(found.values())
            for secret in by_path[path]:
                if span := found.get(secret.key):
                    masked = _masked_line(span, spans, read) if whole else _masked_by_trivy(secret)
                    shown[secret.key] = MaskedSecret(masked, _fingerprint(key, b"value", _value(span, read)))
    return shown


def _mapped(descriptor: int) -> mmap.mmap:
    return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)


def _files(data: mmap.mmap, wanted: set[str], check: StopCheck) -> Iterator[tuple[str, ReadRange]]:
    """Yield the wanted files of the layer that are there, each with a way to read it."""
    left = set(wanted)
    try:
        for number, entry in enumerate(tar.walk(data)):
            if number % CHECK_EVERY_ENTRIES == 0:
                check()
            if not left:
                return
            if entry.is_file and entry.path in left and (read := _reader(data, entry)):
                left.discard(entry.path)
                yield entry.path, read
    except tar.TarError:
        return


def _reader(data: mmap.mmap, entry: tar.TarEntry) -> ReadRange | None:
    if entry.segments is None:
        first, size = entry.offset, entry.size
        return lambda start, end: data[first + max(0, start) : first + min(size, end)] if end > start else b""
    if entry.size > MAX_SPARSE_BYTES:
        return None
    content = tar.read(data, entry)
    return lambda start, end: content[max(0, start) : end]


def _locate(secret: FoundSecret, read: ReadRange) -> _Span | None:
    """Return where the secret lies, widened to the whole word it is part of; None where the file disagrees."""
    offset, match = secret.offset, secret.match.encode()
    if offset is None:
        return None
    for run in re.finditer(rb"\*+", match):
        begin = offset - run.start()
        around = read(begin, begin + len(match)) if begin >= 0 else b""
        if len(around) == len(match) and all(mark in (byte, 0x2A) for mark, byte in zip(match, around, strict=True)):
            length = run.end() - run.start()
            break
    else:
        return None
    if secret.end_line > secret.start_line:
        end = _end_of_lines(secret, offset, read)
        return _Span(offset, end) if end else None
    # Some rules of Trivy know a token by its first part alone; the word goes on, and so must the mask.
    before = read(offset - min(offset, MAX_TOKEN_TAIL_BYTES), offset)
    after = read(offset + length, offset + length + MAX_TOKEN_TAIL_BYTES)
    head, tail = _TOKEN_BYTES.match(before[::-1]), _TOKEN_BYTES.match(after)
    return _Span(offset - (head.end() if head else 0), offset + length + (tail.end() if tail else 0))


def _end_of_lines(secret: FoundSecret, offset: int, read: ReadRange) -> int | None:
    """Return where a secret of several lines ends, by the asterisks at the start of its last line."""
    text = read(offset, offset + MAX_SECRET_BYTES)
    start = 0
    for _line in range(secret.end_line - secret.start_line):
        start = text.find(b"\n", start) + 1
        if not start:
            return None
    last = text[start:].split(b"\n", 1)[0].rstrip(b"\r")
    shown = secret.last_line.encode()
    length = len(shown) - len(shown.lstrip(b"*"))
    if len(shown) != len(last) or shown[length:] != last[length:]:
        return None
    return offset + start + length


def _merged(spans: Iterable[_Span]) -> list[_Span]:
    """Return the spans in order, those that touch made one."""
    united: list[_Span] = []
    for span in sorted(spans, key=lambda each: (each.start, each.end)):
        if united and span.start <= united[-1].end:
            united[-1] = _Span(united[-1].start, max(span.end, united[-1].end))
        else:
            united.append(span)
    return united


def _masked_line(span: _Span, spans: list[_Span], read: ReadRange) -> str:
    """Return the line on which the secret begins, with it and all other secrets masked."""
    own = next(each for each in spans if each.start <= span.start < each.end or each == span)
    before = read(own.start - min(own.start, CONTEXT_BYTES), own.start)
    line_start = own.start - len(before.rsplit(b"\n", 1)[-1])
    after = read(own.end, own.end + CONTEXT_BYTES)
    first_line = b"\n" not in read(own.start, own.end)
    line_end = own.end + len(after.split(b"\n", 1)[0]) if first_line else own.end
    pieces, position = [], line_start
    for each in spans:
        if each.end <= line_start or each.start >= line_end:
            continue
        pieces.append(_text(read(position, each.start)))
        pieces.append(_asterisks(_value(each, read)) if each is own else "*" * SHORT_SECRET_CHARACTERS)
        position = each.end
    pieces.append(_text(read(position, line_end)))
    return "".join(pieces).strip()


def _asterisks(value: bytes) -> str:
    text = _text(value.split(b"\n", 1)[0])
    if len(text) < SHORT_SECRET_CHARACTERS:
        return "*" * len(text)
    if b"\n" in value:
        return text[:SHOWN_FIRST_CHARACTERS] + "*" * MAX_ASTERISKS
    return (
        text[:SHOWN_FIRST_CHARACTERS]
        + "*" * min(len(text) - SHOWN_FIRST_CHARACTERS - SHOWN_LAST_CHARACTERS, MAX_ASTERISKS)
        + text[-SHOWN_LAST_CHARACTERS:]
    )


def _text(raw: bytes) -> str:
    """Return bytes of a file as one line that can be shown."""
    return "".join(each if each.isprintable() else " " for each in raw.decode("utf-8", "replace"))


def _value(span: _Span, read: ReadRange) -> bytes:
    return read(span.start, span.end).replace(b"\r", b"").strip()


def _by_place(secret: FoundSecret, key: bytes) -> MaskedSecret:
    place = "\0".join((secret.rule, secret.path, secret.match)).encode("utf-8", "surrogatepass")
    return MaskedSecret(_masked_by_trivy(secret), _fingerprint(key, b"place", place))


def _masked_by_trivy(secret: FoundSecret) -> str:
    """Return Trivy's line with the whole word masked wherever Trivy has masked some of it."""
    line = _TRIVYS_MASK.sub("*" * SHORT_SECRET_CHARACTERS, secret.match)
    return "".join(each if each.isprintable() else " " for each in line)[: 2 * CONTEXT_BYTES].strip()


def _fingerprint(key: bytes, domain: bytes, value: bytes) -> str:
    return hmac.new(key, domain + b":" + value, hashlib.sha256).hexdigest()
