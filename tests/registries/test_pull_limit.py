"""The hourly limit: never one more than allowed, none lost, counted once an image."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from registries import pull_limit
from registries.models import PullUnit, Registry

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def registry(db: None) -> Registry:
    return Registry.objects.create(name="limited", address="https://registry.example", limit=5)


def take(registry: Registry, image: int, minutes: float = 0, waiting: int = 0) -> datetime | None:
    return pull_limit.take_unit(
        registry_id=registry.pk, image_id=f"sha256:{image:064x}", now=NOON + timedelta(minutes=minutes), waiting=waiting
    )


def test_five_images_are_granted_and_the_sixth_is_told_when(registry: Registry) -> None:
    assert [take(registry, n, minutes=n) for n in range(5)] == [None] * 5
    assert take(registry, 5, minutes=10) == NOON + timedelta(hours=1)
    assert pull_limit.usage(registry, now=NOON + timedelta(minutes=10)) == pull_limit.Usage(
        5, 5, NOON + timedelta(hours=1)
    )


def test_an_image_pulled_again_within_the_hour_costs_nothing_more(registry: Registry) -> None:
    for _ in range(3):
        assert take(registry, 1) is None
    assert PullUnit.objects.count() == 1


def test_a_unit_is_free_an_hour_after_it_was_taken_and_not_a_second_sooner(registry: Registry) -> None:
    for n in range(5):
        take(registry, n)
    assert take(registry, 9, minutes=59.99) is not None
    assert take(registry, 9, minutes=60) is None


def test_those_who_wait_are_sent_back_one_by_one(registry: Registry) -> None:
    for n in range(5):
        take(registry, n, minutes=n)
    told = [take(registry, 100 + n, minutes=30, waiting=n) for n in range(7)]
    assert told == [NOON + timedelta(minutes=60 + n) for n in range(5)] + [
        NOON + timedelta(minutes=120 + n) for n in range(2)
    ]


def test_a_limit_that_was_lowered_frees_nothing_before_it_is_met_again(registry: Registry) -> None:
    for n in range(5):
        take(registry, n, minutes=n)
    Registry.objects.filter(pk=registry.pk).update(limit=2)
    assert take(registry, 9, minutes=61) == NOON + timedelta(minutes=63)


def test_an_unlimited_registry_counts_nothing(registry: Registry) -> None:
    Registry.objects.filter(pk=registry.pk).update(limit=None)
    assert take(registry, 1) is None
    assert not PullUnit.objects.exists()
