"""Protocol buffers by tables: what is written to and read from a server that speaks them. Knows no message of anybody.

A message is a mapping, as JSON would have it. Its table says for each member which field of the message it is, and of
which kind; empty members are not written (proto3) and not read. Fields that no table names are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

MAX_VARINT_BYTES = 10
MAX_DEPTH = 16
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types


class Kind(Enum):
    """What a field holds, if it is no message."""

    TEXT = "text"
    NUMBER = "number"  # whole, of up to 64 bits
    FLAG = "flag"


@dataclass(frozen=True)
class Field:
    """One field: its number, what it holds, and whether it is a list. ``names`` are those of an enumeration."""

    number: int
    kind: Kind | Table = Kind.TEXT
    many: bool = False
    names: tuple[str, ...] = ()
    always: bool = False  # a message that is written though it is empty


class Table:
    """The fields of one message by the names of its members. ``ignored`` members are not written."""

    def __init__(self, fields: Mapping[str, Field], *, ignored: tuple[str, ...] = ()) -> None:
        self.fields = dict(fields)
        # By what stands before a field: its name, what it holds (None: text), names of an enumeration, if it is a list.
        self.readers = {
            field.number << 3 | (VARINT if field.kind in (Kind.NUMBER, Kind.FLAG) else BYTES): (
                name,
                None if field.kind is Kind.TEXT else field.kind,
                field.names,
                field.many,
            )
            for name, field in fields.items()
        }
        self.ignored = frozenset(ignored)
        self.always = {name: field for name, field in fields.items() if field.always}


Json: TypeAlias = dict[str, Any]


class NotEncodable(ValueError):
    """A message has something that its table has no field for."""


class NotDecodable(ValueError):
    """These bytes are no such message."""


def encode(value: Mapping[str, Any], table: Table) -> bytes:
    """Return the bytes of a message. Raises NotEncodable."""
    out = bytearray()
    _encode(out, value, table, 0)
    return bytes(out)


def decode(data: bytes, table: Table) -> Json:
    """Return the message that ``data`` holds, without what is empty. Raises NotDecodable."""
    try:
        return _decode(data, 0, len(data), table, 0)
    except (IndexError, ValueError) as error:
        raise NotDecodable(str(error)) from error


def delimited(number: int, content: bytes) -> bytes:
    """Return field ``number`` with a message or text that is encoded already."""
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _encode(out: bytearray, value: Mapping[str, Any], table: Table, depth: int) -> None:
    if not isinstance(value, Mapping) or depth > MAX_DEPTH:
        raise NotEncodable("no message")
    for name, member in value.items():
        if not member or name in table.ignored:
            continue
        field = table.fields.get(name)
        if field is None:
            raise NotEncodable(f"no field for {name[:40]!r}")
        if field.many:
            if not isinstance(member, list):
                raise NotEncodable(f"{name} is no list")
            for each in member:
                _encode_one(out, each, field, depth)
        else:
            _encode_one(out, member, field, depth)
    for name, field in table.always.items():
        if not value.get(name):
            _encode_one(out, {}, field, depth)


def _encode_one(out: bytearray, member: Any, field: Field, depth: int) -> None:
    kind = field.kind
    if isinstance(kind, Table):
        inner = bytearray()
        _encode(inner, member, kind, depth + 1)
        content: bytes | bytearray = inner
    elif kind is Kind.TEXT:
        if not isinstance(member, str):
            raise NotEncodable("no text")
        try:
            content = member.encode()
        except UnicodeEncodeError as error:
            raise NotEncodable("half a character") from error
    else:
        if field.names and member in field.names:
            member = field.names.index(member)
        if not isinstance(member, int) or isinstance(member, bool) is not (kind is Kind.FLAG):
            raise NotEncodable("no number")
        if not -(1 << 63) <= member < 1 << 63:
            raise NotEncodable("a number that is too large")
        out += _varint(field.number << 3 | VARINT)
        out += _varint(int(member) & 0xFFFFFFFFFFFFFFFF)
        return
    out += _varint(field.number << 3 | BYTES)
    out += _varint(len(content))
    out += content


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
        if shift >= 7 * MAX_VARINT_BYTES:
            raise NotDecodable("a number without end")


def _decode(data: bytes, position: int, end: int, table: Table, depth: int) -> Json:
    if depth > MAX_DEPTH:
        raise NotDecodable("messages in messages without end")
    message: Json = {}
    readers = table.readers
    value: Any
    while position < end:
        key = data[position]
        position += 1
        if key >= 0x80:
            key, position = _read_varint(data, position - 1)
        wire = key & 7
        if wire == BYTES:
            size = data[position]
            position += 1
            if size >= 0x80:
                size, position = _read_varint(data, position - 1)
            start = position
            position += size
            if position > end:
                raise NotDecodable("cut off")
            if key not in readers:
                continue
            name, inner, _names, many = readers[key]
            if inner is None:
                value = data[start:position].decode()
            elif isinstance(inner, Table):
                value = _decode(data, start, position, inner, depth + 1)
            else:
                raise NotDecodable(f"{name} is no message")
        elif wire == VARINT:
            number, position = _read_varint(data, position)
            if key not in readers:
                continue
            name, inner, names, many = readers[key]
            if names:
                value = names[number]
            elif inner is Kind.FLAG:
                value = number != 0
            else:
                value = number if number < 1 << 63 else (number & 0xFFFFFFFFFFFFFFFF) - (1 << 64)
        elif wire in (FIXED64, FIXED32):
            position += 8 if wire == FIXED64 else 4
            continue
        else:
            raise NotDecodable("a field of no kind")
        if many:
            if name in message:
                message[name].append(value)
            else:
                message[name] = [value]
        elif value or isinstance(value, dict):
            message[name] = value
    if position != end:
        raise NotDecodable("cut off")
    return message
