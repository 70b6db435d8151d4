"""What the registries hold: repositories, tags, manifests, images, layers."""

from inventory.models.content import Image, ImageLayer, Layer, Manifest, ManifestLayer, PlatformManifest
from inventory.models.listing import Repository, Tag

__all__ = ["Image", "ImageLayer", "Layer", "Manifest", "ManifestLayer", "PlatformManifest", "Repository", "Tag"]
