"""What the config of an image says: its system, its history, and the uncompressed layers it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction

from inventory.content import secret_redaction
from inventory.models import Image, ImageLayer
from registries.oci.configs import HistoryStep, ImageConfig, parse_config

CONFIG_COLUMNS = ("os", "architecture", "variant", "created", "history", "config_known", "layer_count")


@dataclass(frozen=True)
class _MaskedStep(HistoryStep):
    """A step in whose text all secrets are masked."""


def read_config(content: bytes) -> ImageConfig:
    """Return what a config blob says, its secrets masked. Raises MalformedResponse."""
    return mask_config(parse_config(content))


def mask_config(config: ImageConfig) -> ImageConfig:
    """Return ``config`` with its secrets masked.

    That takes seconds where texts are long, so it is done before the transaction that writes them: on SQLite nobody
    else could write meanwhile.
    """
    return replace(config, history=tuple(_mask_step(step) for step in config.history))


def _mask_step(step: HistoryStep) -> HistoryStep:
    if isinstance(step, _MaskedStep):
        return step
    return _MaskedStep(
        created=step.created,
        created_by=secret_redaction.mask(step.created_by),
        comment=secret_redaction.mask(step.comment),
        author=step.author,
        empty_layer=step.empty_layer,
    )


def record_configs_of_registry(configs: Mapping[str, ImageConfig], *, registry_id: int) -> None:
    """Write what ``configs`` say, by image ID, of the images of the registry that has given them."""
    if not configs:
        return
    images = Image.objects.filter(registry=registry_id, image_id__in=configs, config_known=False)
    record_configs({pk: configs[image_id] for pk, image_id in images.values_list("pk", "image_id")})


def record_configs(configs: Mapping[int, ImageConfig]) -> None:
    """Write what ``configs`` (primary key of the image → its config) say. Doing it again changes nothing.

    Of layers nothing is written: which diff ID one has, a pull proves.
    """
    if not configs:
        return
    with transaction.atomic():
        images = Image.objects.in_bulk(list(configs))
        for pk, image in images.items():
            _fill(image, configs[pk])
        # An upsert of rows that are there: several times faster than bulk_update's CASE WHEN for each row and column.
        Image.objects.bulk_create(
            images.values(), update_conflicts=True, unique_fields=["id"], update_fields=CONFIG_COLUMNS, batch_size=100
        )
        ImageLayer.objects.bulk_create(
            [
                ImageLayer(image_id=pk, position=position, diff_id=diff_id, step=step)
                for pk in images
                for position, (diff_id, step) in enumerate(_steps(configs[pk]))
            ],
            ignore_conflicts=True,
        )


def _fill(image: Image, config: ImageConfig) -> None:
    # Also where it says nothing: what an index has told is not part of the image.
    image.os, image.architecture, image.variant = config.os, config.architecture, config.variant
    image.created = config.created
    image.history = [_as_json(step) for step in config.history]
    image.config_known, image.layer_count = True, len(_steps(config))


def _as_json(step: HistoryStep) -> dict[str, Any]:
    step = _mask_step(step)
    return {
        "created": step.created.isoformat() if step.created else None,
        "created_by": step.created_by,
        "comment": step.comment,
        "empty_layer": step.empty_layer,
    }


def _steps(config: ImageConfig) -> list[tuple[str, int | None]]:
    """Each diff ID with the index of the step that made it: the steps with a layer have one each, in order.

    Where no diff IDs are named (schema 1, and configs of odd tools) they are "" until a pull shows them.
    """
    steps: list[int | None] = [index for index, step in enumerate(config.history) if not step.empty_layer]
    diff_ids = config.diff_ids or ("",) * len(steps)
    missing = len(diff_ids) - len(steps)
    return list(zip(diff_ids, steps + [None] * missing, strict=False))


def record_diff_ids(image: Image, diff_ids: Sequence[str]) -> None:
    """Write which diff IDs the layers of an image have, as a pull has shown, where its config names none."""
    rows = list(image.image_layers.order_by("position"))
    if len(rows) != len(diff_ids) or any(row.diff_id for row in rows):
        return
    for row, diff_id in zip(rows, diff_ids, strict=True):
        row.diff_id = diff_id
    ImageLayer.objects.bulk_update(rows, ["diff_id"])
