"""The form "Add image repository"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from registries.connectors import DECLARATIONS
from registries.forms.registry import RegistryForm
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
    assert filled(type="rubbish").errors["type"] == ["Choose one of the options."]


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
    assert form.errors == {"password": ["It would be sent to another address than before. Type “Password” again."]}
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
    typed = " team/app \n\n/library/alpine/\nteam/app\r\nteam/web:1.*\nregistry.example.com/team/api:2"
    registry = filled(repositories=typed).save()
    assert registry.repositories == "team/app\nlibrary/alpine\nteam/web:1.*\nregistry.example.com/team/api:2"
    for wrong in ("host.example:5000/app", "a b", "x" * 300, "team/app@sha256:0"):
        assert wrong[:20] in filled(repositories=f"good\n{wrong}").errors["repositories"][0]
        assert "Line 2" in filled(repositories=f"good\n{wrong}").errors["repositories"][0]


# what else each type wants to be complete
COMPLETE: dict[str, dict[str, str]] = {
    "harbor": {"version": "v2"},
    "quay": {},
    "jfrog": {},
    "aws": {
        "address": "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        "username": "AKIAEXAMPLE",
        "password": "secret",
    },
    "tcr": {"address": "https://acme.tencentcloudcr.com", "username": "AKIDexample", "password": "secret"},
    "ccr": {"address": "https://hkccr.ccs.tencentyun.com", "username": "AKIDexample", "password": "secret"},
    "dockerhub": {},
    "ghcr": {"address": "https://ghcr.io", "username": "ann", "password": "secret"},
    "gitlab": {},
    "acr": {"address": "https://acme.azurecr.io", "username": "app-id", "password": "secret"},
    "gar": {"address": "https://europe-west3-docker.pkg.dev", "username": "_json_key", "password": "secret"},
    "alibaba": {"username": "ann", "password": "secret", "repositories": "team/app"},
    "swr": {"username": "cn-north-4@AK", "password": "secret", "repositories": "team/app"},
    "ocir": {"username": "ns/ann", "password": "secret", "repositories": "ns/app"},
    "docean": {"username": "ann", "password": "secret"},
    "nexus": {},
    "gitea": {},
    "zot": {},
    "oci": {},
}


def typed(kind: str, **changes: Any) -> RegistryForm:
    return filled(type=kind, **{**COMPLETE[kind], **changes})


@pytest.mark.parametrize("kind", DECLARATIONS)
def test_each_type_shows_what_it_declares_and_saves_it(kind: str) -> None:
    form = typed(kind)
    declared = DECLARATIONS[kind]
    assert set(declared.fields) <= set(form.fields)
    assert ("version" in form.fields) == bool(declared.versions)
    assert not {"pull_username", "role", "endpoint", "repositories"} - set(declared.fields) & set(form.fields)
    assert not form.errors
    registry = form.save()
    assert (registry.type, registry.connection) == (kind, "unknown")


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind, each in DECLARATIONS.items() for field in sorted(each.required)]
)
def test_what_a_type_requires_is_asked_for_by_its_own_name(kind: str, field: str) -> None:
    form = typed(kind, **{field: ""})
    assert form.errors[field] == [f"Fill in “{form.fields[field].label}”."]


def test_fields_are_called_as_the_vendor_calls_them() -> None:
    labels = {kind: {name: str(field.label) for name, field in typed(kind).fields.items()} for kind in DECLARATIONS}
    assert (labels["aws"]["username"], labels["aws"]["password"]) == ("Access key ID", "Secret access key")
    assert (labels["tcr"]["username"], labels["ccr"]["password"]) == ("SecretId", "SecretKey")
    assert labels["ccr"]["pull_password"] == "Registry password"
    assert labels["oci"]["username"] == "Username"


def test_a_token_stands_alone_where_the_vendor_has_such_tokens() -> None:
    registry = typed("quay", password="oauth-token").save()
    assert (registry.username, registry.reveal_password()) == ("", "oauth-token")
    assert "username" in typed("harbor", password="secret").errors


def test_the_pair_for_pulling_is_stored_apart_and_encrypted() -> None:
    registry = typed("ccr", pull_username="100012345678", pull_password="docker-secret").save()
    registry.refresh_from_db()
    assert (registry.reveal_password(), registry.reveal_pull_password()) == ("secret", "docker-secret")
    assert "docker-secret" not in registry.pull_password_token
    assert "pull_username" in typed("ccr", name="two", pull_password="docker-secret").errors


def test_what_another_type_had_is_not_kept() -> None:
    registry = typed("ccr", pull_username="1000", pull_password="docker-secret").save()
    changed = filled(registry, type="oci", username="robot", password="new").save()
    assert (changed.pull_username, changed.has_pull_password, changed.region) == ("", False, "")


def test_another_type_wants_the_password_again() -> None:
    assert "password" in filled(stored(), type="quay", username="robot").errors


def test_less_checking_of_certificates_wants_the_password_again() -> None:
    public, _private = certificate()
    registry = stored()
    assert "password" in filled(registry, username="robot", verify_tls="").errors
    assert "password" in filled(registry, username="robot", ca_bundle=public).errors
    assert filled(registry, username="robot", verify_tls="", password="new").is_valid()
    off = stored(name="off", verify_tls=False)
    assert filled(off, name="off", username="robot").is_valid()


def test_another_endpoint_wants_both_secrets_again() -> None:
    registry = typed("ccr", pull_username="1000", pull_password="docker-secret").save()
    values = {"type": "ccr", **COMPLETE["ccr"], "password": "", "pull_username": "1000"}
    form = filled(registry, **values, endpoint="https://tcr.evil.example")
    assert set(form.errors) == {"password", "pull_password"}
    assert filled(Registry.objects.get(), **values).is_valid()


def test_the_region_comes_from_the_address_and_must_fit_it() -> None:
    assert typed("aws").save().region == "eu-central-1"
    assert typed("aws", name="two", region="eu-central-1").is_valid()
    assert typed("aws", name="two", region="us-east-1").errors["region"] == ["The address is in eu-central-1."]
    assert typed("ccr", name="two").save().region == "ap-hongkong"
    stand_in = {"address": "https://localhost.example:4566", "endpoint": "https://localhost.example:4566"}
    assert typed("aws", name="three", **stand_in).errors["region"] == [
        "The address does not contain a region. Choose one."
    ]
    assert typed("aws", name="three", **stand_in, region="us-gov-west-1").is_valid()


@pytest.mark.parametrize(
    ("kind", "pasted", "kept"),
    [
        ("harbor", "https://harbor.example.com/harbor/projects/3/repositories", "https://harbor.example.com"),
        ("harbor", "harbor.example.com:8443/api", "https://harbor.example.com:8443"),
        ("quay", "https://quay.io/organization/acme", "https://quay.io"),
        ("quay", "https://quay.io/repository/acme/app", "https://quay.io"),
        ("jfrog", "https://acme.jfrog.io/ui/packages", "https://acme.jfrog.io"),
        ("jfrog", "https://host.example/artifactory/", "https://host.example/artifactory"),
        (
            "aws",
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "https://123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
        ),
        (
            "aws",
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            "https://123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
        ),
        ("ccr", "ccr.ccs.tencentyun.com", "https://ccr.ccs.tencentyun.com"),
        ("oci", "https://host.example/harbor/projects", "https://host.example/harbor/projects"),
    ],
)
def test_what_people_paste_becomes_the_address(kind: str, pasted: str, kept: str) -> None:
    form = typed(kind, address=pasted)
    assert not form.errors
    assert form.cleaned_data["address"] == form.save().address == kept


@pytest.mark.parametrize(
    ("kind", "address", "message"),
    [
        ("quay", "https://quay.io/v1x", "Leave out “/v1x”"),
        ("aws", "https://registry.example.com", "123456789012.dkr.ecr"),
        ("aws", "https://public.ecr.aws", "type OCI"),
        ("aws", "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example", "123456789012.dkr.ecr"),
        ("tcr", "https://acme.tencentcloudcr.com/team", "Leave out “/team”"),
        ("ccr", "https://ccr.ccs.tencentyun.com.evil.example", "ccr.ccs.tencentyun.com"),
        ("oci", "https://169.254.169.254", "is an address of this machine"),
    ],
)
def test_an_address_that_cannot_be_of_the_type_is_told(kind: str, address: str, message: str) -> None:
    assert message in typed(kind, address=address).errors["address"][0]


def test_a_role_is_an_arn() -> None:
    assert "arn:aws:iam" in typed("aws", role="tallyman").errors["role"][0]
    assert typed("aws", role="arn:aws-cn:iam::123456789012:role/team/tallyman").is_valid()


def test_a_secret_with_a_line_break_is_told() -> None:
    assert "line break" in filled(username="robot", password="abc\r\nX: y").errors["password"][0]


def test_changed_access_makes_the_connection_untested() -> None:
    registry = stored(connection="connected")
    assert filled(registry, username="robot", name="renamed").save().connection == "connected"
    assert filled(registry, username="robot", password="new").save().connection == "unknown"


def test_a_refused_password_stays_refused_until_it_is_changed() -> None:
    registry = stored(verify_tls=False)
    registry.record_connection(state="refused", reason="No.", remedy="Type it again.")
    assert filled(registry, username="robot").save().credentials_refused
    registry = Registry.objects.get()
    assert (registry.connection, registry.connection_reason) == ("refused", "No.")
    retyped = filled(registry, username="robot", password="s3cret").save()
    assert not retyped.credentials_refused
    assert (retyped.connection, retyped.refused_login) == ("unknown", "")
