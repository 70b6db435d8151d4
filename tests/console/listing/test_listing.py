"""A list is declared once: its page, its filters, its order and its workbook follow from the declaration."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from console.listing import Listing, Page, listing
from console.listing.listing import SelectionError
from inventory.models import Tag
from inventory.tables import IMAGES
from scanning.findings.tables import MALWARE, PACKAGES, SENSITIVE, VULNERABILITIES
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
LISTINGS = [IMAGES, VULNERABILITIES, MALWARE, SENSITIVE, PACKAGES]
EVERY = [column.name for column in IMAGES.columns]


def page(query: str = "", *, of: Listing[Any] = IMAGES, chosen: list[str] | None = None) -> Page[Any]:
    return Page(of, QueryDict(query), chosen=chosen)


def names(found: Page[Any]) -> list[str]:
    return [row.name for row in found.rows]


def fill(number: int) -> None:
    registry = factories.registry()
    for index in range(number):
        image = factories.image(**factories.scanned(critical=index, sensitive=1))
        factories.tag(f"v{index:03}", of=image, path="team/app", in_=registry)
        factories.vulnerability(image, package=f"lib{index}")
        factories.malware(image)
        factories.secret(image)


@pytest.mark.parametrize("declared", LISTINGS, ids=lambda declared: declared.name)
def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(declared: Listing[Any]) -> None:
    counts = []
    for number in (2, 30):
        fill(number)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            found = page(
                f"size={max(declared.page_sizes)}", of=declared, chosen=[column.name for column in declared.columns]
            )
            assert len(found.rows) >= number
            list(found.lines)
            list(found.headers)
        counts.append(len(queries))
        Tag.objects.all().delete()
    assert counts[0] == counts[1]


def test_only_the_columns_shown_are_asked_of_the_database() -> None:
    factories.tag()
    with CaptureQueriesContext(connection) as queries:
        page(chosen=["version"])
    sql = " ".join(query["sql"] for query in queries)
    assert 'JOIN "registries_registry"' not in sql
    assert "layer_count" not in sql
    with CaptureQueriesContext(connection) as queries:
        page(chosen=["registry", "layers"])
    sql = " ".join(query["sql"] for query in queries)
    assert 'JOIN "registries_registry"' in sql
    assert "layer_count" in sql


@pytest.mark.parametrize(
    "column", [one.name for one in IMAGES.columns if one.sort and "repository__name" not in one.sort]
)
def test_rows_that_are_equal_keep_the_order_of_their_ids(column: str) -> None:
    registry, image = factories.registry(), factories.image()
    at = timezone.now()
    made = [
        factories.tag(f"v{index}", of=image, path=f"team/{index}", in_=registry, address="host/app")
        for index in range(5)
    ]
    Tag.objects.update(name="same", first_seen=at)
    for sort in (column, f"-{column}"):
        assert [row.pk for row in page(f"sort={sort}").rows] == [tag.pk for tag in made]


def test_what_is_not_known_comes_last_in_both_directions() -> None:
    old = factories.scanned() | {"last_scanned_at": timezone.now() - timedelta(days=9)}
    factories.tag("never")
    factories.tag("old", of=factories.image(**old))
    factories.tag("new", of=factories.image(**factories.scanned()))
    assert names(page("sort=last_scanned")) == ["old", "new", "never"]
    assert names(page("sort=-last_scanned")) == ["new", "old", "never"]


def test_every_address_of_a_page_leads_to_the_same_view_but_for_what_it_changes() -> None:
    fill(25)
    found = page("q=app&security=at-risk&sort=-version&size=20&page=2")
    assert found.here == "?q=app&security=at-risk&sort=-version&page=2"
    again = page(found.here.removeprefix("?"))
    assert names(again) == names(found) == ["v004", "v003", "v002", "v001", "v000"]
    chip = next(chip for chip in found.chips if chip.text == "At risk")
    assert QueryDict(chip.url[1:]).dict() == {"q": "app", "sort": "-version"}
    assert QueryDict(found.clear_url[1:]).dict() == {"sort": "-version"}
    version = next(header for header in found.headers if header.column.name == "version")
    assert version.direction == "descending"
    assert "sort=version" in version.url


def test_pages_do_not_overlap_and_hold_everything() -> None:
    fill(45)
    seen = [name for number in (1, 2, 3) for name in names(page(f"page={number}"))]
    assert seen == [f"v{index:03}" for index in range(45)]
    last = page("page=99")
    assert last.number == 3
    assert last.notices
    assert not last.next_url
    assert last.previous_url == "?page=2"


def test_more_than_ten_thousand_are_not_counted_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    fill(3)
    monkeypatch.setattr(listing, "MAX_EXACT_COUNT_ROWS", 3)
    assert str(page().total) == "3"
    monkeypatch.setattr(listing, "MAX_EXACT_COUNT_ROWS", 2)
    assert str(page().total) == "2+"
    assert names(page("page=1")) == ["v000", "v001", "v002"]


@pytest.mark.parametrize(
    "query",
    ["status=nope", "sort=nope", "sort=-risks;drop", "size=7", "page=0", "page=x", "registry=999", "q=%00", "page=-1"],
)
def test_a_value_that_cannot_be_is_left_out_with_a_notice(query: str) -> None:
    fill(2)
    found = page(query)
    assert names(found) == ["v000", "v001"]
    assert len(found.notices) == 1
    assert found.here == "?"


def test_good_values_of_a_filter_stay_where_another_is_bad() -> None:
    fill(1)
    factories.tag("fresh")
    found = page("status=nope&status=not-scanned")
    assert names(found) == ["fresh"]
    assert len(found.notices) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(
            ["q", "status", "security", "type", "registry", "severity", "fixable", "sort", "page", "size", "x"]
        ),
        st.lists(st.text(max_size=30), max_size=3),
    )
)
def test_no_query_breaks_a_list(values: dict[str, list[str]]) -> None:
    params = QueryDict(mutable=True)
    for name, texts in values.items():
        params.setlist(name, texts)
    found = Page(IMAGES, params)
    assert found.rows == []
    list(found.headers), list(found.links), found.here


def test_the_columns_shown_are_the_locked_ones_and_those_chosen_that_there_are() -> None:
    assert [column.name for column in IMAGES.chosen(["size", "gone", "address", "version", "size"])] == [
        "address",
        "size",
        "version",
    ]
    default = ["address", "type", "version", "last_scanned", "risks", "status"]
    assert [column.name for column in IMAGES.chosen(None)] == default
    assert [column.name for column in IMAGES.chosen(["gone"])] == default


def test_all_that_match_means_the_filter_as_it_is_now() -> None:
    fill(3)
    view = QueryDict("q=v001")
    assert [row.name for row in IMAGES.selected(view=view, chosen=QueryDict("all=1"))] == ["v001"]
    ids = [tag.pk for tag in Tag.objects.order_by("pk")[:2]]
    assert {row.pk for row in IMAGES.selected(view=view, chosen=QueryDict(f"ids={ids[0]}&ids={ids[1]}&ids=x"))} == set(
        ids
    )


def test_a_filter_that_would_be_ignored_selects_nothing() -> None:
    fill(2)
    with pytest.raises(SelectionError):
        IMAGES.selected(view=QueryDict("status=nope"), chosen=QueryDict("all=1"))
    with pytest.raises(SelectionError):
        IMAGES.selected(view=QueryDict(""), chosen=QueryDict(""))


class Cells(HTMLParser):
    """The text of each cell of the table of a page, titles included."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = self.detail = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "tr":
            self.detail = "why" in (given.get("class") or "")
            if not self.detail:
                self.rows.append([])
        self.inside = not self.detail and (tag == "td" or (self.inside and tag != "tr"))
        if tag == "td" and self.inside:
            self.rows[-1].append("")
        elif self.inside and self.rows and self.rows[-1]:
            self.rows[-1][-1] += f" {given.get('title') or ''} {given.get('datetime') or ''} "

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "td"

    def handle_data(self, data: str) -> None:
        if self.inside and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_page_and_workbook_agree(client: Client) -> None:
    registry = factories.registry(name="lab", region="eu-1")
    counts = {"critical": 4, "high": 2, "viruses": 1, "sensitive": 3, "packages": 7, "fixable": 5}
    factories.tag("1.0", of=factories.image(**factories.scanned(**counts)), path="a/app", in_=registry)
    factories.tag("=2+2", of=factories.image(**factories.scanned()), path="b/app", in_=registry)
    factories.tag("3.0", path="c/app", in_=registry)
    somebody = person("operator", columns={"images": EVERY})
    client.force_login(somebody, backend="django.contrib.auth.backends.ModelBackend")
    response = client.post(reverse("inventory:image-export"), {"all": "1", "view": "?q=app"})
    book = load_workbook(io.BytesIO(response.content))
    head, *rows = book.worksheets[0].iter_rows(values_only=True)
    cells = Cells()
    cells.feed(client.get(reverse("inventory:image-list"), {"q": "app"}).content.decode())
    shown = [row[1:-1] for row in cells.rows if row]
    assert list(head) == [str(column.label) for column in IMAGES.columns]
    assert len(rows) == len(shown) == 3
    for exported, page_row in zip(rows, shown, strict=True):
        for column, value, text in zip(IMAGES.columns, exported, page_row, strict=True):
            assert agrees(column.name, value, " ".join(text.split())), (column.name, value, text)


