"""One refused password stops every use of the account: wrong logins are counted at the registries themselves."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now

from console import visibility
from registries import client_pool
from registries.client_pool import pooled_client
from registries.clients import endpoint_of, open_client
from registries.connection_test.diagnose import StepResult, diagnose
from registries.login_guard import StoredLoginGuard, clear_outdated_refusals
from registries.models import CloudAccount, Registry
from registries.models.registry import IS_REFUSED
from registries.oci.client import DistributionClient
from registries.oci.errors import CredentialsChanged, CredentialsRefused, RegistryError, Unreachable
from tests.fakes import images
from tests.fakes.ecr import Ecr
from tests.fakes.harbor import FakeHarbor
from tests.fakes.harbor_content import user
from tests.fakes.jfrog import AcceptedLogins, FakeArtifactory
from tests.fakes.quay import FakeQuay, OAuthToken
from tests.fakes.registry import Challenge, FakeRegistry, manifests, root, silence
from tests.fakes.tencent import FakeInstance, FakeTencent
from tests.registries.connectors.test_ecr import moto
from tests.registries.connectors.test_ecr import row as ecr
from tests.registries.connectors.test_ecr import server as aws
from tests.registries.connectors.test_tencent import tcr

__all__ = ["aws", "moto"]

pytestmark = pytest.mark.django_db(transaction=True)

USERS = {"ada": "right"}
THREADS = 12
AT_MOST = 2  # wrong logins after a change of the password, whoever sends them


@pytest.fixture(autouse=True)
def _no_client_is_kept() -> Iterator[None]:
    yield
    for _key, client in client_pool._idle:
        client.close()
    client_pool._idle.clear()


@pytest.fixture
def serve() -> Iterator[Callable[..., Any]]:
    with ExitStack() as stack:
        yield lambda make, **options: stack.enter_context(make(**options))


def stored(server: FakeRegistry, *, password: str = "right", **values: Any) -> Registry:
    defaults = {"name": f"r{Registry.objects.count()}", "address": server.url, "username": "ada"}
    registry = Registry(**defaults | values)
    registry.set_password(password)
    registry.save()
    return registry


def wrong_logins(server: FakeRegistry) -> int:
    """How many requests have brought a user name with a password that is not right now."""
    sent = [each.headers.get("authorization", "") for each in tuple(server.seen)]
    return sum(each.lower().startswith("basic") and server.sign_in.check_basic(each) is None for each in sent)


def at_once(work: Callable[[int], None], *, threads: int = THREADS, calls: int = THREADS) -> list[str]:
    """Do ``work`` in ``threads`` threads, ``calls`` times in all; return what it raised, by name of the class."""

    def one(number: int) -> str:
        try:
            work(number)
        except RegistryError as error:
            return type(error).__name__
        finally:
            connection.close()
        return ""

    with visibility.ThreadPool(threads) as pool:
        return list(pool.map(one, range(calls)))


def as_scans_do(registry: Registry) -> Callable[[int], None]:
    def read(number: int) -> None:
        fresh = Registry.objects.get(pk=registry.pk)
        with pooled_client(fresh, check=lambda: None) as client:
            client.manifest(f"team/app-{number}", "1")

    return read


def as_syncs_do(registry: Registry) -> Callable[[int], None]:
    def sync(_number: int) -> None:
        with open_client(Registry.objects.get(pk=registry.pk)) as client:
            client.ping()
            list(client.repositories())

    return sync


@pytest.mark.parametrize("method", ["basic", "bearer"])
@pytest.mark.parametrize("use", [as_scans_do, as_syncs_do])
def test_of_many_threads_with_a_wrong_password_one_sends_it(
    serve: Callable[..., Any], method: str, use: Callable[[Registry], Callable[[int], None]]
) -> None:
    server = serve(FakeRegistry, method=method, users=USERS)
    registry = stored(server, password="wrong")
    assert set(at_once(use(registry))) == {"CredentialsRefused"}
    assert wrong_logins(server) == 1
    registry.refresh_from_db()
    assert registry.credentials_refused
    assert registry.connection == Registry.Connection.REFUSED
    assert (registry.login_lease_holder, registry.login_lease_until) == ("", None)


@pytest.mark.parametrize("method", ["basic", "bearer"])
def test_a_password_that_the_registry_changes_meanwhile_is_sent_twice_at_most(
    serve: Callable[..., Any], method: str
) -> None:
    server = serve(FakeRegistry, method=method, users=dict(USERS), token_seconds=1)
    for number in range(THREADS):
        images.image({"a": str(number).encode()}).put(server, f"team/app-{number}", "1")
    registry = stored(server)
    assert set(at_once(as_scans_do(registry), threads=4)) == {""}
    assert len(client_pool._idle) > 1, "clients that have signed in before"
    server.sign_in.users = {"ada": "another"}
    server.seen.clear()
    assert set(at_once(as_scans_do(registry), calls=30)) == {"CredentialsRefused"}
    assert 1 <= wrong_logins(server) <= AT_MOST


def test_a_password_that_changes_in_the_middle_of_a_scan_stops_the_others(serve: Callable[..., Any]) -> None:
    server = serve(FakeRegistry, method="basic", users=dict(USERS))
    images.image({"a": b"a"}).put(server, "team/app-0", "1")
    registry = stored(server)
    with pooled_client(registry, check=lambda: None) as client:
        client.manifest("team/app-0", "1")
        server.sign_in.users = {"ada": "another"}
        server.seen.clear()
        with pytest.raises(CredentialsRefused):
            client.manifest("team/app-0", "1")
    assert set(at_once(as_scans_do(registry))) == {"CredentialsRefused"}
    assert wrong_logins(server) <= AT_MOST


def test_right_passwords_are_sent_by_many(serve: Callable[..., Any]) -> None:
    server = serve(FakeRegistry, method="bearer", users=USERS)
    for number in range(THREADS):
        images.image({"a": str(number).encode()}).put(server, f"team/app-{number}", "1")
    registry = stored(server)
    assert set(at_once(as_scans_do(registry))) == {""}
    registry.refresh_from_db()
    assert (registry.login_lease_holder, registry.login_lease_until) == ("", None)


# --- other types --------------------------------------------------------------------------------------------------
def keys_sent(server: FakeRegistry, key: str) -> int:
    """How many requests have brought ``key`` in any header, as it is or in a Basic login."""
    return sum(key in _plain(value) for each in tuple(server.seen) for value in each.headers.values())


def _plain(value: str) -> str:
    try:
        return base64.b64decode(value.partition(" ")[2], validate=True).decode() + value
    except (binascii.Error, ValueError):
        return value


OTHERS: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, Any]]] = {
    "harbor v2": (FakeHarbor, {"accounts": {"ada": user("right")}}, {"type": "harbor", "version": "v2"}),
    "harbor v1": (
        FakeHarbor,
        {"accounts": {"ada": user("right")}, "version": "1.10.19"},
        {"type": "harbor", "version": "v1"},
    ),
    "quay": (FakeQuay, {"users": USERS}, {"type": "quay"}),
    "quay token": (FakeQuay, {"tokens": {"T" * 40: OAuthToken("ada")}}, {"type": "quay", "username": ""}),
    "jfrog": (FakeArtifactory, {"login": AcceptedLogins(users=dict(USERS))}, {"type": "jfrog"}),
    "jfrog token": (FakeArtifactory, {"login": AcceptedLogins(users=dict(USERS))}, {"type": "jfrog", "username": ""}),
    "jfrog key": (FakeArtifactory, {"login": AcceptedLogins(users=dict(USERS))}, {"type": "jfrog", "username": ""}),
    "token": (FakeRegistry, {"method": "bearer", "users": USERS}, {"username": ""}),
}


@pytest.mark.parametrize("use", [as_scans_do, as_syncs_do])
@pytest.mark.parametrize("kind", OTHERS)
def test_wrong_credentials_of_every_type_are_sent_twice_at_most(
    serve: Callable[..., Any], kind: str, use: Callable[[Registry], Callable[[int], None]]
) -> None:
    make, options, values = OTHERS[kind]
    server = serve(make, **options)
    wrong = "AKCp8wrong" if kind == "jfrog key" else "wr0ng" * 4
    registry = stored(server, password=wrong, **values)
    assert set(at_once(use(registry))) == {"CredentialsRefused"}
    assert 1 <= keys_sent(server, wrong) <= AT_MOST
    registry.refresh_from_db()
    assert registry.credentials_refused


@pytest.mark.parametrize("use", [as_scans_do, as_syncs_do])
def test_a_wrong_key_of_aws_is_sent_twice_at_most(aws: Ecr, use: Callable[[Registry], Callable[[int], None]]) -> None:
    registry = ecr(aws, secret="wrong")
    registry.save()
    assert set(at_once(use(registry))) == {"CredentialsRefused"}
    assert 1 <= len(aws.calls) <= AT_MOST
    assert not [each for each in aws.docker.seen if "authorization" in each.headers]


@pytest.mark.parametrize("use", [as_scans_do, as_syncs_do])
def test_a_wrong_key_of_tencent_is_sent_twice_at_most_by_all_registries_of_the_account(
    serve: Callable[..., Any], use: Callable[[Registry], Callable[[int], None]]
) -> None:
    server = serve(FakeTencent, instances=(FakeInstance("tcr-1", "acme"),))
    account = CloudAccount(name="cloud", secret_id=tcr(server).username)
    account.set_secret_key("wrong")
    account.save()
    rows = []
    for number in range(3):
        registry = tcr(server, name=f"tcr-{number}", cloud_account=account)
        registry.set_password("wrong")
        registry.save()
        rows.append(use(registry))
    assert set(at_once(lambda number: rows[number % 3](number))) == {"CredentialsRefused"}
    assert 1 <= len([each for each in server.seen if each.headers.get("x-tc-action")]) <= AT_MOST
    assert Registry.objects.filter(IS_REFUSED).count() == 3
    account.refresh_from_db()
    assert account.credentials_refused


# --- who shares an account, what lifts it -------------------------------------------------------------------------
def test_registries_of_one_account_are_stopped_together_and_others_are_not(serve: Callable[..., Any]) -> None:
    server = serve(FakeRegistry, method="bearer", users={"ada": "right", "bob": "wrong"})
    refused = stored(server, password="wrong")
    same = stored(server, password="wrong", address=f"{server.url}/prefix")
    typed_right = stored(server)
    other = stored(server, password="wrong", username="bob")
    elsewhere = stored(server, password="wrong", address="https://elsewhere.test")
    with pytest.raises(CredentialsRefused), open_client(refused) as client:
        client.ping()
    assert set(Registry.objects.filter(IS_REFUSED)) == {refused, same}
    with open_client(typed_right) as client:
        client.ping()
    with open_client(other) as client:
        client.ping()
    assert not elsewhere.credentials_refused


def test_an_edit_lifts_it_and_who_uses_the_old_password_sends_it_no_more(serve: Callable[..., Any]) -> None:
    server = serve(FakeRegistry, method="bearer", users=USERS)
    registry = stored(server, password="wrong")
    old = Registry.objects.get(pk=registry.pk)
    with pytest.raises(CredentialsRefused), open_client(registry) as client:
        client.ping()
    registry.set_password("right")
    registry.save()
    assert not registry.credentials_refused
    server.seen.clear()
    with pytest.raises(CredentialsChanged), open_client(old) as client:
        client.ping()
    assert wrong_logins(server) == 0
    with open_client(registry) as client:
        client.ping()
    assert Registry.objects.filter(IS_REFUSED).exists()
    clear_outdated_refusals()
    assert not Registry.objects.filter(IS_REFUSED).exists()


def test_a_late_refusal_of_the_old_password_is_not_said_of_the_new_one(serve: Callable[..., Any]) -> None:
    server = serve(FakeRegistry, method="bearer", users=USERS)
    registry = stored(server, password="wrong")
    old = Registry.objects.get(pk=registry.pk)
    registry.set_password("right")
    registry.save()
    StoredLoginGuard(old, check=lambda: None).refused(CredentialsRefused("No.", "Type it again."))
    registry.refresh_from_db()
    assert (registry.refused_login, registry.connection) == ("", Registry.Connection.UNKNOWN)


def test_a_registry_that_cannot_be_reached_meanwhile_has_not_taken_the_password(serve: Callable[..., Any]) -> None:
    server = serve(FakeRegistry, method="bearer", users=USERS)
    registry = stored(server, password="wrong")
    diagnose(registry)
    assert registry.credentials_refused
    server.fail(root, silence, times=0)
    server.fail(root, Challenge("Negotiate"), times=1)
    assert diagnose(registry)[-1].result is StepResult.FAILED
    registry.refresh_from_db()
    assert registry.connection == Registry.Connection.FAILED
    assert registry.credentials_refused


def test_a_test_that_passes_lifts_it_from_all_that_have_the_same_credentials(serve: Callable[..., Any]) -> None:
    server = serve(FakeRegistry, method="bearer", users=dict(USERS))
    registry, same = stored(server, password="later"), stored(server, password="later")
    diagnose(registry)
    assert Registry.objects.filter(IS_REFUSED).count() == 2
    server.sign_in.users = {"ada": "later"}
    diagnose(same)
    assert not Registry.objects.filter(IS_REFUSED).exists()


def test_a_test_that_passes_with_another_password_lifts_it_from_none_that_has_the_wrong_one(
    serve: Callable[..., Any],
) -> None:
    server = serve(FakeRegistry, method="bearer", users=USERS)
    wrong, right = stored(server, password="wrong"), stored(server)
    diagnose(wrong)
    diagnose(right)
    assert list(Registry.objects.filter(IS_REFUSED)) == [wrong]
    server.seen.clear()
    with pytest.raises(CredentialsRefused), open_client(Registry.objects.get(pk=wrong.pk)) as client:
        client.ping()
    assert wrong_logins(server) == 0


def test_a_test_whose_listing_fails_has_proven_the_password(serve: Callable[..., Any]) -> None:
    server = serve(FakeRegistry, method="bearer", users=dict(USERS))
    images.image({"a": b"a"}).put(server, "team/app", "1")
    registry = stored(server, password="later")
    diagnose(registry)
    server.sign_in.users = {"ada": "later"}
    server.fail(manifests, Challenge("Bearer"))
    assert diagnose(registry)[-1].result is StepResult.FAILED
    assert not registry.credentials_refused


def test_new_encryption_keys_lift_no_refusal_and_stop_nobody(serve: Callable[..., Any]) -> None:
    server = serve(FakeRegistry, method="bearer", users=USERS)
    wrong, right = stored(server, password="wrong"), stored(server, username="ada")
    diagnose(wrong)
    before = Registry.objects.get(pk=right.pk)
    call_command("rotate_keys", "--keep-old", verbosity=0)
    wrong.refresh_from_db()
    assert wrong.credentials_refused
    with open_client(before) as client:
        client.ping()


# --- waiting ------------------------------------------------------------------------------------------------------
def test_who_waits_for_another_process_stops_when_told_to(serve: Callable[..., Any]) -> None:
    server = serve(FakeRegistry, method="bearer", users=USERS)
    registry = stored(server)
    Registry.objects.filter(pk=registry.pk).update(
        login_lease_holder="another", login_lease_until=Now() + timedelta(seconds=60)
    )
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 0.3:
            raise Unreachable("told to stop", "")

    with pytest.raises(Unreachable, match="told to stop"), open_client(registry, check=check) as client:
        client.ping()
    assert not [each for each in server.seen if "authorization" in each.headers]


def test_a_process_that_was_killed_while_it_tried_is_not_waited_for_for_ever(serve: Callable[..., Any]) -> None:
    server = serve(FakeRegistry, method="bearer", users=USERS)
    registry = stored(server)
    Registry.objects.filter(pk=registry.pk).update(
        login_lease_holder="killed", login_lease_until=Now() - timedelta(seconds=1)
    )
    with open_client(registry) as client:
        client.ping()
    registry.refresh_from_db()
    assert registry.login_lease_holder == ""


def test_who_proves_the_password_and_who_needs_a_token_do_not_wait_for_each_other(serve: Callable[..., Any]) -> None:
    server = serve(FakeQuay, users=USERS)
    images.image({"a": b"a"}).put(server, "team/app", "1")
    registry = stored(server, type="quay")
    guard = StoredLoginGuard(registry, check=lambda: None)
    endpoint = endpoint_of(registry)
    proving, asking = threading.Event(), threading.Event()

    def prove() -> None:
        with client.proving():
            proving.set()
            assert asking.wait(30)
            time.sleep(0.3)  # until it waits
            client.ping()

    def ask() -> None:
        assert proving.wait(30)
        asking.set()
        client.manifest("team/app", "1")

    with DistributionClient(endpoint, guard=guard) as client:
        client.ping()
        threads = [threading.Thread(target=each, daemon=True) for each in (prove, ask)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
