"""Digests and references, as the OCI distribution and image specifications write them."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from registries.oci import messages
from registries.oci.errors import AddressInvalid, MalformedResponse

if TYPE_CHECKING:
    from hashlib import _Hash

# image-spec descriptor.md: the registered algorithms. Others are refused: a digest becomes a file name.
_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[a-f0-9]+")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_MAX_NAME_CHARACTERS, _MAX_TAG_CHARACTERS = 255, 200  # a digest of sha512 has 135 characters
_FORBIDDEN_CHARACTERS = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")  # controls, and what UTF-8 cannot hold


@dataclass(frozen=True, order=True)
class Digest:
    """A digest of a registered algorithm; ``str()`` gives ``algorithm:encoded``."""

    algorithm: str
    encoded: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """Return the digest that ``text`` writes. Raises MalformedResponse for anything else."""
        if isinstance(text, str):
            algorithm, _, encoded = text.partition(":")
            if len(encoded) == _HEX_LENGTH.get(algorithm) and _HEX.fullmatch(encoded):
                return cls(algorithm, encoded)
        raise MalformedResponse(
            messages.DIGEST_MALFORMED(),
            messages.PUSH_WITH_CURRENT_TOOL(),
        )

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> Self:
        """Return the digest of ``content``."""
        return cls(algorithm, hashlib.new(algorithm, content).hexdigest())

    def hasher(self) -> _Hash:
        """Return a new hash object of this digest's algorithm."""
        return hashlib.new(self.algorithm)

    def fits(self, content: bytes) -> bool:
        """Whether ``content`` has this digest."""
        return self.names(hashlib.new(self.algorithm, content))

    def names(self, hashed: _Hash) -> bool:
        """Whether what went through ``hashed`` has this digest."""
        return hmac.compare_digest(hashed.hexdigest(), self.encoded)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.encoded}"


@dataclass(frozen=True)
class Reference:
    """``[host/]name[:tag][@digest]`` as people write it. ``tag`` is "" where only a digest or neither is given."""

    host: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the reference that ``text`` writes, with Docker's rule of what is a host. Raises AddressInvalid."""
        rest, at, digest = text.strip().partition("@")
        head, slash, tail = rest.partition("/")
        host, name = (head, tail) if slash and (head == "localhost" or set(head) & set(".:")) else ("", rest)
        name, colon, tag = name.partition(":")
        if (host and not _HOST.fullmatch(host)) or (colon and not _TAG.fullmatch(tag)) or not is_repository(name):
            raise AddressInvalid(
                messages.NO_NAME_OF_IMAGE(value=text[:200]),
                messages.WRITE_AS_REFERENCE(),
            )
        return cls(host, name, tag, Digest.parse(digest) if at else None)

    def __str__(self) -> str:
        name = f"{self.host}/{self.repository}" if self.host else self.repository
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def is_repository(name: str) -> bool:
    """Whether ``name`` can stand in a path. Laxer than the specification: servers hold names that break its rule."""
    parts = name.split("/")
    return (
        len(name) <= _MAX_NAME_CHARACTERS
        and not _FORBIDDEN_CHARACTERS.search(name)
        and all(part not in {"", ".", ".."} for part in parts)
    )


def is_tag(name: str) -> bool:
    """Whether ``name`` (a tag or a digest) can stand in a path; laxer than the specification, too."""
    return 0 < len(name) <= _MAX_TAG_CHARACTERS and not _FORBIDDEN_CHARACTERS.search(name) and name not in {".", ".."}


def repository_path(name: str) -> str:
    """``name`` for a path below ``/v2/``. Raises MalformedResponse where it would lead to another path."""
    if not is_repository(name):
        raise MalformedResponse(messages.REPOSITORY_NAME_UNFIT(), _RENAME)
    return quote(name, safe="/")


def reference_path(reference: str | Digest) -> str:
    """A tag or a digest for a path. Raises MalformedResponse where it would lead to another path."""
    text = str(reference)
    if not is_tag(text):
        raise MalformedResponse(messages.TAG_NAME_UNFIT(), _RENAME)
    return quote(text, safe=":")


_RENAME = messages.RENAME_IT()
