"""The data maker: what it makes is shaped like an inventory, the same for the same seed, and right in its figures."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from hashlib import sha256
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count
from django.utils import translation

from console.i18n.messages import translate_message
from demo.inventory.command import Command
from demo.inventory.make import ENGINES_UPGRADED_AGO, make
from inventory.models import Image, Repository, Snapshot, Tag
from registries.models import Registry
from scanning.exposure import recount
from scanning.findings import counts, coverage
from scanning.models import CategoryResult, ImagePackage, Package, PackageVulnerability, Scan, ScanRun, Vulnerability
from scanning.runs import progress

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def prints() -> str:
    """Return a digest of what the database holds."""
    tables: tuple[Any, ...] = (
        Repository,
        Tag,
        Image,
        ImagePackage,
        Package,
        Vulnerability,
        PackageVulnerability,
        Scan,
        ScanRun,
    )
    text = "".join(str(list(model.objects.order_by("pk").values_list())) for model in tables)
    return sha256(text.encode()).hexdigest()


def test_it_has_every_state_every_kind_of_risk_and_shared_images() -> None:
    made = make(tags=2000, images=700, seed=1, now=NOW)
    assert (Tag.objects.count(), Image.objects.count()) == (2000, made.images)
    assert abs(made.images - 700) < 70
    states = set(Image.objects.values_list("scan_state", flat=True))
    assert states == {"scanned", "not-scanned", "failed", "cancelled", "queued"}
    worst = set(Image.objects.values_list("highest", flat=True))
    assert worst >= {None, 0, 5}
    assert len(worst) > 4
    assert Image.objects.filter(sensitive__gt=0).exists()
    assert Registry.objects.values("type").distinct().count() == 7
    per_repository = Repository.objects.annotate(n=Count("tags")).order_by("-n").values_list("n", flat=True)
    assert per_repository[0] > 20 * per_repository[len(per_repository) // 2]  # a long tail
    shared = Image.objects.annotate(n=Count("tags__repository__registry", distinct=True)).filter(n__gt=1)
    assert shared.exists()
    assert Snapshot.objects.count() == 27  # three days without data


def test_its_figures_are_those_that_counting_gives() -> None:
    make(tags=300, images=100, seed=2, now=NOW)
    before = list(Image.objects.order_by("pk").values())
    counts.recount(Image.objects.values_list("pk", flat=True))
    for was, now in zip(before, Image.objects.order_by("pk").values(), strict=True):
        assert {name for name, value in was.items() if now[name] != value} == set()
    assert recount.recount()[1] == 0


def test_each_scan_names_what_it_pulled_and_each_run_tells_of_its_own_scans() -> None:
    make(tags=1500, images=500, seed=3, now=NOW)
    scans = list(Scan.objects.select_related("tag__repository__registry", "run", "image"))
    assert scans
    for scan in scans:
        assert scan.tag
        assert scan.run
        assert scan.address == str(scan.tag)
        assert scan.address.startswith(f"{scan.registry.host}/")  # type: ignore[union-attr]
        assert scan.registry == scan.tag.repository.registry
        assert (scan.image, scan.manifest_digest) == (scan.tag.image, scan.tag.digest)
        times = [at for at in (scan.image.created, scan.run.created_at, scan.created_at, scan.started_at) if at]
        assert [*times, scan.ended_at or NOW, scan.run.finished_at or NOW, NOW] == sorted(
            [*times, scan.ended_at or NOW, scan.run.finished_at or NOW, NOW]
        )
    told = {run.pk: (run.images, run.counts(), run.current_failures(), run.tags) for run in ScanRun.objects.all()}
    assert {one[1]["failed"] > 0 for one in told.values()} == {True, False}
    ScanRun.objects.update(finished_at=None)  # from now on they are counted
    for run in ScanRun.objects.all():
        tags = Tag.objects.filter(image__scans__run=run).count()
        assert told[run.pk] == (run.scans.count(), run.counts(), run.current_failures(), tags)


def test_each_image_is_in_the_state_that_its_last_scan_left_it_in() -> None:
    make(tags=1500, images=500, seed=3, now=NOW)
    states: dict[str, str | None] = {"scanned": "succeeded", "not-scanned": None}
    for image in Image.objects.prefetch_related("scans", "category_results"):
        scans = sorted(image.scans.all(), key=lambda scan: scan.pk)
        assert (scans[-1].state if scans else None) == states.get(image.scan_state, image.scan_state)
        ended = [scan.ended_at for scan in scans if scan.state in {"succeeded", "failed"}]
        assert image.last_scanned_at == (ended[-1] if ended else None)
        outcomes = {result.outcome for result in image.category_results.all()}
        assert ("failed" in outcomes) is (image.scan_state == "failed")
        assert bool(outcomes) is bool(ended)


def test_only_what_was_scanned_before_the_engines_were_renewed_is_out_of_date() -> None:
    make(tags=1500, images=500, seed=3, now=NOW)
    results = CategoryResult.objects.exclude(looked_at=None)
    old = set(results.filter(coverage.outdated_results()).values_list("pk", flat=True))
    assert old == set(results.filter(looked_at__lt=NOW - ENGINES_UPGRADED_AGO).values_list("pk", flat=True))
    assert 0 < len(old) < results.count() / 2


def test_why_something_failed_is_told_in_the_language_of_who_reads_it() -> None:
    make(tags=300, images=100, seed=3, now=NOW)
    told = set(CategoryResult.objects.exclude(reason="").values_list("reason", "remedy"))
    assert told
    with translation.override("zh-hans"):
        for reason, remedy in told:
            assert not re.search(
                "[a-z]{2,} [a-z]{2,} [a-z]{2,}", translate_message(reason) + translate_message(remedy)
            ), translate_message(reason)


def test_what_waits_is_told_as_the_youngest_scans() -> None:
    make(tags=1500, images=500, seed=3, now=NOW)
    waiting = Image.objects.filter(scan_state="queued").count()
    found = progress.read_progress(NOW)
    assert found
    assert (found.total, found.queued, found.ended) == (waiting, waiting, 0)


def test_the_last_sync_of_a_registry_has_found_what_it_holds() -> None:
    make(tags=600, images=200, seed=4, now=NOW)
    for registry in Registry.objects.select_related("last_sync"):
        run = registry.last_sync
        assert run
        held = Tag.objects.filter(repository__registry=registry)
        assert (run.tags, run.repositories) == (held.count(), registry.repository_set.count())
        assert {repository.synced_at for repository in registry.repository_set.all()} <= {run.ended_at}
        runs = list(registry.sync_runs.order_by("pk"))
        assert runs == sorted(runs, key=lambda one: one.created_at)
        for earlier, later in itertools.pairwise(runs):
            assert later.tags - later.tags_new == earlier.tags


def test_the_same_seed_makes_the_same_and_another_one_something_else(
    django_db_blocker: Any, transactional_db: None
) -> None:
    seen = []
    for seed in (1, 1, 2):
        call_command("flush", interactive=False, verbosity=0)
        _reset_keys()
        make(tags=150, images=50, seed=seed, now=NOW)
        seen.append(prints())
    assert seen[0] == seen[1] != seen[2]


def _reset_keys() -> None:
    from django.core.management.color import no_style
    from django.db import connection

    with connection.cursor() as cursor:
        for statement in (
            connection.ops.sequence_reset_by_name_sql(no_style(), connection.introspection.sequence_list())
            if connection.vendor == "postgresql"
            else ["DELETE FROM sqlite_sequence"]
        ):
            cursor.execute(statement)


def test_it_stays_out_of_a_database_that_is_in_use_unless_told() -> None:
    call_command(Command(), tags=40, images=15, stdout=StringIO())
    with pytest.raises(CommandError, match="has registries"):
        call_command(Command(), tags=40, images=15)
    call_command(Command(), tags=40, images=15, seed=2, add=True, stdout=StringIO())
    assert Tag.objects.count() == 80
    assert Registry.objects.filter(name="Production 2").exists()


def test_it_says_what_it_made_and_how_long_that_took() -> None:
    told = StringIO()
    call_command(Command(), tags=40, images=15, stdout=told)
    assert "40 tags of 1" in told.getvalue()
    assert told.getvalue().strip().endswith(" s")
