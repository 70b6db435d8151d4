"""Messages for people, as a code with its values: written out in the language of the reader when shown.

A ``MessageText`` is a sentence in English with a stable code, declared once in the ``messages`` module of the package
that needs it: ``makemessages`` gathers them from there. Called with its values it makes a ``Message``, which errors
carry and rows keep. ``console.i18n.messages`` puts a message into the reader's language. No Django in here: the
registry client, the engines and what runs in the sandbox use it too.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, ClassVar, cast

PLACEHOLDER = re.compile(r"%\((?P<named>\w+)\)(?P<kind>[sd])|\{(?P<braced>\w+)\}")
BETWEEN = ", "  # the parts of a list, in English
STORED = '["'  # what a stored message begins with


class Message(str):
    """A text for a person: its English words, and the code and the values that they are made of.

    The words are for logs, for tests and for a reader whose version does not know the code. One without a code is a
    text of somebody else, such as the last words of a program: it is shown as it is in every language. Whatever makes
    a new string of a message (adding, cutting) loses the code; put several together by ``sentences()``.
    """

    __slots__ = ("code", "values")

    code: str
    values: Mapping[str, object]

    def __new__(cls, text: str = "", code: str = "", values: Mapping[str, object] | None = None) -> Message:
        message = super().__new__(cls, text)
        object.__setattr__(message, "code", code)
        object.__setattr__(message, "values", dict(values or {}))
        return message

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"A message does not change: {name}")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Message) and (self.code, self.values) != (other.code, other.values):
            return False
        return str.__eq__(self, other) if isinstance(other, str) else NotImplemented

    def __ne__(self, other: object) -> bool:  # that of str would compare the words alone
        return not self == other

    __hash__ = str.__hash__  # of the words: equal messages have equal ones

    def __reduce__(self) -> tuple[Any, ...]:
        return Message, (str(self), self.code, self.values)

    def __deepcopy__(self, _memo: object) -> Message:
        return self

    def to_stored(self) -> str:
        """Return what a text column keeps: JSON of words, code and values. A text without a code is kept as it is."""
        if not self.code and not self.startswith(STORED):
            return str(self)
        return json.dumps(_packed(self), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_stored(cls, stored: str) -> Message:
        """Return the message that ``to_stored()`` was asked for. What is none is a text without a code."""
        return stored if isinstance(stored, cls) else _read(stored)


@functools.lru_cache(maxsize=4096)  # most rows of a list tell the same, or nothing
def _read(stored: str) -> Message:
    if stored.startswith(STORED):
        try:
            return _unpacked(json.loads(stored))
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
    return Message(stored)


def _packed(message: Message) -> list[object]:
    return [str(message), message.code, {name: _pack(value) for name, value in message.values.items()}]


def _unpacked(parts: object) -> Message:
    """Raises ValueError, TypeError or KeyError where ``parts`` are not those of a message."""
    text, code, values = cast("tuple[str, str, dict[str, object]]", parts)
    if not (isinstance(text, str) and isinstance(code, str) and isinstance(values, dict)):
        raise TypeError("no message")
    return Message(text, code, {name: _unpack(value) for name, value in values.items()})


def _pack(value: object) -> object:
    if isinstance(value, Message):
        return {"message": _packed(value)}
    if isinstance(value, datetime):
        return {"at": value.isoformat()}
    if isinstance(value, date):
        return {"on": value.isoformat()}
    if isinstance(value, tuple):
        return [_pack(each) for each in value]
    return value


def _unpack(value: object) -> object:
    if isinstance(value, list):
        return tuple(map(_unpack, value))
    if isinstance(value, dict):
        if "at" in value:
            return datetime.fromisoformat(value["at"])
        if "on" in value:
            return date.fromisoformat(value["on"])
        return _unpacked(value["message"])
    return value


def _value(value: object) -> object:
    """Return ``value`` as a message holds it: an error by its message, and of other types the text."""
    if isinstance(value, BaseException):
        value = value.args[0] if value.args and isinstance(value.args[0], Message) else str(value)
    if value is None or isinstance(value, Message | bool | int | float | date):
        return value
    if isinstance(value, list | tuple):
        return tuple(map(_value, value))
    return str(value)


def in_english(value: object) -> str:
    """Return one value of a message as English text writes it."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, date):
        return f"{value.day} {value:%b %Y}"
    return BETWEEN.join(map(in_english, value)) if isinstance(value, tuple) else str(value)


