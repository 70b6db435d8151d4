"""One key of Tencent Cloud: its registries appear, stay in step, and keep what a person has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from console.jobs.models import State
from inventory import tasks as inventory_tasks
from inventory.models import Image, Tag
from registries import tasks
from registries.cloud_accounts.discovery import enqueue_due_discoveries, request_discoveries
from registries.cloud_accounts.tencent import delete_account, update_credentials
from registries.connectors import tencent_api
from registries.models import CloudAccount, CloudDiscovery, Registry, SyncRun
from registries.sync_requests.start import start_sync
from tests.fakes import images
from tests.fakes.registry import Status, manifests
from tests.fakes.tencent import SECRET_ID, SECRET_KEY, UIN, FakeInstance, FakeTencent, api

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tencent_api, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def server() -> Iterator[FakeTencent]:
    with FakeTencent(users={UIN: "registry-password"}) as server:
        server.instances = [
            FakeInstance("tcr-acme", "acme", "ap-hongkong", host="acme.tencentcloudcr.com"),
            FakeInstance("tcr-shop", "shop", "eu-frankfurt", host="shop.tencentcloudcr.com"),
        ]
        server.namespaces = {"ap-guangzhou": ["team", "tools"]}
        yield server


@pytest.fixture
def account(server: FakeTencent) -> CloudAccount:
    return key(server)


def key(server: FakeTencent, **values: Any) -> CloudAccount:
    fields = {"name": "production", "secret_id": SECRET_ID, "endpoint": server.url, "regions": "ap-guangzhou"}
    account = CloudAccount(**fields | values)
    account.set_secret_key(SECRET_KEY)
    account.save()
    return account


def discover(account: CloudAccount) -> CloudDiscovery:
    (job,) = request_discoveries([account])
    tasks.discover(job.pk)
    job.refresh_from_db()
    account.refresh_from_db()
    return job


def names() -> list[str]:
    return sorted(Registry.objects.values_list("name", flat=True))


def sync(registry: Registry, **options: bool) -> SyncRun:
    SyncRun.objects.exclude(registry=registry).filter(state=State.QUEUED).delete()
    run = registry.sync_runs.filter(state=State.QUEUED).first() or start_sync(registries=[registry], **options).runs[0]
    inventory_tasks.sync(run.pk)
    run.refresh_from_db()
    registry.refresh_from_db()
    return run


# --- appearing ----------------------------------------------------------------------------------------------------
def test_every_instance_and_every_namespace_becomes_a_registry_that_syncs(
    server: FakeTencent, account: CloudAccount
) -> None:
    job = discover(account)
    assert job.state == State.SUCCEEDED
    assert names() == ["acme", "ccr-team", "ccr-tools", "shop"]
    acme = Registry.objects.get(name="acme")
    assert (acme.type, acme.region, acme.address) == ("tcr", "ap-hongkong", "https://acme.tencentcloudcr.com")
    assert (acme.username, acme.reveal_password(), acme.endpoint) == (SECRET_ID, SECRET_KEY, server.url)
    team = Registry.objects.get(name="ccr-team")
    assert (team.type, team.region, team.address) == ("ccr", "ap-guangzhou", "https://ccr.ccs.tencentyun.com")
    assert SyncRun.objects.filter(state=State.QUEUED).count() == 4
    assert (account.state, account.instances, account.namespaces, account.notes) == ("connected", 2, 2, [])


def test_a_second_discovery_changes_nothing(account: CloudAccount) -> None:
    discover(account)
    before = list(Registry.objects.order_by("pk").values())
    SyncRun.objects.all().delete()
    discover(account)
    assert list(Registry.objects.order_by("pk").values()) == before
    assert not SyncRun.objects.exists()


def test_names_that_are_taken_get_a_number(account: CloudAccount) -> None:
    Registry.objects.create(name="ACME", address="https://other.test")
    Registry.objects.create(name="acme (2)", address="https://other2.test")
    discover(account)
    assert "acme (3)" in names()


def test_hundreds_of_namespaces_are_all_found(server: FakeTencent, account: CloudAccount) -> None:
    server.namespaces = {"ap-guangzhou": [f"n{number}" for number in range(230)]}
    discover(account)
    assert Registry.objects.filter(type="ccr").count() == 230


def test_several_regions_of_the_personal_edition_are_looked_into(server: FakeTencent, account: CloudAccount) -> None:
    server.namespaces = {"ap-hongkong": ["team"]}  # not open in Guangzhou
    account.regions = "ap-guangzhou\nap-hongkong"
    account.save()
    discover(account)
    registry = Registry.objects.get(type="ccr")
    assert (registry.name, registry.address) == ("hkccr-team", "https://hkccr.ccs.tencentyun.com")
    assert account.notes == []


def test_the_site_that_knows_the_key_is_kept_in_the_registries(
    server: FakeTencent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeTencent() as mainland:
        mainland.keys = {}
        monkeypatch.setattr(tencent_api, "SITE_URLS", (mainland.url, server.url))
        monkeypatch.setattr("registries.cloud_accounts.tencent.SITE_URLS", (mainland.url, server.url))
        discover(key(server, endpoint=""))
    assert set(Registry.objects.values_list("endpoint", flat=True)) == {server.url}


def test_an_instance_that_was_added_by_hand_is_taken_in_as_it_is(account: CloudAccount) -> None:
    by_hand = Registry.objects.create(
        name="mine", type="tcr", address="https://acme.tencentcloudcr.com", username="AKIDown", limit=20
    )
    discover(account)
    assert names() == ["ccr-team", "ccr-tools", "mine", "shop"]
    by_hand.refresh_from_db()
    assert (by_hand.cloud_account, by_hand.cloud_id) == (account, "tcr-acme")
    assert (by_hand.username, by_hand.limit) == ("AKIDown", 20)


def test_a_personal_edition_that_was_added_by_hand_is_not_listed_twice(account: CloudAccount) -> None:
    hand = {"type": "ccr", "address": "https://ccr.ccs.tencentyun.com"}
    Registry.objects.create(name="of another account", username="AKIDother", **hand)
    discover(account)
    assert Registry.objects.exclude(cloud_id="").filter(type="ccr").count() == 2
    Registry.objects.exclude(cloud_id="").delete()
    CloudAccount.objects.update(made=[])
    Registry.objects.create(name="all of it", username=SECRET_ID, **hand)
    discover(account)
    assert not Registry.objects.exclude(cloud_id="").filter(type="ccr").exists()
    assert "added manually" in account.notes[0]


def test_another_endpoint_reaches_the_registries(server: FakeTencent, account: CloudAccount) -> None:
    discover(account)
    account.endpoint = server.url.replace("127.0.0.1", "localhost")
    account.save()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeTencent, "host", property(lambda self: account.endpoint.partition("://")[2]))
        discover(account)
    assert set(Registry.objects.values_list("endpoint", flat=True)) == {account.endpoint}


def test_two_keys_of_one_account_make_each_registry_once(server: FakeTencent, account: CloudAccount) -> None:
    discover(account)
    other = key(server, name="second")
    discover(other)
    assert Registry.objects.count() == 4
    assert len(other.notes) == 4
    assert "another key" in other.notes[0]


def test_an_address_that_must_not_be_called_is_noted_and_not_added(server: FakeTencent, account: CloudAccount) -> None:
    server.instances[0].host = "169.254.169.254"
    discover(account)
    assert "acme" not in names()
    assert "acme" in account.notes[0]


# --- staying in step ----------------------------------------------------------------------------------------------
def test_what_a_person_has_changed_stays(server: FakeTencent, account: CloudAccount) -> None:
    discover(account)
    mine = {"name": "Our registry", "limit": 5, "network": "vpc", "address": "https://registry.acme.test"}
    Registry.objects.filter(name="acme").update(**mine)
    server.instances[0].host = "acme-2.tencentcloudcr.com"
    discover(account)
    row = Registry.objects.get(cloud_id="tcr-acme")
    assert {name: getattr(row, name) for name in mine} == mine


def test_an_instance_that_moves_is_followed_and_explained(server: FakeTencent, account: CloudAccount) -> None:
    discover(account)
    server.instances[0].host, server.instances[0].name = "acme-2.tencentcloudcr.com", "acme-2"
    discover(account)
    row = Registry.objects.get(cloud_id="tcr-acme")
    assert (row.name, row.address) == ("acme", "https://acme-2.tencentcloudcr.com")
    assert "acme-2.tencentcloudcr.com" in account.notes[0]
    discover(account)
    assert account.notes == []


def test_what_is_gone_is_marked_and_comes_back(server: FakeTencent, account: CloudAccount) -> None:
    discover(account)
    instances, server.instances = server.instances, server.instances[1:]
    server.namespaces["ap-guangzhou"] = ["tools"]
    discover(account)
    assert len(names()) == 4
    for name, what in (("acme", "instance"), ("ccr-team", "namespace")):
        row = Registry.objects.get(name=name)
        assert row.connection == Registry.Connection.FAILED
        assert row.connection_reason == f"Tencent Cloud no longer lists this {what}."
        assert row.connection_remedy
    server.instances = instances
    discover(account)
    row = Registry.objects.get(name="acme")
    assert (row.connection, row.connection_reason) == (Registry.Connection.UNKNOWN, "")


def test_an_isolated_instance_is_explained_and_a_new_one_waits_until_it_runs(
    server: FakeTencent, account: CloudAccount
) -> None:
    discover(account)
    server.instances[0].status = "Isolate"
    server.instances.append(FakeInstance("tcr-new", "new", host="new.tencentcloudcr.com", status="Deploying"))
    discover(account)
    row = Registry.objects.get(name="acme")
    assert row.connection == Registry.Connection.FAILED
    assert "Isolate" in row.connection_reason
    assert "renewed" in row.connection_remedy
    assert "new" not in names()
    assert len(account.notes) == 2
    server.instances[0].status = server.instances[2].status = "Running"
    discover(account)
    row.refresh_from_db()
    assert row.connection == Registry.Connection.UNKNOWN
    assert "new" in names()


def test_a_registry_that_was_deleted_here_does_not_come_back_by_itself(account: CloudAccount) -> None:
    discover(account)
    Registry.objects.get(name="shop").delete()
    discover(account)
    assert "shop" not in names()
    assert "removed here" in account.notes[0]
    CloudAccount.objects.update(made=[])
    discover(account)
    assert "shop" in names()


def test_a_region_that_fails_loses_nothing(server: FakeTencent, account: CloudAccount) -> None:
    discover(account)
    server.script("DescribeNamespacePersonal", "FailedOperation.ErrorGetDBDataError", times=9)
    discover(account)
    assert not Registry.objects.filter(connection=Registry.Connection.FAILED).exists()
    assert "ap-guangzhou" in account.notes[0]


def test_a_list_that_breaks_off_loses_nothing(server: FakeTencent, account: CloudAccount) -> None:
    discover(account)
    before = list(Registry.objects.order_by("pk").values())
    server.script("DescribeInstances", "UnauthorizedOperation")
    job = discover(account)
    assert (job.state, account.state) == (State.FAILED, "failed")
    assert "tcr:DescribeInstances" in account.reason
    assert list(Registry.objects.order_by("pk").values()) == before


# --- credentials --------------------------------------------------------------------------------------------------
def test_a_refused_key_is_sent_once_and_not_by_its_registries_either(
    server: FakeTencent, account: CloudAccount
) -> None:
    discover(account)
    server.keys[SECRET_ID] = "changed"
    server.seen.clear()
    assert discover(account).state == State.FAILED
    assert account.state == Registry.Connection.REFUSED
    assert len(server.requests(api)) == 1
    job = discover(account)
    assert "not tried again" in job.reason
    registry = Registry.objects.get(name="acme")
    assert registry.credentials_refused
    assert sync(registry).state == State.FAILED
    assert len(server.requests(api)) == 1
    account.set_secret_key("changed")
    account.save()
    update_credentials(account, was=SECRET_ID)
    assert discover(account).state == State.SUCCEEDED
    registry.refresh_from_db()
    assert (registry.credentials_refused, registry.reveal_password()) == (False, "changed")


def test_a_key_of_its_own_is_not_replaced(account: CloudAccount) -> None:
    discover(account)
    Registry.objects.filter(name="acme").update(username="AKIDown", password_token="own")
    account.secret_id = "AKIDnew"
    account.save()
    update_credentials(account, was=SECRET_ID)
    assert Registry.objects.get(name="acme").username == "AKIDown"
    assert Registry.objects.get(name="shop").username == "AKIDnew"


def test_removing_the_key_leaves_the_registries_without_its_credentials(
    server: FakeTencent, account: CloudAccount
) -> None:
    discover(account)
    delete_account(account)
    assert len(names()) == 4
    assert set(Registry.objects.values_list("username", "password_token")) == {("", "")}
    row = Registry.objects.get(name="acme")
    assert "key" in row.connection_reason
    again = key(server, name="again")
    discover(again)
    row.refresh_from_db()
    assert (row.cloud_account, row.username, len(names())) == (again, SECRET_ID, 4)


def test_the_command_rotates_these_secrets_too(account: CloudAccount) -> None:
    account.set_pull_password("registry-password")
    account.save()
    discover(account)
    call_command("rotate_keys")
    account.refresh_from_db()
    assert account.reveal_secret_key() == SECRET_KEY
    assert Registry.objects.get(name="ccr-team").reveal_pull_password() == "registry-password"


# --- when ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("hour", "queued"), [(0, 1), (2, 1), (3, 0), (23, 0)])
def test_every_night_once(
    account: CloudAccount, settings: Settings, monkeypatch: pytest.MonkeyPatch, hour: int, queued: int
) -> None:
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 5, 6, hour, 30, tzinfo=UTC))
    enqueue_due_discoveries()
    CloudDiscovery.objects.update(state=State.SUCCEEDED)
    enqueue_due_discoveries()
    assert CloudDiscovery.objects.count() == queued
    assert all(job.trigger == SyncRun.Trigger.NIGHTLY for job in CloudDiscovery.objects.all())


def test_one_discovery_of_an_account_at_a_time(account: CloudAccount) -> None:
    assert len(request_discoveries([account])) == 1
    assert request_discoveries([account]) == []


# --- from the key to the rows -------------------------------------------------------------------------------------
def reach(server: FakeTencent, name: str) -> Registry:
    """Let the registry be called at the server's own address, as a person may."""
    Registry.objects.filter(name=name).update(address=server.url)
    return Registry.objects.get(name=name)


