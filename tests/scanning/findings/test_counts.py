"""What a scan counts while it writes is what counting the rows gives afterwards."""

from __future__ import annotations

import dataclasses

import pytest
from django.utils import timezone

from inventory import image_summary
from inventory.models import Image
from scanning.engines.base import (
    ImageReport,
    MalwareFact,
    MatchFact,
    PackageFact,
    RiskCategory,
    SecretFact,
    Severity,
    VulnerabilityFact,
)
from scanning.findings import store as findings_store
from scanning.findings.counts import recount
from scanning.models import CategoryResult
from tests import factories

pytestmark = pytest.mark.django_db
COUNTS = [part.name for part in dataclasses.fields(image_summary.FindingCounts)]
LONG = "pkg:golang/example.com/" + "x" * 700  # longer than its column


def report() -> ImageReport:
    curl = PackageFact("pkg:deb/debian/curl@8", "deb", "curl", "8")
    pad = PackageFact("pkg:npm/left-pad@1", "npm", "left-pad", "1", path="a/package.json")
    long = PackageFact(LONG, "golang", "x", "1")

    def found(package: PackageFact, number: int, severity: Severity, fixed: str = "") -> MatchFact:
        return MatchFact(package.purl, f"CVE-2026-{number}", severity, fixed_version=fixed, package=package.identity)

    return ImageReport(
        os_name="debian 12.6",
        os_end_of_life=False,
        packages=(curl, pad, dataclasses.replace(pad, path="b/package.json"), long),
        vulnerabilities=tuple(VulnerabilityFact(f"CVE-2026-{number}") for number in range(4)),
        matches=(
            found(curl, 0, Severity.CRITICAL, "8.1"),
            found(curl, 1, Severity.UNKNOWN),
            found(pad, 1, Severity.LOW, "2"),
            found(pad, 1, Severity.LOW, "2"),
            found(long, 2, Severity.HIGH),
            found(PackageFact("pkg:deb/debian/elsewhere@1", "deb", "elsewhere", "1"), 3, Severity.HIGH),
        ),
        secrets=(
            SecretFact("token", "GitHub", "A token", Severity.HIGH, "a.env", 1, 1, "ghp_…", "f" * 64),
            SecretFact("token", "GitHub", "A token", Severity.HIGH, "a.env", 1, 1, "ghp_…", "f" * 64),
            SecretFact("token", "GitHub", "A token", Severity.MEDIUM, "a.env", 2, 2, "ghp_…", "f" * 64),
        ),
    )


def malware() -> list[tuple[str, MalwareFact]]:
    fact = MalwareFact("yara", "Eicar", "test", "virus", Severity.CRITICAL, "", "", "a.com", 68, "0" * 64)
    trojan = dataclasses.replace(fact, kind="trojan", rule="Shell", severity=Severity.HIGH)
    return [("sha256:1", fact), ("sha256:1", fact), ("sha256:2", fact), ("sha256:2", trojan)]


def test_what_is_counted_in_writing_is_what_is_there() -> None:
    image = factories.image()
    for category in RiskCategory:
        now = timezone.now()
        CategoryResult.objects.create(image=image, category=category, outcome="done", ended_at=now, looked_at=now)
    counts = (
        findings_store.store_packages(image=image, report=report()).counts
        | findings_store.store_secrets(image=image, secrets=report().secrets)
        | findings_store.store_malware(image=image, findings=malware())
    )
    assert set(counts) == set(COUNTS)
    image_summary.record_findings(image, image_summary.FindingCounts(**counts))
    written = Image.objects.values(*COUNTS, "highest").get()
    assert written["packages"] == 3
    assert (written["critical"], written["high"], written["low"], written["fixable"]) == (1, 1, 1, 2)
    assert (written["sensitive"], written["viruses"], written["trojans"]) == (2, 2, 1)
    Image.objects.update(**dict.fromkeys(COUNTS, 99))
    recount([image.pk])
    assert Image.objects.values(*COUNTS, "highest").get() == written
