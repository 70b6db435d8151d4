"""What the config of an image says: its system, its history, and the uncompressed layers it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import transaction

from inventory import build_secrets
from inventory.models import Image, ImageLayer, Layer, ManifestLayer
from registries.oci.configs import HistoryStep, ImageConfig

COLUMNS = ("os", "architecture", "variant", "created", "history", "config_known", "layer_count")


def record_configs(configs: Mapping[int, ImageConfig]) -> None:
    """Write what ``configs`` (primary key of the image → its config) say. Doing it again changes nothing.

    A layer whose diff ID is not known gets the one the config states; that is a claim until a pull has proven it.
    """
    with transaction.atomic():
        images = Image.objects.in_bulk(list(configs))
        for pk, image in images.items():
            _fill(image, configs[pk])
        # An upsert of rows that are there: several times faster than bulk_update's CASE WHEN for each row and column.
        Image.objects.bulk_create(
            images.values(), update_conflicts=True, unique_fields=["image_id"], update_fields=COLUMNS, batch_size=100
        )
        ImageLayer.objects.bulk_create(
            [
                ImageLayer(image_id=pk, position=position, diff_id=diff_id, step=step)
                for pk in images
                for position, (diff_id, step) in enumerate(_steps(configs[pk]))
            ],
            ignore_conflicts=True,
        )
        _learn_diff_ids({pk: configs[pk].diff_ids for pk in images})


def _fill(image: Image, config: ImageConfig) -> None:
    if config.os or config.architecture:
        image.os, image.architecture, image.variant = config.os, config.architecture, config.variant
    image.created = config.created
    image.history = [_as_json(step) for step in config.history]
    image.config_known, image.layer_count = True, len(config.diff_ids)


def _as_json(step: HistoryStep) -> dict[str, Any]:
    return {
        "created": step.created.isoformat() if step.created else None,
        "created_by": build_secrets.mask(step.created_by),
        "comment": build_secrets.mask(step.comment),
        "empty_layer": step.empty_layer,
    }


def _steps(config: ImageConfig) -> list[tuple[str, int | None]]:
    """Each diff ID with the index of the step that made it: the steps with a layer have one each, in order."""
    steps: list[int | None] = [index for index, step in enumerate(config.history) if not step.empty_layer]
    missing = len(config.diff_ids) - len(steps)
    return list(zip(config.diff_ids, steps + [None] * missing, strict=False))


def _learn_diff_ids(diff_ids: Mapping[int, tuple[str, ...]]) -> None:
    """Layer i of a manifest is diff ID i of its config (image-spec config.md), if there are as many of both."""
    rows = (
        ManifestLayer.objects.filter(manifest__image__in=list(diff_ids))
        .order_by("manifest_id", "position")
        .values_list("manifest_id", "manifest__image_id", "layer_id", "layer__diff_id")
    )
    learned: dict[int, str] = {}
    for _manifest, group in groupby(rows, key=itemgetter(0)):
        layers = list(group)
        stated = diff_ids[layers[0][1]]
        if len(layers) == len(stated):
            learned |= {row[2]: diff_id for row, diff_id in zip(layers, stated, strict=True) if not row[3]}
    Layer.objects.bulk_update(
        [Layer(pk=pk, diff_id=diff_id) for pk, diff_id in sorted(learned.items())], ["diff_id"], batch_size=200
    )
