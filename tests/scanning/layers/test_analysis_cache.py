"""What is known of layers, as the database keeps it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scanning.engines.trivy.cache import CachedLayer, MaskedSecret
from scanning.layers.analysis_cache import DatabaseLayerCache
from scanning.models import LayerResult

pytestmark = pytest.mark.django_db

NOTE = CachedLayer("sha256:key", b'{"DiffID": "sha256:1"}' * 1000, {"secret": MaskedSecret("ghp_****", "f" * 64)})


def test_a_note_is_read_back_as_it_was_by_the_same_variant_alone() -> None:
    cache = DatabaseLayerCache()
    cache.save("a", {"sha256:1": NOTE}, owner="")
    assert cache.cached("a", ["sha256:1", "sha256:2"], owner="5") == {"sha256:1"}
    assert cache.load("a", ["sha256:1"], owner="5") == {"sha256:1": NOTE}
    assert cache.load("b", ["sha256:1"], owner="5") == {}


def test_a_note_of_one_owner_is_read_by_no_other() -> None:
    cache, another = DatabaseLayerCache(), CachedLayer("sha256:key", b"{}")
    cache.save("a", {"sha256:1": NOTE}, owner="5")
    assert cache.load("a", ["sha256:1"], owner="5") == {"sha256:1": NOTE}
    for owner in ("", "6", "55"):
        assert cache.cached("a", ["sha256:1"], owner=owner) == frozenset()
        assert cache.load("a", ["sha256:1"], owner=owner) == {}
    cache.save("a", {"sha256:1": another}, owner="")  # that is good for all, so it is taken
    assert cache.load("a", ["sha256:1"], owner="5") == cache.load("a", ["sha256:1"], owner="6") == {"sha256:1": another}
    cache.discard("a", ["sha256:1"])
    assert LayerResult.objects.count() == 0


def test_a_note_of_another_owner_is_read_by_an_image_that_has_all_layers_of_its_run() -> None:
    """Whoever has taken over that run is in the image, and speaks for no other."""
    cache, run = DatabaseLayerCache(), ("sha256:1", "sha256:2")
    cache.save("a", {diff_id: replace(NOTE, read_with=run) for diff_id in run}, owner="5")
    for image in (run, (*run, "sha256:3")):
        assert cache.cached("a", image, owner="6") == set(run)
        assert cache.load("a", image, owner="6").keys() == set(run)
    assert cache.cached("a", ["sha256:1", "sha256:3"], owner="6") == frozenset()
    assert cache.load("a", ["sha256:1", "sha256:3"], owner="6") == {}
    assert cache.cached("a", ["sha256:1", "sha256:3"], owner="5") == {"sha256:1"}
    assert cache.cached("b", run, owner="6") == frozenset()


@pytest.mark.parametrize("spoil", [lambda packed: packed[:-1], lambda packed: packed[:-1] + b"?", lambda packed: b""])
def test_a_note_that_is_cut_or_changed_counts_as_none(spoil: object) -> None:
    assert callable(spoil)
    DatabaseLayerCache().save("a", {"sha256:1": NOTE}, owner="")
    row = LayerResult.objects.get()
    row.record = spoil(bytes(row.record or b""))
    row.save()
    assert DatabaseLayerCache().load("a", ["sha256:1"], owner="") == {}
