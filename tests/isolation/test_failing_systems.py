"""Packages that cannot be matched keep no others from it: none of their system, of another system or registry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.jobs.models import State
from inventory.models import Image
from scanning import configured_engines, tasks
from scanning.engines.base import EngineError
from scanning.engines.trivy.match import Matcher
from scanning.engines.trivy.server import MatchServer, ServerFailed
from scanning.findings import coverage
from scanning.models import CategoryResult, PackageVariant, Rematch
from scanning.rematch import match_parts
from scanning.rematch import run as rematch_run
from scanning.vulndb import install as vulndb_install
from tests.fakes import images, systems
from tests.fakes.registry import FakeRegistry
from tests.fakes.systems import debian, dpkg, rpm, rpms
from tests.fakes.trivy_reference import stored_findings, trivy_findings
from tests.isolation.test_packages import OPENSSL, RPMS, install, match_again, put
from tests.scanning.conftest import scan
from tests.test_scope_figures import limited

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, settings: Any) -> Iterator[None]:
    settings.DATA_DIR = tmp_path / "data"
    configured_engines.trivy.cache_clear()
    configured_engines.layer_store.cache_clear()
    yield
    configured_engines.trivy.cache_clear()
    configured_engines.layer_store.cache_clear()


@pytest.fixture
def servers() -> Iterator[list[FakeRegistry]]:
    with FakeRegistry() as first, FakeRegistry() as second:
        yield [first, second]


def result(image: images.Image) -> CategoryResult:
    return CategoryResult.objects.get(image__image_id=image.image_id, category="vulnerabilities")


@pytest.mark.parametrize("system", ["azurelinux", "mariner"])
def test_a_system_whose_detector_names_no_ids_is_matched_again(
    servers: list[FakeRegistry], tmp_path: Path, system: str
) -> None:
    """With the detector of Azure Linux and CBL-Mariner each rematch of everything ended in an error, for good."""
    install(tmp_path / "old", day=1, less=True)
    here = rpms(system, RPMS + rpm(("bash", "bash", "1.0-1", 0)))
    there = rpms(system, RPMS.replace(b"x86_64", b"aarch64"))  # of namesakes without an ID Trivy tells of one
    made, tags = put(servers, here, there)
    for tag in tags:
        scan(tag, "vulnerabilities")
    install(tmp_path / "new", day=2)
    job = match_again()
    assert (job.state, job.reason, job.unmatched) == (State.SUCCEEDED, "", 0)
    assert [stored_findings(image.image_id) for image in made] == [trivy_findings(image) for image in made]
    assert {one.database_updated_at for one in CategoryResult.objects.all()} == {
        vulndb_install.current_facts().built_at
    }  # type: ignore[union-attr]


def test_a_damaged_advisory_keeps_back_the_packages_it_is_for_alone(
    servers: list[FakeRegistry], tmp_path: Path
) -> None:
    install(tmp_path / "old", day=1, less=True)
    stanzas = [{"Package": name, "Version": "1.0-1", "Source": source} for name, source in systems.BINARIES.items()]
    stanzas.append({"Package": "expat", "Version": "1.0-1", "Source": "expat"})
    affected = debian(dpkg(*stanzas))
    spared = debian(dpkg(*(one for one in stanzas if one["Source"] != "expat")))
    made, tags = put(servers, affected, spared)
    for tag in tags:
        scan(tag, "vulnerabilities")
    before = stored_findings(made[0].image_id)
    install(tmp_path / "new", day=2, broken="debian 12")
    job = match_again()
    assert (job.state, job.unmatched) == (State.FAILED, 2)
    assert "2 packages of debian 12.4 could not be matched" in job.reason
    assert "tries these again" in job.remedy
    assert stored_findings(made[1].image_id) == trivy_findings(made[1])
    after = stored_findings(made[0].image_id)[1]
    assert after > before[1]
    assert {one for one in after if "expat" in one[0]} == {one for one in before[1] if "expat" in one[0]}

    told, other = result(made[0]), result(made[1])
    assert (told.outcome, other.outcome) == ("partial", "done")
    assert "expat 1.0-1" in told.reason
    assert "libexpat1 1.0-1" in told.reason
    assert "2026-11-02" in told.reason
    assert (other.reason, other.database_updated_at) == ("", vulndb_install.current_facts().built_at)  # type: ignore[union-attr]
    assert told.database_updated_at < other.database_updated_at  # type: ignore[operator]
    held = Image.objects.filter(coverage.coverage_condition(["partial"], image="pk"))
    assert list(held.values_list("image_id", flat=True)) == [made[0].image_id]
    coverages = Image.objects.filter(image_id__in=[image.image_id for image in made])
    assert dict(coverages.values_list("image_id", "vulnerabilities_coverage")) == {
        made[0].image_id: "partial",
        made[1].image_id: "done",
    }, "what is not matched makes no image safe"

    client = Client()
    client.force_login(limited(tags[1].registry), backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(reverse("scanning:engines")).content.decode()
    assert "Some packages could not be matched." in page
    assert "debian 12.4" not in page

    rematch_run.tick()
    assert not Rematch.objects.filter(state=State.QUEUED).exists(), "it is not tried again at once"
    Rematch.objects.update(ended_at=timezone.now() - timedelta(hours=2))
    rematch_run.tick()
    (job,) = Rematch.objects.filter(state=State.QUEUED)
    tasks.rematch(job.pk)
    job.refresh_from_db()
    assert (job.state, job.unmatched, job.packages) == (State.FAILED, 2, 2)
    assert result(made[0]).reason == told.reason, "it is said once"

    install(tmp_path / "whole", day=3)
    assert match_again().state == State.SUCCEEDED
    assert [stored_findings(image.image_id) for image in made] == [trivy_findings(image) for image in made]
    told = result(made[0])
    assert (told.outcome, told.reason, told.remedy) == ("done", "", "")
    assert set(coverages.values_list("vulnerabilities_coverage", flat=True)) == {"done"}
    assert not CategoryResult.objects.filter(before_failure__isnull=False).exists()
    assert not PackageVariant.objects.exclude(failed_with="").exists()


def test_content_sets_that_the_database_no_longer_knows_keep_back_no_other_image(
    servers: list[FakeRegistry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trivy ends with an error where it knows none of the content sets that a layer names, be they anybody's words."""
    install(tmp_path / "old", day=1, less=True)
    made, tags = put(servers, rpms("redhat", RPMS, content_sets=("other-rpms",)), rpms("redhat", RPMS))
    for tag in tags:
        scan(tag, "vulnerabilities")
    install(tmp_path / "new", day=2, content_sets=systems.CONTENT_SETS)
    job = match_again()
    assert (job.state, job.unmatched) == (State.FAILED, 1)
    assert "redhat 9.2" in job.reason
    assert stored_findings(made[1].image_id) == trivy_findings(made[1])
    assert (result(made[0]).outcome, result(made[1]).outcome) == ("partial", "done")


