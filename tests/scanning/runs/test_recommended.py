"""Recommended images: the rule of the specification, with the reason."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from inventory.models import Manifest, Tag
from scanning.runs import recommended
from scanning.runs.recommended import RecommendationReason
from scanning.vulndb import install as vulndb_install
from tests import factories

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture(autouse=True)
def database_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vulndb_install, "current_facts", lambda: SimpleNamespace(built_at=NOW))


def reason(tag: Tag) -> str | None:
    return {row.pk: row.recommended for row in recommended.recommended()}.get(tag.pk)  # type: ignore[attr-defined]


def scanned(age: timedelta = timedelta(hours=1), **values: object) -> Tag:
    """A tag whose image was scanned ``age`` ago with the database of then."""
    image = factories.image(**factories.scanned() | {"last_scanned_at": NOW - age})
    factories.result(image, "vulnerabilities", database_updated_at=NOW - age, looked_at=NOW - age)
    return factories.tag(of=image, **values)


def test_never_scanned() -> None:
    assert reason(factories.tag()) == RecommendationReason.NEVER
    cancelled = factories.image(scan_state="cancelled")
    assert reason(factories.tag(of=cancelled)) == RecommendationReason.NEVER


def test_last_scan_failed() -> None:
    failed = factories.image(scan_state="failed", last_scanned_at=NOW)
    assert reason(factories.tag(of=failed)) == RecommendationReason.FAILED


def test_results_older_than_the_database_by_more_than_seven_days() -> None:
    assert reason(scanned(timedelta(days=7, minutes=1))) == RecommendationReason.OUTDATED
    assert reason(scanned(timedelta(days=6, hours=23))) is None


def test_results_matched_again_are_not_old() -> None:
    tag = scanned(timedelta(days=30))
    tag.image.category_results.update(database_updated_at=NOW)  # type: ignore[union-attr]
    assert reason(tag) is None


def test_without_a_database_nothing_is_older_than_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vulndb_install, "current_facts", lambda: None)
    assert reason(scanned(timedelta(days=100))) is None


def test_newest_tag_of_its_repository_that_points_elsewhere_since_its_scan() -> None:
    registry = factories.registry()
    after, before = NOW - timedelta(minutes=5), NOW - timedelta(days=1)
    newest = scanned(name="2", path="app", in_=registry, pushed_at=NOW, changed_at=after)
    older = scanned(name="1", path="app", in_=registry, pushed_at=before, changed_at=after)
    unchanged = scanned(name="3", path="other", in_=registry, pushed_at=NOW, changed_at=before)
    assert reason(newest) == RecommendationReason.CHANGED
    assert reason(older) is None
    assert reason(unchanged) is None


def test_of_tags_that_were_pushed_at_one_moment_one_alone_is_the_newest() -> None:
    registry, after = factories.registry(), NOW - timedelta(minutes=5)
    first, last = (scanned(name=name, path="app", in_=registry, pushed_at=NOW, changed_at=after) for name in "12")
    assert (reason(first), reason(last)) == (None, RecommendationReason.CHANGED)


def test_what_is_being_scanned_or_cannot_be_read_is_not_recommended() -> None:
    assert reason(factories.tag(of=factories.image(scan_state="queued"))) is None
    unreadable = factories.tag()
    Manifest.objects.filter(pk=unreadable.manifest_id).update(kind=Manifest.Kind.UNREADABLE)
    assert reason(unreadable) is None


def test_each_is_counted_under_its_first_reason() -> None:
    factories.tag(of=factories.image(scan_state="failed"))  # never with a result: told first
    factories.tag(of=factories.image(scan_state="failed", last_scanned_at=NOW))
    scanned(timedelta(days=20))
    scanned()
    with CaptureQueriesContext(connection) as queries:
        assert recommended.counts() == {
            RecommendationReason.NEVER: 1,
            RecommendationReason.FAILED: 1,
            RecommendationReason.OUTDATED: 1,
            RecommendationReason.CHANGED: 0,
        }
    assert len(queries) == 2  # one asks whether they are kept
