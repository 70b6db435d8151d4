"""The summary of an image says what was found, what was not, and what nobody has looked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from inventory.image_summary import FindingCounts, lock_image, record_coverage, record_findings, record_state
from inventory.models import Image

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NO_VULNERABILITIES = FindingCounts(critical=0, high=0, medium=0, low=0, unknown=0, fixable=0)


@pytest.fixture
def image() -> Image:
    return Image.objects.create(image_id="sha256:" + "1" * 64)


def found(image: Image, counts: FindingCounts, os_name: str | None = None) -> Image:
    record_findings(image, counts, os_name=os_name)
    image.refresh_from_db()
    return image


def cover(image: Image, **coverage: str) -> None:
    record_coverage({image.pk: coverage, 999_999: coverage})
    image.refresh_from_db()


def test_an_image_nobody_has_scanned_is_neither_safe_nor_at_risk(image: Image) -> None:
    image.refresh_from_db()
    assert image.security == Image.Security.NOT_KNOWN
    assert image.highest is None


def test_zero_found_in_one_category_is_no_safety(image: Image) -> None:
    found(image, NO_VULNERABILITIES)
    cover(image, vulnerabilities="done")
    assert (image.vulnerabilities, image.highest) == (0, Image.Severity.NONE)
    assert image.security == Image.Security.PARTLY_SCANNED
    assert image.malware is None


DONE = {"vulnerabilities": "done", "malware": "done", "sensitive": "done"}


@pytest.mark.parametrize(
    ("coverage", "security"),
    [
        (DONE, "safe"),
        *((DONE | {name: how}, "partly-scanned") for name in DONE for how in ("partial", "failed", "unsupported")),
        *(({other: "done" for other in DONE if other != name}, "partly-scanned") for name in DONE),
        ({}, "partly-scanned"),
    ],
)
def test_safe_is_what_was_scanned_for_everything_in_everything(
    image: Image, coverage: dict[str, str], security: str
) -> None:
    found(image, replace(NO_VULNERABILITIES, viruses=0, trojans=0, sensitive=0))
    cover(image, **coverage)
    assert image.security == security
    assert image.is_fully_scanned is (security == "safe")
    found(image, FindingCounts(sensitive=1))
    assert image.security == "at-risk", "whatever else was not looked at"


@pytest.mark.parametrize("how", ["failed", "unsupported", ""])
def test_what_nobody_has_counted_is_not_known(image: Image, how: str) -> None:
    cover(image, **dict.fromkeys(DONE, how))
    assert image.security == Image.Security.NOT_KNOWN


def test_progress_and_cancels_leave_the_security_status_as_it_is(image: Image) -> None:
    found(image, replace(NO_VULNERABILITIES, viruses=0, trojans=0, sensitive=0))
    cover(image, **DONE)
    for state in Image.ScanState:
        record_state(image_id=image.pk, state=state, reason="why")
        image.refresh_from_db()
        assert image.security == Image.Security.SAFE


def test_a_scan_of_one_category_keeps_what_is_known_of_the_others(image: Image) -> None:
    found(
        image,
        FindingCounts(critical=0, high=2, medium=1, low=0, unknown=0, fixable=1, packages=80),
        os_name="debian 12",
    )
    found(image, FindingCounts(viruses=1, trojans=0, malware_highest=5))
    assert (image.high, image.medium, image.packages, image.viruses, image.os_name) == (2, 1, 80, 1, "debian 12")
    assert image.highest == Image.Severity.CRITICAL


@pytest.mark.parametrize("name", ["critical", "high", "medium", "low", "unknown"])
def test_the_worst_vulnerability_gives_the_highest_severity(image: Image, name: str) -> None:
    counts = {"critical": 0, "high": 0, "medium": 0, "low": 0, "unknown": 0} | {name: 3}
    assert found(image, FindingCounts(**counts)).highest == Image.Severity[name.upper()]


def test_a_virus_that_is_gone_no_longer_raises_the_severity(image: Image) -> None:
    found(image, FindingCounts(viruses=1, trojans=0, malware_highest=5))
    found(image, FindingCounts(viruses=0, trojans=0, malware_highest=0))
    assert (image.highest, image.security) == (Image.Severity.NONE, Image.Security.PARTLY_SCANNED)


def test_sensitive_data_of_no_stated_severity_counts_as_high(image: Image) -> None:
    assert found(image, FindingCounts(sensitive=1)).highest == Image.Severity.HIGH


def test_the_state_is_written_whole_so_that_an_old_reason_does_not_stay(image: Image) -> None:
    record_state(image_id=image.pk, state=Image.ScanState.FAILED, reason="Truncated.", remedy="Push again.")
    record_state(image_id=image.pk, state=Image.ScanState.RUNNING, stage="pull", percent=10)
    image.refresh_from_db()
    assert (image.scan_state, image.scan_reason, image.scan_remedy) == ("running", "", "")
    assert (image.scan_stage, image.scan_percent) == ("pull", 10)


def test_the_start_of_a_scan_stays_while_it_runs_and_goes_with_its_end(image: Image) -> None:
    record_state(image_id=image.pk, state=Image.ScanState.RUNNING, started_at=NOW)
    record_state(image_id=image.pk, state=Image.ScanState.RUNNING, stage="pull")
    image.refresh_from_db()
    assert image.scan_started_at == NOW
    record_state(image_id=image.pk, state=Image.ScanState.SCANNED)
    image.refresh_from_db()
    assert image.scan_started_at is None


def test_an_image_that_is_gone_is_no_error() -> None:
    record_state(image_id=999, state=Image.ScanState.SCANNED)
    assert lock_image(999) is None
