"""Stored messages (reasons, remedies, stages) in the language of the reader.

The texts are those of the ``messages`` modules, which each app gives to ``register()`` when it starts.
"""

from __future__ import annotations

from datetime import date, datetime
from types import ModuleType

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext, ngettext

from console.i18n import message_codes
from console.i18n.lists import listed
from console.i18n.message_codes import JoinText, Message, MessageText, NoteText, PluralText, fill, number

_texts: dict[str, MessageText] = {}  # by code


def register(*modules: ModuleType) -> None:
    """Make the texts that ``modules`` declare known. Raises ValueError where two have one code."""
    for module in modules:
        for value in vars(module).values():
            for text in (value.one, value.many) if isinstance(value, NoteText) else (value,):
                if isinstance(text, MessageText) and _texts.setdefault(text.code, text) != text:
                    raise ValueError(f"Two texts have the code {text.code}.")


register(message_codes)


def registered() -> dict[str, MessageText]:
    """Return the texts that are known, by code."""
    return dict(_texts)


def translate_message(text: str) -> str:
    """Return a message, or what is stored of one, in the active language.

    A text without a code, or with one that is not known (of a later version), is returned as it is.
    """
    message = Message.from_stored(text)
    known = _texts.get(message.code)
    if known is None:
        return str(message)
    if isinstance(known, JoinText):
        return known.filled(gettext(known.text), _parts(message), _shown)
    if isinstance(known, PluralText):
        translated = ngettext(known.text, known.plural, number(message.values))
    else:
        translated = gettext(known.text)
    try:
        return fill(translated, message.values, _shown)
    except KeyError:  # of a version whose text has other placeholders
        return str(message)


def _parts(message: Message) -> tuple[object, ...]:
    found = message.values.get("parts")
    return found if isinstance(found, tuple) and found else (Message(str(message)),)


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return date_format(timezone.localtime(value), "DATETIME_FORMAT")
    if isinstance(value, date):
        # Translators: a day with its year, such as 3 Nov 2026, in the letters of Django's date filter
        return date_format(value, gettext("j M Y"))
    if isinstance(value, tuple):
        return listed(map(_shown, value))
    return translate_message(value) if isinstance(value, Message) else str(value)
