"""Scan runs: the list, one run, and cancelling it."""

from __future__ import annotations

import itertools

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from console.jobs.models import State
from console.jobs.state import advance
from console.models import AuditEvent
from inventory.models import Tag
from scanning.models import Scan, ScanRun, ScanScope
from scanning.runs import cancel as runs_cancel
from scanning.runs.start import start_run
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
LIST = reverse("scanning:run-list")


@pytest.fixture(autouse=True)
def operator(client: Client) -> None:
    client.force_login(person("operator"), backend="django.contrib.auth.backends.ModelBackend")
    client.get(LIST)  # what the console remembers of its own health is read once


def run_of(number: int = 2) -> ScanRun:
    return start_run(scope=ScanScope.CHOSEN, tag_ids=[factories.tag().pk for _ in range(number)])


def end(scan: Scan, to: State, **values: str) -> None:
    advance(scan, State.RUNNING, expect=State.QUEUED)
    advance(scan, to, **values)


def test_the_list_tells_results_and_why_scans_failed(client: Client) -> None:
    run = run_of(3)
    for scan, to in zip(run.scans.all(), (State.FAILED, State.FAILED, State.SUCCEEDED), strict=True):
        end(scan, to, reason="The layer is gone (404)." if to is State.FAILED else "")
    going = run_of()
    end(going.scans.first(), State.SUCCEEDED)
    html = client.get(LIST).content.decode()
    assert "The layer is gone (404)." in html
    assert "2 exceptions" in html
    assert "1 of 2" in html
    for result, other in (("running", "exceptions"), ("exceptions", "running")):
        html = client.get(LIST, {"result": result}).content.decode()
        wanted, unwanted = (going, run) if result == "running" else (run, going)
        assert reverse("scanning:run", args=[wanted.pk]) in html
        assert reverse("scanning:run", args=[unwanted.pk]) not in html, other


def test_every_run_has_one_result() -> None:
    from scanning.findings.filters import RUN_RESULTS
    from scanning.runs.tables import result_of

    now = timezone.now()
    for state, images, failed, cancelled in itertools.product(State, (0, 2), (0, 1), (0, 1)):
        ended = now if state not in {State.QUEUED, State.RUNNING} else None
        ScanRun.objects.create(
            scope=ScanScope.ALL, state=state, images=images, failed=failed, cancelled=cancelled, finished_at=ended
        )
    for name, (_label, condition) in RUN_RESULTS.items():
        assert {run.pk for run in ScanRun.objects.filter(condition)} == {
            run.pk for run in ScanRun.objects.all() if result_of(run) == name
        }


def test_a_run_that_queued_nothing_says_so_and_not_that_it_is_done(client: Client) -> None:
    busy = factories.tag("busy")
    start_run(scope=ScanScope.CHOSEN, tag_ids=[busy.pk])
    run = start_run(scope=ScanScope.CHOSEN, tag_ids=[busy.pk])
    assert run.skipped == {"Already scanning": 1}
    page = client.get(reverse("scanning:run", args=[run.pk])).content.decode()
    assert "Nothing queued" in page
    assert "Done" not in page
    for result, found in (("nothing", 1), ("done", 0), ("running", 0)):
        html = client.get(LIST, {"result": result}).content.decode()
        assert html.count(f'href="{reverse("scanning:run", args=[run.pk])}"') == found, result


def test_the_card_of_a_run_says_how_many_scans_it_has(client: Client) -> None:
    run_of(3)
    assert '<td class="num" data-c="fact" data-label="Scans">' in client.get(LIST).content.decode()


def test_the_list_has_a_constant_number_of_queries(client: Client) -> None:
    counts = []
    for _round in range(2):
        for _ in range(3):
            run_of()
        with CaptureQueriesContext(connection) as queries:
            assert client.get(LIST).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_every_column_can_be_shown_sorted_by_and_exported(client: Client) -> None:
    from scanning.runs.tables import RUNS

    run_of()
    user = person("operator", username="other")
    user.columns = {"runs": [column.name for column in RUNS.columns]}
    user.save()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    for column in RUNS.columns:
        assert client.get(LIST, {"sort": column.name}).status_code == 200
    assert client.post(reverse("scanning:run-export"), {"all": "1", "view": ""}).status_code == 200


def test_the_scans_of_a_run_have_columns_and_an_export_of_their_own(client: Client) -> None:
    run, other = run_of(3), run_of()
    page, columns = reverse("scanning:run", args=[run.pk]), reverse("scanning:scan-columns", args=[run.pk])
    kept = client.post(f"{columns}?state=queued", {"box": ["state", "pulled"], "save": "1"})
    assert kept.headers["Location"] == f"{page}?state=queued"
    html = client.get(page).content.decode()
    assert f'href="{columns}?"' in html
    assert 'id="sort-pulled"' in html
    assert 'id="sort-took"' not in html
    export = reverse("console:export-start", args=["scans", run.pk])
    first = run.scans.order_by("pk").first()
    for asked, wanted in (
        ({"all": "1", "view": "", "format": "csv"}, set(run.scans.values_list("address", flat=True))),
        ({"ids": [first.pk, other.scans.first().pk], "format": "csv"}, {first.address}),
    ):
        lines = client.post(export, asked).content.decode("utf-8-sig").splitlines()
        assert lines[0] == "Image,Result,Pulled"
        assert {line.split(",")[0] for line in lines[1:]} == wanted


