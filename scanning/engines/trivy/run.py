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
    Check,
    EngineError,
    ImageInput,
    ImageReport,
    RiskCategory,
    SecretFact,
    StoredLayer,
    VulnerabilityFact,
)
from scanning.engines.formats import package_databases
from scanning.engines.trivy import match_in_parts
from scanning.engines.trivy.advisory_texts import describe
from scanning.engines.trivy.cache import LayerNote, Shown, make_cache, read_cache, without_files
from scanning.engines.trivy.cached_matches import KnownPackages
from scanning.engines.trivy.command import (
    FLAGS,
    REPORT_BYTES,
    Runner,
    TooMuchAtOnce,
    failure,
    is_cache_damaged,
    scanners,
    start,
    unread_files,
)
from scanning.engines.trivy.database import DatabaseFacts
from scanning.engines.trivy.layout import layer_path, write_layout
from scanning.engines.trivy.match import MARK, Matcher, system_of
from scanning.engines.trivy.match_in_parts import make_empty_database
from scanning.engines.trivy.releases import is_listed
from scanning.engines.trivy.report import Report, read_report, read_secrets
from scanning.engines.trivy.secrets import FoundSecret, show
from scanning.engines.trivy.squash import Json, NotStackable, Stack, hidden, stack

TOGETHER_SECONDS = 60.0  # a run for several images; one that takes longer is broken off, and each gets one of its own
MANY_PACKAGES = 20_000  # in a run for several images


class LayersMissing(EngineError):
    """Layers that were believed to be known are not. Pull them and analyse again."""

    def __init__(self, diff_ids: Collection[str]) -> None:
        super().__init__(
            "What Trivy had told of a layer is lost.", "Scan again: the layers will be pulled.", retry=True
        )
        self.diff_ids = frozenset(diff_ids)


class CacheDamaged(EngineError):
    """Trivy ended as it does when what it was told of layers is damaged."""


@dataclass(frozen=True)
class Tool:
    """Trivy as it is for some images: all that they must have in common to be looked at together."""

    executable: Path
    run: Runner = field(compare=False)
    key: bytes = field(repr=False)  # of the hashes of secrets
    categories: frozenset[RiskCategory]
    database: DatabaseFacts | None
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
class Turn:
    """What is asked of one image. ``notes`` are of its layers that have no path; ``scratch`` is a folder to work in.

    Where ``whole`` is not, it is layers of an image that are to be read, and what they make together is not asked.
    """

    image: ImageInput
    notes: Mapping[str, LayerNote]
    scratch: Path
    timeout: float
    whole: bool = True
    stacked: Stack | None = None  # what the image holds, where that is known already
    owner: str = ""  # whose image it is: it shares no run with those of others


@dataclass(frozen=True)
class Told:
    """What Trivy tells of one image, and what is learnt of its layers that have a path."""

    report: ImageReport | None  # None where layers alone were asked of
    learnt: Mapping[str, LayerNote]


def alone(tool: Tool, turn: Turn, *, check: Check) -> Told:
    """Return what Trivy tells of one image, in one run.

    Raises LayersMissing where a layer without a path is needed after all, else EngineError, and what ``check`` does.
    """
    if not turn.whole:
        # Nobody asks what is wrong with the layers by themselves, and it may be more than a report can hold.
        with _nothing_listed(tool, turn) as empty:
            reader = replace(tool, database=empty)
            _report, learnt = _read_layers(reader, turn.image.layers, turn.scratch, turn.timeout, check)
        return Told(None, learnt)
    try:
        return _alone(tool, turn, tool.database, check=check)
    except TooMuchAtOnce:
        if tool.database is None:
            raise
        return _in_parts(tool, turn, check=check)


def _in_parts(tool: Tool, turn: Turn, *, check: Check) -> Told:
    """Return the same of an image with more vulnerabilities than a report can hold."""
    with _nothing_listed(tool, turn) as empty:
        told = _alone(tool, turn, empty, check=check)
    assert told.report is not None  # noqa: S101 (asked for)
    if told.report.system is None:
        raise TooMuchAtOnce(
            f"Trivy wrote a report of more than {REPORT_BYTES // 1024**2} MiB.",
            "The image holds more findings than can be kept; split it up.",
        )
    matches, vulnerabilities = match_in_parts.match(
        tool.matcher(), told.report.packages, system=told.report.system, scratch=turn.scratch, check=check
    )
    return Told(replace(told.report, matches=matches, vulnerabilities=vulnerabilities), told.learnt)


