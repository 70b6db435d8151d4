"""The trend of 30 days: a row a day, and gaps where there is none."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from inventory.dashboard import trend
from inventory.models import Snapshot
from tests import factories
from tests.people import person

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def snapshot(day: date, **values: int) -> Snapshot:
    names = (
        "images",
        "scanned",
        "at_risk",
        "partly_scanned",
        "safe",
        "critical",
        "high",
        "medium",
        "low",
        "unknown",
        "fixable",
    )
    figures = dict.fromkeys((*names, "malware", "sensitive"), 0) | values
    return Snapshot.objects.create(day=day, at=NOON, **figures)


@pytest.mark.django_db
def test_a_day_has_one_row_with_its_last_figures() -> None:
    trend.write_snapshots(now=NOON)
    assert not Snapshot.objects.exists()  # nothing to count yet
    factories.tag(of=factories.image(**factories.scanned(critical=2, viruses=1)))
    trend.write_snapshots(now=NOON)
    row = Snapshot.objects.get()
    assert (row.day, row.images, row.at_risk, row.critical, row.malware) == (NOON.date(), 1, 1, 2, 1)
    factories.tag(of=factories.image(**factories.scanned(critical=1)))
    trend.write_snapshots(now=NOON + timedelta(minutes=5))
    assert Snapshot.objects.get().images == 1  # too soon
    trend.write_snapshots(now=NOON + timedelta(hours=1))
    assert Snapshot.objects.get().images == 2
    trend.write_snapshots(now=NOON + timedelta(days=1))
    assert Snapshot.objects.count() == 2


@pytest.mark.django_db
def test_a_category_that_no_image_was_scanned_for_is_no_zero() -> None:
    nobody = dict.fromkeys(("critical", "high", "medium", "low", "unknown", "fixable", "sensitive"))
    factories.tag(of=factories.image(**factories.scanned() | nobody))
    for day in (NOON, NOON + timedelta(days=1)):
        trend.write_snapshots(now=day)
    row = Snapshot.objects.first()
    assert row is not None
    assert (row.malware, row.sensitive, row.critical, row.vulnerabilities) == (0, None, None, None)
    assert trend.read_trend(now=NOON + timedelta(days=1)).keys() == {"at_risk", "malware"}


@pytest.mark.django_db
def test_days_without_a_row_are_gaps_not_zeros() -> None:
    assert trend.read_trend(now=NOON) == {}
    for back, risk in ((0, 5), (1, 7), (4, 9), (29, 8), (30, 100)):
        snapshot(NOON.date() - timedelta(days=back), at_risk=risk)
    line = trend.read_trend(now=NOON)["at_risk"]
    assert len(line.points) == trend.TREND_DAYS
    assert [point.value for point in line.known] == [8, 9, 7, 5]
    assert line.gaps == 26
    assert line.line.count("M") == 1  # yesterday and today; the others stand alone
    assert line.dots.count("M") == 3
    assert line.last.y > line.known[1].y  # fewer is lower


def test_a_figure_that_does_not_change_is_a_level_line() -> None:
    days = [date(2026, 1, day) for day in range(1, 4)]
    assert {point.y for point in trend.draw_line([(day, 4) for day in days]).points} == {16.0}
    assert {point.y for point in trend.draw_line([(day, 0) for day in days]).points} == {29.0}


@pytest.mark.django_db
def test_the_page_draws_it_and_says_it_in_words(client: Client) -> None:
    client.force_login(person("viewer"), backend="django.contrib.auth.backends.ModelBackend")
    factories.tag(of=factories.image(**factories.scanned(critical=1)))
    today = timezone.localdate()
    snapshot(today - timedelta(days=3), at_risk=1200)
    assert 'class="spark"' not in client.get(reverse("inventory:image-list")).content.decode()  # one day is no trend
    snapshot(today, at_risk=1100)
    text = client.get(reverse("inventory:image-list")).content.decode()
    assert "30 days: from 1,200 to 1,100, 28 days without data" in text
    assert "style=" not in text


@pytest.mark.django_db
def test_days_of_more_than_four_hundred_days_ago_go() -> None:
    factories.tag()
    for back in (400, 401):
        snapshot(NOON.date() - timedelta(days=back))
    trend.write_snapshots(now=NOON)
    assert {(NOON.date() - row.day).days for row in Snapshot.objects.all()} == {0, 400}
