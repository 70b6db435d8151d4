"""The page "Installation check": it shows what needs attention, and no longer what has been repaired."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from console.models import AuditEvent
from console.server import installation_checks
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[3]


def faults() -> str:
    return " | ".join(str(check.title) for check in installation_checks.run_all() if check.level == "fault")


def told() -> str:
    return " | ".join(str(check.title) for check in installation_checks.run_all() if check.level != "ok")


def test_the_page_says_each_thing_with_how_to_mend_it() -> None:
    client = Client()
    client.force_login(person("administrator"))
    answer = client.get("/security/").content.decode()
    for check in installation_checks.run_all():
        assert check.level == "ok" or check.remedy or str(check.title).startswith("Django")
    assert "The backup of the keys is not confirmed" in answer


def test_the_backup_of_the_keys_is_asked_for_until_somebody_says_it_is_made_and_again_for_a_new_key(
    settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    tmp_path.chmod(0o700)
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / "one").write_text("first")
    (keys / "one").chmod(0o600)
    client = Client()
    client.force_login(person("administrator"))
    assert "The backup of the keys is not confirmed" in faults()
    client.post("/security/", {"do": "key.backup"})
    assert "The backup of the keys is not confirmed" not in faults()
    assert "first" not in str(AuditEvent.objects.get(action="key.backup").detail)
    (keys / "one").write_text("second")
    assert "The backup of the keys is not confirmed" in faults()


def test_a_key_that_others_can_read_is_told(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o755)
    assert "Other users of this machine" in faults()


def test_people_without_second_factor_and_old_hashes_are_told(settings: Any) -> None:
    settings.HTTPS = True
    person("administrator")
    assert "Administrators without second factor" in faults()
    assert "weak hash" in faults()  # tests hash by MD5


def test_registries_without_tls_are_told() -> None:
    assert "registries" not in faults().lower()
    factories.registry(address="http://plain.test")
    factories.registry(verify_tls=False)
    assert "Registries are reached without TLS" in faults()
    assert "Certificates of registries are not verified" in faults()


def test_credentials_that_no_key_fits_are_told() -> None:
    registry = factories.registry()
    registry.set_password("planted")
    registry.save()
    assert "cannot be read" not in faults()
    type(registry).objects.update(password_token="gAAAAAB-not-a-token")
    assert "Stored credentials cannot be read" in faults()


def test_settings_that_open_too_much_are_told(settings: Any) -> None:
    settings.DEBUG, settings.ALLOWED_HOSTS, settings.AUDIT_DAYS = True, ["*"], 30
    settings.ALLOWED_NETWORKS = ["10.0.0.0/8"]
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID = "http://login.test", "x"
    settings.OIDC_GROUPS = {"administrator": ["*"], "operator": [], "viewer": []}
    settings.TRIVY_DATABASE_PLAIN_HTTP = True
    settings.REDIS_URL = "redis://cache.test/0"
    for words in (
        "Debugging",
        "Any host",
        "trail is short",
        "private networks",
        "Every account",
        "downloaded",
        "Redis",
    ):
        assert words in told(), words


def test_an_address_without_tls_is_told_louder_where_others_use_it(settings: Any) -> None:
    settings.HTTPS, settings.URL = False, "http://tallyman.example.com"
    assert "reached without TLS" in faults()
    settings.URL = "http://127.0.0.1:8000"
    assert "The console is reached without TLS" not in faults()


def manage(*arguments: str, tmp: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "TALLYMAN_DATA": str(tmp / "data"), **environment}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )


def test_djangos_check_for_production_is_clean(tmp_path: Path) -> None:
    answer = manage(
        *("check", "--deploy", "--fail-level", "WARNING"),
        tmp=tmp_path,
        TALLYMAN_URL="https://tallyman.example.com",
        TALLYMAN_BEHIND_PROXY="true",
    )
    assert answer.returncode == 0, answer.stderr
    assert "no issues" in answer.stdout


def test_a_short_secret_key_is_refused_at_start(tmp_path: Path) -> None:
    answer = manage("check", tmp=tmp_path, TALLYMAN_SECRET_KEY="planted-short-key")
    assert answer.returncode != 0
    assert "fewer than 50" in answer.stderr


def test_the_pages_carry_a_policy_without_exceptions() -> None:
    client = Client()
    client.force_login(person("administrator", is_staff=True, is_superuser=True))
    for url in ("/images/", "/registries/", "/account/", "/security/", "/audit/", "/admin/", "/sign-in/", "/nothing/"):
        headers = client.get(url).headers
        policy = headers["Content-Security-Policy"]
        assert "unsafe" not in policy, url
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "same-origin"


def test_a_forged_host_is_refused() -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example"):
        assert Client().get("/sign-in/", headers={"Host": host}).status_code == 400
