"""What a message carries besides its text, for its toast: a button that takes back what was done, and links.

Django's messages have tags, which are words between spaces; what a toast needs travels in them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TypedDict

from django.contrib import messages
from django.contrib.messages.storage.base import Message
from django.core import signing
from django.http import HttpRequest

UNDO_TAG_PREFIX = "undo:"
LINKS_TAG_PREFIX = "links:"


class ToastLink(TypedDict):
    """A link of a toast: what it says and the path it leads to."""

    text: str
    href: str


def add_toast(request: HttpRequest, level: int, text: str, *, links: Iterable[ToastLink] = (), undo: str = "") -> None:
    """Tell ``text`` at a level of ``django.contrib.messages`` in a toast with ``links``; ``undo`` is the token of
    its button Undo."""
    tags = [f"{UNDO_TAG_PREFIX}{undo}"] if undo else []
    if found := list(links):
        tags.append(f"{LINKS_TAG_PREFIX}{signing.b64_encode(json.dumps(found).encode()).decode()}")
    messages.add_message(request, level, text, extra_tags=" ".join(tags))


def undo_token(message: Message) -> str:
    """Return the token of the button Undo, "" where a message offers none."""
    return _tag(message, UNDO_TAG_PREFIX)


def toast_links(message: Message) -> list[ToastLink]:
    """Return the links of a message."""
    found: list[ToastLink] = json.loads(signing.b64_decode(_tag(message, LINKS_TAG_PREFIX).encode()) or b"[]")
    return found


def _tag(message: Message, start: str) -> str:
    tags = (message.extra_tags or "").split()
    return next((tag.removeprefix(start) for tag in tags if tag.startswith(start)), "")