def agrees(name: str, value: Any, text: str) -> bool:
    """Whether the text of a cell says what the workbook holds."""
    if value is None:
        return text in {"–", "Never", "Not known", ""}
    if name == "address":
        host, _slash, path = value.partition("/")
        return text.replace(" ", "") == path + host
    if name == "risks" and value not in {"Not known", "0 found"}:
        numbers = {part.split()[0] for part in value.split(", ")}
        return all(number in text.replace(",", " ").split() for number in numbers)
    if hasattr(value, "isoformat"):
        return value.isoformat(timespec="seconds") in text
    if isinstance(value, int):
        return f"{value:,}" in text
    return value in text


def test_the_export_holds_the_filtered_rows_and_the_chosen_columns_in_order(client: Client) -> None:
    fill(3)
    somebody = person("operator", columns={"images": ["size", "version"]})
    client.force_login(somebody, backend="django.contrib.auth.backends.ModelBackend")
    view = "?severity=critical&sort=-version"
    response = client.post(reverse("inventory:image-export"), {"all": "1", "view": view})
    rows = list(load_workbook(io.BytesIO(response.content)).worksheets[0].iter_rows(values_only=True))
    assert rows[0] == ("Image repository address", "Size", "Image version")
    assert [row[2] for row in rows[1:]] == ["v002", "v001"]


def test_columns_are_moved_hidden_kept_and_reset(client: Client) -> None:
    somebody = person()
    client.force_login(somebody, backend="django.contrib.auth.backends.ModelBackend")
    url = reverse("inventory:image-columns")
    assert "Custom list management" in client.get(url).content.decode()
    form = {"box": ["type", "version", "size"], "shown": ["type", "version"]}
    moved = client.post(url, form | {"up": "version"}).content.decode()
    assert moved.index('id="shown-version"') < moved.index('id="shown-type"') < moved.index('id="shown-size"')
    hidden = client.post(url, form | {"hide": "type"}).content.decode()
    assert re.search(r'id="shown-type"[^>]* hidden', hidden)
    somebody.refresh_from_db()
    assert somebody.columns == {}
    response = client.post(f"{url}?q=app", form | {"save": "1"})
    assert response.url == f"{reverse('inventory:image-list')}?q=app"
    somebody.refresh_from_db()
    assert somebody.columns == {"images": ["type", "version", "size"]}
    client.post(url, form | {"reset": "1"})
    somebody.refresh_from_db()
    assert somebody.columns == {}
