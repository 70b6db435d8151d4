"""Which layers more than one image has, as far as the inventory knows: what is said of those concerns others."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Count, Exists, Max, Min, OuterRef, Q

from inventory.models import ManifestLayer, Tag


def shared_layers(digests: Iterable[str], *, manifest_digest: str, registry_id: int) -> dict[str, str]:
    """Return those of the layers of an image that another manifest names too, or all where another registry has it.

    Each has a text, which is the same for layers that the same manifests name, as far as three figures of them say.
    What manifests name is their claim: so this says what to be careful with, and proves nothing.
    """
    named = list(digests)
    if not named:
        return {}
    of_image = Q(manifest__digest=manifest_digest) | Q(manifest__default_manifest__digest=manifest_digest)
    is_elsewhere = Tag._base_manager.filter(of_image).exclude(registry=registry_id).exists()
    rows = ManifestLayer.objects.filter(layer__digest__in=named)
    if not is_elsewhere:
        others = ManifestLayer.objects.filter(layer=OuterRef("layer")).exclude(manifest__digest=manifest_digest)
        rows = rows.filter(Exists(others))
    figures = rows.order_by().values_list("layer__digest").annotate(Min("manifest"), Max("manifest"), Count("manifest"))
    found = {digest: f"{first}-{last}-{count}" for digest, first, last, count in figures}
    return found | {digest: found.get(digest, "elsewhere") for digest in named if is_elsewhere}
