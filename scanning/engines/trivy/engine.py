"""Trivy as the analyser of images: packages, vulnerabilities and sensitive data.

Trivy runs as a child process with an emptied environment, a home of its own, no network, and bounds on time, memory and
output. It reads uncompressed layers as an OCI layout, each once: what it has told of a layer lets that layer stay away.
What the layers of an image make together is asked of its server (server.py), or else of a run of its own (run.py).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scanning.engines import messages as engine_messages
from scanning.engines.base import EngineError, ImageInput, ImageReport, Readiness, RiskCategory, StopCheck, StoredLayer
from scanning.engines.trivy import messages
from scanning.engines.trivy.batch import LayerBatcher
from scanning.engines.trivy.batcher import Announcement
from scanning.engines.trivy.binary import PINNED_SHA256, Binary
from scanning.engines.trivy.cache import CachedLayer, LayerCache, make_empty_database, make_java_index
from scanning.engines.trivy.command import (
    SCANNER_NAMES,
    VERSION_TIMEOUT_SECONDS,
    ReportTooLarge,
    Runner,
    run_trivy,
    scanners_option,
)
from scanning.engines.trivy.match import Matcher, matched_with
from scanning.engines.trivy.oci_layout import check_config
from scanning.engines.trivy.protobuf import NotEncodable
from scanning.engines.trivy.run import analyze_image
from scanning.engines.trivy.served import analyze_on_server
from scanning.engines.trivy.server import MatchServer, ServerFailed
from scanning.engines.trivy.setup import (
    AnalysisRequest,
    CacheDamaged,
    LayersMissing,
    TrivySetup,
)
from scanning.engines.trivy.vulndb_folder import VulndbFacts, check_contents, check_file, read_facts

__all__ = ["PINNED_SHA256", "LayersMissing", "Runner", "Trivy", "TrivySession"]

log = logging.getLogger(__name__)

VULNDB_OLD_DAYS = 7
LAYER_CACHE_FORMAT = 2  # of what is kept of a layer; of another form nothing is taken over


class Trivy:
    """The engine. ``database`` is the folder of the vulnerability database, or a link to it that may be swapped.

    ``memory`` is what all workers know of layers; ``home`` a folder for what is made once and used by each run.
    Without a ``server`` each image has a run of its own.
    """

    name = "trivy"
    categories = frozenset(SCANNER_NAMES)

    def __init__(
        self,
        *,
        executable: Path | None,
        expected_sha256: str | None,
        home: Path,
        memory: LayerCache,
        database: Path,
        fingerprint_key: bytes,
        run: Runner,
        server: MatchServer | None = None,
    ) -> None:
        self._binary = Binary(executable, expected_sha256)
        self._home, self._memory, self._database, self._key, self._run = home, memory, database, fingerprint_key, run
        self._versions: dict[str, str] = {}  # by SHA-256 of the executable
        self._asking = threading.Lock()
        self._batcher, self._server = LayerBatcher(), server

    def executable(self) -> Path:
        """Return the executable, verified. Raises EngineError."""
        return self._binary.verified()[0]

    def version(self) -> str:
        """Return the version of the executable and of the database ("none" where there is none): a cache key.

        Raises EngineError where the executable does not work.
        """
        try:
            database = read_facts(self._database).version
        except EngineError:
            database = "none"
        return f"trivy {self.engine_version()}, database {database}"

    def engine_version(self) -> str:
        """Return the version of the executable alone, such as "0.76.0". Raises EngineError."""
        path, digest = self._binary.verified()
        with self._asking:
            if digest not in self._versions:
                self._versions[digest] = self._ask_version(path)
            return self._versions[digest]

    def _ask_version(self, path: Path) -> str:
        self._make_home()
        argv: list[str | Path] = [path, "--version", "--format", "json"]
        finished = run_trivy(self._run, argv, check=_never_stop, timeout=VERSION_TIMEOUT_SECONDS, cwd=self._home)
        try:
            return str(json.loads(finished.stdout)["Version"])
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(messages.VERSION_UNKNOWN(path=path), messages.SET_EXECUTABLE()) from error

    def ready(self, categories: Collection[RiskCategory] = frozenset(SCANNER_NAMES)) -> Readiness:
        """Return whether ``categories`` can be looked for, with what is known of executable and database.

        Sensitive data alone needs no database.
        """
        facts: list[tuple[str, str]] = []
        database: VulndbFacts | None = None
        try:
            path, digest = self._binary.verified()
            facts += [("Version", self.engine_version()), ("SHA-256", digest), ("Executable", str(path))]
            if RiskCategory.VULNERABILITIES in categories:
                database = read_facts(self._database)
                facts += _database_facts(database)
                check_file(database.folder)
        except EngineError as error:
            version = dict(facts).get("Version", "")
            return Readiness(False, version, error.reason, error.remedy, tuple(facts))
        return Readiness(
            True,
            version=self.version(),
            facts=tuple(facts),
            database_updated_at=database.built_at if database else None,
            database_is_demo=database is not None and database.is_demo,
        )

    def session(self, *, categories: Collection[RiskCategory], owner: str = "") -> TrivySession:
        """Return one image's turn with Trivy, within which the database stays the same.

        ``owner`` says whose image it is: it shares runs with other images of that owner alone.
        Raises EngineError where the engine cannot work, or where ``categories`` hold vulnerabilities and there is no
        database.
        """
        wanted = frozenset(categories) & self.categories
        tool = self._tool(wanted)
        key = hmac.new(self._key, b"notes", hashlib.sha256).hexdigest()  # notes hold hashes made with the key
        variant = hashlib.sha256(
            f"{tool.version} {scanners_option(wanted)} {key} {LAYER_CACHE_FORMAT}".encode()
        ).hexdigest()[:16]
        return TrivySession(tool, self._memory, variant, self._batcher, owner)

    def _tool(self, categories: frozenset[RiskCategory]) -> TrivySetup:
        path, _digest = self._binary.verified()
        database = read_facts(self._database) if RiskCategory.VULNERABILITIES in categories else None
        version = self.engine_version()
        self._make_home()
        java_index, empty_database = self._make_once()
        return TrivySetup(
            executable=path,
            run=self._run,
            server=self._server,
            key=self._key,
            categories=categories,
            database=database,
            home=self._home,
            java_index=java_index,
            empty_database=empty_database,
            matched_with=matched_with(version, database),
            version=version,
        )

    def matcher(self) -> Matcher:
        """Return what matches stored packages with the database as it is now. Raises EngineError."""
        return self._tool(frozenset({RiskCategory.VULNERABILITIES})).matcher()

    def _make_once(self) -> tuple[Path, Path]:
        try:
            return make_java_index(self._home), make_empty_database(self._home)
        except OSError as error:
            raise self._home_failed(error) from error

    def _make_home(self) -> None:
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._home_failed(error) from error

    def _home_failed(self, error: OSError) -> EngineError:
        return EngineError(
            messages.FOLDER_NOT_MADE(home=self._home, strerror=error.strerror),
            messages.CHECK_RIGHTS_ON_DATA_FOLDER(),
        )


class TrivySession:
    """One image's turn with Trivy: a database fixed, and what is known of layers for these categories.

    Within ``announce()`` layers of other images may wait a moment to be read with those of this one.
    """

    def __init__(self, tool: TrivySetup, memory: LayerCache, variant: str, batcher: LayerBatcher, owner: str) -> None:
        self._tool, self._memory, self._variant, self._batcher = tool, memory, variant, batcher
        self._owner = owner
        self._announced: Announcement | None = None
        self.database = tool.database  # that findings are matched with; None where no vulnerabilities are looked for

    def announce(self) -> Announcement:
        """Say that layers of the image will be read before long."""
        self._announced = self._batcher.announce()
        return self._announced

    def known(self, diff_ids: Collection[str]) -> frozenset[str]:
        """Return those of the layers that need not be pulled for the categories of this session."""
        return self._memory.cached(self._variant, [diff_id for diff_id in diff_ids if diff_id], owner=self._owner)

    def analyse(self, image: ImageInput, *, scratch: Path, check: StopCheck, timeout: float) -> ImageReport:
        """Return what Trivy finds in the image, and remember what it tells of each layer that has a path.

        ``scratch`` is a folder of the caller's, used below a new name; ``timeout`` in seconds. Packages and matches are
        empty where vulnerabilities are not looked for. Raises LayersMissing where a layer without a path is needed
        after all, else EngineError.
        """
        absent = {layer.diff_id for layer in image.layers if layer.path is None}
        notes = self._memory.load(self._variant, absent, owner=self._owner)
        try:
            if lost := absent - notes.keys():
                raise LayersMissing(lost)
            request = AnalysisRequest(image, notes, scratch, timeout)
            return self._analyse(request, check)
        except LayersMissing as missing:
            self._memory.discard(self._variant, absent | missing.diff_ids)
            raise
        except CacheDamaged:
            self._memory.discard(self._variant, absent)
            if self.database:
                check_contents(self.database.folder)  # Trivy ends in the same way where that is what is damaged
            raise
        finally:
            self._end_announcement()

    def read(self, layers: Sequence[StoredLayer], *, scratch: Path, check: StopCheck, timeout: float) -> None:
        """Remember what Trivy tells of layers that all have a path. Raises EngineError; see :meth:`analyse`."""
        self._read(layers, scratch=scratch, check=check, timeout=timeout)

    def _analyse(self, request: AnalysisRequest, check: StopCheck) -> ImageReport:
        if self._tool.server is not None:
            check_config(request.image)
            request = self._with_notes(request, check)
            try:
                return analyze_on_server(self._tool.server, self._tool, request, check=check)
            except (ServerFailed, NotEncodable, ReportTooLarge) as error:
                log.info("An image is matched without the server of Trivy: %s", error)
        result = analyze_image(self._tool, request, check=check)
        self._save(result.new_layers, owner=self._owner if len(result.new_layers) > 1 else "")
        return result.report

    def _with_notes(self, request: AnalysisRequest, check: StopCheck) -> AnalysisRequest:
        """Return the request with a note of each layer, which are read if they have a path."""
        here = list({layer.diff_id: layer for layer in request.image.layers if layer.path is not None}.values())
        new = self._read(here, scratch=request.scratch, check=check, timeout=request.timeout) if here else {}
        notes = {**request.notes, **{diff_id: note for diff_id, note in new.items() if note.record}}
        layers = [replace(layer, path=None) if layer.diff_id in notes else layer for layer in request.image.layers]
        return replace(request, image=replace(request.image, layers=layers), notes=notes)

    def _read(
        self, layers: Sequence[StoredLayer], *, scratch: Path, check: StopCheck, timeout: float
    ) -> Mapping[str, CachedLayer]:
        self._end_announcement()
        notes: dict[str, CachedLayer] = {}
        found = self._batcher.read(self._tool, layers, owner=self._owner, scratch=scratch, timeout=timeout, check=check)
        for owner, some in found:
            self._save(some, owner=owner)
            notes |= some
        return notes

    def _save(self, notes: Mapping[str, CachedLayer], *, owner: str) -> None:
        recorded = {diff_id: note for diff_id, note in notes.items() if note.record}
        self._memory.save(self._variant, recorded, owner=owner)

    def _end_announcement(self) -> None:
        if self._announced is not None:
            self._announced.end()


def _database_facts(database: VulndbFacts) -> Iterator[tuple[str, str]]:
    age = database.age_days()
    yield "Database built", engine_messages.DATABASE_BUILT(at=f"{database.built_at:%Y-%m-%d %H:%M}", days=age)
    yield "Database size", f"{database.size / 1024**2:.1f} MiB"
    yield "Java archives", messages.JAVA_WITHOUT_INDEX()
    if database.is_demo:
        yield "Warning", messages.SMALL_DATABASE()
    elif age > VULNDB_OLD_DAYS:
        yield "Warning", messages.DATABASE_OLD(old_database_days=VULNDB_OLD_DAYS)


def _never_stop() -> None:
    """Check nothing: a run too short to be cancelled."""