def _whole(value: object, kind: str | None) -> object:
    return int(value) if kind == "d" and isinstance(value, float) else value


def fill(text: str, values: Mapping[str, object], show: Callable[[object], str] = in_english) -> str:
    """Return ``text`` with its placeholders, ``{name}`` or ``%(name)s``, filled in by ``show(value)``.

    Raises KeyError for a placeholder without a value.
    """
    return PLACEHOLDER.sub(lambda place: show(_whole(values[place["named"] or place["braced"]], place["kind"])), text)


@dataclass(frozen=True)
class MessageText:
    """A text in English with its code."""

    code: str  # never changes: rows keep it
    text: str

    def __call__(self, **values: object) -> Message:
        """Return the message with these values. Raises KeyError where the text has a placeholder without a value."""
        held = {name: _value(value) for name, value in values.items()}
        return Message(fill(self.of(number(held)), held), self.code, held)

    def of(self, _n: int) -> str:
        """Return the text in English for this number."""
        return self.text


@dataclass(frozen=True)
class PluralText(MessageText):
    """A text with a plural: the value ``n`` or ``count`` decides which is shown."""

    plural: str

    def of(self, n: int) -> str:
        return self.text if n == 1 else self.plural


def number(values: Mapping[str, object]) -> int:
    """Return the number among ``values`` that decides between singular and plural."""
    found = values.get("n", values.get("count", 1))
    return found if isinstance(found, int) else 1


@dataclass(frozen=True)
class NoteText:
    """What happened to files, with examples of their paths: a text for ``path`` and one for ``count`` files."""

    one: MessageText
    many: MessageText

    def __call__(self, **values: object) -> Note:
        """Return the note with these values; ``Note.message()`` gives it its paths."""
        return Note(self, tuple((name, _value(value)) for name, value in values.items()))


@dataclass(frozen=True)
class Note:
    """A kind of note with its values, equal to others of the same words."""

    text: NoteText
    values: tuple[tuple[str, object], ...]

    def message(self, count: int, path: str) -> Message:
        """Return it for ``count`` files, of which ``path`` names the first."""
        values = dict(self.values)
        return self.text.one(**values, path=path) if count == 1 else self.text.many(**values, count=count, path=path)


@dataclass(frozen=True)
class JoinText(MessageText):
    """How two messages stand beside each other: ``{first}`` and ``{rest}``. Its message holds any number of them."""

    def join(self, parts: Iterable[str]) -> Message:
        """Return ``parts`` as one message, without those that are empty or were there before."""
        flat = dict.fromkeys(part for each in parts if each for part in self._parts_of(each))
        if len(flat) < 2:
            return next(iter(flat), NOTHING)
        return Message(self.filled(self.text, flat), self.code, {"parts": tuple(flat)})

    def _parts_of(self, message: str) -> tuple[Message, ...]:
        if not isinstance(message, Message):
            return (Message(message),)
        return cast("tuple[Message, ...]", message.values["parts"]) if message.code == self.code else (message,)

    def filled(self, text: str, parts: Iterable[object], show: Callable[[object], str] = in_english) -> str:
        """Return ``parts`` put together as ``text``, this one or its translation, says."""
        return functools.reduce(lambda first, rest: fill(text, {"first": first, "rest": rest}), map(show, parts))


NOTHING = Message()
SENTENCES = JoinText("text.sentences", "{first} {rest}")  # languages without spaces between them have none here
PARTS = JoinText("text.parts", "{first}; {rest}")
LISTING = MessageText("text.listing", "{parts}")


def sentences(*messages: str) -> Message:
    """Return several messages as one, without those that are empty or were there before."""
    return SENTENCES.join(messages)


def parts(*messages: str) -> Message:
    """Return several notes as one line, likewise."""
    return PARTS.join(messages)


def listing(names: Iterable[str]) -> Message:
    """Return names or messages in a row, between them what the reader's language writes there."""
    return LISTING(parts=tuple(names))


def stored(text: str) -> str:
    """Return ``text`` as a column, or a value of a JSON column, keeps it."""
    return (text if isinstance(text, Message) else Message(text)).to_stored()


class ExplainedError(Exception):
    """What went wrong, with why and what to do for a person. ``retry`` says it may pass without anybody's doing."""

    retries: ClassVar[bool] = False  # of this kind, where the one who raises says nothing else

    def __init__(self, reason: Message, remedy: Message, *, retry: bool | None = None) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy
        self.retry = self.retries if retry is None else retry
