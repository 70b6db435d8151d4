"""The texts of the console in other languages: all there, all true to the English ones, and up to date."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.translation import to_locale
from django.utils.translation.template import templatize

ROOT = Path(settings.BASE_DIR)
OURS = ("console", "registries", "inventory", "scanning", "templates")
LANGUAGES = [to_locale(code) for code, _name in settings.LANGUAGES if code != "en"]
REMEDY = "Run `make messages`, translate what is new in locale/*/LC_MESSAGES/django.po, and run it again."
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w*\}|</?[a-z][^>]*>")
CALLS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
MESSAGES = {"MessageText", "JoinText", "PluralText"}
LITERAL = r"""u?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
MARKED = re.compile(rf"\b(?:_|n?gettext)\({LITERAL}(?:\s*,\s*{LITERAL})?")


@dataclass
class Entry:
    """One text of a ``.po`` file: msgid, msgid_plural where there is one, and the translations of its forms."""

    msgid: str = ""
    plural: str = ""
    flags: str = ""
    told: list[str] = field(default_factory=list)


def entries(locale: str) -> list[Entry]:
    """Return what the ``.po`` file of ``locale`` holds, its head left out."""
    found, parts = [], [""]
    for block in (ROOT / "locale" / locale / "LC_MESSAGES" / "django.po").read_text("utf-8").split("\n\n"):
        assert "#~" not in block, f"A text is gone from the sources. {REMEDY}"
        entry = Entry()
        for line in block.splitlines():
            if line.startswith("#,"):
                entry.flags += line
            elif line.startswith("#"):
                continue
            elif line.startswith('"'):
                parts[-1] += ast.literal_eval(line)
            else:
                keyword, _space, text = line.partition(" ")
                parts = entry.told if keyword.startswith("msgstr") else [""]
                parts.append(ast.literal_eval(text))
                if keyword == "msgid":
                    entry.msgid = parts[-1]
                elif keyword == "msgid_plural":
                    entry.plural = parts[-1]
        if entry.msgid:
            found.append(entry)
    return found


def marked() -> Iterator[tuple[str, str]]:
    """Yield every text of the sources that is marked for translation, and where it stands."""
    for folder in OURS:
        for path in sorted((ROOT / folder).rglob("*")):
            name = str(path.relative_to(ROOT))
            if path.suffix == ".html":
                for single, plural in MARKED.findall(templatize(path.read_text("utf-8"))):
                    yield from ((ast.literal_eval(text), name) for text in (single, plural) if text)
            elif path.suffix == ".py" and "migrations" not in path.parts:
                yield from ((text, name) for text in _calls(ast.parse(path.read_text("utf-8"))))


def _calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS | MESSAGES:
            count = 2 if node.func.id.startswith("ngettext") else 1
            texts = node.args[1:] if node.func.id in MESSAGES else node.args[:count]
            for argument in texts:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


@pytest.mark.parametrize("locale", LANGUAGES)
def test_the_catalogue_has_the_texts_of_the_sources_and_no_others(locale: str) -> None:
    known = {text for entry in entries(locale) for text in (entry.msgid, entry.plural) if text}
    sources = dict(marked())
    assert len(sources) > 1000
    missing = {text: where for text, where in sources.items() if text not in known}
    assert not missing, REMEDY
    assert not known - sources.keys(), REMEDY


@pytest.mark.parametrize("locale", LANGUAGES)
def test_every_text_is_translated(locale: str) -> None:
    assert [entry.msgid for entry in entries(locale) if not entry.told or not all(entry.told)] == []
    assert [entry.msgid for entry in entries(locale) if "fuzzy" in entry.flags] == []


@pytest.mark.parametrize("locale", LANGUAGES)
def test_a_translation_fills_in_what_the_text_fills_in(locale: str) -> None:
    wrong = []
    for entry in entries(locale):
        allowed = set(PLACEHOLDER.findall(entry.msgid)), set(PLACEHOLDER.findall(entry.plural or entry.msgid))
        if any(set(PLACEHOLDER.findall(told)) not in allowed for told in entry.told):
            wrong.append((entry.msgid, entry.told))
    assert wrong == []


def pairs(path: Path) -> dict[str, str]:
    """Return msgid → msgstr of a ``.mo`` file; of a plural the last form of its translation."""
    with path.open("rb") as file:
        catalogue = vars(gettext.GNUTranslations(file))["_catalog"]
    forms = sorted((key, told) for key, told in catalogue.items() if isinstance(key, tuple))
    return {key: told for key, told in catalogue.items() if isinstance(key, str)} | {
        key[0]: told for key, told in forms
    }


@pytest.mark.parametrize("locale", LANGUAGES)
def test_what_is_compiled_is_what_is_written(locale: str) -> None:
    compiled = pairs(ROOT / "locale" / locale / "LC_MESSAGES" / "django.mo")
    compiled.pop("")
    written = {entry.msgid: entry.told[-1] for entry in entries(locale)}
    assert compiled == written, "Run `make messages`."


def test_chinese_texts_have_no_english_punctuation_at_their_end() -> None:
    ends = re.compile(r"[一-鿿][.,;!?]$|[一-鿿][.,;!?] ?[一-鿿]")
    assert [told for entry in entries("zh_Hans") for told in entry.told if ends.search(told)] == []


# --- texts on the page that nobody has marked -----------------------------------------------------------------------

# What stays as it is in every language: names of products and formats.
NAMES = {"Tallyman", "GitLab", "Docker Hub", "CSV"}
# Components filled with samples, for who builds the console.
SAMPLES = ("console/styleguide.html", "console/_styleguide_lists.html")
TEXTLESS = re.compile(
    r"{%\s*comment.*?endcomment\s*%}|{#.*?#}|<!--.*?-->|<(script|style|svg|code|kbd|pre)\b.*?</\1>", re.DOTALL
)
BLOCK = re.compile(r"{%\s*blocktranslate\b.*?endblocktranslate\s*%}", re.DOTALL)
READ = re.compile(r"""\b(?:title|aria-label|aria-description|placeholder|alt)=("[^"]*"|'[^']*')""")


def unmarked(source: str) -> list[str]:
    """Return the words of a template that are shown and stand outside of what is translated."""
    rest = BLOCK.sub("\0", TEXTLESS.sub("", source))
    rest = re.sub(r"{%.*?%}|{{.*?}}", "\0", rest, flags=re.DOTALL)
    shown = [text.strip("\"'") for text in READ.findall(rest)] + re.split(r"<[^>]*>", rest)
    words = (word.strip(" \n·.,:;()") for text in shown for word in text.split("\0"))
    return [word for word in words if re.search(r"[A-Za-z]{2}", word) and word not in NAMES]


def test_a_text_that_is_not_marked_is_found() -> None:
    assert unmarked('<p title="Read this">{{ name }} is gone {% translate "Yes" %}</p>') == ["Read this", "is gone"]


def test_every_text_of_the_templates_is_marked_for_translation() -> None:
    templates = {str(path.relative_to(ROOT / "templates")): path for path in (ROOT / "templates").rglob("*.html")}
    found = {name: unmarked(path.read_text("utf-8")) for name, path in templates.items() if name not in SAMPLES}
    assert {name: words for name, words in found.items() if words} == {}
