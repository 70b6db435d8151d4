"""Whether two machines have the same keys, told without the keys: what a key makes of a fixed text."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from django.conf import settings

from console.extension_points import ExtensionPoint

CHECK_TEXT = b"tallyman: the same key on each machine"


Key = Callable[[], str | bytes | list[str]]
MACHINE_KEYS: ExtensionPoint[Key] = ExtensionPoint("key of machines")


def register(name: str, key: Key) -> None:
    """Have all machines be compared by what ``key`` returns, which must be alike."""
    MACHINE_KEYS.register(name, key)


def check_values() -> dict[str, str]:
    """Return for each registered key, by its name, 32 hex digits that nothing but that key makes."""
    return {name: _value(key()) for name, key in MACHINE_KEYS.items()}


def secret_key() -> str:
    """Return the key that signs sessions and the messages of the queue."""
    return str(settings.SECRET_KEY)


def _value(key: str | bytes | list[str]) -> str:
    parts = [key] if isinstance(key, str | bytes) else key
    whole = b"\n".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hmac.new(whole, CHECK_TEXT, hashlib.sha256).hexdigest()[:32]
