"""The page "Scanners": version, hash, readiness with a remedy, and updates of the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from console.jobs.models import State
from console.models import AuditEvent
from inventory.models import Image, Tag
from registries.models import Registry
from scanning import configured_engines
from scanning.engines.trivy.engine import PINNED_SHA256
from scanning.models import CategoryResult, Rematch, VulndbUpdate
from tests.fakes import images
from tests.fakes.registry import FakeRegistry
from tests.people import person
from tests.scanning.conftest import scan, sync

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("vulnerability_database")]

PAGE = "/scans/engines/"


def client(role: str) -> Client:
    signed_in = Client()
    signed_in.force_login(person(role))
    return signed_in


def test_everybody_sees_version_and_hash_of_trivy_and_that_the_database_is_the_small_one() -> None:
    text = client("viewer").get(PAGE).content.decode()
    assert PINNED_SHA256 in text
    assert "0.76.0" in text
    assert "demo database" in text
    assert "Update now" not in text


def test_an_engine_that_is_not_there_says_what_to_do() -> None:
    configured_engines.trivy.cache_clear()
    try:
        with override_settings(TRIVY="/nowhere/trivy"):
            text = client("viewer").get(PAGE).content.decode()
    finally:
        configured_engines.trivy.cache_clear()
    assert "Not ready" in text
    assert "/nowhere/trivy" in text


def test_an_administrator_updates_the_database_once_at_a_time() -> None:
    administrator = client("administrator")
    for _ in range(2):
        administrator.post(reverse("scanning:update-database"))
    update = VulndbUpdate.objects.get()
    assert AuditEvent.objects.filter(action="database.update").count() == 1
    fragment = administrator.get(PAGE, headers={"HX-Request": "true"}).content.decode()
    assert "data-poll" in fragment
    administrator.post(reverse("scanning:cancel-update"))
    update.refresh_from_db()
    assert update.state == State.CANCELLED
    assert "data-poll" not in administrator.get(PAGE, headers={"HX-Request": "true"}).content.decode()


def test_an_operator_may_look_and_not_update() -> None:
    assert client("operator").post(reverse("scanning:update-database")).status_code == 403
    assert not VulndbUpdate.objects.exists()


@pytest.fixture
def engines(settings: Any, tmp_path: Path) -> Iterator[Any]:
    """The settings, with engines that are made anew from them."""
    made = (configured_engines.trivy, configured_engines.yara, configured_engines.clamav)
    for one in made:
        one.cache_clear()
    settings.RULES = str(tmp_path / "rules")
    (tmp_path / "rules").mkdir()
    yield settings
    for one in made:
        one.cache_clear()


def test_errors_in_rules_of_the_team_are_shown_with_file_and_line(engines: Any) -> None:
    folder = Path(engines.RULES)
    (folder / "good.yar").write_text("rule Good { condition: false }\n")
    before = configured_engines.yara().ready()
    (folder / "bad.yar").write_text("rule Bad {\n  condition:\n    nothing_of_the_sort\n}\n")
    text = client("viewer").get(PAGE).content.decode()
    assert "bad.yar:3: unknown identifier" in text
    assert "Ready, with a warning" in text
    assert engines.RULES in text
    assert configured_engines.yara().version() != before.version, "layers would not be looked at again"


def test_clamav_tells_whether_it_is_configured_and_reached(engines: Any, tmp_path: Path) -> None:
    viewer = client("viewer")
    assert "Not configured" in viewer.get(PAGE).content.decode()
    engines.CLAMD = str(tmp_path / "clamd.ctl")
    configured_engines.clamav.cache_clear()
    text = viewer.get(PAGE).content.decode()
    assert "Not configured" not in text
    assert f"cannot be reached at {engines.CLAMD}" in text
    assert "Start clamd" in text


def test_the_time_of_the_daily_update_is_shown(engines: Any) -> None:
    viewer = client("viewer")
    assert "Off" in viewer.get(PAGE).content.decode()
    engines.TRIVY_DATABASE_AT = "05:30"
    engines.TRIVY_DATABASE_REPOSITORY = "mirror.example.com/trivy-db:2"
    text = viewer.get(PAGE).content.decode()
    assert "at 05:30" in text
    assert "mirror.example.com/trivy-db:2" in text


@pytest.mark.parametrize("name", ["start-rematch", "cancel-rematch"])
def test_administrators_alone_start_and_cancel_a_rematch(name: str) -> None:
    job = Rematch.objects.create()
    assert client("operator").post(reverse(f"scanning:{name}")).status_code == 403
    administrator = client("administrator")
    assert administrator.get(reverse(f"scanning:{name}")).status_code == 405
    assert administrator.post(reverse(f"scanning:{name}")).status_code == 302
    job.refresh_from_db()
    assert job.state == (State.CANCELLED if name == "cancel-rematch" else State.QUEUED)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("broken", "category", "told"),
    [
        ({"TRIVY": "/nowhere/trivy"}, "vulnerabilities", "/nowhere/trivy"),
        ({"TRIVY": "/nowhere/trivy"}, "sensitive", "/nowhere/trivy"),
        ({"CLAMD": "/nowhere/clamd.ctl"}, "malware", "/nowhere/clamd.ctl"),
        ({"own": "rule Broken {"}, "malware", "rules are not those of this version"),
    ],
)
def test_an_engine_that_is_not_ready_is_a_scan_exception_and_no_zero(
    engines: Any,
    fake: FakeRegistry,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: dict[str, str],
    category: str,
    told: str,
) -> None:
    if text := broken.pop("own", ""):
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "ours.yar").write_text(text)
        monkeypatch.setattr(configured_engines, "RULES_FOLDER", tmp_path / "own")
    for name, value in broken.items():
        setattr(engines, name, value)
    for made in (configured_engines.trivy, configured_engines.yara, configured_engines.clamav):
        made.cache_clear()
    images.image({"etc/hostname": b"here\n"}).put(fake, "team/app", "1.0")
    sync(registry)
    done = scan(Tag.objects.get(), category)
    assert done.state == State.FAILED
    assert told in done.reason
    assert done.remedy
    assert CategoryResult.objects.get().outcome == CategoryResult.Outcome.FAILED
    image = Tag.objects.get().image
    assert image is not None
    assert image.highest is None
    assert image.scan_state == Image.ScanState.FAILED


@pytest.mark.parametrize("scans", [1, 5])
def test_the_page_says_which_images_share_a_run_and_how_to_keep_them_apart(scans: int) -> None:
    with override_settings(SCANS_PER_WORKER=scans):
        text = client("viewer").get(PAGE).content.decode()
    assert ("The other layers of each image have a run of their own." in text) is (scans == 1)
    assert ("of one registry that are scanned at the same time share a " in text) is (scans == 5)
    assert ("TALLYMAN_SCANS_PER_WORKER=1" in text) is (scans == 5)
    assert "Layers that several images have are read apart" in text
