"""Clients that outlive their use: whoever reads from the same registry next has connection and token already.

A scan asks a registry for little; without this most of its requests would be to connect and to sign in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager

from registries.clients import RegistryClient, open_client, server_endpoint
from registries.models import Registry

MAX_IDLE_SECONDS = 30.0  # so long is a client kept that nobody uses; tokens hold for a minute at least
MAX_IDLE_CLIENTS = 16  # clients that nobody uses
CLIENT_KEY_FIELDS = (  # beside the address and what is trusted there
    *("type", "version", "network", "region", "role", "endpoint", "cloud_id", "cloud_address"),
    *("username", "password_token", "pull_username", "pull_password_token", "token_service"),
)


class _PooledClient:
    """A client with the ``check`` of whoever uses it now."""

    def __init__(self, registry: Registry) -> None:
        self.check: Callable[[], None] = lambda: None
        self.idle_since = 0.0
        self._opened = ExitStack()
        self.client: RegistryClient = self._opened.enter_context(open_client(registry, check=lambda: self.check()))

    def close(self) -> None:
        self._opened.close()


_lock = threading.Lock()
_idle: list[tuple[Hashable, _PooledClient]] = []


@contextmanager
def pooled_client(registry: Registry, *, check: Callable[[], None]) -> Iterator[RegistryClient]:
    """Open the way to ``registry`` as :func:`open_client` does, to read manifests and blobs.

    Each client has one user at a time. One in whose use anything was raised is kept no longer, and none is used again
    whose registry has changed.
    """
    key = (
        registry.pk,
        server_endpoint(registry, registry.address),
        *(getattr(registry, name) for name in CLIENT_KEY_FIELDS),
    )
    found = _take(key) or _PooledClient(registry)
    found.check = check
    found.client.begin()
    try:
        yield found.client
    except BaseException:
        found.close()
        raise
    found.check, found.idle_since = lambda: None, time.monotonic()
    with _lock:
        _idle.append((key, found))
    _evict()


def _take(key: Hashable) -> _PooledClient | None:
    _evict()
    with _lock:
        for position, (of, client) in enumerate(_idle):
            if of == key:
                del _idle[position]
                return client
    return None


def _evict() -> None:
    """Close those that nobody has used for long, and the oldest where there are many."""
    since = time.monotonic() - MAX_IDLE_SECONDS
    with _lock:
        late = [
            each
            for position, each in enumerate(reversed(_idle))
            if position >= MAX_IDLE_CLIENTS or each[1].idle_since < since
        ]
        _idle[:] = [each for each in _idle if each not in late]
    for _key, client in late:
        client.close()