def test_one_run_shows_its_scans_failures_by_reason_and_what_was_not_queued(client: Client) -> None:
    busy = factories.tag("busy")
    start_run(scope=ScanScope.CHOSEN, tag_ids=[busy.pk])
    run = start_run(scope=ScanScope.CHOSEN, tag_ids=[busy.pk, factories.tag("a").pk, factories.tag("b").pk])
    failed = run.scans.first()
    end(failed, State.FAILED, reason="No route to the registry.", remedy="Look at the network.")
    url = reverse("scanning:run", args=[run.pk])
    html = client.get(url).content.decode()
    assert html.count("No route to the registry.") == 2, "once among the reasons, once at its scan"
    assert "Already scanning" in html
    assert 'data-poll="' in html
    other = run.scans.exclude(pk=failed.pk).get()
    html = client.get(url, {"state": "failed"}).content.decode()
    assert failed.address in html
    assert other.address not in html
    end(other, State.SUCCEEDED)
    assert "data-poll" not in client.get(reverse("scanning:run-progress", args=[run.pk])).content.decode()


def test_a_run_is_cancelled_by_operators_only(client: Client) -> None:
    run = run_of()
    url = reverse("scanning:run-cancel", args=[run.pk])
    assert client.get(url).status_code == 405
    client.post(url)
    run.refresh_from_db()
    assert (run.is_over, run.cancelled) == (True, 2)
    assert AuditEvent.objects.get(action="run.cancel").detail == {"scans": 2, "passed_on": 0}
    client.post(url)
    assert AuditEvent.objects.filter(action="run.cancel").count() == 1
    client.force_login(person("viewer"), backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(url).status_code == 403
    assert client.get(LIST).status_code == 200


def test_cancelling_everything_stops_runs_that_still_queue(client: Client) -> None:
    factories.tag()
    run = start_run(scope=ScanScope.ALL)
    client.post(reverse("scanning:cancel"), {"everything": "1"})
    run.refresh_from_db()
    assert (run.state, run.is_over) == (State.CANCELLED, True)
    assert not runs_cancel.cancel_everything()


def test_the_exceptions_of_a_run_are_scanned_again_as_they_were(client: Client) -> None:
    run = start_run(
        scope=ScanScope.CHOSEN,
        tag_ids=Tag.objects.filter(pk__in=[factories.tag().pk, factories.tag().pk]),
        categories=["malware"],
        timeout=60,
    )
    failed, fine = run.scans.order_by("pk")
    end(failed, State.FAILED, reason="No layer.")
    end(fine, State.SUCCEEDED)
    response = client.post(reverse("scanning:run-again", args=[run.pk]))
    again = ScanRun.objects.first()
    assert again is not None
    assert response.url == reverse("scanning:run", args=[again.pk])
    scan = again.scans.get()
    assert (scan.image, scan.categories, scan.timeout) == (failed.image, ["malware"], 60)
    assert AuditEvent.objects.get(action="scan.start").detail["again"] == run.pk
    client.force_login(person("viewer"), backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(reverse("scanning:run-again", args=[run.pk])).status_code == 403


def test_a_page_that_follows_a_run_is_told_of_its_scans_and_shown_anew_at_the_end(client: Client) -> None:
    run = run_of(2)
    first, second = run.scans.order_by("pk")
    advance(first, State.RUNNING)
    url = reverse("scanning:run-progress", args=[run.pk])
    response = client.get(url, {"going": f"{first.pk},x,{'9' * 40}"})
    for column in ("state", "started", "took", "pulled"):
        assert f'id="scans-{column}-{first.pk}" hx-swap-oob="true"' in response.content.decode()
    assert f"scans-state-{second.pk}" not in response.content.decode()  # the page knows how that one ended
    assert "HX-Refresh" not in response
    Scan.objects.filter(pk=first.pk).update(bytes_pulled=3 << 20)
    advance(first, State.SUCCEEDED)
    html = client.get(url, {"going": f"{first.pk},{second.pk}"}).content.decode()
    assert "3.0\xa0MiB" in html or "3.0 MiB" in html
    assert f'data-going="{first.pk}"' not in html  # so that it is not asked for again
    assert f'data-going="{second.pk}"' in html
    other = run_of(1).scans.get()
    assert f"scans-state-{other.pk}" not in client.get(url, {"going": str(other.pk)}).content.decode()
    end(second, State.SUCCEEDED)
    assert client.get(url)["HX-Refresh"] == "true"


def test_following_a_run_takes_as_many_queries_for_one_scan_as_for_many(client: Client) -> None:
    counts = []
    for number in (1, 12):
        run = run_of(number)
        scans = ",".join(str(pk) for pk in run.scans.values_list("pk", flat=True))
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("scanning:run-progress", args=[run.pk]), {"going": scans})
            client.get(reverse("scanning:run-list-progress"), {"going": str(run.pk)})
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_list_follows_the_runs_that_go_on_and_asks_for_nothing_else(client: Client) -> None:
    url = reverse("scanning:run-list-progress")
    run = run_of(2)
    first, second = run.scans.order_by("pk")
    end(first, State.SUCCEEDED)
    assert url in client.get(LIST).content.decode()
    html = client.get(url, {"going": str(run.pk)}).content.decode()
    assert f'id="runs-result-{run.pk}" hx-swap-oob="true"' in html
    assert f'id="runs-succeeded-{run.pk}" hx-swap-oob="true"' in html
    assert "1 of 2" in html
    end(second, State.SUCCEEDED)
    html = client.get(url, {"going": str(run.pk)}).content.decode()
    assert "data-poll" not in html
    assert "Done" in html
    assert "data-going" not in html
    assert url not in client.get(LIST).content.decode()
