"""The responses of the program in the sandbox, checked: a layer may have forged each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from console.i18n.message_codes import Message
from scanning.engines.formats.tar_sparse import MAX_SEGMENTS, Segment
from scanning.engines.sandbox.protocol import MalformedMessage, unpack
from scanning.engines.skipped_content import MAX_NOTE_LINES, MAX_PATH_CHARACTERS
from scanning.engines.yara.scan import MAX_LAYER_FINDINGS, Hit

__all__ = ["Hit", "LayerFile", "ResponseReader"]

MAX_LINE_CHARACTERS = (
    5 * MAX_PATH_CHARACTERS
)  # a message with the path in its words and among its values, each escaped twice
SIZE_LIMIT_BYTES = 1 << 63
SHA256_PATTERN = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LayerFile:
    """One file of a layer: ``size`` bytes from ``offset``, or pieces of it where it has holes."""

    path: str
    size: int
    offset: int
    segments: tuple[Segment, ...] | None = None


class ResponseReader:
    """The answers about one layer. ``receive`` gives the next packet, and raises EOFError where there is none."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self.files = self.bytes = 0
        self.skipped: list[Message] = []

    @classmethod
    def none(cls) -> ResponseReader:
        """Return those about a layer of no bytes."""
        return cls(lambda: b'{"done":[0,0]}')

    def look(self, rules: Collection[tuple[str, str]]) -> Iterator[Hit]:
        """Yield what was found by one of ``rules``, then set ``files``, ``bytes`` and ``skipped``. Raises Malformed."""
        count = 0
        for kind, rows in self._messages():
            if kind == "hits":
                count += len(rows)
                _expect(count <= MAX_LAYER_FINDINGS)
                yield from (_hit(row, rules) for row in rows)
            elif kind == "skipped":
                self.skipped += [_note(line) for line in rows]
                _expect(len(self.skipped) <= MAX_NOTE_LINES)
            else:
                _expect(kind == "done" and len(rows) == 2)
                self.files, self.bytes = (_number(count, SIZE_LIMIT_BYTES) for count in rows)

    def walk(self, length: int) -> Iterator[LayerFile | str]:
        """Yield the files of a layer of ``length`` bytes, and what says where it is damaged. Raises Malformed."""
        segments: list[Segment] = []
        for kind, rows in self._messages():
            if kind == "segments":
                _expect(len(segments) + len(rows) <= MAX_SEGMENTS)
                segments += [_segment(row, length) for row in rows]
            elif kind == "files":
                for row in rows:
                    yield _file(row, length, tuple(segments))
                    segments = []
            elif kind == "damaged":
                _expect(len(rows) == 1)
                yield _text(rows[0], MAX_LINE_CHARACTERS)
            else:
                _expect(kind == "done")

    def _messages(self) -> Iterator[tuple[str, list[object]]]:
        kind = ""
        while kind != "done":
            ((kind, rows),) = unpack(self._receive()).items()
            if not isinstance(rows, list):
                raise MalformedMessage("no list")
            yield kind, rows


def _expect(condition: bool) -> None:
    if not condition:
        raise MalformedMessage("out of bounds")


def _row(row: object, length: int) -> list[object]:
    if not isinstance(row, list) or len(row) != length:
        raise MalformedMessage("no row")
    return row


def _text(value: object, limit: int) -> str:
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise MalformedMessage("no text")
    return value


def _note(value: object) -> Message:
    note = Message.from_stored(_text(value, MAX_LINE_CHARACTERS))
    _check(note)
    return note


def _check(value: object) -> None:
    """Raise Malformed unless this is a message, or a value of one, that a page can show."""
    if isinstance(value, Message):
        for text in (str(value), value.code, *value.values):
            _text(text, MAX_LINE_CHARACTERS)
        for each in value.values.values():
            _check(each)
    else:
        _expect(isinstance(value, int | float) or (isinstance(value, str) and value.isprintable()))


def _number(value: object, limit: int) -> int:
    if type(value) is not int or not 0 <= value < limit:
        raise MalformedMessage("no number")
    return value


def _hit(row: object, rules: Collection[tuple[str, str]]) -> Hit:
    namespace, rule, path, size, sha256 = _row(row, 5)
    if not isinstance(namespace, str) or not isinstance(rule, str) or (key := (namespace, rule)) not in rules:
        raise MalformedMessage("no rule")
    digest = _text(sha256, 64)
    _expect(SHA256_PATTERN.fullmatch(digest) is not None)
    return Hit(*key, _text(path, MAX_PATH_CHARACTERS), _number(size, SIZE_LIMIT_BYTES), digest)


def _segment(row: object, length: int) -> Segment:
    position, offset, size = (_number(value, SIZE_LIMIT_BYTES) for value in _row(row, 3))
    _expect(offset + size <= length)
    return Segment(position, offset, size)


def _file(row: object, length: int, segments: tuple[Segment, ...]) -> LayerFile:
    path, size, offset = _row(row, 3)
    bytes_ = _number(size, SIZE_LIMIT_BYTES)
    if offset is None:
        _expect(all(segment.position + segment.size <= bytes_ for segment in segments))
        return LayerFile(_text(path, MAX_PATH_CHARACTERS), bytes_, 0, segments)
    start = _number(offset, SIZE_LIMIT_BYTES)
    _expect(start + bytes_ <= length and not segments)
    return LayerFile(_text(path, MAX_PATH_CHARACTERS), bytes_, start)
