"""Step: the registry of the image shows that it holds all layers, also those that were known from elsewhere."""

from __future__ import annotations

from inventory.content import layer_proof
from registries.oci.errors import NotFound
from scanning.execution.context import ScanContext
from scanning.execution.progress import stoppable_threads
from scanning.execution.scanned_layers import ScannedLayer
from scanning.execution.steps.pull_layers import MAX_CONCURRENT_PULLS
from scanning.layers import DiffIdMismatch

READ_CHUNK_BYTES = 256 * 1024


def prove_layers(context: ScanContext) -> None:
    """Have the registry show that it holds the layers that it did not deliver, and store what it has proven.

    Raises RegistryError if it does not hold one, and DiffIdMismatch if one is not what the config claims.
    """
    context.layers.store_pull_proofs()
    _request_missing(context)
    for layer in context.layers.readable():  # each, for one blob may stand there twice with different claims
        if not context.layers.has_claimed_content(layer):
            raise DiffIdMismatch(layer.diff_id, context.layers.diff_id(layer))
    context.results.diff_ids = context.layers.shown_diff_ids()


def _request_missing(context: ScanContext) -> None:
    missing = context.layers.not_held()
    if not missing:
        return
    samples = layer_proof.samples_of(missing)
    shown: list[ScannedLayer] = []
    with stoppable_threads(MAX_CONCURRENT_PULLS, "prove", context.check) as pool:
        requests = {
            pool.submit(_request_samples, context, layer, samples.get(digest)): layer
            for digest, layer in missing.items()
        }
        for layer, is_held in context.progress.as_completed(requests):
            if layer is None:
                continue
            if is_held is None:
                context.layers.note_elsewhere(layer)
            else:
                shown.append(layer)
    context.layers.store_availability(shown)


def _request_samples(context: ScanContext, layer: ScannedLayer, samples: bytes | None) -> bool | None:
    """Have the registry show that it holds a layer; None where that lies elsewhere.

    By parts of it, or where it does not give the right ones, whole. Runs in a thread of its own and touches no
    database.
    """
    client, repository = context.source.client, context.source.repository
    try:
        if samples and layer_proof.has_layer(client, repository, layer.descriptor, samples):
            return True
        with client.blob(repository, layer.descriptor) as blob:
            while chunk := blob.read(READ_CHUNK_BYTES):  # verified against the digest at its end
                context.progress.add_pulled(layer.digest, len(chunk))
                context.check()
        return True
    except NotFound:
        if layer.is_foreign:
            return None
        raise
