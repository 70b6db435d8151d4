"""The files of exports: where they lie, and when they go."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from console.exports.models import Export
from console.jobs.models import State
from console.machines import content, report
from console.machines.identity import has_shared_database
from console.machines.models import SharedFile

log = logging.getLogger(__name__)

CONTENT_TYPES = {
    Export.Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Export.Format.CSV: "text/csv; charset=utf-8",
}
FILE_RETENTION = timedelta(days=7)  # of a file, and of the record of an export that made none
MAX_SHARED_FILE_BYTES = 1024**3  # a larger file stays on the machine that has made it
ORPHAN_FILE_SECONDS = 3600  # a file is older before it counts as nobody's


def exports_folder() -> Path:
    """Return the folder of all files, made where it was not there; its owner alone can read it."""
    found = Path(settings.DATA_DIR) / "exports"
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def path_of(export: Export) -> Path | None:
    """Return the file of ``export`` if it is there."""
    if not export.file or Path(export.file).name != export.file:
        return None
    path = exports_folder() / export.file
    return path if path.is_file() else None


def store(path: Path, *, check: Callable[[], None]) -> SharedFile | None:
    """Have other machines, if there are some, get the file at ``path``; return what they get it by.

    It goes a day after its export at the latest, whatever becomes of that. Raises what ``check`` raises.
    """
    if not has_shared_database() or not report.has_other_machines():
        return None
    try:
        file = content.store(path, limit=MAX_SHARED_FILE_BYTES, check=check)
    except content.ContentError as error:
        log.warning("%s can be downloaded only on this machine: %s", path.name, error)
        return None
    content.keep(file, seconds=(FILE_RETENTION + timedelta(days=1)).total_seconds())
    return file


def content_of(export: Export) -> Iterator[bytes] | None:
    """Return the content of the file of ``export`` as another machine has stored it, None where there is none."""
    return content.stream(export.stored) if export.stored and export.stored.sha256 else None


def remove(export: Export) -> None:
    """Remove the export and its file."""
    path = path_of(export)
    export.delete()
    if export.stored_id is not None:
        content.delete(export.stored_id)
    if path:
        path.unlink(missing_ok=True)


def prune() -> None:
    """Remove what has expired, and files on this machine that belong to no export; called by every tick."""
    over = Q(expires_at__lt=Now()) | Q(expires_at=None, ended_at__lt=Now() - FILE_RETENTION)
    for export in Export.objects.filter(over, state__in=State.final()).order_by("pk")[:500]:
        remove(export)
    found = {path.name: path for path in exports_folder().iterdir() if path.is_file()}
    existing = set(Export.objects.filter(file__in=list(found)).values_list("file", flat=True))
    now = time.time()
    for name in found.keys() - existing:
        if now - found[name].stat().st_mtime > ORPHAN_FILE_SECONDS:
            found[name].unlink(missing_ok=True)
            log.info("Removed %s, which belongs to no export", name)
