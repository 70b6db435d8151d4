"""The layers of one image during its scan: what is here, what is known of each, and what its registry has proven."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from console.i18n.message_codes import Message
from inventory.content import layer_proof
from inventory.content.layer_sharing import shared_layers
from registries.clients import RegistryClient
from registries.oci import Descriptor, ImageManifest
from scanning.engines.base import StoredLayer
from scanning.execution import messages
from scanning.layers import CorruptLayer, StoredLayerFile

_ENCRYPTED_LAYER = messages.LAYER_ENCRYPTED()
_FOREIGN_LAYER = messages.LAYER_ELSEWHERE()


@dataclass(frozen=True)
class ImageSource:
    """An image in its registry, opened for reading."""

    client: RegistryClient
    repository: str
    manifest: ImageManifest
    diff_ids: Sequence[str] | None  # as the config claims; None where none does, as in schema 1


@dataclass(frozen=True)
class ScannedLayer:
    """One layer as manifest and config name it. A blob may stand in an image twice, with different claims."""

    descriptor: Descriptor
    diff_id: str  # "" where it is not known before the pull

    @property
    def digest(self) -> str:
        """The digest of the blob."""
        return str(self.descriptor.digest)

    @property
    def size(self) -> int | None:
        """The compressed bytes; None if the manifest does not say."""
        return self.descriptor.size if self.descriptor.size_known else None

    @property
    def is_encrypted(self) -> bool:
        """Whether no engine can read it."""
        return self.descriptor.media_type.endswith("+encrypted")

    @property
    def is_foreign(self) -> bool:
        """Whether it may lie outside of the registry, for its licence forbids to hand it on (Windows)."""
        return ".foreign." in self.descriptor.media_type or ".nondistributable." in self.descriptor.media_type


class ScannedLayers:
    """The layers of ``source``, with what this scan learns of each. For the thread of the scan alone.

    What is known of a layer counts for the image once the image's own registry has shown that it holds the layer: see
    inventory.content.layer_proof. Raises CorruptLayer if manifest and config differ in the number of layers.
    """

    def __init__(self, source: ImageSource, *, registry_id: int) -> None:
        descriptors = source.manifest.layers
        claims = source.diff_ids if source.diff_ids is not None else [""] * len(descriptors)
        if len(claims) != len(descriptors):
            raise CorruptLayer(messages.LAYER_COUNTS_DIFFER())
        self._registry_id = registry_id
        self._all = [ScannedLayer(*pair) for pair in zip(descriptors, claims, strict=True)]
        self._config_known = source.diff_ids is not None
        # All of these by digest of the blob:
        self.unscanned = {layer.digest: _ENCRYPTED_LAYER for layer in self._all if layer.is_encrypted}  # and why
        self.files: dict[str, StoredLayerFile] = {}  # what this scan has on disk
        self._proven: dict[str, str] = {}  # diff IDs, as pulls have shown
        self._statuses: dict[str, layer_proof.LayerStatus] = {}  # what is stored of it
        self._unwritten_proofs: dict[str, layer_proof.PulledLayer] = {}  # what our pulls have shown
        self._held_by_registry: set[str] = set()  # what the registry has shown to hold
        self._sharers: dict[str, str] = {}  # "" where no other image has it, as far as that was asked

    @property
    def is_proven(self) -> bool:
        """Whether the registry holds all layers of the manifest, and they are those that its config names.

        True only after prove_layers. Images of the oldest form (schema 1) have no config that names their layers.
        """
        return bool(self._all) and not self.unscanned and self._config_known

    @property
    def unscanned_reasons(self) -> list[Message]:
        """Why layers cannot be scanned, each reason once."""
        return list(dict.fromkeys(self.unscanned.values()))

    def readable(self) -> list[ScannedLayer]:
        """Return the layers that can be scanned, from the base upwards."""
        return [layer for layer in self._all if layer.digest not in self.unscanned]

    def diff_id(self, layer: ScannedLayer) -> str:
        """Return the diff ID that a pull has shown, of us or of somebody before. Raises KeyError if none has."""
        return self._proven[layer.digest]

    def shown_diff_ids(self) -> list[str]:
        """Return the diff IDs of all layers as pulls have shown them; none where the config claims some, or where one
        is not known."""
        if self._config_known or any(layer.digest not in self._proven for layer in self._all):
            return []
        return [self._proven[layer.digest] for layer in self._all]

    def has_claimed_content(self, layer: ScannedLayer) -> bool:
        """Whether a pull has shown the layer to be what the config claims."""
        found = self._proven.get(layer.digest)
        return found is not None and layer.diff_id in ("", found)

    def absent(self) -> list[ScannedLayer]:
        """Return the layers that are not on disk, each blob once, after asking the database what is known of them."""
        absent = list({layer.digest: layer for layer in self.readable() if layer.digest not in self.files}.values())
        # What a config says is only a claim; a pull has proven it.
        statuses = layer_proof.layer_statuses((layer.digest for layer in absent), registry_id=self._registry_id)
        self._statuses |= statuses
        self._held_by_registry |= {digest for digest, status in statuses.items() if status.held}
        recorded = {digest: status.diff_id for digest, status in statuses.items() if status.diff_id}
        self._proven = recorded | self._proven  # ours may be of the algorithm that the config asks for
        return absent

    def not_held(self) -> dict[str, ScannedLayer]:
        """Return by digest the layers that the registry has not shown to hold yet."""
        return {layer.digest: layer for layer in self.readable() if layer.digest not in self._held_by_registry}

    def note_elsewhere(self, layer: ScannedLayer) -> None:
        """Note that the layer lies outside of the registry, and is not scanned."""
        self.unscanned[layer.digest] = _FOREIGN_LAYER

    def note_file(self, layer: ScannedLayer, file: StoredLayerFile, taken: layer_proof.BlobSampler | None) -> None:
        """Note that the layer is on disk; ``taken`` is the sample of our own pull, None where another scan pulled."""
        self.files[layer.digest] = file
        self._proven[layer.digest] = file.diff_id
        if taken is not None:
            self._held_by_registry.add(layer.digest)
            self._unwritten_proofs[layer.digest] = layer_proof.PulledLayer(file.diff_id, taken.count, taken.samples)

    def store_pull_proofs(self) -> None:
        """Write what our pulls have shown since the last call: that the registry holds these layers."""
        shown = {
            self._statuses[digest].key: pulled
            for digest, pulled in self._unwritten_proofs.items()
            if digest in self._statuses
        }
        layer_proof.record_pulled(shown, registry_id=self._registry_id)
        self._unwritten_proofs = {}

    def store_availability(self, layers: Collection[ScannedLayer]) -> None:
        """Write that the registry has shown to hold these layers, although it did not deliver them to us."""
        self._held_by_registry |= {layer.digest for layer in layers}
        keys = [self._statuses[layer.digest].key for layer in layers if layer.digest in self._statuses]
        layer_proof.record_availability(keys, registry_id=self._registry_id)

    def stored(self, position: int, layer: ScannedLayer, known: Collection[str] = ()) -> StoredLayer:
        """Return a layer as Trivy gets it: without its path where its diff ID is ``known``."""
        file, diff_id = self.files.get(layer.digest), self.diff_id(layer)
        path = file.path if file and diff_id not in known else None
        size = file.size if file else 0
        return StoredLayer(position, diff_id, path, size, sharers=self._sharers.get(layer.digest, layer.digest))

    def look_up_sharing(self, manifest_digest: str) -> None:
        """Ask which of the layers that are on disk other images have too."""
        if unknown := self.files.keys() - self._sharers.keys():
            shared = shared_layers(unknown, manifest_digest=manifest_digest, registry_id=self._registry_id)
            self._sharers |= {digest: shared.get(digest, "") for digest in unknown}
