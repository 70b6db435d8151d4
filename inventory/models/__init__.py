"""What the registries contain: repositories, tags, manifests, images, layers."""

from inventory.models.content import Image, ImageLayer, Layer, Manifest, ManifestLayer, PlatformManifest, RegistryLayer
from inventory.models.listing import Repository, Tag
from inventory.models.snapshot import Snapshot

__all__ = [
    "Image",
    "ImageLayer",
    "Layer",
    "Manifest",
    "ManifestLayer",
    "PlatformManifest",
    "RegistryLayer",
    "Repository",
    "Snapshot",
    "Tag",
]
