"""A page asks for its rows in parts of the order: together the parts are the order, without gap or overlap."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.jobs.models import State
from console.listing import Listing
from inventory.models import Tag
from inventory.tables import IMAGES
from scanning.models import Scan, ScanRun
from scanning.runs.tables import SCANS
from tests import factories

pytestmark = pytest.mark.django_db
DIRECTIONS = ("", "-")


@pytest.fixture
def tags() -> None:
    """Tags in three registries: of images that were scanned or not, shared ones, and of none that can be read."""
    now = timezone.now()
    states = ("scanned", "failed", "queued", "not-scanned", "cancelled", "running")
    for number, kind in enumerate(("quay", "harbor", "quay")):
        registry = factories.registry(name=f"r{3 - number}", type=kind, region="" if number else "eu")
        for index in range(6):
            found = factories.scanned(critical=index % 3, high=12_000 * (index % 2), fixable=index % 4, packages=index)
            known = found | {"highest": 5 if index % 3 else 4, "last_scanned_at": now - timedelta(hours=index % 4)}
            state = {"scan_state": states[index]}
            image = factories.image(layers=index % 3, **(state if index % 2 else known | state))
            for name in ("a", "b")[: 1 + index % 2]:
                pushed = None if index % 3 else now - timedelta(days=index)
                factories.tag(f"{name}{index % 2}", of=image, in_=registry, size=index % 3, pushed_at=pushed)
    Tag.objects.filter(pk__in=Tag.objects.values("pk")[3:5]).update(image=None)


def windows(listing: Listing[Any], sort: str, size: int) -> list[int]:
    """Return all ids, asked for ``size`` at a time."""
    rows, found = listing.queryset(), []
    while here := listing.window(rows, sort=sort, start=len(found), stop=len(found) + size):
        assert len(here) <= size
        found += here
    return found


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("column", [column.name for column in IMAGES.columns if column.sort])
def test_images_stand_on_pages_in_the_order_of_an_export(tags: None, column: str, direction: str) -> None:
    sort = f"{direction}{column}"
    whole = list(IMAGES.rows(IMAGES.queryset(), (), sort=sort).values_list("pk", flat=True))
    assert len(whole) == Tag.objects.count()
    for size in (1, 4, 100):
        assert windows(IMAGES, sort, size) == whole
    found = IMAGES.queryset().filter(image__critical__gt=0)
    assert IMAGES.window(found, sort=sort, start=0, stop=100) == [
        pk for pk in whole if pk in set(found.values_list("pk", flat=True))
    ]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_scans_of_a_run_stand_by_what_wants_a_look(direction: str) -> None:
    run = ScanRun.objects.create(categories=["malware"])
    states = [State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SUCCEEDED, State.QUEUED, State.RUNNING]
    for state in states:
        Scan.objects.create(image=factories.image(), run=run, state=state, address="a")
    whole = list(SCANS.rows(run.scans.all(), (), sort=f"{direction}state").values_list("state", flat=True))
    assert whole[0 if not direction else -1] == State.RUNNING
    ids = windows(SCANS, f"{direction}state", 2)
    assert [Scan.objects.get(pk=pk).state for pk in ids] == whole


def test_a_first_page_that_is_full_asks_for_nothing_after_it(tags: None) -> None:
    for sort in ("-risks", "last_scanned", "-status"):
        with CaptureQueriesContext(connection) as seen:
            assert len(IMAGES.window(Tag.objects.all(), sort=sort, start=0, stop=4)) == 4
        assert len(seen) == 1


def test_the_order_of_images_leaves_the_images_to_an_index(tags: None) -> None:
    """An outer join, or NULLS LAST where nothing is NULL, would have the database sort all tags."""
    for sort in ("-risks", "risks", "status", "-packages", "os", "-created", "layers"):
        with CaptureQueriesContext(connection) as seen:
            IMAGES.window(Tag.objects.all(), sort=sort, start=0, stop=2)
        sql = seen.captured_queries[0]["sql"]
        assert "INNER JOIN" in sql
        assert "NULLS" not in sql
