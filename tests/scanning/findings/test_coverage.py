"""Nothing is blank: what is known of each image and category, as a filter, in the strip, and in the drawer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from console.jobs.models import State
from console.models import Team
from inventory.models import Image, Tag
from scanning import alerts, scanners
from scanning.engines.base import ImageReport, PackageFact, RiskCategory
from scanning.execution.context import ScanContext
from scanning.execution.results import CategoryOutcome, ImageAnalysis, ScanResults
from scanning.execution.steps.judge_coverage import judge_coverage
from scanning.findings import coverage, regression
from scanning.models import CategoryResult, Scan
from scanning.vulndb import install as vulndb_install
from tests import factories
from tests.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("vulnerability_database")]

DONE, FAILED, UNSUPPORTED = (CategoryResult.Outcome[name] for name in ("DONE", "FAILED", "UNSUPPORTED"))


def image(name: str, **changes: dict[str, Any] | None) -> Image:
    """An image with a result of today for each category, but for ``changes``; None: the category was not asked."""
    made = factories.image(**factories.scanned())
    factories.tag(name, of=made)
    facts = vulndb_install.current_facts()
    assert facts is not None
    trivy = scanners.trivy().version()
    now: dict[str, dict[str, Any]] = {
        "vulnerabilities": {"engine_version": trivy, "database_updated_at": facts.built_at},
        "sensitive": {"engine_version": trivy},
        "malware": {"engine_version": scanners.yara().version()},
    }
    for category, values in now.items():
        change = changes.get(category, {})
        if change is not None:
            factories.result(made, category, **values | change)
    return made


def named(word: str) -> set[str]:
    return set(Tag.objects.filter(coverage.coverage_condition([word], image="image")).values_list("name", flat=True))


def test_each_way_of_not_knowing_narrows_the_list() -> None:
    facts = vulndb_install.current_facts()
    assert facts is not None
    image("whole")
    image("not-asked", malware=None)
    image("failed", sensitive={"outcome": FAILED, "looked_at": None})
    image("unsupported", vulnerabilities={"outcome": UNSUPPORTED})
    image("old-database", vulnerabilities={"database_updated_at": facts.built_at - timedelta(days=1)})
    image("old-rules", malware={"engine_version": "1.0+0123"})
    image("old-trivy", sensitive={"engine_version": "trivy 0.50.0, database none"})
    image("fell", malware={"regressed_from": 3})
    factories.tag("never")
    assert named("done") == {"whole"}
    assert named("not-asked") == {"not-asked"}
    assert named("failed") == {"failed"}
    assert named("unsupported") == {"unsupported"}
    assert named("outdated") == {"old-database", "old-rules", "old-trivy"}
    assert named("fell") == {"fell"}
    assert named("new") == set()
    told = {signal.name: signal.text for signal in alerts.coverage_alerts()}
    assert told == {"fell": "1 image", "failed": "1 image", "unsupported": "1 image", "outdated": "3 images"}


def test_the_filter_stands_on_the_page_and_the_strip_leads_to_it(client: Client) -> None:
    image("fine")
    image("fell", malware={"regressed_from": 3})
    client.force_login(person("viewer"))
    page = client.get(reverse("inventory:image-list")).content.decode()
    assert "?coverage=fell" in page
    narrowed = client.get(reverse("inventory:image-list"), {"coverage": "fell"})
    assert [row.name for row in narrowed.context["page"].rows] == ["fell"]


def test_why_a_scan_failed_at_a_registry_that_is_gone_since_is_not_told_to_who_may_not_have_seen_it(
    client: Client,
) -> None:
    here = factories.registry(name="here")
    tag = factories.tag(in_=here, of=factories.image(**factories.scanned()))
    scan = Scan.objects.create(image=tag.image, manifest_digest=tag.digest, address="gone/app:1", state=State.FAILED)
    factories.result(tag.image, "malware", FAILED, reason="The registry payroll does not answer.", scan=scan)
    team = Team.objects.create(name="here")
    team.registries.add(here)
    somebody = person("viewer", limited=True)
    somebody.teams.add(team)
    for user, told in ((somebody, False), (person("operator"), True)):
        client.force_login(user)
        tab = client.get(reverse("scanning:malware", args=[tag.pk])).content.decode()
        assert 'data-coverage="failed"' in tab
        assert ("payroll" in tab) is told


def test_the_drawer_says_that_findings_fell_to_zero_and_that_an_engine_was_older(client: Client) -> None:
    made = image("x", malware={"regressed_from": 3, "engine_version": "1.0+0123"})
    client.force_login(person("viewer"))
    tab = client.get(reverse("scanning:malware", args=[made.tags.get().pk])).content.decode()
    assert 'data-coverage="fell"' in tab
    assert "had 3 findings" in tab
    assert 'data-coverage="outdated"' in tab


@pytest.mark.parametrize(
    ("number", "left", "changed", "expected"),
    [
        (1, 0, False, True),  # the same engine on the same image
        (1, 0, True, False),  # a new database takes an advisory back
        (regression.MANY_ADVISORIES, 0, True, True),  # and not all of many
        (5, 1, False, False),
        (0, 0, False, False),
        (5, None, False, False),  # not looked for
    ],
)
def test_a_fall_to_zero_needs_a_reason(number: int, left: int | None, changed: bool, expected: bool) -> None:
    assert regression.is_regression(number, left, changed=changed) is expected


def test_a_second_scan_without_findings_clears_the_warning() -> None:
    made = image("x")
    made.sensitive = 2
    version = CategoryResult.objects.get(category="sensitive").engine_version
    for expected in (2, 0):
        before = regression.read_results(made)
        made.sensitive = 0
        regression.store_regressions(before, made, {"sensitive": version})
        assert CategoryResult.objects.get(category="sensitive").regressed_from == expected


def judged(**values: Any) -> CategoryOutcome:
    package = PackageFact("pkg:rpm/fedora/bash@5", "rpm", "bash", "5")
    defaults = {"os_name": "fedora 40", "os_end_of_life": False, "packages": (package,), "vulnerabilities": ()}
    report = ImageReport(**{**defaults, "matches": (), "secrets": (), **values})
    outcome = CategoryOutcome()
    results = ScanResults(outcomes={RiskCategory.VULNERABILITIES: outcome}, analysis=ImageAnalysis(report=report))
    judge_coverage(ScanContext(None, None, results))  # type: ignore[arg-type]
    return outcome


def test_a_system_without_advisories_or_past_its_end_is_unsupported_and_no_zero() -> None:
    assert judged(os_listed=False).outcome == UNSUPPORTED
    assert judged(os_name="debian 8.1", os_end_of_life=True).outcome == UNSUPPORTED
    assert judged(os_name="", packages=()).outcome == UNSUPPORTED
    assert judged(os_name="debian 12.6").outcome == DONE