def test_a_system_of_which_too_much_fails_is_given_up_and_others_are_not(
    servers: list[FakeRegistry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(match_parts, "MAX_PART_RUNS", 3)
    monkeypatch.setattr(rematch_run, "CHUNK_PACKAGES", 4)
    install(tmp_path / "old", day=1, less=True)
    names = [{"Package": f"{name}{n}", "Version": "1.0-1", "Source": "expat"} for n in range(6) for name in ("a", "b")]
    made, tags = put(servers, debian(dpkg(*names)), rpms("azurelinux", RPMS))
    for tag in tags:
        scan(tag, "vulnerabilities")
    install(tmp_path / "new", day=2, broken="debian 12")
    job = match_again()
    assert (job.state, job.unmatched, job.packages) == (State.FAILED, 12, 13)
    assert stored_findings(made[1].image_id) == trivy_findings(made[1])
    assert "12 packages could not be matched" in result(made[0]).reason


def test_a_trivy_that_does_not_work_fails_the_job_and_says_nothing_of_images(
    servers: list[FakeRegistry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "old", day=1, less=True)
    made, tags = put(servers, debian(dpkg(OPENSSL)), rpms("azurelinux", RPMS))
    for tag in tags:
        scan(tag, "vulnerabilities")
    install(tmp_path / "new", day=2)

    def refuse(*_records: Any, **_options: Any) -> Any:
        raise ServerFailed("broken")

    monkeypatch.setattr(MatchServer, "scan", refuse)
    monkeypatch.setattr("scanning.engines.trivy.match.MATCH_TEMPLATE", "{{ nonsense")
    job = match_again()
    assert (job.state, job.unmatched) == (State.FAILED, 0)
    assert [result(image).outcome for image in made] == ["done", "done"]
    assert not PackageVariant.objects.exclude(failed_with="").exists()
    monkeypatch.undo()
    assert match_again().state == State.SUCCEEDED


def test_packages_on_which_trivy_crashes_keep_back_no_others(
    servers: list[FakeRegistry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash may pass by itself, so it is tried once more; one that comes again is that of a package."""
    install(tmp_path / "old", day=1, less=True)
    named = [{"Package": name, "Version": "1.0-1", "Source": source} for name, source in systems.BINARIES.items()]
    made, tags = put(servers, debian(dpkg(*named)), rpms("azurelinux", RPMS))
    for tag in tags:
        scan(tag, "vulnerabilities")
    install(tmp_path / "new", day=2)
    real, passing = Matcher.match, ["once"]

    def crash(matcher: Matcher, packages: Any, **options: Any) -> Any:
        system_fails = "azurelinux" in options["system"] and passing and passing.pop()
        if system_fails or any(one.get("Name") == "bash" for one in packages.values()):
            raise EngineError("Trivy ended abnormally.", "Scan again.", retry=True)
        return real(matcher, packages, **options)

    with monkeypatch.context() as crashing:
        crashing.setattr(Matcher, "match", crash)
        job = match_again()
    assert (job.state, job.unmatched) == (State.FAILED, 1)
    assert [result(image).outcome for image in made] == ["partial", "done"]
    assert "(bash 1.0-1)" in result(made[0]).reason
    assert stored_findings(made[1].image_id) == trivy_findings(made[1])
    assert match_again().state == State.SUCCEEDED
    assert [stored_findings(image.image_id) for image in made] == [trivy_findings(image) for image in made]
