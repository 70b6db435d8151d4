"""Secrets are planted where the console holds or meets them; then everything that it wrote or said is searched."""

from __future__ import annotations

import base64
import logging
import sqlite3
import traceback
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from openpyxl import load_workbook

from console.models import AuditEvent
from console.sandbox import run as sandbox_run
from inventory.models import Tag
from registries import credential_encryption
from registries.clients import open_client
from registries.models import CloudAccount, Registry
from registries.oci.errors import RegistryError
from scanning.models import SecretFinding
from tests.fakes import images
from tests.fakes.registry import FakeRegistry
from tests.people import PASSWORD, person
from tests.scanning.conftest import scan, sync, vulnerability_database  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]

USER = "robot"
CREDENTIAL = "planted-registry-password-7Yx2"
PULLING = "planted-pull-password-9Kd4"
CLOUD = "planted-cloud-secret-key-3Wq8"
TYPED = "planted-wrong-sign-in-5Rt1"
TOKEN = "ghp_" + "x7Kq9ZrT2mWvB4nYcH8sLdF1gJpE6uA3oQiR"
KEY = "AKIA" + "Z3MSBG7QWERTY5PL"
CANARIES = (CREDENTIAL, PULLING, CLOUD, TYPED, TOKEN, KEY, PASSWORD)


def forms(text: str) -> tuple[bytes, ...]:
    """The ways in which a secret may be written."""
    pair = base64.b64encode(f"{USER}:{text}".encode())
    return text.encode(), base64.b64encode(text.encode()).rstrip(b"="), pair.rstrip(b"="), text.encode().hex().encode()


def leaks(where: str, content: bytes | str) -> set[str]:
    data = content.encode() if isinstance(content, str) else content
    return {f"{text[:12]}… in {where}" for text in CANARIES if any(form in data for form in forms(text))}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """Arguments and environment of every child process."""
    seen: list[tuple[list[str], dict[str, str]]] = []
    real = sandbox_run.subprocess.Popen

    def popen(argv: Any, *args: Any, **options: Any) -> Any:
        seen.append(([str(word) for word in argv], dict(options.get("env") or {})))
        return real(argv, *args, **options)

    monkeypatch.setattr(sandbox_run.subprocess, "Popen", popen)
    return seen


@pytest.fixture
def lived(caplog: pytest.LogCaptureFixture) -> Iterator[Registry]:
    """A console that has done all it does with secrets: signed in, pulled, scanned, failed, was edited and rotated."""
    caplog.set_level(logging.DEBUG)
    image = images.image(
        {"etc/os-release": b"ID=debian\nVERSION_ID=12\n"},
        {"app/.env": f"GITHUB_TOKEN={TOKEN}\nAWS_ACCESS_KEY_ID={KEY}\n".encode()},
    )
    with FakeRegistry(method="bearer", users={USER: CREDENTIAL}) as fake:
        image.put(fake, "team/app", "1.0")
        administrator = Client()
        person("administrator", username="boss", is_staff=True, is_superuser=True)
        administrator.post("/sign-in/", {"username": "boss", "password": TYPED})
        assert administrator.post("/sign-in/", {"username": "boss", "password": PASSWORD}).status_code == 302
        form = {"name": "lab", "type": "oci", "address": fake.url, "username": USER, "network": "public"}
        answer = administrator.post("/registries/add/", form | {"password": CREDENTIAL, "verify_tls": "on"})
        assert answer.status_code == 302, answer.content
        registry = Registry.objects.get()
        registry.set_pull_password(PULLING)
        registry.save()
        account = CloudAccount(name="cloud", secret_id="AKIDPLANTED")
        account.set_secret_key(CLOUD)
        account.save()
        assert sync(registry).state == "succeeded"
        scanned = scan(Tag.objects.get())
        assert scanned.state == "succeeded", (scanned.reason, scanned.remedy)
        url = f"/registries/{registry.pk}/edit/"
        administrator.post(url, form | {"address": "https://elsewhere.test", "password": CREDENTIAL, "limit": "7"})
        administrator.post(url, form | {"name": "", "password": CREDENTIAL})
        call_command("rotate_keys")
        registry.refresh_from_db()
        registry.set_password("not-the-password")
        with pytest.raises(RegistryError), open_client(registry) as client:
            client.ping()
        yield registry


