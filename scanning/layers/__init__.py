"""Layers on disk, pulled once, uncompressed and verified, removed with the last scan that needs them."""

from scanning.engines.formats.layer_errors import (
    CorruptLayer,
    DiffIdMismatch,
    LayerError,
    LayerTooLarge,
    StoreFull,
    UnsupportedCompression,
)
from scanning.layers.layer_store import LayerLease, LayerStore, StoredLayerFile

__all__ = [
    "CorruptLayer",
    "DiffIdMismatch",
    "LayerError",
    "LayerLease",
    "LayerStore",
    "LayerTooLarge",
    "StoreFull",
    "StoredLayerFile",
    "UnsupportedCompression",
]
