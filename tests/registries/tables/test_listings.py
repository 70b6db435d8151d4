"""The lists of registries and of sync records: what they show, find, sort and export."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from openpyxl import load_workbook

from console.jobs.models import State
from console.listing import Listing, Page
from registries.models import PullUnit, Registry, SyncRun
from registries.pull_limit import LIMIT_WINDOW, usage
from registries.tables.listings import REGISTRIES, SYNCS
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db

EVERY = {listing.name: [column.name for column in listing.columns] for listing in (REGISTRIES, SYNCS)}
LISTS = {"registries": "registries:registry-list", "syncs": "registries:sync-list"}
EXPORTS = {"registries": "registries:registry-export", "syncs": "registries:sync-export"}


def registry(name: str = "", **values: Any) -> Registry:
    """A registry in full use: synced, syncing, limited, with images and with units taken."""
    row = factories.registry(**({"name": name} if name else {}), **{"limit": 5, **values})
    row.record_connection(state="failed", reason="It said no.", remedy="Ask again.")
    now = timezone.now()
    for minutes in (50, 40, 30):
        PullUnit.objects.create(registry=row, image_id=f"sha256:{minutes}", taken_at=now - timedelta(minutes=minutes))
    PullUnit.objects.create(registry=row, image_id="sha256:old", taken_at=now - timedelta(minutes=61))
    run = SyncRun.objects.create(
        registry=row,
        state=State.FAILED,
        requested_by=person("operator", username=f"operator-{row.pk}"),
        started_at=now - timedelta(minutes=2),
        ended_at=now,
        reason="=The registry failed.",
        remedy="Look at its logs.",
        tags_new=3,
    )
    row.record_sync(run)
    SyncRun.objects.create(registry=row, state=State.RUNNING, started_at=now, progress_done=1, progress_total=4)
    factories.tag(in_=row)
    return row


def choose_all(client: Client) -> None:
    user = person("administrator")
    user.columns = EVERY
    user.save()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")


@pytest.mark.parametrize("listing", [REGISTRIES, SYNCS], ids=lambda listing: listing.name)
def test_a_page_with_all_columns_asks_the_database_as_often_for_many_rows(
    listing: Listing[Any], client: Client
) -> None:
    choose_all(client)
    counts = []
    for _size in range(2):
        for _each in range(1 if not counts else 15):
            registry()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get(reverse(LISTS[listing.name])).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 22


def test_the_poll_asks_the_database_as_often_for_many_registries(client: Client) -> None:
    choose_all(client)
    counts = []
    for more in (1, 10):
        for _each in range(more):
            registry()
        visible = ",".join(str(row.pk) for row in Registry.objects.all())
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("registries:progress"), {"visible": visible}, headers={"HX-Request": "true"})
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("listing", [REGISTRIES, SYNCS], ids=lambda listing: listing.name)
def test_page_and_workbook_agree(listing: Listing[Any], client: Client) -> None:
    choose_all(client)
    for number in range(3):
        registry(f"r{number}", type=["harbor", "aws", "oci"][number], version="v2" if not number else "")
    page = client.get(reverse(LISTS[listing.name])).context["page"]
    answer = client.post(reverse(EXPORTS[listing.name]), {"all": "1", "view": "?"})
    sheet = load_workbook(io.BytesIO(answer.content)).worksheets[0]
    head, *rows = sheet.iter_rows(values_only=True)
    assert head == tuple(str(header.column.label) for header in page.headers)
    shown = [[plain(cell.value) for cell in cells] for _row, cells in page.lines]
    assert len(rows) == len(shown)
    for row, cells in zip(rows, shown, strict=True):
        for name, in_book, on_page in zip(EVERY[listing.name], row, cells, strict=True):
            if name in {"last_sync", "next_sync", "created", "started", "ended"} and on_page is not None:
                assert abs(in_book - on_page) < timedelta(minutes=1), name
            else:
                assert (in_book or None) == (on_page or None), name
    assert "<f>" not in str(answer.content)


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return timezone.make_naive(value)
    return value if isinstance(value, int | float | None) else str(value)


def found(**query: str | list[str]) -> list[str]:
    params = QueryDict(mutable=True)
    for name, value in query.items():
        params.setlist(name, value if isinstance(value, list) else [value])
    page = Page(REGISTRIES, params)
    assert not page.notices
    return [row.name for row in page.rows]


def test_filters_find_by_type_connection_and_last_result() -> None:
    states: list[tuple[str, str, dict[str, Any]]] = [
        ("whole", State.SUCCEEDED, {"complete": True}),
        ("partial", State.SUCCEEDED, {"complete": True, "errors": 1}),
        ("failed", State.FAILED, {}),
        ("cancelled", State.CANCELLED, {}),
    ]
    for name, state, values in states:
        row = factories.registry(name=name)
        row.record_sync(SyncRun.objects.create(registry=row, state=state, **values))
    factories.registry(name="never", type="harbor", connection="refused")
    SyncRun.objects.create(registry=factories.registry(name="running"), state=State.RUNNING)
    for result in ("partial", "failed", "cancelled", "running"):
        assert found(result=result) == [result]
    assert found(result="complete") == ["whole"]
    assert found(result="never") == ["never", "running"]
    assert found(result=["failed", "complete"]) == ["failed", "whole"]
    assert found(type="harbor", connection="refused") == ["never"]
    assert found(q="RUNN") == ["running"]


def test_names_are_sorted_as_people_do_and_what_wants_a_person_comes_first() -> None:
    for name, connection_state in (("beta", "connected"), ("Alpha", "failed"), ("gamma", "refused")):
        factories.registry(name=name, connection=connection_state)
    assert found() == ["Alpha", "beta", "gamma"]
    assert found(sort="connection") == ["gamma", "Alpha", "beta"]


def test_every_column_that_says_so_can_be_sorted_by() -> None:
    for number in range(3):
        registry(f"r{number}")
    for listing in (REGISTRIES, SYNCS):
        for column in listing.columns:
            if column.sort:
                for sign in ("", "-"):
                    page = Page(listing, QueryDict(f"sort={sign}{column.name}"), chosen=EVERY[listing.name])
                    assert not page.notices
                    assert len(page.rows) == page.total.number


def test_registries_are_sorted_by_the_time_of_their_next_sync(settings: Any) -> None:
    settings.TIME_ZONE = "UTC"
    rows = [factories.registry(nightly_on=timezone.localdate()) for _ in range(6)]
    page = Page(REGISTRIES, QueryDict("sort=next_sync"))
    times = [cell.value for _row, cells in page.lines for cell in cells if cell.column.name == "next_sync"]
    assert times == sorted(times)
    assert len(times) == len(rows)


def test_what_is_being_removed_is_not_listed() -> None:
    registry(deleting_at=timezone.now())
    assert not Page(REGISTRIES, QueryDict()).rows
    assert not Page(SYNCS, QueryDict()).rows


# --- the limit in the list --------------------------------------------------------------------------------------------
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(("limit", "units", "next_free"), [(5, 3, None), (3, 3, 0), (2, 4, 2), (1, 4, 3), (5, 0, None)])
def test_the_list_tells_the_same_usage_as_the_limit_itself(limit: int, units: int, next_free: int | None) -> None:
    row = factories.registry(limit=limit)
    for number in range(units):
        taken = NOON - timedelta(minutes=50 - number)
        PullUnit.objects.create(registry=row, image_id=f"sha256:{number}", taken_at=taken)
    PullUnit.objects.create(registry=row, image_id="sha256:old", taken_at=NOON - LIMIT_WINDOW)
    PullUnit.objects.create(registry=factories.registry(limit=1), image_id="sha256:other", taken_at=NOON)
    told = usage(row, now=NOON)
    assert (told.limit, told.used) == (limit, units)
    expected = None if next_free is None else NOON - timedelta(minutes=50 - next_free) + LIMIT_WINDOW
    assert told.next_free == expected


def test_the_row_shows_what_is_used_and_when_the_next_unit_is_free(client: Client) -> None:
    choose_all(client)
    registry("full", limit=3)
    factories.registry(name="free", limit=None)
    html = client.get(reverse("registries:registry-list")).content.decode()
    assert "3 of 3" in html
    assert "next free" in html
    assert "in 9 min" in html or "in 10 min" in html
    assert "Unlimited" in html


def test_a_card_on_a_phone_says_what_its_facts_are(client: Client) -> None:
    registry("r1")
    client.force_login(person("viewer"), backend="django.contrib.auth.backends.ModelBackend")
    text = client.get(reverse("registries:registry-list")).text
    for label in ("Tags", "Last sync", "Limit used this hour"):
        assert f'data-c="fact" data-label="{label}"' in text
