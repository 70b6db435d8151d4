"""Two headers with a grammar of their own: WWW-Authenticate (RFC 9110, 11.6.1) and Link (RFC 8288)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_MAX_HEADER_CHARACTERS = 8192  # characters of a header that are read
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  # nosec B105  # a pattern
_PARAMETER = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')
_SCHEME = re.compile(rf"({_TOKEN})(?=[\s,]|$)")
_SEPARATORS = re.compile(r"[\s,]+")
_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_REL = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))', re.IGNORECASE)


@dataclass(frozen=True)
class Challenge:
    """One way to sign in that a server offers. The scheme and the names of parameters are in lower case."""

    scheme: str
    parameters: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """The value of a parameter, or ""."""
        return next((value for key, value in self.parameters if key == name), "")


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Return the challenges of a WWW-Authenticate header, also of several joined by commas. Never raises."""
    header = header[:_MAX_HEADER_CHARACTERS]
    found: list[tuple[str, list[tuple[str, str]]]] = []
    position = 0
    while position < len(header):
        if match := _SEPARATORS.match(header, position):
            pass
        elif found and (match := _PARAMETER.match(header, position)):
            quoted, plain = match[2], match[3]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            found[-1][1].append((match[1].lower(), value))
        elif match := _SCHEME.match(header, position):
            found.append((match[1].lower(), []))
        position = match.end() if match else position + 1
    return tuple(Challenge(scheme, tuple(parameters)) for scheme, parameters in found)


def next_query(header: str) -> str | None:
    """Return the query of the ``rel="next"`` link, or None where there is no such link. Never raises.

    Only the query: servers behind a proxy write their inner host, scheme and path into the rest.
    """
    for target, parameters in _LINK.findall(header[:_MAX_HEADER_CHARACTERS]):
        for quoted, plain in _REL.findall(parameters):
            if "next" in (quoted or plain).lower().split():
                try:
                    return str(urlsplit(target.strip()).query)
                except ValueError:
                    return ""
    return None
