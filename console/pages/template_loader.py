"""Templates without the line breaks that they are written with."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.template import Origin
from django.template.loaders import filesystem

# What keeps its line breaks: those of a text to translate belong to the text, or "trimmed" takes them away.
_KEPT = (
    r"{%\s*(?P<block>blocktranslate|comment|verbatim)\b(?s:.*?){%\s*end(?P=block)\b.*?%}"
    r"|<(?P<element>pre|textarea|script|style)\b(?s:.*?)</(?P=element)>|<!--(?s:.*?)-->"
)
_DJANGO = r"(?:{%\s*blocktranslate\b(?s:.*?){%\s*endblocktranslate\s*%}|{%.*?%}|{{.*?}}|{#.*?#})"
_VALUE = rf"""(?:"(?:[^"{{]++|{_DJANGO}|{{)*+"|'(?:[^'{{]++|{_DJANGO}|{{)*+')"""
_HTML = rf"""<[/!]?[a-zA-Z](?:[^>"'{{]++|{_VALUE}|{_DJANGO}|{{)*+>"""
_TAG = re.compile(rf"{_KEPT}|(?P<html>{_HTML})|{_DJANGO}")
_DJANGO_TAG = re.compile(_DJANGO)
_IN_HTML = re.compile(rf"{_DJANGO}|{_VALUE}|\s*\n\s*(?P<end>/?>)?")
_LINE_BREAK = re.compile(r"\s*\n\s*")


class Loader(filesystem.Loader):
    """Load the templates of the console, so that breaking their lines changes nothing in a page.

    A gap on the screen is a space within a line. A line break (with the spaces around it, such as those that indent the
    next line) means nothing where a tag, ``{% %}`` or ``{{ }}`` stands before or after it, and otherwise one space.
    """

    def get_contents(self, origin: Origin) -> str:
        """Return the template on one line, but for what keeps its line breaks. Errors count lines of this."""
        contents: str = super().get_contents(origin)
        return join_lines(contents) if str(origin.name).endswith(".html") else contents


def join_lines(source: str) -> str:
    """Return the source of a template without the line breaks that mean nothing."""
    return _between_tags(source, _TAG, lambda tag: _IN_HTML.sub(_join_part, tag[0]) if tag["html"] else tag[0])


def _join_part(part: re.Match[str]) -> str:
    """Return a part of an HTML tag on one line: a value, a tag of Django, or a line break between two attributes."""
    if part[0].startswith("{"):
        return part[0]
    if part[0].startswith(("'", '"')):
        quote, value = part[0][0], part[0][1:-1]
        return quote + _between_tags(value, _DJANGO_TAG, lambda tag: tag[0]) + quote
    return part["end"] or " "


def _between_tags(source: str, tags: re.Pattern[str], join_tag: Callable[[re.Match[str]], str]) -> str:
    """Return ``source`` with its tags passed through ``join_tag``, and no line break in the text between them."""
    parts, end = [], 0
    for tag in tags.finditer(source):
        parts += [_join_text(source[end : tag.start()]), join_tag(tag)]
        end = tag.end()
    return "".join([*parts, _join_text(source[end:])])


def _join_text(text: str) -> str:
    """Return the text between two tags on one line."""
    inner = text.strip()
    before, _inner, after = text.partition(inner) if inner else (text, "", "")
    before, after = ("" if "\n" in gap else gap for gap in (before, after))
    return before + _LINE_BREAK.sub(" ", inner) + after
