"""What the console keeps in words: reasons, remedies and stages are written in English, by workers and by code without
Django, and told in the language of whoever reads them.

The catalogue of a language has all these texts (``manage.py makemessages`` finds them). One without placeholders is
looked up; one with placeholders is recognised by what stands around them. What is not found stays English.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext_noop

PLACEHOLDER = re.compile(r"%\((?P<named>\w+)\)(?P<kind>[sd])|\{(?P<braced>\w+)\}")
SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z“])")
SWALLOWED = re.compile(rf"{SENTENCE.pattern}|; \d")  # by a name: the next sentence, or the next note
WORDS = {"reason", "what", "why", "subject", "install", "error"}  # placeholders of words; others are names
CLAUSES = (  # what the sentences of registries.oci and scanning.layers are filled with, and facts on engines
    gettext_noop("{at} UTC ({days} days ago)"),
    gettext_noop("at an unknown time"),
    gettext_noop("recognised by their own manifest; no index of archives"),
    gettext_noop("is not valid yet"),
    gettext_noop("has expired"),
    gettext_noop("is signed by itself"),
    gettext_noop("is signed by an authority that is not known here"),
    gettext_noop("is for another host name"),
    gettext_noop("is for another address"),
    gettext_noop("is not to be trusted"),
    gettext_noop("is an image and an index at once"),
    gettext_noop("is of the old and of a newer form at once"),
    gettext_noop("states another media type than the registry"),
    gettext_noop("has no proper list of contents, or one that is too long"),
    gettext_noop("lacks a descriptor"),
    gettext_noop("states an impossible size"),
    gettext_noop("is of the old form and lacks its layers"),
    gettext_noop("is of the old form and lacks its history"),
    gettext_noop("has too many layers"),
    gettext_noop("the image's config names more or fewer layers than its manifest"),
    gettext_noop("its gzip stream is damaged ({error})"),
    gettext_noop("its gzip stream is cut off"),
    gettext_noop("something that is no gzip follows its gzip stream"),
    gettext_noop("its zstd window is larger than {size} MiB"),
    gettext_noop("its zstd stream is damaged ({error})"),
    gettext_noop("its zstd stream is cut off"),
    gettext_noop("it is larger than {size}"),
    gettext_noop("it unpacks to more than {ratio} times its packed size"),
    gettext_noop("it is longer than the {size} bytes that the manifest says"),
    gettext_noop("a part of it is missing"),  # of console.machines.content, and scanning.rules.team
    gettext_noop("it is larger than it should be"),
    gettext_noop("its SHA-256 is not the right one"),
    gettext_noop("it has more than {size} MiB"),
    gettext_noop("it holds what is no file of rules"),
    gettext_noop("{count} more for other reasons"),  # of scanning.engines.notes
)
LEAST_LETTERS = 8  # in what stands around placeholders: less would recognise what it is not


@dataclass(frozen=True)
class Pattern:
    """A text with placeholders and its translation."""

    start: str
    found: re.Pattern[str]
    told: str


@dataclass(frozen=True)
class Catalogue:
    """The texts of one language."""

    texts: dict[str, str]
    patterns: tuple[Pattern, ...]


def pairs(path: Path) -> dict[str, str]:
    """Return msgid → msgstr of a ``.mo`` file; both forms of a plural lead to the last form of its translation."""
    data = path.read_bytes()
    found: dict[str, str] = {}
    plurals: dict[str, str] = {}
    _magic, _revision, count, ids, texts = struct.unpack_from("<5I", data)
    for n in range(count):
        (id_length, id_at), (length, at) = (struct.unpack_from("<2I", data, start + 8 * n) for start in (ids, texts))
        text = data[at : at + length].decode().split("\0")[-1]
        msgid, *plural = data[id_at : id_at + id_length].decode().split("\0")
        found[msgid] = text
        plurals |= dict.fromkeys(plural, text)
    return plurals | found  # a text of its own goes before the plural of another


def _pattern(text: str, told: str) -> Pattern | None:
    parts, at, known, letters = [], 0, set[str](), 0
    for place in PLACEHOLDER.finditer(text):
        literal, at = text[at : place.start()], place.end()
        name = place["named"] or place["braced"]
        letters += sum(map(str.isalpha, literal))
        group = rf"(?P<p_{name}>{'[0-9,]+' if place['kind'] == 'd' else '.+?'})"
        parts += [re.escape(literal), rf"(?P=p_{name})" if name in known else group]
        known.add(name)
    letters += sum(map(str.isalpha, text[at:]))
    if not known or letters < LEAST_LETTERS:
        return None
    found = re.compile("".join(parts) + re.escape(text[at:]), re.DOTALL)
    return Pattern(text.split("%(")[0].split("{")[0], found, told)


@cache
def _catalogue(language: str) -> Catalogue:
    path = Path(settings.LOCALE_PATHS[0]) / translation.to_locale(language) / "LC_MESSAGES" / "django.mo"
    texts = pairs(path) if path.is_file() else {}
    patterns = (_pattern(text, told) for text, told in texts.items() if text)
    return Catalogue(texts, tuple(pattern for pattern in patterns if pattern))


def _known(text: str, language: str) -> str | None:
    catalogue = _catalogue(language)
    if text in catalogue.texts:
        return catalogue.texts[text]
    for pattern in catalogue.patterns:
        if text.startswith(pattern.start) and (match := pattern.found.fullmatch(text)):
            values = {name[2:]: value for name, value in match.groupdict().items()}
            if any(SWALLOWED.search(value) for name, value in values.items() if name not in WORDS):
                continue
            told = {name: _tell(value, language) if name in WORDS else value for name, value in values.items()}
            return PLACEHOLDER.sub(partial(_filled, told), pattern.told)
    return None


def _filled(values: dict[str, str], place: re.Match[str]) -> str:
    return values[place["named"] or place["braced"]]


@lru_cache(maxsize=4096)
def _tell(text: str, language: str) -> str:
    sentences, told = SENTENCE.split(text), ""
    while sentences:
        for count in range(len(sentences), 0, -1):
            if known := _known(" ".join(sentences[:count]), language):
                break
        else:
            count, known = 1, f"{' ' if told else ''}{_in_parts(sentences[0], language)}"
        told, sentences = told + known, sentences[count:]
    return told


def _in_parts(text: str, language: str) -> str:
    """Return ``text`` with those of its parts told that are known, as in "1 file …; 2 files …"."""
    return "; ".join(_known(part, language) or part for part in text.split("; "))


def tell(text: str) -> str:
    """Return ``text``, which was kept in English, in the active language."""
    language = translation.get_language() or "en"
    return text if not text or language.startswith("en") else _tell(text, language)
