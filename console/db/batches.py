"""Many rows or values, some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield ``items`` in tuples of ``size``, the last of which may be shorter; as itertools.batched in Python 3.12.

    Takes no more of ``items`` than the tuple that is asked for needs. Raises ValueError where ``size`` is below 1.
    """
    if size < 1:
        raise ValueError(f"no batches of {size}")
    iterator = iter(items)
    while batch := tuple(islice(iterator, size)):
        yield batch