@contextmanager
def _nothing_listed(tool: Tool, turn: Turn) -> Iterator[DatabaseFacts | None]:
    """Give a database in place of the tool's that lists no vulnerabilities, and goes at the end."""
    if tool.database is None:
        yield None
        return
    folder = turn.scratch / "no-vulnerabilities"
    try:
        yield replace(tool.database, folder=make_empty_database(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _alone(tool: Tool, turn: Turn, database: DatabaseFacts | None, *, check: Check) -> Told:
    notes = turn.notes
    with _work(turn.scratch) as work:
        flags = (
            FLAGS[:3] if RiskCategory.VULNERABILITIES in tool.categories else FLAGS[:2]
        )  # with all packages, or none
        finished = _start(
            replace(tool, database=database),
            turn.image,
            notes.values(),
            work,
            flags=flags,
            timeout=turn.timeout,
            check=check,
        )
        if finished.returncode != 0:
            _fail(finished, notes.keys())
        report = read_report(finished.stdout)
        unread = unread_files(finished)
        learnt = _learn(
            tool, turn.image.layers, work, known=notes.values(), found=report.secrets, unread=unread, check=check
        )
        known = {**notes, **learnt}
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
        vulnerabilities=_described(tool, (match.vulnerability for match in report.matches.values())),
        matches=tuple(report.matches.values()),
        secrets=secrets if RiskCategory.SENSITIVE in tool.categories else (),
        system=system,
        matched_with=tool.matched_with,
        os_unknown=report.os_unknown,
        release_listed=_is_listed(tool, report.system, system),
        **_unreadable(turn.image.layers, known, family=family, has_packages=own),
    )
    return Told(told, learnt)


def together(
    tool: Tool, turns: Sequence[Turn], known: KnownPackages, *, key: str, scratch: Path, check: Check
) -> list[Told | None]:
    """Return what ``alone`` would of each image, None where Trivy must be asked of it alone.

    Takes a run for all layers that have a path, and one for each operating system whose packages are not ``known``.
    ``key`` is what ``Matcher.key`` tells. Raises EngineError, and what ``check`` raises.
    """
    layers = list({layer.diff_id: layer for turn in turns for layer in turn.image.layers if layer.path}.values())
    learnt: dict[str, LayerNote] = {}
    if layers:
        on_all, learnt = _read_layers(tool, layers, scratch, TOGETHER_SECONDS, check)
        if tool.database:
            known.learn(on_all, learnt.values(), database=tool.database.folder)
    turns = [replace(turn, notes={**learnt, **turn.notes}) for turn in turns]
    stacks = [stack_of(turn) if turn.whole else None for turn in turns]
    missing: dict[str, dict[str, Json]] = {}
    for stacked in stacks:
        if stacked and (records := known.missing(stacked)):
            missing.setdefault(stacked.system, {}).update(records)
    for system, records in missing.items():
        if len(records) <= MANY_PACKAGES:
            known.ask(tool.matcher(key), records, system=system, scratch=scratch, check=check)
    results: list[Told | None] = []
    for turn, stacked in zip(turns, stacks, strict=True):
        own = {layer.diff_id for layer in turn.image.layers if layer.path is not None}
        new = {diff_id: note for diff_id, note in learnt.items() if diff_id in own}
        if not turn.whole:
            results.append(Told(None, new))
            continue
        report = report_of(tool, turn, stacked, known) if stacked else None
        results.append(Told(report, new) if report else None)
    return results


def stack_of(turn: Turn) -> Stack | None:
    """Return what the image holds, by the notes of its layers; None where only Trivy can tell."""
    if turn.stacked:
        return turn.stacked
    try:
        return stack([(layer.diff_id, turn.notes[layer.diff_id]) for layer in turn.image.layers])
    except (NotStackable, KeyError):
        return None


def report_of(tool: Tool, turn: Turn, stacked: Stack, known: KnownPackages) -> ImageReport | None:
    """Return the report on an image whose packages are known; None where some are not."""
    matched = known.look_up(stacked)
    if matched is None:
        return None
    return ImageReport(
        os_name=matched.system.os_name,
        os_end_of_life=matched.system.os_end_of_life,
        os_listed=matched.system.os_listed,
        packages=matched.packages,
        vulnerabilities=matched.vulnerabilities,
        matches=matched.matches,
        secrets=_secrets(stacked.secrets, turn.notes) if RiskCategory.SENSITIVE in tool.categories else (),
        system=stacked.system,
        matched_with=tool.matched_with,
        release_listed=_is_listed(tool, matched.system.system, stacked.system),
        **_unreadable(
            turn.image.layers,
            turn.notes,
            family=str(json.loads(stacked.system)["OS"].get("Family") or "") if stacked.system else "",
            has_packages=any("Type" not in package.record for package in stacked.packages),
        ),
    )


def _is_listed(tool: Tool, system: Mapping[str, object], described: str | None) -> bool:
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
    layers: Sequence[StoredLayer], notes: Mapping[str, LayerNote], *, family: str, has_packages: bool
) -> _Unreadable:
    """Return what of an image's packages could not be read, by the notes of its layers."""
    own = [notes[layer.diff_id] for layer in layers]
    gone = [hidden(note) for note in own]
    shown = package_databases.of_image(zip((note.databases for note in own), gone, strict=True))
    path, damage = package_databases.judge(family, shown, has_packages=has_packages)
    unread = package_databases.of_image(zip((note.warnings for note in own), gone, strict=True))
    return {"damaged_database": path, "damage": damage.value, "unread": tuple(sorted(unread.keys() - {path}))}