def put(server: FakeTencent, repository: str, *tags: str) -> images.Image:
    made = images.image({"etc/os-release": b"ID=debian\n"}, {"app": repository.encode()})
    for tag in tags:
        made.put(server, repository, tag)
    return made


def test_an_instance_is_synced_and_an_unchanged_one_costs_listing_calls_only(
    server: FakeTencent, account: CloudAccount
) -> None:
    made = put(server, "team/app/api", "1.0", "2.0")
    images.helm_chart().put(server, "team/chart", "1.0")
    images.index(images.image({"a": b"1"}), images.image({"a": b"2"}), attest=True).put(server, "team/multi", "1")
    discover(account)
    acme = reach(server, "acme")
    run = sync(acme)
    assert (run.state, run.complete, run.tags, run.errors) == (State.SUCCEEDED, True, 3, 0)
    tag = Tag.objects.get(repository__name="team/app/api", name="1.0")
    assert (tag.digest, tag.size) == (made.digest, len(made.config) + sum(len(layer.content) for layer in made.layers))
    assert tag.pushed_at == datetime(2026, 3, 4, 5, 6, 7, 123456, UTC)
    server.seen.clear()
    run = sync(acme)
    assert (run.complete, run.tags_changed, run.tags_new, run.tags_gone) == (True, 0, 0, 0)
    assert not server.requests(manifests)
    server.store.remove_tag("team/app/api", "2.0")
    assert sync(acme, confirm_missing=True).tags_gone == 1


