"""Which tags a run means."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet

from inventory.models import Tag
from scanning.models import Scan, ScanRun, ScanScope
from scanning.runs.narrow import narrowed
from scanning.runs.recommended import recommended


def tags_in_scope(run: ScanRun) -> QuerySet[Tag]:
    """Return the tags that are meant by the scope of ``run``, narrowed by what its schedule wants of them."""
    return narrowed(_in_scope(run), run.choice) if run.choice else _in_scope(run)


def _in_scope(run: ScanRun) -> QuerySet[Tag]:
    if run.scope == ScanScope.ALL:
        return Tag.objects.all()
    if run.scope == ScanScope.CHOSEN:
        return run.chosen.all()
    # An image that the run has queued is not recommended any more; its other tags get the same results.
    return recommended(also=Exists(Scan.objects.filter(run=run, image=OuterRef("image"))))
