"""Who reads from the same registry next finds connection and token there; who must not have them does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from registries import client_pool
from registries.client_pool import CLIENT_KEY_FIELDS, pooled_client
from registries.models import Registry
from registries.oci.errors import CredentialsRefused, RegistryError
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, Status, manifests, root, tokens

pytestmark = pytest.mark.django_db
SAME_TO_READERS = {  # columns that say nothing of where and how manifests and blobs are read
    *("id", "name", "connection", "connection_reason", "connection_remedy", "connection_checked_at"),
    *(
        "refused_login",
        "login_lease_holder",
        "login_lease_until",
        "repositories",
        "last_sync",
        "slow_until",
        "cloud_state",
        "limit",
    ),
    *("created_at", "updated_at", "deleting_at", "nightly_on", "cloud_account"),
    *("repository_patterns", "tag_patterns", "newest_tags", "tag_days"),
}


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry(method="bearer", users={"ada": "right"}) as server:
        images.image({"a": b"a"}).put(server, "team/app", "1.0")
        yield server
    for _key, client in client_pool._idle:
        client.close()
    client_pool._idle.clear()


@pytest.fixture
def registry(fake: FakeRegistry) -> Registry:
    registry = Registry(name="fake", address=fake.url, username="ada")
    registry.set_password("right")
    registry.save()
    return registry


def go_on() -> None:
    """Nothing to stop for."""


def read(registry: Registry) -> None:
    with pooled_client(registry, check=go_on) as client:
        client.manifest("team/app", "1.0")


def asked(fake: FakeRegistry) -> Counter[str]:
    """How often each kind of address was asked since the last look."""
    kinds = {"root": root, "token": tokens, "manifest": manifests}
    found = Counter(name for seen in fake.seen for name, is_kind in kinds.items() if is_kind(seen))  # type: ignore[arg-type]
    fake.seen.clear()
    return found


def test_the_second_who_reads_connects_and_signs_in_no_more(fake: FakeRegistry, registry: Registry) -> None:
    read(registry)
    assert asked(fake) == {"root": 1, "token": 2, "manifest": 1}, "one token to sign in, one for the repository"
    read(Registry.objects.get(pk=registry.pk))
    assert asked(fake) == {"manifest": 1}


def test_two_at_a_time_have_one_each(fake: FakeRegistry, registry: Registry) -> None:
    with pooled_client(registry, check=go_on) as first, pooled_client(registry, check=go_on) as second:
        assert first is not second


def test_another_password_or_address_is_another_client(fake: FakeRegistry, registry: Registry) -> None:
    read(registry)
    registry.set_password("wrong")
    registry.save()
    with pytest.raises(CredentialsRefused):
        read(registry)
    with FakeRegistry() as other:
        registry.address = other.url
        with pytest.raises(RegistryError):
            read(registry)
    assert asked(fake)["manifest"] == 1


def test_one_that_failed_is_kept_no_longer(fake: FakeRegistry, registry: Registry) -> None:
    read(registry)
    fake.fail(manifests, Status(404), times=1)
    with pytest.raises(RegistryError):
        read(registry)
    asked(fake)
    read(registry)
    assert asked(fake)["token"] == 2


def test_the_check_is_that_of_whoever_uses_it(fake: FakeRegistry, registry: Registry) -> None:
    def stop() -> None:
        raise InterruptedError

    read(registry)
    with pytest.raises(InterruptedError), pooled_client(registry, check=stop) as client:
        client.manifest("team/app", "1.0")


def test_one_that_nobody_uses_is_closed_after_a_while(
    fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(registry)
    monkeypatch.setattr(client_pool, "MAX_IDLE_SECONDS", -1)
    read(registry)
    assert asked(fake)["token"] == 4
    assert not client_pool._idle


def test_no_more_are_kept_than_some(fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_pool, "MAX_IDLE_CLIENTS", 1)
    with pooled_client(registry, check=go_on), pooled_client(registry, check=go_on):
        pass
    assert len(client_pool._idle) == 1


def test_every_column_is_known_to_matter_to_readers_or_not() -> None:
    columns = {field.name for field in Registry._meta.concrete_fields}
    through_the_address = {"address", "verify_tls", "ca_bundle"}
    told = {*CLIENT_KEY_FIELDS} | through_the_address | SAME_TO_READERS
    assert columns == told, "does a new column change how a registry is read? Then it belongs into READ_BY"
