"""The column that keeps a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import models

from console.i18n.message_codes import Message, stored

if TYPE_CHECKING:
    _TextField = models.TextField[str, Message]
else:
    _TextField = models.TextField


class MessageField(_TextField):
    """A text that keeps a message: its code and values, and its words in English.

    By the words a list is searched and sorted, and a reader whose version does not know the code is told. A text that
    is no message (of an earlier version, or written by hand) is given back as a message without a code.
    """

    def from_db_value(self, value: str | None, _expression: Any, _connection: Any) -> Message | None:
        return None if value is None else Message.from_stored(value)

    def to_python(self, value: Any) -> Any:
        return value if value is None or isinstance(value, Message) else Message.from_stored(str(value))

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return stored(value) if isinstance(value, str) else value

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.get_prep_value(self.value_from_object(obj)))

    def deconstruct(self) -> Any:
        """Describe the column alone: a migration needs to know nothing of messages."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", args, kwargs


class MessagesField(models.JSONField):
    """JSON whose texts, names of objects included, may be messages: lists of notes, or numbers by reason."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return _each_text(super().from_db_value(value, expression, connection), Message.from_stored)

    def get_prep_value(self, value: Any) -> Any:
        return super().get_prep_value(_each_text(value, stored))

    def deconstruct(self) -> Any:
        """Describe the column alone: a migration needs to know nothing of messages."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [_each_text(each, change) for each in value]
    if isinstance(value, dict):
        return {_each_text(name, change): _each_text(each, change) for name, each in value.items()}
    return value
