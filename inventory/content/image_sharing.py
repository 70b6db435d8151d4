"""Which tags hang on the shared row of an image: those whose registry has proven that it holds exactly that image.

A scan proves that: the registry has delivered the manifest and the config, and has delivered or shown to hold each
layer, and the layers' proven diff IDs are those that the config names, in that order. A scan through one registry that
fails shows on the tags of this registry alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet

from inventory import image_summary
from inventory.models import Image, ImageLayer, Manifest, Tag

CONFIG_FIELDS = ("os", "architecture", "variant", "created", "history", "config_known", "layer_count")


def share_image(image: Image) -> int:
    """Hang the tags of ``image``, a registry's own one that is proven now, on the shared row of its image ID.

    Returns the id of that row: ``image`` itself becomes it where there is none. Belongs into a transaction.
    """
    rows = Image.objects.filter(image_id=image.image_id, registry=None).values_list("pk", flat=True)
    rows = rows.select_for_update()  # it may be about to go, where no tag hangs on it: see retire.prune()
    shared = rows.first()
    if shared is None:
        try:
            with transaction.atomic():
                Image.objects.filter(pk=image.pk).update(registry=None, manifest=None)
        except IntegrityError:  # another scan was first
            shared = rows.get()
        else:
            return image.pk
    Tag.objects.filter(image=image.pk).update(image=shared)
    # It goes with the next sync, unless one has just hung another tag on it, which the next scan moves too.
    image_summary.record_states(image_ids=[image.pk], state=Image.ScanState.NOT_SCANNED)
    return shared


def unshare_image(image: Image, *, registry_id: int, manifest_digest: str) -> int | None:
    """Give the tags of a registry that lead to a manifest an image of their own again, away from a shared one.

    Returns its id; None where ``image`` is not shared, or no other tags hang on it. What the registry's config has said
    stays known, for it has delivered that. Belongs into a transaction.
    """
    if not image.is_shared:
        return None
    tags = Tag.objects.filter(image=image.pk)
    own_tags = list(tags.filter(_leading_to(manifest_digest), registry=registry_id).values_list("pk", flat=True))
    manifest = Manifest.objects.filter(digest=manifest_digest, registry=None).first()
    if manifest is None or not tags.exclude(pk__in=own_tags).exists():
        return None
    config = {name: getattr(image, name) for name in CONFIG_FIELDS}
    own, is_new = Image.objects.get_or_create(
        registry_id=registry_id, manifest=manifest, defaults={"image_id": image.image_id, **config}
    )
    if is_new:
        ImageLayer.objects.bulk_create(
            ImageLayer(image=own, position=layer.position, diff_id=layer.diff_id, step=layer.step)
            for layer in image.image_layers.all()
        )
    Tag.objects.filter(pk__in=own_tags).update(image=own)
    return own.pk


def images_of_several_registries(image_ids: Iterable[int]) -> list[int]:
    """Return those of the images on which tags of more than one registry hang."""
    tags = Tag._base_manager.filter(image__in=list(image_ids), image__registry=None).order_by()
    counted = tags.values_list("image").annotate(n=Count("registry", distinct=True)).filter(n__gt=1)
    return [image_id for image_id, _registries in counted if image_id is not None]


def other_tags(image: Image, *, registry_id: int | None, manifest_digest: str) -> QuerySet[Tag]:
    """Return the tags of a shared image but those of a registry that lead to a manifest."""
    tags = Tag.objects.filter(image=image.pk, image__registry=None)
    return tags.exclude(_leading_to(manifest_digest), registry=registry_id) if registry_id else tags


def _leading_to(manifest_digest: str) -> Q:
    return Q(manifest__digest=manifest_digest) | Q(manifest__default_manifest__digest=manifest_digest)
