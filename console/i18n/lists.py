"""Words of the screen in a row."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _


def listed(words: Iterable[object]) -> str:
    """Return ``words`` in one line, between them what the language of the page writes between the parts of a list."""
    # Translators: between the words of a list, such as "Vulnerabilities, Sensitive data"
    return _(", ").join(map(str, words))
