"""Finds the sentences for people in code that knows no Django, and so cannot mark them for translation itself.

The rule is the house's own: in these packages a string that begins with a capital letter, a quotation mark or a
placeholder, and ends with a full stop (or with a placeholder behind one or behind a colon), is a sentence for a person.
Docstrings and what is logged are not. What is noted as not looked at (``notes.add``) is the middle of two of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

PACKAGES = ("console/sandbox/run.py", "registries/oci", "scanning/engines", "scanning/layers")
PLACEHOLDER = re.compile(r"\{\w+\}")
NOTES = ("1 file {why}: {path}", "{count} files {why}, e.g. {path}")
LEAST_LETTERS = 8  # outside of placeholders
SENTENCE = re.compile(r"(?=.* )[A-Z“{].*(?:\.|[.:] \{\w+\})", re.DOTALL)


def belongs(path: Path) -> bool:
    """Whether ``path`` is a module whose sentences are found by this rule."""
    return path.suffix == ".py" and any(package in path.as_posix() for package in PACKAGES)


def sentences(source: str) -> Iterator[str]:
    """Yield the sentences of a module; what an f-string fills in is a placeholder such as ``{host}``."""
    yield from _found(ast.parse(source))


def _found(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _name(node.func.value) == "log":
        return
    if _is_note(node) and (why := _text(node.args[0])):
        yield from (form.replace("{why}", why) for form in NOTES)
        return
    if (text := _text(node)) is not None:
        if SENTENCE.fullmatch(text) and sum(map(str.isalpha, PLACEHOLDER.sub("", text))) >= LEAST_LETTERS:
            yield text
        return
    for child in ast.iter_child_nodes(node):
        yield from _found(child)


def _is_note(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether ``node`` notes what was not looked at: scanning.engines.notes makes NOTES of it."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (_name(node.func.value), node.func.attr) == ("notes", "add")
    )


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if not isinstance(node, ast.JoinedStr):
        return None
    text, names = "", list[str]()
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value)
        elif isinstance(part, ast.FormattedValue):
            name = _name(part.value) or "value"
            names.append(name)
            text += f"{{{name if names.count(name) == 1 else f'{name}{names.count(name)}'}}}"
    return text


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id.lower()
    return node.attr.strip("_").lower() if isinstance(node, ast.Attribute) else ""
