"""How much is read of one list of a registry: pages, bytes, seconds and names, whatever API they come by.

A registry can go on listing for ever. Who reads a list reads it within bounds; the transport counts the answers that
come meanwhile, so no connector need count its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from registries.oci import messages
from registries.oci.errors import ListingTooLong

T = TypeVar("T")


@dataclass(frozen=True)
class ListingBounds:
    """The most that is read of one list. ``seconds`` counts the time within requests, not that between them."""

    pages: int
    bytes: int
    seconds: float
    names: int


# The largest repositories that are known hold some 100,000 tags: 100 to 1,000 pages, 10 MB by the distribution API and
# 100 MB with the details that vendors give.
TAG_BOUNDS = ListingBounds(pages=20_000, bytes=1024**3, seconds=600.0, names=1_000_000)
REPOSITORY_BOUNDS = ListingBounds(pages=20_000, bytes=1024**3, seconds=900.0, names=500_000)


class _Reading:
    def __init__(self, bounds: ListingBounds) -> None:
        self.bounds, self.pages, self.bytes, self.names, self.seconds = bounds, 0, 0, 0, 0.0

    def check(self) -> None:
        """Raise ListingTooLong where more was read than is."""
        most = self.bounds
        pages, seconds, names, size = f"{most.pages:,}", f"{most.seconds:,.0f}", f"{most.names:,}", most.bytes // 2**20
        if self.pages > most.pages:
            raise ListingTooLong(messages.TOO_MANY_PAGES(pages=pages), _REMEDY)
        if self.bytes > most.bytes:
            raise ListingTooLong(messages.LIST_TOO_LARGE(size=size), _REMEDY)
        if self.seconds > most.seconds:
            raise ListingTooLong(messages.LIST_TOO_SLOW(seconds=seconds), _REMEDY)
        if self.names > most.names:
            raise ListingTooLong(messages.LIST_TOO_LONG(names=names), _REMEDY)


_reading: ContextVar[_Reading | None] = ContextVar("reading", default=None)


def within_bounds(bounds: ListingBounds, items: Iterator[T]) -> Iterator[T]:
    """Yield ``items``, which ask a registry for page after page. Raises ListingTooLong beyond ``bounds``.

    Each step may be done by another thread.
    """
    reading = _Reading(bounds)
    while True:
        token, began = _reading.set(reading), time.monotonic()
        try:
            item = next(items)
        except StopIteration:
            return
        finally:
            _reading.reset(token)
            reading.seconds += time.monotonic() - began
        reading.names += 1
        reading.check()
        yield item


def count_page(size: int) -> None:
    """Count an answer of ``size`` bytes to the list that this thread reads, if any. Raises ListingTooLong."""
    reading = _reading.get()
    if reading is not None:
        reading.pages += 1
        reading.bytes += size
        reading.check()


_REMEDY = messages.SHORTEN_LIST()
