"""How an image was built: its layers, and the step of its history that made each."""

from __future__ import annotations

from dataclasses import dataclass

from inventory.content import secret_redaction
from inventory.models import Image, ManifestLayer, Tag


@dataclass(frozen=True)
class BuiltLayer:
    """One layer. ``digest`` and ``size`` are as the registry holds it, "" and None where that is not known."""

    number: int  # from 1, the base first
    of: int
    diff_id: str
    digest: str
    size: int | None
    step: int | None  # number of the step of the history, from 1
    steps: int
    command: str  # of that step

    @property
    def is_base(self) -> bool:
        """Whether nothing lies below."""
        return self.number == 1


def built_layers(tag: Tag) -> list[BuiltLayer]:
    """Return the layers of the image behind ``tag`` from the base upwards; empty where they are not known."""
    image = tag.image
    if image is None:
        return []
    built = list(image.image_layers.order_by("position"))
    manifest_id = tag.manifest.default_manifest_id or tag.manifest_id
    manifest_layers = list(ManifestLayer.objects.filter(manifest=manifest_id).select_related("layer"))
    matching = len(manifest_layers) == len(built)
    return [
        BuiltLayer(
            number=index + 1,
            of=len(built),
            diff_id=row.diff_id,
            digest=manifest_layers[index].layer.digest if matching else "",
            size=_size(manifest_layers[index]) if matching else None,
            step=None if row.step is None or row.step >= len(image.history) else row.step + 1,
            steps=len(image.history),
            command="" if row.step is None else step_command(image, row.step),
        )
        for index, row in enumerate(built)
    ]


def _size(manifest_layers: ManifestLayer) -> int:
    """Return the size that a pull has proven, before that the one of this manifest: others may claim what they like."""
    return manifest_layers.layer.size if manifest_layers.layer.verified else manifest_layers.size


def step_command(image: Image, step: int) -> str:
    """Return what step number ``step``, from 0, of the history did, without the shell that ran it; "" where unknown."""
    try:
        text = str(image.history[step].get("created_by") or image.history[step].get("comment") or "")
    except (IndexError, AttributeError, TypeError):
        return ""
    text = secret_redaction.mask(text.strip())  # again, for what was kept before it was masked there
    for prefix in ("/bin/sh -c #(nop)", "|0 /bin/sh -c"):
        text = text.removeprefix(prefix).strip()
    return f"RUN {text.removeprefix('/bin/sh -c').strip()}" if text.startswith("/bin/sh -c") else text
