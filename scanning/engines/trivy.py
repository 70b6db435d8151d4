"""Trivy as the analyser of images: packages, vulnerabilities and sensitive data.

Trivy runs as a child process with an emptied environment, a home of its own, no network, and bounds on time, memory and
output. It sees uncompressed layers as an OCI layout, and its cache lets layers that it has analysed before stay away.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from console.jobs import process
from scanning.engines.base import (
    Check,
    EngineError,
    ImageInput,
    ImageReport,
    Readiness,
    RiskCategory,
    SecretFact,
    StoredLayer,
)
from scanning.engines.trivy_binary import PINNED_SHA256, Binary
from scanning.engines.trivy_cache import Shown, Slot, take_slot
from scanning.engines.trivy_command import (
    FLAGS,
    SCANNERS,
    VERSION_SECONDS,
    Runner,
    failure,
    is_cache_damaged,
    scanners,
    start,
)
from scanning.engines.trivy_database import DatabaseFacts, check_file, read_facts
from scanning.engines.trivy_layout import write_layout
from scanning.engines.trivy_report import Report, read_report
from scanning.engines.trivy_secrets import FoundSecret, show

__all__ = ["PINNED_SHA256", "LayersMissing", "Runner", "Trivy", "TrivySession"]

OLD_DATABASE_DAYS = 7


class LayersMissing(EngineError):
    """Layers that were believed to be in Trivy's cache are not. Pull them and analyse again."""

    def __init__(self, diff_ids: Collection[str]) -> None:
        super().__init__(
            "Trivy's cache has lost layers that it had analysed.", "Scan again: the layers will be pulled.", retry=True
        )
        self.diff_ids = frozenset(diff_ids)


class Trivy:
    """The engine. ``database`` is the folder of the vulnerability database, or a link to it that may be swapped."""

    name = "trivy"
    categories = frozenset(SCANNERS)

    def __init__(
        self,
        *,
        executable: Path | None,
        expected_sha256: str | None,
        cache_root: Path,
        database: Path,
        fingerprint_key: bytes,
        run: Runner,
    ) -> None:
        self._binary = Binary(executable, expected_sha256)
        self._cache_root, self._database, self._key, self._run = cache_root, database, fingerprint_key, run
        self._versions: dict[str, str] = {}  # by SHA-256 of the executable

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
        if digest not in self._versions:
            self._make_cache_root()
            finished = start(
                self._run,
                [path, "--version", "--format", "json"],
                check=_never,
                timeout=VERSION_SECONDS,
                cwd=self._cache_root,
            )
            try:
                version = str(json.loads(finished.stdout)["Version"])
            except (ValueError, KeyError, TypeError) as error:
                raise EngineError(
                    f"{path} does not tell its version as Trivy does.", "Set TALLYMAN_TRIVY to an executable of Trivy."
                ) from error
            self._versions[digest] = version
        return self._versions[digest]

    def ready(self, categories: Collection[RiskCategory] = frozenset(SCANNERS)) -> Readiness:
        """Return whether ``categories`` can be looked for, with what is known of executable and database.

        Sensitive data alone needs no database.
        """
        facts: list[tuple[str, str]] = []
        database: DatabaseFacts | None = None
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

    @contextlib.contextmanager
    def session(
        self, check: Check, *, diff_ids: Collection[str], categories: Collection[RiskCategory]
    ) -> Iterator[TrivySession]:
        """Hold a cache of this machine, of the free ones that which knows most of ``diff_ids``, for one image.

        Database and cache stay the same within a session. Raises EngineError where the engine cannot work, or where
        ``categories`` hold vulnerabilities and there is no database.
        """
        check()
        path, _digest = self._binary.verified()
        wanted = frozenset(categories) & self.categories
        database = read_facts(self._database) if RiskCategory.VULNERABILITIES in wanted else None
        key = hmac.new(self._key, b"notes", hashlib.sha256).hexdigest()  # notes hold hashes made with the key
        variant = hashlib.sha256(f"{self.engine_version()} {scanners(wanted)} {key}".encode()).hexdigest()[:16]
        with take_slot(self._cache_root, variant=variant, diff_ids=diff_ids) as slot:
            slot.prepare(database.folder if database else None)
            yield TrivySession(self._run, slot, path, self._key, wanted, database)

    def _make_cache_root(self) -> None:
        try:
            self._cache_root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                f"{self._cache_root} cannot be made: {error.strerror}.", "Check the rights on the data folder."
            ) from error


