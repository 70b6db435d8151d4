"""Every list that the apps have registered: as many queries for many rows as for few, with all of its columns."""

from __future__ import annotations

from datetime import date, time, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Count, QuerySet
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from console.listing import Listing, Page
from console.listing.registration import LISTINGS, get_listing
from console.models import AuditEvent, Export, User
from demo.inventory.make import make
from inventory.models import Image, Tag
from scanning.models import MalwareFinding, Package, Scan, ScanRun, ScanSchedule, Vulnerability
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
FEW, MANY = 4, 60  # rows at the least


def fill(user: User, rows: int, seed: int) -> None:
    make(tags=rows * 4, images=rows * 2, seed=seed, now=timezone.now())
    largest = Image.objects.order_by("-packages").first()
    assert largest is not None
    for _n in range(rows):
        AuditEvent.objects.create(action="export", actor_name=user.username)
        run = ScanRun.objects.create(categories=["malware"], requested_by=user)
        Scan.objects.create(image=largest, run=run, state="failed", address="a", reason="gone")
        Export.objects.create(requested_by=user, listing="images", time_zone="UTC", language="en")
    for n in range(rows):
        schedule = ScanSchedule.objects.create(
            name=f"{seed} {n}", at=time(3), starts_on=date(2026, 1, 1), scope="chosen"
        )
        schedule.chosen.set(Tag.objects.all()[: n + 1])
        run = ScanRun.objects.create(categories=["malware"], schedule=schedule)
        for days, outcome in enumerate(("started", "overlap")):
            schedule.occurrences.create(due_at=timezone.now() + timedelta(days=days), outcome=outcome, run=run)
        factories.malware(largest)
        factories.secret(largest)
        factories.registry()


def rows_of(listing: Listing[Any]) -> QuerySet[Any]:
    """Return the rows of a list, or those of the thing that has the most of them."""
    if listing.within is None or listing.name == "scans":  # here each run has one
        return listing.queryset()
    if listing.name in {"affected", "holders"}:
        model: Any = Vulnerability if listing.name == "affected" else Package
        return listing.within_rows(model.objects.order_by("-images").values_list("pk", flat=True)[0])
    most = MalwareFinding.objects.values("image").annotate(n=Count("pk")).order_by("-n").values("image")[:1]
    return listing.within_rows(Tag.objects.filter(image=most).values_list("pk", flat=True)[0])


@pytest.mark.parametrize("value", ["9" * 18, "9" * 20, f"-{'9' * 20}", "1e99", "\x00", "٣", " ", "a" * 5000])
@pytest.mark.parametrize("name", LISTINGS)
def test_no_value_of_a_filter_breaks_a_list(name: str, value: str) -> None:
    listing = get_listing(name)
    params = QueryDict(mutable=True)
    for filter_name in listing.filterset.base_filters:
        params[filter_name] = value
    found = Page(listing, params, rows=None if listing.within is None else listing.within_rows(1))
    assert found.total.number == 0
    assert list(found.menus)


def test_every_list_takes_as_many_queries_for_many_rows_as_for_few() -> None:
    user = person("administrator")
    taken: list[dict[str, int]] = []
    for seed, number in ((1, FEW), (2, MANY)):
        fill(user, number, seed)
        counts = {}
        for name in LISTINGS:
            listing = get_listing(name)
            every = [column.name for column in listing.columns]
            with CaptureQueriesContext(connection) as seen:
                page = Page(listing, QueryDict(f"size={max(listing.page_sizes)}"), chosen=every, rows=rows_of(listing))
                cells = [cell.value for _row, line in page.lines for cell in line]
                assert page.filters.form.as_p()
                assert not listing.bulk or all(str(row) for row in page.rows)  # its boxes name them
            assert len(page.rows) >= min(number, max(listing.page_sizes)), name
            assert len(cells) == len(page.rows) * len(page.columns)
            counts[name] = len(seen)
            asked = [query["sql"] for query in seen.captured_queries if "DISTINCT" in query["sql"]]
            assert len(asked) == len(set(asked)), f"{name} looks twice for what there is to choose from"
        taken.append(counts)
    few, many = taken
    assert many == few


@pytest.mark.parametrize("name", [name for name, registered in LISTINGS.items() if registered.page])
def test_the_choice_of_columns_and_an_export_of_nothing_lead_back_to_the_page(name: str, client: Client) -> None:
    client.force_login(person("administrator"))
    page = LISTINGS[name].page
    answer = client.post(f"{reverse(get_listing(name).columns_view)}?size=50", {"reset": "1"})
    assert (answer.status_code, answer["Location"]) == (302, f"{reverse(page)}?size=50")
    if name != "exports":  # the files themselves are not exported
        answer = client.post(reverse(page.replace("-list", "-export")), {"view": "?size=50"})
        assert (answer.status_code, answer["Location"]) == (302, f"{reverse(page)}?size=50")
