"""One image's turn with Trivy: a run for it alone, or one for several that come at the same time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

from console.sandbox import run as sandbox_run
from scanning.engines.base import (
    EngineError,
    ImageInput,
    ImageReport,
    RiskCategory,
    SecretFact,
    StopCheck,
    StoredLayer,
    VulnerabilityFact,
)
from scanning.engines.formats import package_databases
from scanning.engines.trivy import match_in_parts, messages
from scanning.engines.trivy.advisory_texts import read_vulnerabilities
from scanning.engines.trivy.cache import CachedLayer, MaskedSecret, make_cache_folder, read_cache, without_files
from scanning.engines.trivy.cached_matches import MatchCache
from scanning.engines.trivy.command import (
    MAX_REPORT_BYTES,
    TRIVY_FLAGS,
    ReportTooLarge,
    Runner,
    failure_error,
    is_cache_damaged,
    run_trivy,
    scanners_option,
    unreadable_files,
)
from scanning.engines.trivy.match import RAPIDFORT_MARK, Matcher, system_of
from scanning.engines.trivy.match_in_parts import make_empty_database
from scanning.engines.trivy.merge_layers import Json, NotSquashable, SquashedImage, hidden_paths, squash
from scanning.engines.trivy.oci_layout import layer_path, write_layout
from scanning.engines.trivy.releases import is_listed
from scanning.engines.trivy.report import TrivyReport, read_report, read_secrets
from scanning.engines.trivy.secrets import FoundSecret, mask_secrets
from scanning.engines.trivy.vulndb_folder import VulndbFacts

BATCH_TIMEOUT_SECONDS = (
    60.0  # a run for several images; one that takes longer is broken off, and each gets one of its own
)
MAX_BATCH_PACKAGES = 20_000  # in a run for several images


class LayersMissing(EngineError):
    """Layers that were believed to be known are not. Pull them and analyse again."""

    def __init__(self, diff_ids: Collection[str]) -> None:
        super().__init__(messages.LAYER_FACTS_LOST(), messages.SCAN_AGAIN_TO_PULL(), retry=True)
        self.diff_ids = frozenset(diff_ids)


class CacheDamaged(EngineError):
    """Trivy ended as it does when what it was told of layers is damaged."""


@dataclass(frozen=True)
class TrivySetup:
    """Trivy as it is for some images: all that they must have in common to be looked at together."""

    executable: Path
    run: Runner = field(compare=False)
    key: bytes = field(repr=False)  # of the hashes of secrets
    categories: frozenset[RiskCategory]
    database: VulndbFacts | None
    java_index: Path
    matched_with: str
    version: str

    def matcher(self, key: str = "") -> Matcher:
        """Return what matches packages with this database; only where there is one."""
        assert self.database is not None  # noqa: S101 (packages are matched where there is one)
        return Matcher(
            self.run,
            executable=self.executable,
            version=self.version,
            database=self.database,
            java_index=self.java_index,
            key=key,
        )


@dataclass(frozen=True)
class AnalysisRequest:
    """What is asked of one image. ``notes`` are of its layers that have no path; ``scratch`` is a folder to work in.

    Where ``whole`` is not, it is layers of an image that are to be read, and what they make together is not asked.
    """

    image: ImageInput
    notes: Mapping[str, CachedLayer]
    scratch: Path
    timeout: float
    whole: bool = True
    squashed: SquashedImage | None = None  # what the image holds, where that is known already
    owner: str = ""  # whose image it is: it shares no run with those of others


@dataclass(frozen=True)
class AnalysisResult:
    """What Trivy tells of one image, and what is learnt of its layers that have a path."""

    report: ImageReport | None  # None where layers alone were asked of
    new_layers: Mapping[str, CachedLayer]


def analyze_image(tool: TrivySetup, turn: AnalysisRequest, *, check: StopCheck) -> AnalysisResult:
    """Return what Trivy tells of one image, in one run.

    Raises LayersMissing where a layer without a path is needed after all, else EngineError, and what ``check`` does.
    """
    if not turn.whole:
        # Nobody asks what is wrong with the layers by themselves, and it may be more than a report can hold.
        with _empty_database(tool, turn) as empty:
            reader = replace(tool, database=empty)
            _report, new_layers = _read_layers(reader, turn.image.layers, turn.scratch, turn.timeout, check)
        return AnalysisResult(None, new_layers)
    try:
        return _analyze_in_one_run(tool, turn, tool.database, check=check)
    except ReportTooLarge:
        if tool.database is None:
            raise
        return _analyze_in_parts(tool, turn, check=check)


def _analyze_in_parts(tool: TrivySetup, turn: AnalysisRequest, *, check: StopCheck) -> AnalysisResult:
    """Return the same of an image with more vulnerabilities than a report can hold."""
    with _empty_database(tool, turn) as empty:
        told = _analyze_in_one_run(tool, turn, empty, check=check)
    assert told.report is not None  # noqa: S101 (asked for)
    if told.report.system is None:
        raise ReportTooLarge(
            messages.REPORT_TOO_LARGE(value=MAX_REPORT_BYTES // 1024**2),
            messages.SPLIT_IMAGE(),
        )
    matches, vulnerabilities = match_in_parts.match(
        tool.matcher(), told.report.packages, system=told.report.system, scratch=turn.scratch, check=check
    )
    return AnalysisResult(replace(told.report, matches=matches, vulnerabilities=vulnerabilities), told.new_layers)


@contextmanager
def _empty_database(tool: TrivySetup, turn: AnalysisRequest) -> Iterator[VulndbFacts | None]:
    """Give a database in place of the tool's that lists no vulnerabilities, and goes at the end."""
    if tool.database is None:
        yield None
        return
    folder = turn.scratch / "no-vulnerabilities"
    try:
        yield replace(tool.database, folder=make_empty_database(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _analyze_in_one_run(
    tool: TrivySetup, turn: AnalysisRequest, database: VulndbFacts | None, *, check: StopCheck
) -> AnalysisResult:
    notes = turn.notes
    with _work_folder(turn.scratch) as work:
        flags = (
            TRIVY_FLAGS[:3] if RiskCategory.VULNERABILITIES in tool.categories else TRIVY_FLAGS[:2]
        )  # with all packages, or none
        finished = _run_image(
            replace(tool, database=database),
            turn.image,
            notes.values(),
            work,
            flags=flags,
            timeout=turn.timeout,
            check=check,
        )
        if finished.returncode != 0:
            _raise_failure(finished, notes.keys())
        report = read_report(finished.stdout)
        unread = unreadable_files(finished)
        new_layers = _layers_to_cache(
            tool, turn.image.layers, work, known=notes.values(), found=report.secrets, unread=unread, check=check
        )
        known = {**notes, **new_layers}
        secrets = _secrets(report.secrets, known)
    family = str(report.system.get("Family") or "")
    own = any(fact.record is not None and "Type" not in fact.record for fact in report.packages.values())
    system = system_of(report, [known[layer.diff_id].record for layer in turn.image.layers])
    looked_up = RiskCategory.VULNERABILITIES in tool.categories
    told = ImageReport(
        os_name=report.os_name,
        os_end_of_life=report.os_end_of_life,
        os_listed=report.os_listed,
        packages=tuple(report.packages.values()) if looked_up else (),
        vulnerabilities=_describe_vulnerabilities(tool, (match.vulnerability for match in report.matches.values())),
        matches=tuple(report.matches.values()),
        secrets=secrets if RiskCategory.SENSITIVE in tool.categories else (),
        system=system,
        matched_with=tool.matched_with,
        os_unknown=report.os_unknown,
        release_listed=_is_listed(tool, report.system, system),
        **_unreadable(turn.image.layers, known, family=family, has_packages=own),
    )
    return AnalysisResult(told, new_layers)


def analyze_batch(
    tool: TrivySetup, turns: Sequence[AnalysisRequest], known: MatchCache, *, key: str, scratch: Path, check: StopCheck
) -> list[AnalysisResult | None]:
    """Return what ``analyze_image`` would of each image, None where Trivy must be asked of it alone.

    Takes a run for all layers that have a path, and one for each operating system whose packages are not ``known``.
    ``key`` is what ``Matcher.key`` tells. Raises EngineError, and what ``check`` raises.
    """
    layers = list({layer.diff_id: layer for turn in turns for layer in turn.image.layers if layer.path}.values())
    new_layers: dict[str, CachedLayer] = {}
    if layers:
        on_all, new_layers = _read_layers(tool, layers, scratch, BATCH_TIMEOUT_SECONDS, check)
        if tool.database:
            known.add_report(on_all, new_layers.values(), database=tool.database.folder)
    turns = [replace(turn, notes={**new_layers, **turn.notes}) for turn in turns]
    squashed_images = [squashed_image_of(turn) if turn.whole else None for turn in turns]
    missing: dict[str, dict[str, Json]] = {}
    for squashed in squashed_images:
        if squashed and (records := known.missing(squashed)):
            missing.setdefault(squashed.system, {}).update(records)
    for system, records in missing.items():
        if len(records) <= MAX_BATCH_PACKAGES:
            known.ask(tool.matcher(key), records, system=system, scratch=scratch, check=check)
    results: list[AnalysisResult | None] = []
    for turn, squashed in zip(turns, squashed_images, strict=True):
        own = {layer.diff_id for layer in turn.image.layers if layer.path is not None}
        new = {diff_id: note for diff_id, note in new_layers.items() if diff_id in own}
        if not turn.whole:
            results.append(AnalysisResult(None, new))
            continue
        report = report_from_cache(tool, turn, squashed, known) if squashed else None
        results.append(AnalysisResult(report, new) if report else None)
    return results


def squashed_image_of(turn: AnalysisRequest) -> SquashedImage | None:
    """Return what the image holds, by the notes of its layers; None where only Trivy can tell."""
    if turn.squashed:
        return turn.squashed
    try:
        return squash([(layer.diff_id, turn.notes[layer.diff_id]) for layer in turn.image.layers])
    except (NotSquashable, KeyError):
        return None


def report_from_cache(
    tool: TrivySetup, turn: AnalysisRequest, squashed: SquashedImage, known: MatchCache
) -> ImageReport | None:
    """Return the report on an image whose packages are known; None where some are not."""
    matched = known.look_up(squashed)
    if matched is None:
        return None
    return ImageReport(
        os_name=matched.system.os_name,
        os_end_of_life=matched.system.os_end_of_life,
        os_listed=matched.system.os_listed,
        packages=matched.packages,
        vulnerabilities=matched.vulnerabilities,
        matches=matched.matches,
        secrets=_secrets(squashed.secrets, turn.notes) if RiskCategory.SENSITIVE in tool.categories else (),
        system=squashed.system,
        matched_with=tool.matched_with,
        release_listed=_is_listed(tool, matched.system.system, squashed.system),
        **_unreadable(
            turn.image.layers,
            turn.notes,
            family=str(json.loads(squashed.system)["OS"].get("Family") or "") if squashed.system else "",
            has_packages=any("Type" not in package.record for package in squashed.packages),
        ),
    )


def _is_listed(tool: TrivySetup, system: Mapping[str, object], described: str | None) -> bool:
    """Return whether the database has advisories for a system; ``described`` is the ImageReport's ``system``.

    Alpine's packages are matched by the release of their repository where it is of another than the system.
    """
    if tool.database is None:
        return True
    repository = json.loads(described).get("Repository") if described else None
    if repository and repository.get("Family") == system.get("Family"):
        system = {**system, "Name": repository.get("Release")}
    return is_listed(tool.database.folder, system)


class _Unreadable(TypedDict):
    damaged_database: str
    damage: str
    unread: tuple[str, ...]


def _unreadable(
    layers: Sequence[StoredLayer], notes: Mapping[str, CachedLayer], *, family: str, has_packages: bool
) -> _Unreadable:
    """Return what of an image's packages could not be read, by the notes of its layers."""
    own = [notes[layer.diff_id] for layer in layers]
    gone = [hidden_paths(note) for note in own]
    shown = package_databases.databases_of_image(zip((note.databases for note in own), gone, strict=True))
    path, damage = package_databases.damage_of_image(family, shown, has_packages=has_packages)
    unread = package_databases.databases_of_image(zip((note.warnings for note in own), gone, strict=True))
    return {"damaged_database": path, "damage": damage.value, "unread": tuple(sorted(unread.keys() - {path}))}


def _describe_vulnerabilities(tool: TrivySetup, names: Iterable[str]) -> tuple[VulnerabilityFact, ...]:
    """Return what the database says of these vulnerabilities."""
    return tuple(read_vulnerabilities(tool.database.folder, names)) if tool.database else ()


def _read_layers(
    tool: TrivySetup, layers: Sequence[StoredLayer], scratch: Path, timeout: float, check: StopCheck
) -> tuple[TrivyReport, dict[str, CachedLayer]]:
    """Have Trivy read layers, of whatever images, and return what it tells of each.

    The report is on an image of them all, of which what is told of packages of languages holds for any image.
    """
    with _work_folder(scratch) as work:
        image = ImageInput(config=config_of(layers), layers=layers)
        finished = _run_image(tool, image, (), work, flags=TRIVY_FLAGS[:3], timeout=timeout, check=check)
        if finished.returncode != 0:
            _raise_failure(finished, ())
        report = read_report(finished.stdout)
        unread = unreadable_files(finished)
        return report, _layers_to_cache(tool, layers, work, known=(), found=(), unread=unread, check=check)


@contextmanager
def _work_folder(scratch: Path) -> Iterator[Path]:
    """Give a folder to work in, which goes at the end."""
    work = scratch / "trivy"
    try:
        work.mkdir(parents=True)
        yield work
    except OSError as error:
        raise EngineError(
            messages.LAYERS_NOT_PREPARED(strerror=error.strerror),
            messages.CHECK_SPACE_AND_SCAN(),
            retry=True,
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run_image(
    tool: TrivySetup,
    image: ImageInput,
    notes: Collection[CachedLayer],
    work: Path,
    *,
    flags: Sequence[str],
    timeout: float,
    check: StopCheck,
) -> sandbox_run.FinishedProcess:
    write_layout(work / "layout", image, check=check)
    folder = tool.database.folder if tool.database else None
    make_cache_folder(work / "cache", notes=list(notes), database=folder, java_index=tool.java_index)
    argv: list[str | Path] = [tool.executable, "image", "--input", "layout", "--cache-dir", work / "cache"]
    argv += [
        "--scanners",
        scanners_option(tool.categories),
        "--timeout",
        f"{int(timeout) + 60}s",
        *TRIVY_FLAGS[3:],
        *flags,
    ]
    return run_trivy(tool.run, argv, check=check, timeout=timeout, cwd=work)


def _raise_failure(finished: sandbox_run.FinishedProcess, absent: Collection[str]) -> None:
    """Raise what the end of a failed run means, in which the ``absent`` layers were known by their notes alone."""
    said = finished.stderr_tail
    if "unable to get uncompressed layer" in said and "no such file or directory" in said and absent:
        raise LayersMissing({diff_id for diff_id in absent if diff_id in said} or absent)
    error = failure_error(finished)
    if is_cache_damaged(finished):
        raise CacheDamaged(error.reason, error.remedy, retry=error.retry)
    raise error


def _layers_to_cache(
    tool: TrivySetup,
    layers: Sequence[StoredLayer],
    work: Path,
    *,
    known: Collection[CachedLayer],
    found: Sequence[FoundSecret],
    unread: Collection[str],
    check: StopCheck,
) -> dict[str, CachedLayer]:
    """Return what Trivy has told of the layers that it has read, with their secrets masked and hashed.

    ``unread`` are files that it has warned of, in any of the layers. All of a layer's secrets, also those that a layer
    above hides in this image: another image may show them.
    """
    records = read_cache(work / "cache", known={note.key for note in known})
    new: dict[str, CachedLayer] = {}
    for layer in layers:
        if layer.path is None or layer.diff_id in new:
            continue
        key, record = records.get(layer.diff_id, ("", b""))
        secrets = [secret for secret in found if secret.diff_id == layer.diff_id]
        secrets += read_secrets(record, layer.diff_id)
        # By our own link to it: the scan that it came with may have ended meanwhile.
        path = layer_path(work / "layout", layer.diff_id)
        shown = mask_secrets(secrets, path, key=tool.key, check=check) if secrets else {}
        databases, warned = package_databases.inspect_layer(path, also=unread, check=check)
        kept = record if RAPIDFORT_MARK in record else without_files(record)
        new[layer.diff_id] = CachedLayer(key, kept, shown, databases, dict.fromkeys(warned, "unread"))
    return new


def _secrets(found: Sequence[FoundSecret], notes: Mapping[str, CachedLayer]) -> tuple[SecretFact, ...]:
    """Return the secrets of a report as they are shown."""
    known = [secret for secret in found if secret.diff_id in notes]
    missing = {secret.diff_id for secret in known if secret.key not in notes[secret.diff_id].secrets}
    if missing:
        raise LayersMissing(missing)
    return tuple(_secret_fact(secret, notes[secret.diff_id].secrets[secret.key]) for secret in known)


def _secret_fact(secret: FoundSecret, shown: MaskedSecret) -> SecretFact:
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


def config_of(layers: Sequence[StoredLayer]) -> bytes:
    """Return a config with these layers, of an image or a part of it."""
    rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {}}).encode()