class TrivySession:
    """One image's turn with Trivy: a cache held, a database fixed."""

    def __init__(
        self,
        run: Runner,
        slot: Slot,
        executable: Path,
        key: bytes,
        categories: frozenset[RiskCategory],
        database: DatabaseFacts | None,
    ) -> None:
        self._run, self._slot, self._executable, self._key = run, slot, executable, key
        self._categories = categories
        self.database = database  # that findings are matched with; None where no vulnerabilities are looked for

    def known(self, diff_ids: Collection[str], categories: Collection[RiskCategory]) -> frozenset[str]:
        """Return those of the layers that need not be pulled for these categories, which are those of the session."""
        self._check_categories(categories)
        return frozenset(diff_id for diff_id in diff_ids if diff_id and self._slot.knows(diff_id))

    def analyse(
        self, image: ImageInput, categories: Collection[RiskCategory], *, scratch: Path, check: Check, timeout: float
    ) -> ImageReport:
        """Return what Trivy finds in the image. ``scratch`` is a folder of the caller's, used below a new name.

        ``timeout`` in seconds. Packages and matches are empty where vulnerabilities are not looked for. Raises
        LayersMissing where a layer without a path is needed after all, else EngineError.
        """
        self._check_categories(categories)
        work = scratch / "trivy"
        try:
            work.mkdir()
            write_layout(work / "layout", image, check=check)
            report = self._scan(image.layers, work, check=check, timeout=timeout)
            secrets = self._secrets(report.secrets, image.layers, check)
        except OSError as error:
            raise EngineError(
                f"The image's layers could not be read or laid out: {error.strerror}.",
                "Check the free space and the rights of the data folder, then scan again.",
                retry=True,
            ) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)
        looked_up = RiskCategory.VULNERABILITIES in self._categories
        return ImageReport(
            os_name=report.os_name,
            os_end_of_life=report.os_end_of_life,
            packages=tuple(report.packages.values()) if looked_up else (),
            vulnerabilities=tuple(report.vulnerabilities.values()),
            matches=tuple(report.matches.values()),
            secrets=secrets if RiskCategory.SENSITIVE in self._categories else (),
        )

    def _check_categories(self, categories: Collection[RiskCategory]) -> None:
        if frozenset(categories) & Trivy.categories != self._categories:
            raise ValueError("a session is good for the categories that it was opened for")

    def _scan(self, layers: Sequence[StoredLayer], work: Path, *, check: Check, timeout: float) -> Report:
        argv: list[str | Path] = [self._executable, "image", "--input", "layout", "--cache-dir", self._slot.cache]
        argv += ["--scanners", scanners(self._categories), "--timeout", f"{int(timeout) + 60}s", *FLAGS]
        finished = start(self._run, argv, check=check, timeout=timeout, cwd=work)
        if finished.returncode != 0:
            self._fail(finished, layers)
        return read_report(finished.stdout)

    def _fail(self, finished: process.Finished, layers: Sequence[StoredLayer]) -> None:
        """Raise what the end of a failed run means."""
        said = finished.stderr_tail
        absent = {layer.diff_id for layer in layers if layer.path is None}
        if "unable to get uncompressed layer" in said and "no such file or directory" in said and absent:
            named = {diff_id for diff_id in absent if diff_id in said}
            self._slot.forget(absent)
            raise LayersMissing(named or absent)
        if is_cache_damaged(finished):
            self._slot.reset()
        raise failure(finished)

    def _secrets(
        self, found: Sequence[FoundSecret], layers: Sequence[StoredLayer], check: Check
    ) -> tuple[SecretFact, ...]:
        """Mask and hash the secrets, by their layers or by what is kept of them, and note that the layers are known."""
        by_layer: dict[str, list[FoundSecret]] = defaultdict(list)
        for secret in found:
            by_layer[secret.diff_id].append(secret)
        shown: dict[str, dict[str, Shown]] = {}
        missing = set()
        for layer in layers:
            secrets = by_layer.get(layer.diff_id, [])
            kept = self._slot.secrets(layer.diff_id)
            if layer.path is not None and secrets:
                kept = kept | show(secrets, layer.path, key=self._key, check=check)
            shown[layer.diff_id] = kept
            if any(secret.key not in kept for secret in secrets):
                missing.add(layer.diff_id)
            elif layer.path is not None:
                self._slot.remember(layer.diff_id, kept)
        if missing:
            self._slot.forget(missing)
            raise LayersMissing(missing)
        facts = (_secret_fact(secret, shown[secret.diff_id][secret.key]) for secret in found if secret.diff_id in shown)
        return tuple(facts)


def _database_facts(database: DatabaseFacts) -> Iterator[tuple[str, str]]:
    age = database.age_days()
    yield "Database built", f"{database.built_at:%Y-%m-%d %H:%M} UTC ({age} days ago)"
    yield "Database size", f"{database.size / 1024**2:.1f} MiB"
    yield "Java archives", "recognised by their own manifest; no index of archives"
    if database.is_demo:
        yield "Warning", "This is the small database that the project makes itself, not the public one."
    elif age > OLD_DATABASE_DAYS:
        yield "Warning", f"The database is more than {OLD_DATABASE_DAYS} days old. Update it."


def _secret_fact(secret: FoundSecret, shown: Shown) -> SecretFact:
    return SecretFact(
        rule=secret.rule,
        category=secret.category,
        title=secret.title,
        severity=secret.severity,
        path=secret.path,
        start_line=secret.start_line,
        end_line=secret.end_line,
        masked=shown.masked,
        fingerprint=shown.fingerprint,
        diff_id=secret.diff_id,
    )


def _never() -> None:
    """Check nothing: a run too short to be cancelled."""
