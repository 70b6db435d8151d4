"""Template tags of Repository images."""

from __future__ import annotations

from typing import NamedTuple

from django import template

register = template.Library()


class AddressParts(NamedTuple):
    """An address cut for the screen: ``host``, ``path`` up to its last slash, ``name`` after it."""

    host: str
    path: str
    name: str


@register.filter
def address_parts(address: str) -> AddressParts:
    """Cut ``host/path/name``."""
    host, _slash, rest = address.partition("/")
    path, slash, name = rest.rpartition("/")
    return AddressParts(host, path + slash, name or host)
