"""Trivy as the analyser of images: packages, vulnerabilities and sensitive data.

Trivy runs as a child process with an emptied environment, a home of its own, no network, and bounds on time, memory and
output. It sees uncompressed layers as an OCI layout, and what it has told of a layer before lets that layer stay away.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
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
from scanning.engines.trivy_cache import (
    LayerNote,
    Memory,
    Shown,
    make_cache,
    make_java_index,
    read_cache,
    without_files,
)
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
from scanning.engines.trivy_match import MARK, Matcher, matched_with, system_of
from scanning.engines.trivy_report import Report, read_report, read_secrets
from scanning.engines.trivy_secrets import FoundSecret, show

__all__ = ["PINNED_SHA256", "LayersMissing", "Runner", "Trivy", "TrivySession"]

OLD_DATABASE_DAYS = 7


class LayersMissing(EngineError):
    """Layers that were believed to be known are not. Pull them and analyse again."""

    def __init__(self, diff_ids: Collection[str]) -> None:
        super().__init__(
            "What Trivy had told of a layer is lost.", "Scan again: the layers will be pulled.", retry=True
        )
        self.diff_ids = frozenset(diff_ids)


class Trivy:
    """The engine. ``database`` is the folder of the vulnerability database, or a link to it that may be swapped.

    ``memory`` is what all workers know of layers; ``home`` a folder for what is made once and used by each run.
    """

    name = "trivy"
    categories = frozenset(SCANNERS)

    def __init__(
        self,
        *,
        executable: Path | None,
        expected_sha256: str | None,
        home: Path,
        memory: Memory,
        database: Path,
        fingerprint_key: bytes,
        run: Runner,
    ) -> None:
        self._binary = Binary(executable, expected_sha256)
        self._home, self._memory, self._database, self._key, self._run = home, memory, database, fingerprint_key, run
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
            self._make_home()
            finished = start(
                self._run,
                [path, "--version", "--format", "json"],
                check=_never,
                timeout=VERSION_SECONDS,
                cwd=self._home,
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

    def session(self, *, categories: Collection[RiskCategory]) -> TrivySession:
        """Return one image's turn with Trivy, within which the database stays the same.

        Raises EngineError where the engine cannot work, or where ``categories`` hold vulnerabilities and there is no
        database.
        """
        path, _digest = self._binary.verified()
        wanted = frozenset(categories) & self.categories
        database = read_facts(self._database) if RiskCategory.VULNERABILITIES in wanted else None
        key = hmac.new(self._key, b"notes", hashlib.sha256).hexdigest()  # notes hold hashes made with the key
        variant = hashlib.sha256(f"{self.engine_version()} {scanners(wanted)} {key}".encode()).hexdigest()[:16]
        self._make_home()
        return TrivySession(
            self._run,
            self._memory,
            variant,
            executable=path,
            key=self._key,
            categories=wanted,
            database=database,
            java_index=make_java_index(self._home),
            matched_with=matched_with(self.engine_version(), database),
        )

    def matcher(self) -> Matcher:
        """Return what matches stored packages with the database as it is now. Raises EngineError."""
        path, _digest = self._binary.verified()
        database = read_facts(self._database)
        version = self.engine_version()
        self._make_home()
        return Matcher(
            self._run, executable=path, version=version, database=database, java_index=make_java_index(self._home)
        )

    def _make_home(self) -> None:
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                f"{self._home} cannot be made: {error.strerror}.", "Check the rights on the data folder."
            ) from error


class TrivySession:
    """One image's turn with Trivy: a database fixed, and what is known of layers for these categories."""

    def __init__(
        self,
        run: Runner,
        memory: Memory,
        variant: str,
        *,
        executable: Path,
        key: bytes,
        categories: frozenset[RiskCategory],
        database: DatabaseFacts | None,
        java_index: Path,
        matched_with: str,
    ) -> None:
        self._run, self._memory, self._variant = run, memory, variant
        self._executable, self._key, self._categories = executable, key, categories
        self._java_index, self._matched_with = java_index, matched_with
        self.database = database  # that findings are matched with; None where no vulnerabilities are looked for

    def known(self, diff_ids: Collection[str]) -> frozenset[str]:
        """Return those of the layers that need not be pulled for the categories of this session."""
        return self._memory.knows(self._variant, [diff_id for diff_id in diff_ids if diff_id])

    def analyse(self, image: ImageInput, *, scratch: Path, check: Check, timeout: float) -> ImageReport:
        """Return what Trivy finds in the image, and remember what it tells of each layer that has a path.

        ``scratch`` is a folder of the caller's, used below a new name; ``timeout`` in seconds. Packages and matches are
        empty where vulnerabilities are not looked for. Raises LayersMissing where a layer without a path is needed
        after all, else EngineError.
        """
        absent = {layer.diff_id for layer in image.layers if layer.path is None}
        notes = self._memory.recall(self._variant, absent)
        if lost := absent - notes.keys():
            self._memory.forget(self._variant, lost)
            raise LayersMissing(lost)
        work = scratch / "trivy"
        try:
            work.mkdir()
            write_layout(work / "layout", image, check=check)
            make_cache(
                work / "cache",
                notes=list(notes.values()),
                database=self.database.folder if self.database else None,
                java_index=self._java_index,
            )
            report = self._scan(absent, work, check=check, timeout=timeout)
            records = read_cache(work / "cache", known={note.key for note in notes.values()})
            known = {**notes, **self._learn(report.secrets, image.layers, records, check)}
            secrets = self._secrets(report.secrets, known)
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
            os_listed=report.os_listed,
            packages=tuple(report.packages.values()) if looked_up else (),
            vulnerabilities=tuple(report.vulnerabilities.values()),
            matches=tuple(report.matches.values()),
            secrets=secrets if RiskCategory.SENSITIVE in self._categories else (),
            system=system_of(report, [known[layer.diff_id].record for layer in image.layers]),
            matched_with=self._matched_with,
        )

    def _scan(self, absent: set[str], work: Path, *, check: Check, timeout: float) -> Report:
        argv: list[str | Path] = [self._executable, "image", "--input", "layout", "--cache-dir", work / "cache"]
        argv += ["--scanners", scanners(self._categories), "--timeout", f"{int(timeout) + 60}s", *FLAGS]
        finished = start(self._run, argv, check=check, timeout=timeout, cwd=work)
        if finished.returncode != 0:
            self._fail(finished, absent)
        return read_report(finished.stdout)

    def _fail(self, finished: process.Finished, absent: set[str]) -> None:
        """Raise what the end of a failed run means."""
        said = finished.stderr_tail
        if "unable to get uncompressed layer" in said and "no such file or directory" in said and absent:
            named = {diff_id for diff_id in absent if diff_id in said}
            self._memory.forget(self._variant, absent)
            raise LayersMissing(named or absent)
        if is_cache_damaged(finished):
            self._memory.forget(self._variant, absent)
        raise failure(finished)

    def _learn(
        self,
        found: Sequence[FoundSecret],
        layers: Sequence[StoredLayer],
        records: Mapping[str, tuple[str, bytes]],
        check: Check,
    ) -> dict[str, LayerNote]:
        """Keep what Trivy has told of the layers that it has read, with their secrets masked and hashed.

        All of a layer's secrets, also those that a layer above hides in this image: another image may show them.
        """
        new: dict[str, LayerNote] = {}
        for layer in layers:
            if layer.path is None or layer.diff_id in new:
                continue
            key, record = records.get(layer.diff_id, ("", b""))
            secrets = [secret for secret in found if secret.diff_id == layer.diff_id]
            secrets += read_secrets(record, layer.diff_id)
            shown = show(secrets, layer.path, key=self._key, check=check) if secrets else {}
            new[layer.diff_id] = LayerNote(key, record if MARK in record else without_files(record), shown)
        self._memory.keep(self._variant, {diff_id: note for diff_id, note in new.items() if note.record})
        return new

    def _secrets(self, found: Sequence[FoundSecret], notes: Mapping[str, LayerNote]) -> tuple[SecretFact, ...]:
        """Return the secrets of a report as they are shown."""
        known = [secret for secret in found if secret.diff_id in notes]
        missing = {secret.diff_id for secret in known if secret.key not in notes[secret.diff_id].secrets}
        if missing:
            self._memory.forget(self._variant, missing)
            raise LayersMissing(missing)
        return tuple(_secret_fact(secret, notes[secret.diff_id].secrets[secret.key]) for secret in known)


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
