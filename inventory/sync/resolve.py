"""From a digest to an image: what a manifest or an index is, asked of each registry that names it, once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from inventory.content.image_config import mask_config, read_config, record_configs
from inventory.content.manifest_store import LayerFact, ManifestFact, PlatformFact
from inventory.models import Image, Manifest
from inventory.sync import messages
from registries.clients import RegistryClient
from registries.oci.classify import choose_platform, classify, index_images
from registries.oci.errors import MalformedResponse, NotFound, RegistryError
from registries.oci.manifests import Descriptor, ImageManifest, Index, RawManifest, parse_manifest

MAX_DEPTH = 3  # indexes within indexes
MAX_PLATFORMS = 200  # images of an index that are kept
MAX_FETCHES = 12  # manifests asked for to find one image of an index
MAX_SIZED_LAYERS = 200  # of schema 1, whose sizes are asked for one by one
MAX_LAYERS = 1000  # several times what any container runtime can mount


def record_config(image: Image, content: bytes) -> None:
    """Write what the config ``content`` (whose digest is the image ID) says of ``image``: system, history, layers.

    Only of what the image's own registry has given. Doing it again changes nothing. Raises MalformedResponse for
    a config that makes no sense.
    """
    record_configs({image.pk: read_config(content)})
    image.refresh_from_db()


def fetch_manifest(client: RegistryClient, *, repository: str, digest: str) -> ManifestFact:
    """Ask ``client`` for a manifest and, of an index, for its default image. Talks to no database.

    Raises a RegistryError where the registry does not give it, or gives what makes no sense.
    """
    return _ManifestFetch(client, repository).fetch(digest, depth=0)


def unreadable_manifest(digest: str, error: RegistryError) -> ManifestFact:
    """Return what to store of a digest that a tag names and that cannot be read, so that people see it and why."""
    return ManifestFact(
        digest=digest, kind=Manifest.Kind.UNREADABLE, image_id=digest, reason=error.reason, remedy=error.remedy
    )


@dataclass
class _ManifestFetch:
    """One search for the image behind a digest. ``remaining`` bounds what a hostile index can make us ask for."""

    client: RegistryClient
    repository: str
    remaining: int = MAX_FETCHES

    def fetch(self, digest: str, *, depth: int) -> ManifestFact:
        self.remaining -= 1
        if self.remaining < 0 or depth > MAX_DEPTH:
            raise MalformedResponse(
                messages.INDEX_LEADS_NOWHERE(),
                messages.PUSH_WITH_CURRENT_TOOL(),
            )
        raw = self.client.manifest(self.repository, digest)
        parsed = parse_manifest(raw)
        verdict = classify(parsed)
        if verdict.kind == "index" and isinstance(parsed, Index):
            return self._index(raw, parsed, depth)
        if verdict.kind == "image" and isinstance(parsed, ImageManifest):
            return _image(raw, self._sized(parsed))
        return _other(raw, verdict.artifact_type)

    def _sized(self, manifest: ImageManifest) -> ImageManifest:
        """Return ``manifest``, where it is of schema 1 with the sizes of its layers, which it does not say itself."""
        if manifest.schema1 is None or len(manifest.layers) > MAX_SIZED_LAYERS:
            return manifest
        sizes = {
            layer.digest: self.client.blob_size(self.repository, layer.digest)
            for layer in dict.fromkeys(manifest.layers)
        }
        return replace(
            manifest, layers=tuple(replace(layer, size=sizes[layer.digest] or 0) for layer in manifest.layers)
        )

    def _index(self, raw: RawManifest, index: Index, depth: int) -> ManifestFact:
        """Try the images of ``index`` in the order of preference until one is there."""
        platforms = {str(child.digest): _platform(child) for child in index_images(index)[:MAX_PLATFORMS]}
        rest, missing = index, ""
        while (child := choose_platform(rest)) is not None:
            digest = str(child.digest)
            rest = replace(rest, manifests=tuple(each for each in rest.manifests if each.digest != child.digest))
            try:
                found = self.fetch(digest, depth=depth + 1)
            except NotFound:
                missing = missing or str(child.platform or digest)
                if digest in platforms:
                    platforms[digest] = replace(platforms[digest], absent=True)
                continue
            default = found.default or found
            if default.kind == Manifest.Kind.OTHER:
                platforms.pop(digest, None)
                continue
            if digest in platforms:
                platforms[digest] = replace(platforms[digest], size=default.size)
            return ManifestFact(
                digest=str(raw.digest),
                kind=Manifest.Kind.INDEX,
                media_type=raw.media_type,
                platforms=tuple(platforms.values()),
                default=replace(default, platform=default.platform or child.platform),
            )
        if missing:
            raise NotFound(
                messages.INDEX_WITHOUT_IMAGES(platform=missing),
                messages.PUSH_WITH_ALL_PLATFORMS(),
                what="manifest",
            )
        return _other(raw, index.artifact_type or index.media_type)


def _image(raw: RawManifest, manifest: ImageManifest) -> ManifestFact:
    if len(manifest.layers) > MAX_LAYERS:
        raise MalformedResponse(
            messages.TOO_MANY_LAYERS(count=len(manifest.layers)),
            messages.PUSH_WITH_CURRENT_TOOL(),
        )
    contents = [*manifest.layers, *([manifest.config] if manifest.config else [])]
    return ManifestFact(
        digest=str(raw.digest),
        kind=Manifest.Kind.IMAGE,
        media_type=raw.media_type,
        size=sum(each.size for each in contents),
        image_id=str(manifest.config.digest if manifest.config else raw.digest),
        config=manifest.config,
        inline_config=mask_config(manifest.schema1) if manifest.schema1 else None,
        layers=tuple(LayerFact(str(layer.digest), layer.size, layer.media_type) for layer in manifest.layers),
    )


def _other(raw: RawManifest, artifact_type: str) -> ManifestFact:
    return ManifestFact(
        digest=str(raw.digest), kind=Manifest.Kind.OTHER, media_type=raw.media_type, artifact_type=artifact_type
    )


def _platform(child: Descriptor) -> PlatformFact:
    return PlatformFact(digest=str(child.digest), platform=str(child.platform or "")[:80])
