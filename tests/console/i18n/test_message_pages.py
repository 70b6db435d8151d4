"""A name with a full stop in it is told whole, in the language of whoever reads it: on pages, in lists and exports."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import translation
from openpyxl import load_workbook

from console.i18n.message_codes import sentences
from console.i18n.search import message_contains
from console.jobs.models import State
from console.models import User
from inventory.models import Image, Tag
from inventory.sync import messages as sync
from registries.models import Registry, SyncRun
from registries.oci import messages as oci
from scanning.models import Scan, ScanRun
from scanning.runs import messages as runs
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "Acme Inc. EU"
WAITS = "等待 Acme Inc. EU 的每小时限额。"
UNREAD = "有 1 个仓库或标签无法读取。Acme Inc. EU：令牌服务没有给出令牌。"


@pytest.fixture(autouse=True)
def _english_before_and_after() -> Iterator[None]:
    with translation.override("en"):
        yield


@pytest.fixture
def reader(client: Client) -> User:
    user = person("administrator", language="zh-hans", is_staff=True, is_superuser=True)
    user.columns = {"syncs": ["registry", "result", "reason", "remedy"]}
    user.save()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return user


@pytest.fixture
def tag() -> Tag:
    """A tag whose scan waits, in a registry whose last sync could not read all."""
    registry = factories.registry(name=NAME)
    tag = factories.tag(in_=registry)
    reason = runs.WAITING_FOR_HOURLY_LIMIT(registry=registry)
    Image.objects.filter(pk=tag.image_id).update(scan_state="queued", scan_reason=reason, scanned_from=registry.pk)
    run = ScanRun.objects.create(tags=1, images=1, state=State.SUCCEEDED)
    Scan.objects.create(
        run=run, image=tag.image, tag=tag, registry=registry, address="x/y:1", reason=reason, categories=["malware"]
    )
    error = sync.UNREAD(names=[NAME], reason=oci.NO_TOKEN())
    synced = SyncRun.objects.create(
        registry=registry,
        state=State.SUCCEEDED,
        reason=sentences(sync.COULD_NOT_BE_READ(count=1), error),
        remedy=oci.CHECK_EXTERNAL_URL(),
    )
    registry.record_sync(synced)
    return tag


def page(client: Client, name: str, *args: Any) -> str:
    answer = client.get(reverse(name, args=args))
    assert answer.status_code == 200
    return answer.content.decode()


def test_why_a_scan_waits_is_told_in_chinese_on_pages(client: Client, reader: User, tag: Tag) -> None:
    assert WAITS in page(client, "inventory:image-list")
    assert WAITS in page(client, "scanning:run", ScanRun.objects.get().pk)
    assert WAITS in page(client, "admin:scanning_scan_changelist")
    assert WAITS in page(client, "admin:scanning_scan_change", Scan.objects.get().pk)


def test_what_a_sync_could_not_read_is_told_in_chinese_in_its_list_and_on_its_page(
    client: Client, reader: User, tag: Tag
) -> None:
    assert UNREAD in page(client, "registries:sync-list")
    assert UNREAD in page(client, "registries:registry-detail", Registry.objects.get().pk)
    assert UNREAD in page(client, "admin:registries_syncrun_change", SyncRun.objects.get().pk)


@pytest.mark.parametrize("format", ["csv", "xlsx"])
def test_an_export_is_in_the_language_of_who_asks_for_it(client: Client, reader: User, tag: Tag, format: str) -> None:
    answer = client.post(reverse("registries:sync-export"), {"all": "1", "view": "?", "format": format})
    content = answer.getvalue()
    if format == "csv":
        text = content.decode("utf-8-sig")
    else:
        rows = load_workbook(io.BytesIO(content)).worksheets[0].iter_rows(values_only=True)
        text = "\n".join(str(cell) for row in rows for cell in row)
    assert UNREAD in text
    assert "could not be read" not in text


def test_the_same_rows_are_told_in_english_to_others(client: Client, tag: Tag) -> None:
    client.force_login(person("administrator", language="en"))
    assert "Waiting for the hourly limit of Acme Inc. EU." in page(client, "inventory:image-list")


def test_rows_of_before_are_shown_as_they_are(client: Client, reader: User, tag: Tag) -> None:
    table = Scan._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET reason = %s", ["Waiting for the hourly limit of Acme Inc. EU."])
    assert "Waiting for the hourly limit of Acme Inc. EU." in page(client, "scanning:run", ScanRun.objects.get().pk)
    assert Scan.objects.get().reason == "Waiting for the hourly limit of Acme Inc. EU."


@pytest.mark.parametrize("word", ["Acme Inc. EU", "TOKEN", "令牌服务", "无法读取"])
def test_a_reason_is_found_by_words_of_either_language(word: str, tag: Tag) -> None:
    with translation.override("zh-hans"):
        assert SyncRun.objects.filter(message_contains("reason", word)).exists()
        assert not SyncRun.objects.filter(message_contains("remedy", "无法读取")).exists()


def test_a_reason_is_found_by_a_page_in_chinese(client: Client, reader: User, tag: Tag) -> None:
    url = reverse("registries:sync-list")
    assert UNREAD in client.get(url, {"q": "令牌服务"}).content.decode()
    assert UNREAD not in client.get(url, {"q": "磁盘"}).content.decode()


def test_messages_are_equal_and_grouped_in_the_database(tag: Tag) -> None:
    row = Scan.objects.get()
    assert Scan.objects.filter(reason=row.reason).count() == 1
    assert not Scan.objects.filter(reason="").exists()
    assert [told.code for told in Scan.objects.values_list("reason", flat=True)] == [runs.WAITING_FOR_HOURLY_LIMIT.code]
    Scan.objects.update(state=State.FAILED)
    (failure,) = ScanRun.objects.get().current_failures()
    assert failure["reason"].code == runs.WAITING_FOR_HOURLY_LIMIT.code  # type: ignore[union-attr]


def test_json_keeps_messages_as_names_and_values() -> None:
    run = ScanRun.objects.create(skipped={oci.NO_TOKEN(): 3}, failures=[{"reason": oci.TRY_AGAIN(), "scans": 1}])
    run.refresh_from_db()
    assert [told.code for told in run.skipped] == ["registry.no-token"]
    assert run.failures[0]["reason"].code == "registry.try-again"
    assert run.skipped == {"The token service returned no token.": 3}
