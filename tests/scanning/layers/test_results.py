"""What is known of layers, as the database keeps it."""

from __future__ import annotations

import pytest

from scanning.engines.trivy.cache import LayerNote, Shown
from scanning.layers.results import LayerMemory
from scanning.models import LayerEvidence

pytestmark = pytest.mark.django_db

NOTE = LayerNote("sha256:key", b'{"DiffID": "sha256:1"}' * 1000, {"secret": Shown("ghp_****", "f" * 64)})


def test_a_note_is_read_back_as_it_was_by_the_same_variant_alone() -> None:
    LayerMemory().keep("a", {"sha256:1": NOTE})
    assert LayerMemory().knows("a", ["sha256:1", "sha256:2"]) == {"sha256:1"}
    assert LayerMemory().recall("a", ["sha256:1"]) == {"sha256:1": NOTE}
    assert LayerMemory().recall("b", ["sha256:1"]) == {}


@pytest.mark.parametrize("spoil", [lambda packed: packed[:-1], lambda packed: packed[:-1] + b"?", lambda packed: b""])
def test_a_note_that_is_cut_or_changed_counts_as_none(spoil: object) -> None:
    assert callable(spoil)
    LayerMemory().keep("a", {"sha256:1": NOTE})
    row = LayerEvidence.objects.get()
    row.record = spoil(bytes(row.record or b""))
    row.save()
    assert LayerMemory().recall("a", ["sha256:1"]) == {}