def test_a_token_that_ends_in_the_middle_of_a_sync_is_replaced(server: FakeTencent, account: CloudAccount) -> None:
    for number in range(12):
        put(server, f"team/app{number}", "1.0")
    discover(account)

    def expire(request: object, real: Callable[[], Any]) -> Any:
        server.sign_in.expire_all()  # type: ignore[attr-defined]
        return real()

    server.fail(lambda request: "/team/app5/manifests/" in request.path, expire, times=1)  # type: ignore[arg-type]
    run = sync(reach(server, "acme"))
    assert (run.state, run.complete, run.tags, run.errors) == (State.SUCCEEDED, True, 12, 0)
    tokens = [parameters["TokenType"] for action, _, parameters in server.calls if action == "CreateInstanceToken"]
    assert tokens == ["temp", "temp"]


def test_a_wrong_key_keeps_the_inventory_and_is_said(server: FakeTencent, account: CloudAccount) -> None:
    put(server, "team/app", "1.0")
    discover(account)
    acme = reach(server, "acme")
    sync(acme)
    server.keys[SECRET_ID] = "changed"
    run = sync(acme)
    assert (run.state, run.tags_gone, Tag.objects.count()) == (State.FAILED, 0, 1)
    assert acme.connection == Registry.Connection.REFUSED
    assert acme.connection_remedy


