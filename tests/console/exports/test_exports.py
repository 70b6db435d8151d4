"""Exports in the background: the file holds what was asked for, and goes to who asked for it."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation
from openpyxl import load_workbook

from console.exports import files, make
from console.exports.enqueue import MAX_UNFINISHED_EXPORTS, request_export
from console.jobs import ticks
from console.jobs.broker import request_cancel
from console.jobs.models import State
from console.jobs.state import advance
from console.listing import cells
from console.models import AuditEvent, Export, User
from inventory.models import Tag
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)
Work = Callable[[], Export]
EXPORT = "inventory:image-export"


def fill(number: int = 3) -> list[Tag]:
    registry = factories.registry(name="lab")
    return [
        factories.tag(f"v{index}", of=factories.image(**factories.scanned(critical=index)), in_=registry, path="a/app")
        for index in range(number)
    ]


def sheet(content: bytes) -> list[tuple[Any, ...]]:
    return list(load_workbook(io.BytesIO(content)).worksheets[0].iter_rows(values_only=True))


def content(client: Client, export: Export) -> bytes:
    response = client.get(reverse("console:export-file", args=[export.pk]))
    assert response.status_code == 200
    return b"".join(response.streaming_content)


def test_many_rows_are_written_in_the_background_and_then_downloaded(
    client: Client, operator: User, few: None, work: Work
) -> None:
    fill()
    operator.columns = {"images": ["version", "last_scanned"]}
    operator.save()
    form = {"all": "1", "view": "?severity=critical&sort=-version"}
    response = client.post(reverse(EXPORT), form)
    assert response.url == reverse("console:export-list")
    page = client.get(response.url).content.decode()
    assert "Waiting" in page
    assert "Severity: Critical · sorted by Image version" in page
    Tag.objects.filter(name="v1").delete()  # the filters are judged when the work starts
    export = work()
    assert (export.state, export.rows, export.cut) == (State.SUCCEEDED, 1, 0)
    head, *rows = sheet(content(client, export))
    assert head == ("Image repository address", "Image version", "Last scanned")
    tag = Tag.objects.get(name="v2")
    at = timezone.make_naive(tag.image.last_scanned_at, ZoneInfo("Europe/Vienna"))
    assert rows[0][:2] == (tag.address, "v2")
    assert abs((rows[0][2] - at).total_seconds()) < 1, "times are those of who asked"
    text = client.get(reverse("console:export-list")).content.decode()
    assert "Ready" in text
    assert reverse("console:export-file", args=[export.pk]) in text
    assert AuditEvent.objects.filter(action="export").count() == 1
    assert AuditEvent.objects.filter(action="export.download").count() == 1


def test_a_file_is_written_in_the_language_of_who_asked_whatever_the_worker_speaks(
    client: Client, operator: User, few: None, work: Work
) -> None:
    fill()
    operator.language, operator.columns = "zh-hans", {"images": ["version"]}
    operator.save()
    with translation.override("en"):  # a request leaves its language to the thread
        client.post(reverse(EXPORT), {"all": "1"})
    with translation.override("en"):
        file = content(client, work())
    head, *_rows = sheet(file)
    assert head == ("镜像仓库地址", "镜像版本")


def test_the_selected_rows_alone_are_exported(client: Client, few: None, work: Work) -> None:
    tags = fill(4)
    client.post(reverse(EXPORT), {"ids": [tags[3].pk, tags[1].pk], "view": "?sort=-version"})
    assert [row[2] for row in sheet(content(client, work()))[1:]] == ["v3", "v1"]


def test_few_rows_are_answered_at_once_and_leave_no_job(client: Client) -> None:
    fill(1)
    response = client.post(reverse(EXPORT), {"all": "1"})
    assert response["Content-Disposition"].endswith('.xlsx"')
    assert len(sheet(response.content)) == 2
    assert not Export.objects.exists()


def test_csv_has_a_mark_and_no_cell_that_becomes_a_formula(client: Client, few: None, work: Work) -> None:
    registry = factories.registry()
    for index, name in enumerate(["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "　=1", "größe 🐳", "שלום"]):
        factories.tag(name, in_=registry, path=f"a/{index}", address=f"h/{index}")
    client.post(reverse(EXPORT), {"all": "1", "format": "csv"})
    raw = content(client, work())
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert [row[2] for row in rows[1:]] == [
        "'=cmd|' /C calc'!A0", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "'　=1", "größe 🐳", "שלום",
    ]  # fmt: skip


def test_asking_twice_makes_one_export(operator: User) -> None:
    first = request_export(user=operator, listing="images", view="q=a", columns=["version"])
    assert request_export(user=operator, listing="images", view="q=a", columns=["version"]) == first
    assert request_export(user=operator, listing="images", view="q=b", columns=["version"]) != first


def test_an_export_that_is_being_cancelled_is_not_given_to_who_asks_for_it_again(operator: User) -> None:
    first = request_export(user=operator, listing="images", view="q=a", columns=["version"])
    advance(first, State.RUNNING)
    request_cancel(first)
    assert request_export(user=operator, listing="images", view="q=a", columns=["version"]) != first


def test_nobody_asks_for_more_than_five_at_a_time(client: Client, operator: User, few: None) -> None:
    fill(2)
    for number in range(MAX_UNFINISHED_EXPORTS):
        request_export(user=operator, listing="images", view=f"q={number}", columns=[])
    response = client.post(reverse(EXPORT), {"all": "1"})
    assert response.url == reverse("console:export-list")
    assert Export.objects.count() == MAX_UNFINISHED_EXPORTS
    assert "unfinished" in str(next(iter(get_messages(response.wsgi_request))))


def test_a_file_is_given_to_its_owner_and_to_administrators_alone(client: Client, few: None, work: Work) -> None:
    fill(2)
    client.post(reverse(EXPORT), {"all": "1"})
    export = work()
    other, boss = Client(), Client()
    other.force_login(person("operator"), backend="django.contrib.auth.backends.ModelBackend")
    boss.force_login(person("administrator"), backend="django.contrib.auth.backends.ModelBackend")
    for name in ("export-file", "export-cancel", "export-remove"):
        url = reverse(f"console:{name}", args=[export.pk])
        assert (other.get(url) if name == "export-file" else other.post(url)).status_code == 404
    assert f'id="state-{export.pk}"' not in other.get(reverse("console:export-list")).content.decode()
    assert (
        f"state-{export.pk}" not in other.get(reverse("console:export-progress"), {"ids": export.pk}).content.decode()
    )
    assert sheet(content(boss, export))
    assert Client().get(reverse("console:export-file", args=[export.pk])).status_code == 302  # to the sign-in page


def test_an_export_that_is_cancelled_while_it_writes_leaves_no_file(
    client: Client, few: None, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(3)
    client.post(reverse(EXPORT), {"all": "1"})
    monkeypatch.setattr(make, "CHUNK_ROWS", 1)
    values = make.row_values

    def slow(*args: Any, **kwargs: Any) -> Any:
        for row in values(*args, **kwargs):
            request_cancel(Export.objects.get())
            time.sleep(0.2)
            yield row

    monkeypatch.setattr(make, "row_values", slow)
    export = work()
    assert export.state == State.CANCELLED
    assert not list(files.exports_folder().glob(f"{export.pk}-*"))
    assert client.get(reverse("console:export-file", args=[export.pk])).status_code == 302


def test_what_a_sheet_cannot_hold_fails_with_what_to_do(
    client: Client, few: None, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(3)
    monkeypatch.setattr(cells, "MAX_SHEET_ROWS", 3)
    client.post(reverse(EXPORT), {"all": "1"})
    export = work()
    assert export.state == State.FAILED
    assert "3 rows match" in export.reason
    assert "Export as CSV" in export.remedy
    text = client.get(reverse("console:export-list")).content.decode()
    assert export.remedy in text


def test_filters_that_fit_no_more_fail_and_do_not_export_everything(operator: User, work: Work) -> None:
    fill(2)
    request_export(user=operator, listing="images", view="status=gone", columns=["version"])
    export = work()
    assert export.state == State.FAILED
    assert "filters" in export.reason
    assert export.remedy


def test_files_go_when_they_expire_and_files_of_nobody_too(client: Client, few: None, work: Work) -> None:
    fill(2)
    client.post(reverse(EXPORT), {"all": "1"})
    export = work()
    path = files.path_of(export)
    assert path
    assert path.stat().st_mode & 0o077 == 0
    orphan = files.exports_folder() / "99999-1.xlsx"
    orphan.write_bytes(b"x")
    ticks.run_ticks()
    assert path.exists()
    assert orphan.exists(), "it may be one that is being finished"
    os.utime(orphan, (time.time() - 2 * files.ORPHAN_FILE_SECONDS,) * 2)
    Export.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(reverse("console:export-file", args=[export.pk])).status_code == 302, "it has expired"
    ticks.run_ticks()
    assert not path.exists()
    assert not orphan.exists()
    assert not Export.objects.exists()


def test_exports_that_made_no_file_go_a_week_after_their_end(operator: User) -> None:
    for days in (6, 8):
        Export.objects.create(
            requested_by=operator,
            listing="images",
            description=f"failed {days} days ago",
            state=State.FAILED,
            ended_at=timezone.now() - timedelta(days=days),
        )
    Export.objects.create(requested_by=operator, listing="images", description="waits")
    files.prune()
    assert set(Export.objects.values_list("description", flat=True)) == {"failed 6 days ago", "waits"}


def test_an_export_and_its_file_are_removed_by_its_owner(client: Client, few: None, work: Work) -> None:
    fill(2)
    client.post(reverse(EXPORT), {"all": "1"})
    waiting = Export.objects.get()
    client.post(reverse("console:export-remove", args=[waiting.pk]))
    assert Export.objects.exists(), "one under way is cancelled first"
    export = work()
    path = files.path_of(export)
    assert path
    client.post(reverse("console:export-remove", args=[export.pk]))
    assert not path.exists()
    assert not Export.objects.exists()


def test_a_name_of_a_file_leads_nowhere_else(operator: User) -> None:
    export = Export.objects.create(requested_by=operator, listing="images", file="../keys/secret_key")
    assert files.path_of(export) is None


def test_the_page_takes_as_many_queries_for_many_exports_as_for_few(client: Client, operator: User) -> None:
    counts = []
    for number in (2, 30):
        for index in range(number):
            Export.objects.create(requested_by=operator, listing="images", view=f"q={number}-{index}")
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("console:export-list"), {"size": 100})
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_findings_of_one_image_are_exported_and_no_list_that_is_part_of_nothing(client: Client) -> None:
    one, other = factories.image(), factories.image()
    factories.vulnerability(one, name="CVE-2024-1", package="zlib")
    factories.vulnerability(other, name="CVE-2024-2", package="expat")
    factories.malware(one)
    factories.secret(one)
    tag = factories.tag(of=one)
    response = client.post(reverse("console:export-start", args=["vulnerabilities", tag.pk]), {"all": "1"})
    head, *rows = sheet(response.content)
    assert [dict(zip(head, row, strict=True))["Name"] for row in rows] == ["CVE-2024-1"]
    for name in ("malware", "sensitive", "packages"):
        response = client.post(reverse("console:export-start", args=[name, tag.pk]), {"all": "1", "format": "csv"})
        assert len(response.content.decode("utf-8-sig").splitlines()) == 2, name
    for name in ("images", "nothing"):
        assert client.post(reverse("console:export-start", args=[name, 1]), {"all": "1"}).status_code == 403


def test_viewers_cannot_export(few: None) -> None:
    viewer = Client()
    viewer.force_login(person("viewer"), backend="django.contrib.auth.backends.ModelBackend")
    assert viewer.post(reverse(EXPORT), {"all": "1"}).status_code == 403
    assert viewer.post(reverse("console:export-start", args=["vulnerabilities", 1])).status_code == 403
    assert viewer.get(reverse("console:export-list")).status_code == 200
