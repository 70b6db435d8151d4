"""Which layers more than one image has, as far as the inventory knows: what is said of those concerns others."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q

from inventory.models import Layer, ManifestLayer, Tag


def shared_layers(digests: Iterable[str], *, manifest_digest: str, registry_id: int) -> frozenset[str]:
    """Return those of the layers of an image that another manifest names too, or all where another registry has it.

    What manifests name is their claim: so this says what to be careful with, and proves nothing.
    """
    named = list(digests)
    if not named:
        return frozenset()
    of_image = Q(manifest__digest=manifest_digest) | Q(manifest__default_manifest__digest=manifest_digest)
    if Tag._base_manager.filter(of_image).exclude(registry=registry_id).exists():
        return frozenset(named)
    others = ManifestLayer.objects.filter(layer=OuterRef("pk")).exclude(manifest__digest=manifest_digest)
    found = Layer.objects.filter(Exists(others), digest__in=named)
    return frozenset(found.values_list("digest", flat=True))
