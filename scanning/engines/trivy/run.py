"""Trivy without its server: a run for one image, or one that reads layers of several. Its reports are the reference."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from console.sandbox import run as sandbox_run
from scanning.engines.base import EngineError, ImageInput, RiskCategory, StopCheck, StoredLayer
from scanning.engines.formats import package_databases
from scanning.engines.trivy import match_in_parts, messages
from scanning.engines.trivy.cache import CachedLayer, make_cache_folder, read_cache, without_files
from scanning.engines.trivy.command import (
    ALL_PACKAGES,
    COMMON_FLAGS,
    JSON_REPORT,
    ReportTooLarge,
    failure_error,
    is_cache_damaged,
    report_too_large,
    run_trivy,
    scanners_option,
    unreadable_files,
)
from scanning.engines.trivy.image_report import make_image_report
from scanning.engines.trivy.match import RAPIDFORT_MARK
from scanning.engines.trivy.oci_layout import layer_path, write_layout
from scanning.engines.trivy.report import read_report, read_secrets
from scanning.engines.trivy.secrets import FoundSecret, mask_secrets
from scanning.engines.trivy.setup import AnalysisRequest, AnalysisResult, CacheDamaged, LayersMissing, TrivySetup

# What reads layers and says nothing. Packages of systems are read all the same, and not matched: Trivy ends where the
# database does not have the content sets of Red Hat that a layer names.
READ_ONLY = ("--format", "template", "--template", " ", "--pkg-types", "library")


def analyze_image(tool: TrivySetup, request: AnalysisRequest, *, check: StopCheck) -> AnalysisResult:
    """Return what Trivy tells of one image, in one run.

    Raises LayersMissing where a layer without a path is needed after all, else EngineError, and what ``check`` does.
    """
    folder = tool.database.folder if tool.database else None
    try:
        return _analyze_in_one_run(tool, request, folder, check=check)
    except ReportTooLarge:
        if tool.database is None:
            raise
        return _analyze_in_parts(tool, request, check=check)


def read_layers(
    tool: TrivySetup, layers: Sequence[StoredLayer], *, scratch: Path, timeout: float, check: StopCheck
) -> dict[str, CachedLayer]:
    """Return what Trivy tells of each of these layers, of whatever images. All have a path.

    Nobody asks what is wrong with the layers together, and it may be more than a report can hold: so none is written.
    Raises EngineError, and what ``check`` raises.
    """
    with _work_folder(scratch) as work:
        image = ImageInput(config=config_of(layers), layers=layers)
        finished = _run_image(
            tool, image, (), work, database=tool.empty_database, report=READ_ONLY, timeout=timeout, check=check
        )
        if finished.returncode != 0:
            _raise_failure(finished, ())
        unread = unreadable_files(finished)
        notes = _layers_to_cache(tool, layers, work, known=(), found=(), unread=unread, check=check)
        return _read_together(notes)


def _analyze_in_parts(tool: TrivySetup, request: AnalysisRequest, *, check: StopCheck) -> AnalysisResult:
    """Return the same of an image with more vulnerabilities than a report can hold."""
    told = _analyze_in_one_run(tool, request, tool.empty_database, check=check)
    if told.report.system is None:
        raise report_too_large()
    matches, vulnerabilities = match_in_parts.match(
        tool.matcher(), told.report.packages, system=told.report.system, scratch=request.scratch, check=check
    )
    return AnalysisResult(replace(told.report, matches=matches, vulnerabilities=vulnerabilities), told.new_layers)


def _analyze_in_one_run(
    tool: TrivySetup, request: AnalysisRequest, database: Path | None, *, check: StopCheck
) -> AnalysisResult:
    notes, layers = request.notes, request.image.layers
    with _work_folder(request.scratch) as work:
        listed = ALL_PACKAGES if RiskCategory.VULNERABILITIES in tool.categories else ()
        finished = _run_image(
            tool,
            request.image,
            notes.values(),
            work,
            database=database,
            report=(*JSON_REPORT, *listed),
            timeout=request.timeout,
            check=check,
        )
        if finished.returncode != 0:
            _raise_failure(finished, notes.keys())
        report = read_report(finished.stdout)
        unread = unreadable_files(finished)
        new_layers = _layers_to_cache(
            tool, layers, work, known=notes.values(), found=report.secrets, unread=unread, check=check
        )
    return AnalysisResult(make_image_report(tool, report, layers, {**notes, **new_layers}), _read_together(new_layers))


def _read_together(notes: dict[str, CachedLayer]) -> dict[str, CachedLayer]:
    """Return notes of layers that one run has read, which say so where there are several."""
    if len(notes) < 2:
        return notes
    together = tuple(sorted(notes))
    return {diff_id: replace(note, read_with=together) for diff_id, note in notes.items()}


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
    database: Path | None,
    report: Sequence[str],
    timeout: float,
    check: StopCheck,
) -> sandbox_run.FinishedProcess:
    write_layout(work / "layout", image, check=check)
    make_cache_folder(work / "cache", notes=list(notes), database=database, java_index=tool.java_index)
    argv: list[str | Path] = [tool.executable, "image", "--input", "layout", "--cache-dir", work / "cache"]
    argv += ["--scanners", scanners_option(tool.categories), "--timeout", f"{int(timeout) + 60}s"]
    return run_trivy(tool.run, [*argv, *COMMON_FLAGS, *report], check=check, timeout=timeout, cwd=work)


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


def config_of(layers: Sequence[StoredLayer]) -> bytes:
    """Return a config with these layers, of an image or a part of it."""
    rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {}}).encode()
