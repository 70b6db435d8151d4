"""Many rows some at a time: one helper, which reads no further than it must."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.db.batches import batched

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("count", "lengths"), [(0, []), (1, [1]), (3, [3]), (7, [3, 3, 1])])
def test_all_items_come_once_in_their_order(count: int, lengths: list[int]) -> None:
    found = list(batched(range(count), 3))
    assert [len(batch) for batch in found] == lengths
    assert list(itertools.chain(*found)) == list(range(count))


def test_no_more_is_read_than_the_batch_that_is_asked_for() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            read.append(number)
            yield number

    batches = batched(items(), 4)
    assert not read
    assert next(batches) == (0, 1, 2, 3)
    assert read == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_has_an_item_at_least(size: int) -> None:
    with pytest.raises(ValueError, match=str(size)):
        next(batched([1], size))


def test_nobody_makes_batches_in_another_way() -> None:
    by_hand = re.compile(r"while \w+ := \w+\(islice\(|def _?(batches|in_chunks|chunks)\(\w+: (Iterable|Sequence)")
    files = [path for app in ("console", "registries", "inventory", "scanning") for path in (ROOT / app).rglob("*.py")]
    assert [str(path.relative_to(ROOT)) for path in files if by_hand.search(path.read_text())] == [
        "console/db/batches.py"
    ]
