"""The form "Add image repository"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from registries.forms import RegistryForm
from registries.models import Registry

pytestmark = pytest.mark.django_db


def filled(instance: Registry | None = None, **changes: Any) -> RegistryForm:
    values = {"name": "lab", "type": "oci", "network": "public", "address": "https://registry.example.com"}
    return RegistryForm({**values, "verify_tls": "on", **changes}, instance=instance or Registry())


def stored(**fields: Any) -> Registry:
    registry = Registry(**{"name": "lab", "address": "https://registry.example.com", "username": "robot", **fields})
    registry.set_password("s3cret")
    registry.save()
    return registry


def certificate() -> tuple[str, str]:
    """A self-signed certificate and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Lab CA")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def test_name_and_address_are_enough() -> None:
    registry = filled().save()
    assert (registry.name, registry.address, registry.limit, registry.verify_tls) == (
        "lab",
        "https://registry.example.com",
        None,
        True,
    )
    assert not registry.has_password


def test_a_name_is_used_once_in_upper_or_lower_case() -> None:
    stored()
    form = filled(name=" LAB ")
    assert form.errors == {"name": ["Another registry has this name."]}


def test_a_registry_keeps_its_own_name() -> None:
    registry = stored()
    assert filled(registry, name="Lab", username="robot").is_valid()


def test_only_types_that_work_are_offered() -> None:
    assert [value for value, _label in filled().fields["type"].choices] == [*Registry.Type.values]  # type: ignore[attr-defined]
    assert filled(type="rubbish").errors["type"] == ["Choose one of those offered."]


def test_the_limit_is_one_of_those_offered() -> None:
    assert filled(limit="20").save().limit == 20
    assert "limit" in filled(limit="21").errors


def test_the_password_is_stored_encrypted_and_never_shown() -> None:
    registry = filled(username="robot", password=" pass word ").save()
    registry.refresh_from_db()
    assert registry.reveal_password() == " pass word "
    assert "pass word" not in registry.password_token
    html = RegistryForm(instance=registry).as_p()
    assert "pass word" not in html
    assert registry.password_token not in html


def test_an_empty_password_keeps_the_stored_one() -> None:
    registry = filled(stored(), username="robot").save()
    assert registry.reveal_password() == "s3cret"


def test_removing_the_username_removes_the_password() -> None:
    assert not filled(stored(), username="").save().has_password


def test_a_password_needs_a_username() -> None:
    assert "username" in filled(password="s3cret").errors


@pytest.mark.parametrize(
    "address",
    ["https://evil.example", "https://registry.example.com:5000", "https://registry.example.com.evil.example"],
)
def test_a_stored_password_does_not_follow_to_another_host(address: str) -> None:
    registry = stored()
    form = filled(registry, username="robot", address=address)
    assert "Type the password again" in form.errors["password"][0]
    assert filled(registry, username="robot", address=address, password="new").is_valid()


def test_a_stored_password_does_not_follow_to_plain_http(settings: Any) -> None:
    settings.PLAIN_HTTP_HOSTS = ["registry.example.com"]
    assert "password" in filled(stored(), username="robot", address="http://registry.example.com").errors


def test_another_prefix_of_the_same_host_keeps_the_password() -> None:
    registry = filled(stored(), username="robot", address="https://registry.example.com/team").save()
    assert registry.reveal_password() == "s3cret"


def test_a_bundle_must_hold_certificates() -> None:
    public, private = certificate()
    assert filled(ca_bundle=f"My CA\n{public}\n{public}").is_valid()
    assert "No certificate" in filled(ca_bundle="hello").errors["ca_bundle"][0]
    assert "No certificate" in filled(ca_bundle=public.replace("A", "!")).errors["ca_bundle"][0]
    assert "private key" in filled(ca_bundle=public + private).errors["ca_bundle"][0]
    assert "too long" in filled(ca_bundle=public * 500).errors["ca_bundle"][0]


def test_the_fixed_list_is_one_repository_a_line() -> None:
    registry = filled(repositories=" team/app \n\n/library/alpine/\nteam/app\r\n").save()
    assert registry.repositories == "team/app\nlibrary/alpine"
    for wrong in ("team/app:1.0", "host.example:5000/app", "Team/App", "a b", "x" * 300):
        assert wrong[:20] in filled(repositories=wrong).errors["repositories"][0]


def test_changed_access_makes_the_connection_untested() -> None:
    registry = stored(connection="connected")
    assert filled(registry, username="robot", name="renamed").save().connection == "connected"
    assert filled(registry, username="robot", password="new").save().connection == "unknown"