def _described(tool: Tool, names: Iterable[str]) -> tuple[VulnerabilityFact, ...]:
    """Return what the database says of these vulnerabilities."""
    return tuple(describe(tool.database.folder, names)) if tool.database else ()


def _read_layers(
    tool: Tool, layers: Sequence[StoredLayer], scratch: Path, timeout: float, check: Check
) -> tuple[Report, dict[str, LayerNote]]:
    """Have Trivy read layers, of whatever images, and return what it tells of each.

    The report is on an image of them all, of which what is told of packages of languages holds for any image.
    """
    with _work(scratch) as work:
        image = ImageInput(config=config_of(layers), layers=layers)
        finished = _start(tool, image, (), work, flags=FLAGS[:3], timeout=timeout, check=check)
        if finished.returncode != 0:
            _fail(finished, ())
        report = read_report(finished.stdout)
        unread = unread_files(finished)
        return report, _learn(tool, layers, work, known=(), found=(), unread=unread, check=check)


@contextmanager
def _work(scratch: Path) -> Iterator[Path]:
    """Give a folder to work in, which goes at the end."""
    work = scratch / "trivy"
    try:
        work.mkdir(parents=True)
        yield work
    except OSError as error:
        raise EngineError(
            f"The image's layers could not be read or laid out: {error.strerror}.",
            "Check the free space and the rights of the data folder, then scan again.",
            retry=True,
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _start(
    tool: Tool,
    image: ImageInput,
    notes: Collection[LayerNote],
    work: Path,
    *,
    flags: Sequence[str],
    timeout: float,
    check: Check,
) -> sandbox_run.Finished:
    write_layout(work / "layout", image, check=check)
    folder = tool.database.folder if tool.database else None
    make_cache(work / "cache", notes=list(notes), database=folder, java_index=tool.java_index)
    argv: list[str | Path] = [tool.executable, "image", "--input", "layout", "--cache-dir", work / "cache"]
    argv += ["--scanners", scanners(tool.categories), "--timeout", f"{int(timeout) + 60}s", *FLAGS[3:], *flags]
    return start(tool.run, argv, check=check, timeout=timeout, cwd=work)


def _fail(finished: sandbox_run.Finished, absent: Collection[str]) -> None:
    """Raise what the end of a failed run means, in which the ``absent`` layers were known by their notes alone."""
    said = finished.stderr_tail
    if "unable to get uncompressed layer" in said and "no such file or directory" in said and absent:
        raise LayersMissing({diff_id for diff_id in absent if diff_id in said} or absent)
    error = failure(finished)
    if is_cache_damaged(finished):
        raise CacheDamaged(error.reason, error.remedy, retry=error.retry)
    raise error


def _learn(
    tool: Tool,
    layers: Sequence[StoredLayer],
    work: Path,
    *,
    known: Collection[LayerNote],
    found: Sequence[FoundSecret],
    unread: Collection[str],
    check: Check,
) -> dict[str, LayerNote]:
    """Return what Trivy has told of the layers that it has read, with their secrets masked and hashed.

    ``unread`` are files that it has warned of, in any of the layers. All of a layer's secrets, also those that a layer
    above hides in this image: another image may show them.
    """
    records = read_cache(work / "cache", known={note.key for note in known})
    new: dict[str, LayerNote] = {}
    for layer in layers:
        if layer.path is None or layer.diff_id in new:
            continue
        key, record = records.get(layer.diff_id, ("", b""))
        secrets = [secret for secret in found if secret.diff_id == layer.diff_id]
        secrets += read_secrets(record, layer.diff_id)
        # By our own link to it: the scan that it came with may have ended meanwhile.
        path = layer_path(work / "layout", layer.diff_id)
        shown = show(secrets, path, key=tool.key, check=check) if secrets else {}
        databases, warned = package_databases.look(path, also=unread, check=check)
        kept = record if MARK in record else without_files(record)
        new[layer.diff_id] = LayerNote(key, kept, shown, databases, dict.fromkeys(warned, "unread"))
    return new


def _secrets(found: Sequence[FoundSecret], notes: Mapping[str, LayerNote]) -> tuple[SecretFact, ...]:
    """Return the secrets of a report as they are shown."""
    known = [secret for secret in found if secret.diff_id in notes]
    missing = {secret.diff_id for secret in known if secret.key not in notes[secret.diff_id].secrets}
    if missing:
        raise LayersMissing(missing)
    return tuple(_secret_fact(secret, notes[secret.diff_id].secrets[secret.key]) for secret in known)


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


def config_of(layers: Sequence[StoredLayer]) -> bytes:
    """Return a config with these layers, of an image or a part of it."""
    rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {}}).encode()
