"""Step: the layers of which no engine knows anything yet are pulled, several at once.

While layers are still coming, the malware engines read those that are there, in a thread of their own, and go on while
Trivy works. Each layer of a registry is pulled and read by one scan of a machine at a time; what others work on
meanwhile is waited for, after our own layers and with nothing held. Nobody waits for what is pulled from another
registry.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from inventory.content import layer_proof
from registries.oci.errors import NotFound
from scanning import configured_engines
from scanning.execution.context import ScanContext
from scanning.execution.progress import POLL_SECONDS, stoppable_threads
from scanning.execution.scanned_layers import ScannedLayer
from scanning.layers import StoredLayerFile
from scanning.layers.claims import Claims
from scanning.models.scan import ScanStage

MAX_CONCURRENT_PULLS = 3  # layers of one image at once
PULL_WAIT_SECONDS = 2.0  # without a further layer, before Trivy looks at those that are here


@dataclass(frozen=True)
class _Fetched:
    """A layer in the store. ``taken`` is None where another scan has pulled it."""

    file: StoredLayerFile
    taken: layer_proof.BlobSampler | None


def pull_layers(context: ScanContext) -> None:
    """Bring the layers that an engine does not know into the store, and have the malware engines read each of them.

    Ends with the claims on the layers that were pulled last, until all engines have read them. Layers that take long
    are not waited for: Trivy reads those that are there, and other scans may go on with them. Raises RegistryError,
    LayerError, EngineError, and PullAgain if Trivy must run once more.
    """
    context.claims.close()  # where the scan comes here again
    unknown = _layers_to_pull(context)
    while unknown:
        with ExitStack() as stack:
            claims = stack.enter_context(_claim(context, unknown))
            context.check.release_claims = claims.release_claims
            if claims.held:
                unknown = _layers_to_pull(context)  # another scan may have read them just before the claim
            mine = [layer for layer in unknown if layer.digest in claims.held]
            arrived = _pull(context, mine, claims)
            if len(mine) == len(unknown):
                context.claims.push(stack.pop_all())
                return
            _read_and_release(context, arrived, claims)
        if not mine:
            _wait_for_other_scans(context, unknown)
        unknown = _layers_to_pull(context)


def _claim(context: ScanContext, layers: Iterable[ScannedLayer]) -> AbstractContextManager[Claims]:
    digests = (layer.digest for layer in layers)
    return configured_engines.layer_store().claims(digests, source=str(context.registry.pk))


def _wait_for_other_scans(context: ScanContext, unknown: Sequence[ScannedLayer]) -> None:
    """Wait until another scan has let one of these layers go: by then more may be known."""
    context.progress.show(ScanStage.WAITING)
    with context.run.waiting():
        while True:
            with _claim(context, unknown) as claims:
                if claims.held:
                    return
            context.check()
            time.sleep(POLL_SECONDS)


def _layers_to_pull(context: ScanContext) -> list[ScannedLayer]:
    """Return the layers that must be pulled, each once: of which an engine knows nothing, and that are not here."""
    absent = context.layers.absent()
    proven = [layer for layer in absent if context.layers.has_claimed_content(layer)]
    known = context.trivy.known({context.layers.diff_id(layer) for layer in proven})
    if context.trivy.is_in_use:
        context.trivy.cached |= known
    known = context.malware.known(known)
    return [layer for layer in absent if layer not in proven or context.layers.diff_id(layer) not in known]


def _pull(context: ScanContext, layers: Sequence[ScannedLayer], claims: Claims) -> list[ScannedLayer]:
    """Pull the layers, and have the malware engines read each as soon as it is there.

    Where some take long, Trivy reads those that are there, and others may go on with them. Returns what Trivy has not
    read.
    """
    context.progress.expect([layer.size for layer in layers])
    here: list[ScannedLayer] = []
    last_arrival = time.monotonic()
    with stoppable_threads(MAX_CONCURRENT_PULLS, "pull", context.check) as pool:
        fetching = {pool.submit(_fetch, context, layer): layer for layer in layers}
        for layer, fetched in context.progress.as_completed(fetching):
            if layer is None:
                if here and time.monotonic() - last_arrival > PULL_WAIT_SECONDS:
                    _read_and_release(context, here, claims)
                    here = []
                continue
            last_arrival = time.monotonic()
            if fetched is None:
                context.layers.note_elsewhere(layer)
                continue
            context.layers.note_file(layer, fetched.file, fetched.taken)
            context.malware.submit(fetched.file)
            here.append(layer)
    return here


def _read_and_release(context: ScanContext, layers: Sequence[ScannedLayer], claims: Claims) -> None:
    """Have all engines read layers that are here, and let other scans have what is known of them then.

    Nobody needs the files after that: who waits for other layers must not hold the room for them.
    """
    context.layers.store_pull_proofs()
    context.layers.look_up_sharing(context.run.job.manifest_digest)
    context.trivy.read([context.layers.stored(position, layer) for position, layer in enumerate(layers)])
    context.malware.collect(context.progress)
    known = context.trivy.known({context.layers.diff_id(layer) for layer in layers})
    for layer in layers:
        claims.release(layer.digest)
        if context.layers.diff_id(layer) in known and (file := context.layers.files.pop(layer.digest, None)):
            context.lease.release_file(file)


def _fetch(context: ScanContext, layer: ScannedLayer) -> _Fetched | None:
    """Bring one layer into the store, verified and uncompressed; None where it lies elsewhere.

    Runs in a thread of its own and touches no database.
    """
    taken: layer_proof.BlobSampler | None = None

    def open_blob() -> AbstractContextManager[BinaryIO]:
        nonlocal taken
        taken = layer_proof.make_sampler(layer.descriptor)
        blob = context.source.client.blob(context.source.repository, layer.descriptor)
        return layer_proof.sampling(blob, taken)

    try:
        file = context.lease.get(
            digest=layer.digest,
            size=layer.size,
            diff_id=layer.diff_id,
            open_blob=open_blob,
            check=context.check,
            progress=lambda pulled: context.progress.note_pulled(layer.digest, pulled),
        )
        return _Fetched(file, taken)
    except NotFound:
        if layer.is_foreign:
            return None
        raise
