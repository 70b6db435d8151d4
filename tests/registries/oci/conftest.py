"""A registry on loopback, a client for it, and pauses short enough for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest

from registries.oci import DistributionClient, Endpoint
from tests.fakes.registry import DecoyServer, FakeRegistry

T = TypeVar("T")
LOOPBACK = ("127.0.0.0/8", "::1/128")


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeRegistry]]:
    """Start registries that end with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(FakeRegistry(**options))


@pytest.fixture
def registry(serve: Callable[..., FakeRegistry]) -> FakeRegistry:
    """A registry that is open to anybody."""
    return serve()


@pytest.fixture
def canary() -> Iterator[DecoyServer]:
    """Another origin, which should hear nothing secret."""
    with DecoyServer() as server:
        yield server


@pytest.fixture
def connect() -> Iterator[Callable[..., DistributionClient]]:
    """Make clients that are closed with the test: ``connect(registry, **fields of Endpoint)``."""
    with ExitStack() as stack:

        def make(
            to: FakeRegistry | str, *, check: Callable[[], None] = lambda: None, **fields: Any
        ) -> DistributionClient:
            url = to if isinstance(to, str) else to.url
            endpoint = Endpoint(url, **{"allow_plain_http": True, "allowed_networks": LOOPBACK, **fields})
            return stack.enter_context(DistributionClient(endpoint, check=check))

        yield make


def until_error(items: Iterator[T]) -> tuple[list[T], Exception | None]:
    """What an iterator yields before it raises, and what it raises."""
    found: list[T] = []
    try:
        for item in items:
            found.append(item)
    except Exception as error:
        return found, error
    return found, None
