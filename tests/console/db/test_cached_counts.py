"""Figures that take long to count are shown as they were a short while ago; those that are quick are counted anew."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console.db import cached_counts
from console.db.cached_counts import CACHED_COUNTS
from console.models import CachedCount
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
counted = 0


def count() -> dict[str, int]:
    global counted
    counted += 1
    return {"times": counted}


@pytest.fixture(autouse=True)
def _figures(overrides: ExitStack) -> None:
    global counted
    counted = 0
    overrides.enter_context(CACHED_COUNTS.overridden({**CACHED_COUNTS, "test": count}))


@pytest.fixture
def _slow(settings: Any) -> None:
    settings.KEPT_FROM_SECONDS = 0


def age(**by: float) -> None:
    CachedCount.objects.update(at=timezone.now() - timedelta(**by))


def test_what_is_quick_is_counted_each_time_and_not_kept() -> None:
    assert [cached_counts.read("test").values["times"] for _n in range(3)] == [1, 2, 3]
    assert cached_counts.read("test").at is None
    assert not CachedCount.objects.exists()


@pytest.mark.usefixtures("_slow")
def test_what_is_slow_is_counted_once_and_says_of_when_it_is() -> None:
    assert cached_counts.read("test").at is None
    again = cached_counts.read("test")
    assert again.values == {"times": 1}
    assert again.at == CachedCount.objects.get().at


@pytest.mark.usefixtures("_slow")
def test_a_worker_counts_anew_what_is_old_and_wanted() -> None:
    cached_counts.read("test")
    cached_counts.refresh_stale()
    assert counted == 1
    age(seconds=61)
    cached_counts.refresh_stale()
    assert counted == 2
    age(hours=1)
    CachedCount.objects.update(requested_at=timezone.now() - timedelta(hours=2))
    cached_counts.refresh_stale()
    assert counted == 2


@pytest.mark.usefixtures("_slow")
def test_what_pages_go_on_asking_for_stays_wanted() -> None:
    cached_counts.read("test")
    CachedCount.objects.update(requested_at=timezone.now() - timedelta(minutes=50))
    cached_counts.read("test")
    assert CachedCount.objects.get().requested_at > timezone.now() - timedelta(minutes=1)


@pytest.mark.usefixtures("_slow")
def test_counting_takes_a_small_share_of_the_time() -> None:
    cached_counts.read("test")
    CachedCount.objects.update(seconds=10.0)
    age(seconds=10 * cached_counts.RECOUNT_FACTOR - 5)
    cached_counts.refresh_stale()
    assert cached_counts.read("test").values == {"times": 1}
    age(seconds=10 * cached_counts.RECOUNT_FACTOR + 5)
    cached_counts.refresh_stale()
    assert counted == 2


@pytest.mark.usefixtures("_slow")
def test_without_a_worker_a_page_counts_anew_itself() -> None:
    cached_counts.read("test")
    age(seconds=119)
    assert cached_counts.read("test").values == {"times": 1}
    age(seconds=121)
    assert cached_counts.read("test").values == {"times": 2}


def test_what_has_become_quick_is_not_kept_any_longer(settings: Any) -> None:
    settings.KEPT_FROM_SECONDS = 0
    cached_counts.read("test")
    settings.KEPT_FROM_SECONDS = float("inf")
    cached_counts.recount("test")
    assert not CachedCount.objects.exists()


@pytest.mark.usefixtures("_slow")
def test_the_page_of_images_says_when_its_figures_were_counted(client: Client) -> None:
    client.force_login(person(), backend="django.contrib.auth.backends.ModelBackend")
    factories.tag(of=factories.image(**factories.scanned(critical=1)))
    first = client.get("/images/").content.decode()
    assert "of 1 total images" in first
    assert "counted" not in first
    factories.tag()
    later = client.get("/images/").content.decode()
    assert "of 1 total images" in later
    assert "counted <time" in later


def test_every_figure_that_pages_ask_for_can_be_counted() -> None:
    for name in CACHED_COUNTS:
        assert all(isinstance(value, int) for value in cached_counts.recount(name).values.values()), name