def test_a_list_that_breaks_off_keeps_the_tags(server: FakeTencent, account: CloudAccount) -> None:
    for name in ("a/app", "b/app", "c/app"):
        put(server, name, "1.0")
    discover(account)
    acme = reach(server, "acme")
    sync(acme)
    server.script("DescribeRepositories", "InternalError.DbError", times=99)
    run = sync(acme)
    assert run.state in {State.QUEUED, State.FAILED}
    assert Tag.objects.count() == 3


def test_without_the_registry_password_images_are_shown_with_what_is_missing(
    server: FakeTencent, account: CloudAccount
) -> None:
    server.personal = True
    made = put(server, "team/app", "1.0", "latest")
    discover(account)
    team = reach(server, "ccr-team")
    run = sync(team)
    assert (run.state, run.tags) == (State.SUCCEEDED, 2)
    image = Image.objects.get()
    assert image.scan_state == Image.ScanState.FAILED
    assert "registry password is missing" in image.scan_reason
    assert "UIN" in image.scan_remedy
    account.pull_username = UIN
    account.set_pull_password("registry-password")
    account.save()
    update_credentials(account, was=SECRET_ID)
    team.refresh_from_db()
    run = sync(team)
    assert (run.complete, run.errors, run.tags_changed) == (True, 0, 2)
    assert Image.objects.get().image_id == made.image_id


def test_a_registry_that_lets_nobody_in_is_told_from_a_wrong_key(server: FakeTencent, account: CloudAccount) -> None:
    discover(account)
    server.fail(lambda request: request.path == "/v2/", Status(403))
    acme = reach(server, "acme")
    run = sync(acme)
    assert acme.connection == Registry.Connection.FAILED
    assert "allowlist" in run.remedy
