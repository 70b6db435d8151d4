"""Which repositories and tags of a registry are wanted: by patterns, the newest ones, the younger ones."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from inventory.models import Repository, Tag
from registries.chosen import Choice, Patterns
from registries.connectors.base import TagRef
from registries.models import Registry
from tests.fakes.registry import FakeRegistry
from tests.inventory.sync.test_sync_registry import image, names, sync
from tests.registries.forms.test_registry import filled

NAMES = ("v1.9", "v1.10", "v1.2", "latest", "v2.0-dev")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", {"team/app", "team/cache", "lab/app"}),
        ("team/*", {"team/app", "team/cache"}),
        ("team/*\n!*/cache", {"team/app"}),
        ("# no line\n!team/*", {"lab/app"}),
        ("*/app\nteam/cache", {"team/app", "team/cache", "lab/app"}),
        ("nothing", set()),
    ],
)
def test_patterns_include_and_exclude(typed: str, expected: set[str]) -> None:
    patterns = Patterns.parse(typed)
    assert {name for name in ("team/app", "team/cache", "lab/app") if patterns.match(name)} == expected


def chosen(choice: Choice, *refs: TagRef) -> list[str]:
    return sorted(ref.name for ref in choice.choose("team/app", refs))


def aged(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def test_the_newest_are_those_pushed_last() -> None:
    refs = [TagRef(name, pushed_at=aged(number)) for number, name in enumerate(NAMES)]
    choice = Choice(newest=2)
    assert chosen(choice, *refs) == ["v1.10", "v1.9"]
    assert not choice.includes_tag("team/app", "latest")
    assert choice.includes_tag("team/app", "v1.9")


def test_without_push_times_the_newest_are_those_of_the_highest_numbers() -> None:
    assert chosen(Choice(tags=Patterns.parse("v*\n!*-dev"), newest=2), *map(TagRef, NAMES)) == ["v1.10", "v1.9"]


def test_what_is_older_than_so_many_days_is_left_out_and_what_has_no_time_stays() -> None:
    refs = [TagRef("old", pushed_at=aged(31)), TagRef("new", pushed_at=aged(29)), TagRef("unknown")]
    assert chosen(Choice(days=30), *refs) == ["new", "unknown"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "typed", "message"),
    [
        ("newest_tags", "0", "1 or more"),
        ("tag_days", "0", "1 or more"),
        ("tag_patterns", "a b", "no spaces"),
        ("repository_patterns", "\n".join(f"p{number}" for number in range(201)), "At most 200"),
    ],
)
def test_the_form_refuses_what_makes_no_sense(field: str, typed: str, message: str) -> None:
    assert message in filled(**{field: typed}).errors[field][0]


@pytest.mark.django_db
def test_the_form_keeps_them_for_every_type() -> None:
    registry = filled(repository_patterns=" team/* \n\n!x", tag_patterns="v*", newest_tags="3", tag_days="90").save()
    registry.refresh_from_db()
    assert (registry.repository_patterns, registry.tag_patterns) == ("team/*\n!x", "v*")
    assert (registry.newest_tags, registry.tag_days) == (3, 90)


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        for name in ("team/app", "team/cache", "lab/app"):
            for tag in NAMES:
                image(f"{name}{tag}").put(server, name, tag)
        yield server


@pytest.mark.django_db(transaction=True)
def test_a_sync_brings_what_is_wanted_and_lets_go_at_once_of_what_is_not(server: FakeRegistry) -> None:
    registry = Registry.objects.create(name="fake", address=server.url)
    assert sync(registry).tags == 15
    registry.repository_patterns, registry.tag_patterns, registry.newest_tags = "team/*\n!*/cache", "v*\n!*-dev", 2
    registry.save()
    run = sync(registry)
    assert (run.complete, run.tags_gone, run.tags_missing, run.reason) == (True, 13, 0, "")
    assert names() == {"team/app:v1.10", "team/app:v1.9"}
    assert Repository.objects.count() == 1
    server.seen.clear()
    run = sync(registry)
    assert (run.complete, run.tags_gone, Tag.objects.count()) == (True, 0, 2)
    assert not [each for each in server.seen if "lab/app" in each.path or "cache" in each.path]
