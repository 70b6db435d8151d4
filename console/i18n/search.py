"""Finding rows by a word of what they tell."""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import get_language, gettext

from console.i18n.messages import registered

MAX_CODES = 50  # a word that more texts hold finds those with the word in English or among their values


def message_contains(column: str, word: str) -> Q:
    """Return where the message in ``column`` holds ``word``: in English, among its values or in the active language."""
    found = Q(**{f"{column}__icontains": word})
    if (get_language() or "en").startswith("en"):
        return found
    codes = [code for code, text in registered().items() if word.casefold() in gettext(text.text).casefold()]
    for code in codes if len(codes) <= MAX_CODES else ():
        found |= Q(**{f"{column}__icontains": f'"{code}"'})
    return found
