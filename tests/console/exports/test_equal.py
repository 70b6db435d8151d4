"""The workbook of 10,000 filtered rows equals the page, cell by cell."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from openpyxl import load_workbook

from console.models import Export, User
from inventory.models import Tag
from inventory.tables import IMAGES
from tests import factories
from tests.console.listing.test_listing import Cells, agrees

pytestmark = pytest.mark.django_db(transaction=True)
ROWS = 10_000
COLUMNS = ["version", "last_scanned", "risks", "status", "digest", "size"]  # all of them: test_listing


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_filtered_rows_equal_the_page(client: Client, operator: User, work: Callable[[], Export]) -> None:
    registry = factories.registry(name="lab", region="eu-1")
    images = [factories.image(**factories.scanned(critical=1 + index, fixable=index % 3)) for index in range(40)]
    first = factories.tag("first", of=images[0], path="team/app", in_=registry)
    Tag.objects.bulk_create(
        Tag(
            repository=first.repository,
            registry=first.registry,
            name=f"v{index:05}{'-' * (index % 3)}=x",
            manifest=first.manifest,
            image=images[index % 40] if index < ROWS - 1 else None,
            digest=factories.digest(),
            address=first.address,
            size=index * 1000,
        )
        for index in range(ROWS + 50)
    )
    operator.columns = {"images": COLUMNS}
    operator.save()
    view = "?security=at-risk&sort=-size&size=100"
    assert client.post(reverse("inventory:image-export"), {"all": "1", "view": view}).status_code == 302
    export = work()
    assert export.reason == ""
    file = b"".join(client.get(reverse("console:export-file", args=[export.pk])).streaming_content)
    sheet = load_workbook(io.BytesIO(file), read_only=True).worksheets[0]
    columns = IMAGES.chosen(COLUMNS)
    head, *rows = sheet.iter_rows(values_only=True)
    assert list(head) == [str(column.label) for column in columns]
    assert len(rows) == export.rows == ROWS
    for number in range(ROWS // 100):
        cells = Cells()
        cells.feed(client.get(f"{reverse('inventory:image-list')}{view}&page={number + 1}").content.decode())
        shown = [row[1:-1] for row in cells.rows if row]
        assert len(shown) == 100
        for exported, page_row in zip(rows[number * 100 :], shown, strict=False):
            for column, value, text in zip(columns, exported, page_row, strict=True):
                assert agrees(column.name, value, " ".join(text.split())), (number, column.name, value, text)
