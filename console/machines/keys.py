"""Whether two machines have the same keys, told without the keys: what a key makes of a fixed text."""

from __future__ import annotations

import hashlib
import hmac

from django.conf import settings
from django.utils.module_loading import import_string

CHECK_TEXT = b"tallyman: the same key on each machine"


def check_values() -> dict[str, str]:
    """Return for each key of ``settings.MACHINE_KEYS``, by its name, 32 hex digits that nothing but that key makes."""
    return {name: _value(import_string(path)()) for name, path in settings.MACHINE_KEYS.items()}


def secret_key() -> str:
    """Return the key that signs sessions and the messages of the queue."""
    return str(settings.SECRET_KEY)


def _value(key: str | bytes | list[str]) -> str:
    parts = [key] if isinstance(key, str | bytes) else key
    whole = b"\n".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hmac.new(whole, CHECK_TEXT, hashlib.sha256).hexdigest()[:32]
