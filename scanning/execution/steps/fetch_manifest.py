"""Step: which layers the image has."""

from __future__ import annotations

from console.jobs.errors import JobFailure
from inventory.sync import resolve
from registries.client_pool import pooled_client
from registries.oci import ImageManifest, parse_manifest
from scanning.execution import messages
from scanning.execution.context import ScanContext
from scanning.execution.scanned_layers import ImageSource, ScannedLayers

MAX_CONFIG_BYTES = 4 * 1024 * 1024  # a config is a few KiB; more than a manifest may have is nonsense


def fetch_manifest(context: ScanContext) -> None:
    """Open the registry, and set ``source`` and ``layers`` to what the manifest and the config say.

    A config that was not read before is recorded with the image. Raises RegistryError, JobFailure if the manifest is
    not that of the image, and CorruptLayer if it does not fit the config.
    """
    scan, repository = context.run.job, context.tag.repository.name
    client = context.resources.enter_context(pooled_client(context.registry, check=context.check.on_network))
    raw = client.manifest(repository, scan.manifest_digest)
    manifest = parse_manifest(raw)
    if not isinstance(manifest, ImageManifest):
        raise JobFailure(messages.NO_MANIFEST(), messages.SYNC_OR_PUSH())
    image, config = scan.image, manifest.config
    if str(config.digest if config else raw.digest) != image.image_id:
        raise JobFailure(messages.ANOTHER_IMAGE(), messages.SYNC_AND_SCAN())
    if config and not image.config_known:
        resolve.record_config(image, client.blob_bytes(repository, config, limit=MAX_CONFIG_BYTES))
    diff_ids = list(image.image_layers.values_list("diff_id", flat=True))
    context.source = ImageSource(
        client=client, repository=repository, manifest=manifest, diff_ids=diff_ids if config and any(diff_ids) else None
    )
    context.layers = ScannedLayers(context.source, registry_id=context.registry.pk)