def pages(client: Client, registry: Registry) -> Iterator[tuple[str, bytes]]:
    """Every page, fragment, page of Django admin and export that has to do with what was planted."""
    tag = Tag.objects.get().pk
    account = CloudAccount.objects.get().pk
    urls = ["/images/", f"/images/{tag}/", "/registries/", f"/registries/{registry.pk}/", "/registries/syncs/"]
    urls += [f"/registries/{registry.pk}/edit/", f"/registries/tencent/{account}/", "/registries/tencent/"]
    urls += ["/scans/runs/", "/scans/engines/", "/audit/", "/security/", "/account/"]
    urls += [
        f"/scans/images/{tag}/{tab}/" for tab in ("vulnerabilities", "malware", "sensitive", "packages", "history")
    ]
    urls += [f"/admin/registries/registry/{registry.pk}/change/", f"/admin/registries/cloudaccount/{account}/change/"]
    urls += ["/admin/registries/registry/", "/admin/scanning/secretfinding/", "/admin/console/auditevent/"]
    urls += [f"/admin/scanning/secretfinding/{row.pk}/change/" for row in SecretFinding.objects.all()]
    urls += [f"/admin/console/auditevent/{row.pk}/change/" for row in AuditEvent.objects.all()]
    for url in urls:
        answer = client.get(url)
        assert answer.status_code == 200, url
        yield url, answer.content
    for name in ("inventory:image-export", "registries:registry-export", "console:audit-export"):
        answer = client.post(reverse(name), {"all": "1", "view": ""})
        if answer.status_code == 200:
            book = load_workbook(BytesIO(answer.getvalue()))
            yield name, "\n".join(str(row) for sheet in book for row in sheet.values).encode()


def test_no_secret_is_in_anything_that_the_console_wrote_or_said(
    started: list[tuple[list[str], dict[str, str]]], lived: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    found: set[str] = set()
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        dump = "\n".join(sqlite3.connect(connection.settings_dict["NAME"]).iterdump())
        assert "planted-and-not-secret" not in dump
        assert "lab" in dump
        found |= leaks("a dump of the database", dump)
    files = [path for path in Path(settings.DATA_DIR).rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        found |= leaks(str(path), path.read_bytes())
    formatter = logging.Formatter("%(name)s %(message)s")
    log = "\n".join(formatter.format(record) for record in caplog.get_records("setup"))
    assert "console.audit.trail audit registry.add" in log
    found |= leaks("the log", log)
    assert len(started) > 0
    for argv, environment in started:
        found |= leaks("arguments of a child", " ".join(argv)) | leaks("environment of a child", str(environment))
    client = Client()
    client.post("/sign-in/", {"username": "boss", "password": PASSWORD})
    looked = 0
    for url, content in pages(client, lived):
        looked += 1
        found |= leaks(url, content)
    assert looked > 25
    assert not found, "\n".join(sorted(found))


def test_found_secrets_show_little_of_themselves(lived: Registry) -> None:
    rows = list(SecretFinding.objects.all())
    assert len(rows) == 2
    for row in rows:
        for secret in (TOKEN, KEY):
            assert not [at for at in range(len(secret) - 8) if secret[at : at + 8] in row.masked]
        assert len(row.fingerprint) == 64


def test_no_traceback_and_no_error_names_a_credential(lived: Registry, settings: Any) -> None:
    lived.set_password(CREDENTIAL)
    lived.save()
    said = []
    for address in ("http://127.0.0.1:9", "https://127.0.0.1:9", "http://169.254.169.254", "http://127.0.0.1:1/v2"):
        lived.address = address
        try:
            with open_client(lived) as client:
                client.ping()
        except Exception:
            said.append(traceback.format_exc())
    assert len(said) == 4
    assert not leaks("a traceback", "".join(said))
    assert not leaks("the text of a row", f"{lived!r}{lived}{vars(lived)}{CloudAccount.objects.get()!r}")


def test_after_a_rotation_the_old_keys_open_nothing(lived: Registry) -> None:
    old = credential_encryption.read_keys()
    lived.set_password(CREDENTIAL)
    lived.save()
    call_command("rotate_keys")
    lived.refresh_from_db()
    assert set(old).isdisjoint(credential_encryption.read_keys())
    assert lived.reveal_password() == CREDENTIAL
    with pytest.raises(Exception, match=""):
        credential_encryption.cipher_of(tuple(old)).decrypt(lived.password_token.encode())
