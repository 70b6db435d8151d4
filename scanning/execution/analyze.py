"""Looking at the layers of one image: what no engine knows yet is pulled, several layers at once, and read once.

While layers are still coming, the malware engines read those that are there, in a thread of their own, and go on while
Trivy looks. Each layer of a registry is looked at by one scan of a machine at a time; what others look at meanwhile is
waited for, after our own layers and with nothing held. Nobody waits for what is pulled from another registry.

What is known of a layer counts for an image once the image's own registry has shown that it holds the layer: one that
was pulled from elsewhere is asked for some parts of it, or pulled too. See inventory.content.layer_proof.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypedDict, TypeVar

from console import visibility
from console.i18n.explained import Message
from console.jobs.runner import JobRun
from inventory.content import layer_proof
from registries.clients import RegistryClient
from registries.oci import Descriptor, ImageManifest
from registries.oci.errors import NotFound
from scanning import scanners
from scanning.engines.base import EngineError, ImageInput, ImageReport, LayerReport, MalwareEngine, StoredLayer
from scanning.engines.trivy.engine import LayersMissing, TrivySession
from scanning.engines.trivy.run import config_of
from scanning.execution import messages
from scanning.execution.preemption import PreemptionCheck
from scanning.layers import CorruptLayer, DiffIdMismatch, LayerLease, StoredLayerFile, results
from scanning.layers.claims import Claims
from scanning.models import Scan
from scanning.models.scan import ScanStage

K = TypeVar("K")
V = TypeVar("V")

MAX_CONCURRENT_PULLS = 3  # layers of one image at once
_ENCRYPTED_LAYER = messages.LAYER_ENCRYPTED()
_FOREIGN_LAYER = messages.LAYER_ELSEWHERE()
PULL_WAIT_SECONDS = 2.0  # without a further layer, before Trivy looks at those that are here
POLL_SECONDS = 0.2  # between looks at the pulls, and at what other scans do
READ_CHUNK_BYTES = 256 * 1024


class _TrivyOptions(TypedDict):
    scratch: Path
    check: PreemptionCheck
    timeout: float


@dataclass(frozen=True)
class ImageSource:
    """An image in its registry, opened for reading."""

    client: RegistryClient
    repository: str
    manifest: ImageManifest
    diff_ids: Sequence[str] | None  # as the config claims; None for schema 1, which has no config


@dataclass
class ImageAnalysis:
    """What was seen in an image."""

    report: ImageReport | None = None  # of Trivy; None where it was not asked, or failed
    failure: EngineError | None = None  # why Trivy failed
    unmatched: EngineError | None = None  # why Trivy failed at vulnerabilities, where it did not at the rest
    malware_failure: EngineError | None = None  # why an engine against malware failed
    malware: list[tuple[str, LayerReport]] = field(default_factory=list)  # diff ID, report; for each layer and engine
    bytes_pulled: int = 0
    layers_pulled: int = 0
    layers_known: int = 0
    unscanned_reasons: list[Message] = field(default_factory=list)  # why layers could not be looked at, for a person
    # Whether the registry holds all layers of the manifest, and they are those that its config names.
    proven: bool = False


@dataclass(frozen=True)
class _Layer:
    descriptor: Descriptor
    diff_id: str  # "" where it is not known before the pull

    @property
    def digest(self) -> str:
        return str(self.descriptor.digest)

    @property
    def is_encrypted(self) -> bool:
        return self.descriptor.media_type.endswith("+encrypted")

    @property
    def is_foreign(self) -> bool:
        """Whether it may lie outside of the registry, for its licence forbids to hand it on (Windows)."""
        return ".foreign." in self.descriptor.media_type or ".nondistributable." in self.descriptor.media_type


class _WithoutMatching(Exception):
    """Trivy failed at vulnerabilities, and is asked for the rest alone."""


@dataclass(frozen=True)
class _Fetched:
    """A layer in the store. ``taken`` is None where another scan has pulled it."""

    file: StoredLayerFile
    taken: layer_proof.BlobSampler | None


class ImageAnalyzer:
    """One look at one image. ``session`` is None where Trivy is not asked, ``malware`` whether its engines are.

    ``without_matching`` gives a session for all but vulnerabilities, for when the first one fails; None where nothing
    else is looked for.
    """

    def __init__(
        self,
        run: JobRun[Scan],
        source: ImageSource,
        lease: LayerLease,
        *,
        session: TrivySession | None,
        without_matching: Callable[[], TrivySession] | None,
        malware: bool,
        check: PreemptionCheck,
    ) -> None:
        self._without_matching = without_matching
        assert run.job.registry_id is not None  # noqa: S101 (there is a source)
        self._registry_id = run.job.registry_id
        self._run, self._source, self._lease, self._session, self._check = run, source, lease, session, check
        self._engines = {engine: engine.version() for engine in (scanners.malware_engines() if malware else ())}
        descriptors = source.manifest.layers
        claims = source.diff_ids if source.diff_ids is not None else [""] * len(descriptors)
        if len(claims) != len(descriptors):
            raise CorruptLayer(messages.LAYER_COUNTS_DIFFER())
        self._all = [_Layer(*pair) for pair in zip(descriptors, claims, strict=True)]
        self._unscanned = {layer.digest: _ENCRYPTED_LAYER for layer in self._all if layer.is_encrypted}  # and why
        self._files: dict[str, StoredLayerFile] = {}  # by digest of the blob: what this scan has on disk
        self._proven: dict[str, str] = {}  # diff IDs by digest of the blob, as pulls have shown
        self._known: dict[str, layer_proof.LayerStatus] = {}  # by digest of the blob: what is stored of it
        self._held_by_registry: set[str] = set()  # digests of blobs that the registry has shown to hold
        self._unwritten_proofs: dict[
            str, layer_proof.PulledLayer
        ] = {}  # by digest: what our pulls have shown and is not written yet
        self._cached_by_trivy: set[str] = set()  # diff IDs of layers that Trivy has told of
        self._reports: dict[tuple[str, str], LayerReport] = {}  # by name of the engine and diff ID
        self._reader: visibility.ThreadPool  # of see(): reads for the malware engines
        self._readings: dict[
            Future[LayerReport | EngineError], tuple[str, str]
        ] = {}  # what it reads, as keys of _reports
        self._pulled: dict[str, int] = {}  # bytes by digest of the blob
        self._total: int | None = None
        self._stage = ScanStage.ANALYSING  # once all has been pulled
        self._failure: EngineError | None = None
        self._unmatched: EngineError | None = None
        self._malware_failure: EngineError | None = None

    def analyze(self) -> ImageAnalysis:
        """Return what there is to see. Raises RegistryError, LayerError, EngineError, and what ``check`` raises."""
        with self._threads(1, "read") as self._reader:
            report = self._analyze_with_retry()
        keys = [(engine.name, self._diff_id(layer)) for layer in self._layers() for engine in self._engines]
        return ImageAnalysis(
            report=report,
            failure=self._failure,
            unmatched=self._unmatched,
            malware_failure=self._malware_failure,
            malware=[(key[1], self._reports[key]) for key in keys if key in self._reports],
            bytes_pulled=sum(self._pulled.values()),
            layers_pulled=len(self._pulled),
            layers_known=len({layer.digest for layer in self._layers()} - self._pulled.keys()),
            unscanned_reasons=list(dict.fromkeys(self._unscanned.values())),
            # Else it has raised. In the oldest form no config says of which layers an image is: it has none to share.
            proven=bool(self._all) and not self._unscanned and self._source.diff_ids is not None,
        )

    def _analyze_with_retry(self) -> ImageReport | None:
        is_lost = False
        while True:
            try:
                return self._pull_and_analyze()
            except LayersMissing:  # they are forgotten by now, and pulled
                if is_lost:
                    raise
                is_lost = True
            except _WithoutMatching:  # of the rest nothing may be known yet
                is_lost = False
            self._cached_by_trivy.clear()

    def _pull_and_analyze(self) -> ImageReport | None:
        unknown = self._layers_to_pull()
        while unknown:
            with self._claims(unknown) as claims:
                self._check.release_claims = claims.release_claims
                if claims.held:
                    unknown = self._layers_to_pull()  # another scan may have ended its look just before the claim
                mine = [layer for layer in unknown if layer.digest in claims.held]
                left = self._pull(mine, claims)
                if len(mine) == len(unknown):
                    return self._finish_analysis()
                self._analyze_layers(left, claims)
            if mine:
                unknown = self._layers_to_pull()
            else:
                self._run.progress(ScanStage.WAITING)
                with self._run.waiting():
                    while self._still_claimed(unknown):
                        self._check()
                        time.sleep(POLL_SECONDS)
                unknown = self._layers_to_pull()
        return self._finish_analysis()

    def _finish_analysis(self) -> ImageReport | None:
        self._store_proofs()
        self._prove_undelivered()
        for layer in self._layers():  # each, for one blob may stand there twice with different claims
            if not self._is_proven(layer):
                raise DiffIdMismatch(layer.diff_id, self._diff_id(layer))
        report = self._analyse(self._layers()) if self._session else None
        self._wait_for_malware_scans()
        return report

    def _claims(self, layers: Iterable[_Layer]) -> AbstractContextManager[Claims]:
        digests = (layer.digest for layer in layers)
        return scanners.layer_store().claims(digests, source=str(self._registry_id))

    def _still_claimed(self, unknown: list[_Layer]) -> bool:
        """Whether others hold all of it still: else it is time to ask what is known by now."""
        with self._claims(unknown) as claims:
            return not claims.held

    def _layers_to_pull(self) -> list[_Layer]:
        """Return the layers that must be pulled, each once: of which an engine knows nothing, and that are not here."""
        absent = list({layer.digest: layer for layer in self._layers() if layer.digest not in self._files}.values())
        # What a config says is only a claim; a pull has proven it.
        known_layers = layer_proof.layer_statuses((layer.digest for layer in absent), registry_id=self._registry_id)
        self._known |= known_layers
        self._held_by_registry |= {digest for digest, each in known_layers.items() if each.held}
        told = {digest: each.diff_id for digest, each in known_layers.items() if each.diff_id}
        self._proven = told | self._proven  # ours may be of the algorithm that the config asks for
        proven = [layer for layer in absent if self._is_proven(layer)]
        known = {self._diff_id(layer) for layer in proven}
        if self._session:
            known &= self._session.known(known)
            self._cached_by_trivy |= known
        for engine, version in self._engines.items():
            reports = results.malware_reports(known, engine=engine.name, version=version)
            self._reports |= {(engine.name, diff_id): report for diff_id, report in reports.items()}
            known &= reports.keys()
        return [layer for layer in absent if layer not in proven or self._diff_id(layer) not in known]

    def _pull(self, layers: Sequence[_Layer], claims: Claims) -> list[_Layer]:
        """Pull the layers, and have the malware engines read each as soon as it is there.

        Where some take long, Trivy looks at those that are there, and others may go on with them. Returns what Trivy
        has not looked at.
        """
        sizes = [layer.descriptor.size if layer.descriptor.size_known else None for layer in layers]
        known = [size for size in sizes if size is not None]
        self._total = sum(self._pulled.values()) + sum(known) if len(known) == len(sizes) else None
        here: list[_Layer] = []
        last_arrival = time.monotonic()
        with self._threads(MAX_CONCURRENT_PULLS, "pull") as pool:
            for layer, fetched in self._as_completed({pool.submit(self._fetch, layer): layer for layer in layers}):
                if layer is None:
                    if here and time.monotonic() - last_arrival > PULL_WAIT_SECONDS:
                        self._analyze_layers(here, claims)
                        here = []
                    continue
                last_arrival = time.monotonic()
                if fetched is None:
                    self._unscanned[layer.digest] = _FOREIGN_LAYER
                    continue
                file = self._files[layer.digest] = fetched.file
                self._proven[layer.digest] = file.diff_id
                if fetched.taken is not None:
                    self._add_pull_proof(layer, file.diff_id, fetched.taken)
                self._submit_malware_scans(file)
                here.append(layer)
        return here

    def _analyze_layers(self, layers: Sequence[_Layer], claims: Claims) -> None:
        """Have all engines look at layers that are here, and let other scans have what is known of them then.

        Nobody needs the files after that: who waits for other layers must not hold the room for them.
        """
        self._store_proofs()
        if layers and self._session:
            stored = [self._stored(position, layer) for position, layer in enumerate(layers)]
            options = self._options()
            self._call_trivy(lambda session: session.read(stored, **options))
        self._wait_for_malware_scans()
        diff_ids = {self._diff_id(layer) for layer in layers}
        known = self._session.known(diff_ids) if self._session else diff_ids
        for layer in layers:
            claims.release(layer.digest)
            if self._diff_id(layer) in known and (file := self._files.pop(layer.digest, None)):
                self._lease.release_file(file)

    def _add_pull_proof(self, layer: _Layer, diff_id: str, taken: layer_proof.BlobSampler) -> None:
        self._held_by_registry.add(layer.digest)
        self._unwritten_proofs[layer.digest] = layer_proof.PulledLayer(diff_id, taken.count, taken.samples)

    def _store_proofs(self) -> None:
        shown = {
            self._known[digest].key: pulled
            for digest, pulled in self._unwritten_proofs.items()
            if digest in self._known
        }
        layer_proof.record_pulled(shown, registry_id=self._registry_id)
        self._unwritten_proofs = {}

    def _prove_undelivered(self) -> None:
        """Have the registry show that it holds the layers that it has not delivered to us. Raises where it does not."""
        missing = {layer.digest: layer for layer in self._layers() if layer.digest not in self._held_by_registry}
        if not missing:
            return
        samples = layer_proof.samples_of(missing)
        shown: list[int] = []
        with self._threads(MAX_CONCURRENT_PULLS, "ask") as pool:
            asked = {
                pool.submit(self._request_samples, layer, samples.get(digest)): layer
                for digest, layer in missing.items()
            }
            for layer, answer in self._as_completed(asked):
                if layer is None:
                    continue
                if answer is None:
                    self._unscanned[layer.digest] = _FOREIGN_LAYER
                    continue
                self._held_by_registry.add(layer.digest)
                if layer.digest in self._known:
                    shown.append(self._known[layer.digest].key)
        layer_proof.record_availability(shown, registry_id=self._registry_id)

    def _request_samples(self, layer: _Layer, samples: bytes | None) -> bool | None:
        """Have the registry show that it holds a layer; None where that lies elsewhere.

        By parts of it, or where it does not give the right ones, whole. In a thread of its own, as ``_fetch``.
        """
        client, repository = self._source.client, self._source.repository
        try:
            if samples and layer_proof.has_layer(client, repository, layer.descriptor, samples):
                return True
            with client.blob(repository, layer.descriptor) as blob:
                while chunk := blob.read(READ_CHUNK_BYTES):  # verified against the digest at its end
                    self._pulled[layer.digest] = self._pulled.get(layer.digest, 0) + len(chunk)
                    self._check.note_progress()
                    self._check()
            return True
        except NotFound:
            if layer.is_foreign:
                return None
            raise

    def _submit_malware_scans(self, file: StoredLayerFile) -> None:
        """Have the malware engines that do not know the layer read it, in their thread."""
        for engine in self._engines:
            key = engine.name, file.diff_id
            if key not in self._reports and key not in self._readings.values():
                self._readings[self._reader.submit(self._scan_for_malware, engine, file.path)] = key

    def _scan_for_malware(self, engine: MalwareEngine, path: Path) -> LayerReport | EngineError:
        """Return what the engine sees, or why it fails for good at this layer: Trivy's results are kept then."""
        try:
            return engine.scan_layer(path, check=self._check)
        except EngineError as error:
            if self._is_retriable(error):
                raise
            return error

    def _wait_for_malware_scans(self) -> None:
        """Wait for the malware engines and keep what they have seen."""
        self._stage = ScanStage.READING
        versions = {engine.name: version for engine, version in self._engines.items()}
        unkept: dict[tuple[str, str], LayerReport] = {}
        for key, report in self._as_completed(self._readings):
            if key is None or report is None:
                results.store_malware_reports(unkept, versions)
                unkept = {}
            elif isinstance(report, EngineError):
                self._malware_failure, self._engines = report, {}
            else:
                self._reports[key] = unkept[key] = report
        results.store_malware_reports(unkept, versions)
        self._readings, self._stage = {}, ScanStage.ANALYSING

    @contextmanager
    def _threads(self, count: int, name: str) -> Iterator[visibility.ThreadPool]:
        """Give threads, of which none is left behind whatever happens."""
        with visibility.ThreadPool(max_workers=count, thread_name_prefix=name) as pool:
            try:
                yield pool
            except BaseException:
                self._check.stop()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _as_completed(self, futures: Mapping[Future[V], K]) -> Iterator[tuple[K | None, V | None]]:
        """Yield what the futures return, with what each is for; (None, None) now and then while none is done."""
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            self._report_progress()
            for future in done:
                yield futures[future], future.result()
            if not done:
                yield None, None

    def _fetch(self, layer: _Layer) -> _Fetched | None:
        """Bring one layer into the store, verified and uncompressed; None where it lies elsewhere.

        Runs in a thread of its own and touches no database.
        """

        taken: layer_proof.BlobSampler | None = None

        def progress(pulled: int) -> None:
            self._pulled[layer.digest] = pulled
            self._check.note_progress()

        def open_blob() -> AbstractContextManager[BinaryIO]:
            nonlocal taken
            taken = layer_proof.make_sampler(layer.descriptor)
            return layer_proof.sampling(self._source.client.blob(self._source.repository, layer.descriptor), taken)

        try:
            file = self._lease.get(
                digest=layer.digest,
                size=layer.descriptor.size if layer.descriptor.size_known else None,
                diff_id=layer.diff_id,
                open_blob=open_blob,
                check=self._check,
                progress=progress,
            )
            return _Fetched(file, taken)
        except NotFound:
            if layer.is_foreign:
                return None
            raise

    def _report_progress(self) -> None:
        """Show how far the pull is. Raises where the work must stop."""
        self._check()
        done = sum(list(self._pulled.values()))
        if self._lease.waits_for_room:
            self._run.progress(ScanStage.ROOM, done, self._total)
        elif self._total is None or done < self._total:
            self._run.progress(ScanStage.PULLING, done, self._total)
        else:
            self._run.progress(self._stage)

    def _analyse(self, layers: Sequence[_Layer]) -> ImageReport | None:
        """Have Trivy look at the image of these layers, and remember what is new in them."""
        assert self._session is not None  # noqa: S101 (narrows the type)
        stored = [self._stored(position, layer, self._cached_by_trivy) for position, layer in enumerate(layers)]
        image = ImageInput(config=config_of(stored), layers=stored, history=self._run.job.image.history)
        options = self._options()
        return self._call_trivy(lambda session: session.analyse(image, **options))

    def _is_retriable(self, error: EngineError) -> bool:
        """Whether another try at the scan may help; there is one."""
        return error.retry and not self._run.job.retried

    def _call_trivy(self, ask: Callable[[TrivySession], V]) -> V | None:
        """Ask Trivy. Where it fails for good it is asked for less, then no more, and the malware engines go on.

        Raises _WithoutMatching where it is to be asked for less.
        """
        assert self._session is not None  # noqa: S101 (narrows the type)
        self._run.progress(ScanStage.ANALYSING)
        try:
            return ask(self._session)
        except LayersMissing:
            raise
        except EngineError as error:
            if self._is_retriable(error):
                raise
            if self._without_matching is not None:
                self._session, self._unmatched, self._without_matching = self._without_matching(), error, None
                raise _WithoutMatching from error
            self._session, self._failure = None, error
            return None

    def _options(self) -> _TrivyOptions:
        return {"scratch": self._run.scratch, "check": self._check, "timeout": float(self._run.job.timeout)}

    def _stored(self, position: int, layer: _Layer, known: Collection[str] = ()) -> StoredLayer:
        """Return a layer as Trivy gets it: without its path where it is ``known``."""
        file, diff_id = self._files.get(layer.digest), self._diff_id(layer)
        path = file.path if file and diff_id not in known else None
        return StoredLayer(position, diff_id, path, file.size if file else 0)

    def _diff_id(self, layer: _Layer) -> str:
        return self._proven[layer.digest]

    def _is_proven(self, layer: _Layer) -> bool:
        found = self._proven.get(layer.digest)
        return found is not None and layer.diff_id in ("", found)

    def _layers(self) -> list[_Layer]:
        """Return the layers that can be looked at, from the base upwards."""
        return [layer for layer in self._all if layer.digest not in self._unscanned]
