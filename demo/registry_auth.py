"""How the small distribution server signs people in: not at all, by Basic, or by Bearer with tokens of its own."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Method = Literal["none", "basic", "bearer"]


@dataclass
class RegistryAuth:
    """The rules of sign-in. ``users`` maps names to passwords; tokens live ``token_seconds``."""

    method: Method = "none"
    users: Mapping[str, str] = field(default_factory=dict)
    token_seconds: int = 300
    service: str = "registry"
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def check_basic(self, authorization: str) -> str | None:
        """The name of the user whose right password is in an Authorization header, else None."""
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        known = self.users.get(user)
        right = hmac.compare_digest((known or "").encode(), password.encode())
        return user if right and known is not None else None

    def issue(self, user: str, scopes: list[str]) -> str:
        """A signed token for ``user`` that carries ``scopes`` and its end."""
        body = json.dumps({"sub": user, "scopes": scopes, "exp": time.time() + self.token_seconds}).encode()
        return f"{_encode(body)}.{_encode(self._sign(body))}"

    def refuse_bearer(self, authorization: str, needed: str) -> str | None:
        """None where the token is good for the scope ``needed``, else the challenge's ``error`` ("" for no token)."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return ""
        encoded, _, signature = token.partition(".")
        try:
            body, given = _decode(encoded), _decode(signature)
        except (binascii.Error, ValueError):
            return "invalid_token"
        if not hmac.compare_digest(self._sign(body), given):
            return "invalid_token"
        claims = json.loads(body)
        if claims["exp"] <= time.time():
            return "invalid_token"
        return None if not needed or _covers(claims["scopes"], needed) else "insufficient_scope"

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)


def _covers(scopes: list[str], needed: str) -> bool:
    """Whether ``scopes`` hold ``type:name:action``; a scope may name several actions or ``*``."""
    kind_and_name, _, action = needed.rpartition(":")
    for scope in scopes:
        held, _, actions = scope.rpartition(":")
        if held == kind_and_name and (action in actions.split(",") or "*" in actions.split(",")):
            return True
    return False


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
