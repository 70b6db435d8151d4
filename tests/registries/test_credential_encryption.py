"""Credentials at rest, and the rotation of their keys."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from registries import credential_encryption
from registries.models import Registry

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data_folder(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def add_registry(name: str = "plain", password: str = "hunter2-ünïcode") -> Registry:
    registry = Registry(name=name, address="https://registry.example")
    registry.set_password(password)
    registry.save()
    return registry


def test_the_password_comes_back_and_the_database_never_holds_it() -> None:
    registry = add_registry()
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM registries_registry")
        assert "hunter2" not in str(cursor.fetchall())
    assert Registry.objects.get(pk=registry.pk).reveal_password() == "hunter2-ünïcode"


def test_the_key_file_is_readable_by_its_owner_only() -> None:
    credential_encryption.encrypt("x")
    call_command("rotate_keys")
    assert stat.S_IMODE(credential_encryption.key_file().stat().st_mode) == 0o600


def test_an_empty_password_removes_the_stored_one() -> None:
    registry = add_registry()
    registry.set_password("")
    assert not registry.has_password
    assert registry.reveal_password() == ""


def test_rotation_encrypts_every_password_anew_and_the_old_key_opens_nothing() -> None:
    registries = [add_registry(f"r{number}", f"password-{number}") for number in range(3)]
    add_registry("open", "")
    old_keys, old_tokens = credential_encryption.read_keys(), {registry.password_token for registry in registries}
    call_command("rotate_keys")
    assert not set(old_keys) & set(credential_encryption.read_keys())
    for number, registry in enumerate(registries):
        registry.refresh_from_db()
        assert registry.password_token not in old_tokens
        assert registry.reveal_password() == f"password-{number}"
        with pytest.raises(InvalidToken):
            Fernet(old_keys[0]).decrypt(registry.password_token.encode())
    assert Registry.objects.get(name="open").password_token == ""


def test_a_running_process_follows_a_rotation_at_once() -> None:
    registry = add_registry()
    credential_encryption.decrypt(registry.password_token)  # this process has its cipher made
    call_command("rotate_keys")
    registry.refresh_from_db()
    assert registry.reveal_password() == "hunter2-ünïcode"


def test_rotation_can_keep_the_old_keys() -> None:
    token = add_registry().password_token
    call_command("rotate_keys", "--keep-old")
    assert len(credential_encryption.read_keys()) == 2
    assert credential_encryption.decrypt(token) == "hunter2-ünïcode"


def test_a_password_whose_key_is_lost_is_named_and_no_key_is_thrown_away() -> None:
    add_registry("good")
    Registry.objects.filter(pk=add_registry("lost").pk).update(
        password_token=Fernet(Fernet.generate_key()).encrypt(b"x").decode()
    )
    before = credential_encryption.read_keys()
    with pytest.raises(CommandError, match="lost"):
        call_command("rotate_keys")
    assert set(before) < set(credential_encryption.read_keys())
    assert Registry.objects.get(name="good").reveal_password() == "hunter2-ünïcode"
    with pytest.raises(credential_encryption.SecretUnreadableError):
        Registry.objects.get(name="lost").reveal_password()


def test_refused_credentials_are_not_tried_again_until_they_change() -> None:
    registry = add_registry()
    registry.record_connection(state=Registry.Connection.REFUSED, reason="No.")
    registry.refresh_from_db()
    assert registry.credentials_refused
    registry.set_password("another")
    assert not registry.credentials_refused
