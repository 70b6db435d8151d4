"""What stands in for ``requests.Session`` wherever the console asks a server that is no registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from console.extension_points import SingleExtensionPoint

OUTBOUND_SESSION: SingleExtensionPoint[Callable[[], Any]] = SingleExtensionPoint("outbound session")


def session() -> Any:
    """Return a new session; what it takes and raises is as in ``requests``."""
    return OUTBOUND_SESSION.get()()
