"""Starting and cancelling scans from a page, and the cells that follow them."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from console.jobs.models import State
from console.models import AuditEvent
from inventory.models import Image, Tag
from scanning.models import Scan, ScanRun
from scanning.runs import progress
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
SCAN, CANCEL, PROGRESS = "scanning:scan", "scanning:cancel", "scanning:progress"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(person("operator"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def said(response: HttpResponse) -> str:
    """Return what the toasts of an answer say."""
    return " ".join(toast["text"] for toast in json.loads(response["HX-Trigger"])["toasts"])


def links(response: HttpResponse) -> dict[str, str]:
    """Return the links of the toasts of an answer."""
    told = json.loads(response["HX-Trigger"])["toasts"]
    return {link["text"]: link["href"] for toast in told for link in toast.get("links", [])}


def state_of(html: str, tag: Tag) -> str:
    cell = re.search(rf'id="status-{tag.pk}".*?data-state="([a-z-]+)"', html, re.DOTALL)
    return cell[1] if cell else ""


def queued(tag: Tag, state: State = State.QUEUED, **values: object) -> Scan:
    assert tag.image
    return Scan.objects.create(
        image=tag.image, tag=tag, manifest_digest=tag.digest, address=str(tag), state=state, **values
    )


def test_scan_now_queues_the_chosen_and_shows_it_in_their_cells(operator: Client) -> None:
    one, other = factories.tag("one"), factories.tag("other")
    response = operator.post(reverse(SCAN), {"ids": [one.pk], "visible": f"{one.pk},{other.pk}"}, headers=HTMX)
    html = response.content.decode()
    assert [scan.tag for scan in Scan.objects.all()] == [one]
    assert Scan.objects.get().categories == ["vulnerabilities", "sensitive", "malware"]
    assert said(response) == "1 scan queued"
    assert state_of(html, one) == "queued"
    assert 'id="progress"' in html
    assert "data-poll=" in html
    assert AuditEvent.objects.filter(action="scan.start").count() == 1


def test_tags_of_one_image_are_scanned_once_and_what_is_scanning_is_skipped(operator: Client) -> None:
    image = factories.image()
    tags = [factories.tag("a", of=image), factories.tag("b", of=image), factories.tag("c")]
    busy = factories.tag("busy")
    queued(busy)
    response = operator.post(reverse(SCAN), {"ids": [tag.pk for tag in (*tags, busy)]}, headers=HTMX)
    assert said(response) == "2 scans queued for 3 tags, 1 skipped (Already scanning)"
    run = f"/scans/runs/{ScanRun.objects.get().pk}/"
    assert links(response) == {"Scan run": run, str(busy): f"/images/{busy.pk}/"}


def test_where_more_are_skipped_than_can_be_named_links_lead_to_all_of_them(operator: Client) -> None:
    busy = [factories.tag(f"v{index}") for index in range(4)]
    for tag in busy:
        queued(tag)
    response = operator.post(reverse(SCAN), {"ids": [tag.pk for tag in busy]}, headers=HTMX)
    assert said(response) == "0 scans queued, 4 skipped (Already scanning)"
    run = f"/scans/runs/{ScanRun.objects.get().pk}/"
    assert links(response) == {
        "Scan run": run,
        "What was skipped": f"{run}#skipped-title",
        "Images that are being scanned": "/images/?status=scanning",
    }
    assert 'id="skipped-title"' in operator.get(run).content.decode()


def test_a_page_shows_the_links_of_a_toast_too(operator: Client) -> None:
    tag = factories.tag("<b>v1</b>", path="team/" + "long-" * 30)
    queued(tag)
    html = operator.post(reverse(SCAN), {"ids": [tag.pk]}, follow=True).content.decode()
    shown = re.search(rf'<a href="/images/{tag.pk}/">(…[^<]*)&lt;b&gt;v1&lt;/b&gt;</a>', html)
    assert shown


def test_all_that_match_are_scanned_and_nothing_else(operator: Client) -> None:
    wanted = [factories.tag(f"v{index}", path=f"team/app-{index}") for index in range(3)]
    factories.tag("other", path="else/where")
    operator.post(reverse(SCAN), {"all": "1", "view": "?q=team/app"}, headers=HTMX)
    assert set(Scan.objects.values_list("tag", flat=True)) == {tag.pk for tag in wanted}


def test_a_filter_that_cannot_be_read_starts_nothing(operator: Client) -> None:
    factories.tag()
    response = operator.post(reverse(SCAN), {"all": "1", "view": "?status=nope"}, headers=HTMX)
    assert "nope" in said(response)
    assert not Scan.objects.exists()


def test_nothing_selected_is_said_and_starts_nothing(operator: Client) -> None:
    factories.tag()
    response = operator.post(reverse(SCAN), {"ids": ["", "x", "²"]}, headers=HTMX)
    assert said(response) == "Nothing is selected."
    assert not Scan.objects.exists()


def test_without_scripts_one_comes_back_to_the_view_one_came_from(operator: Client) -> None:
    tag = factories.tag()
    response = operator.post(reverse(SCAN), {"ids": [tag.pk], "view": "?q=app&page=2"})
    assert response.url == f"{reverse('inventory:image-list')}?q=app&page=2"
    assert [str(message) for message in get_messages(response.wsgi_request)] == ["1 scan queued"]
    response = operator.post(reverse(CANCEL), {"ids": [tag.pk], "drawer": tag.pk})
    assert response.url == reverse("inventory:image", args=[tag.pk])


def test_cancel_ends_a_queued_scan_at_once(operator: Client) -> None:
    tag, other = factories.tag(), factories.tag("other")
    operator.post(reverse(SCAN), {"ids": [tag.pk, other.pk]}, headers=HTMX)
    form = {"ids": [tag.pk], "live": f"{tag.pk},{other.pk}"}
    html = operator.post(reverse(CANCEL), form, headers=HTMX).content.decode()
    assert state_of(html, tag) == "cancelled"
    assert f'id="act-{tag.pk}"' in html
    assert f'id="act-{other.pk}"' not in html, "a button is left alone while what it does stays the same"
    assert Scan.objects.get(tag=tag).state == State.CANCELLED
    assert Scan.objects.get(tag=other).state == State.QUEUED
    operator.post(reverse(CANCEL), {"everything": "1"}, headers=HTMX)
    assert not Scan.objects.filter(state=State.QUEUED).exists()
    assert AuditEvent.objects.filter(action="scan.cancel").count() == 2


@pytest.mark.parametrize("name", [SCAN, CANCEL])
def test_viewers_neither_scan_nor_cancel_and_links_do_nothing(client: Client, name: str) -> None:
    tag = factories.tag()
    client.force_login(person("viewer"), backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(reverse(name), {"ids": [tag.pk]}).status_code == 403
    assert client.get(reverse(name)).status_code == 405
    assert not Scan.objects.exists()


def test_a_page_asks_until_all_it_shows_has_ended(operator: Client) -> None:
    busy, done = factories.tag("busy"), factories.tag("done")
    scan = queued(busy, State.RUNNING)
    Image.objects.filter(pk=busy.image_id).update(scan_state="running", scan_stage="pulling")
    ids = f"?ids={busy.pk}&ids={done.pk}"
    html = operator.get(reverse(PROGRESS) + ids).content.decode()
    assert state_of(html, busy) == "running"
    assert state_of(html, done) == "", "cells of a row that is not being scanned are left alone"
    poll = re.search(r'data-poll="([^"]+)"', html)
    assert poll
    Scan.objects.filter(pk=scan.pk).update(state=State.SUCCEEDED, ended_at=timezone.now())
    Image.objects.filter(pk=busy.image_id).update(**factories.scanned(critical=3))
    html = operator.get(poll[1].replace("&amp;", "&")).content.decode()
    assert state_of(html, busy) == "scanned"
    assert 'id="dials"' in html
    assert "data-poll" not in html


def test_the_open_image_is_left_alone_until_it_looks_otherwise(operator: Client) -> None:
    tag = factories.tag(of=factories.image(**factories.scanned()))
    assert tag.image
    page = operator.get(reverse("inventory:image", args=[tag.pk])).content.decode()
    scanned = re.search(r'data-was="scanned" data-scanned="(\d+)"', page)
    assert scanned
    shown = {"ids": tag.pk, "drawer": tag.pk, "drawer_state": "scanned", "drawer_scanned": scanned[1]}
    summary = 'id="image-summary"'
    assert summary not in operator.get(reverse(PROGRESS), shown).content.decode()
    assert summary in operator.get(reverse(PROGRESS), {**shown, "drawer_state": "running"}).content.decode()
    assert summary in operator.post(reverse(CANCEL), {**shown, "ids": []}, headers=HTMX).content.decode()
    Image.objects.filter(pk=tag.image_id).update(last_scanned_at=tag.image.last_scanned_at + timedelta(minutes=1))
    assert summary in operator.get(reverse(PROGRESS), shown).content.decode(), "it was scanned again meanwhile"
    Image.objects.filter(pk=tag.image_id).update(scan_state="running")
    assert summary in operator.get(reverse(PROGRESS), {**shown, "drawer_state": "running"}).content.decode()


def test_the_poll_has_a_constant_number_of_queries(operator: Client) -> None:
    counts = []
    for number in (2, 20):
        tags = [factories.tag(f"v{index}") for index in range(number)]
        for tag in tags:
            queued(tag)
            Image.objects.filter(pk=tag.image_id).update(scan_state="queued")
        query = "&".join(f"ids={tag.pk}" for tag in tags)
        with CaptureQueriesContext(connection) as queries:
            operator.get(f"{reverse(PROGRESS)}?{query}")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_progress_counts_what_was_started_together() -> None:
    assert progress.read_progress() is None
    now = timezone.now()
    old = queued(factories.tag("old"), State.SUCCEEDED)
    Scan.objects.filter(pk=old.pk).update(created_at=now - timedelta(hours=2))
    for index, state in enumerate([*[State.SUCCEEDED] * 3, State.FAILED, State.RUNNING, State.QUEUED, State.QUEUED]):
        queued(factories.tag(f"v{index}"), state, started_at=now - timedelta(minutes=8), stage="pulling")
    waiting = Scan.objects.filter(state=State.QUEUED).first()
    found = progress.read_progress(now)
    assert found
    assert (found.total, found.ended, found.failed, found.running, found.queued) == (7, 4, 1, 1, 2)
    assert found.percent == 57
    assert found.stages == [("pulling", 1)]
    assert found.left == "about 6 min remaining"
    assert progress.remaining_text(timedelta(minutes=119, seconds=59)) == "about 2 h remaining"
    assert progress.remaining_text(timedelta(minutes=119)) == "about 119 min remaining"
    assert waiting
    Scan.objects.filter(pk=waiting.pk).update(not_before=now + timedelta(minutes=12))
    found = progress.read_progress(now)
    assert found
    assert (found.waiting, found.remaining) == (1, None)


def test_numbers_in_a_request_are_bounded(operator: Client) -> None:
    query = "&".join(f"ids={number}" for number in range(500))
    assert operator.get(f"{reverse(PROGRESS)}?{query}&ids={'9' * 40}&drawer=x&live=-1").status_code == 200
