"""The pages of the keys of Tencent Cloud."""

from __future__ import annotations

import pytest
from django.urls import reverse

from console.models import AuditEvent
from registries.models import CloudAccount, CloudDiscovery, Registry
from registries.urls import urlpatterns
from tests.people import signed_in_client

pytestmark = pytest.mark.django_db

LIST = "/registries/tencent/"
SECRET = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
VALUES = {"name": "production", "secret_id": "AKIDexample", "secret_key": SECRET, "regions": "ap-guangzhou"}


@pytest.fixture
def account() -> CloudAccount:
    made = CloudAccount(name="production", secret_id="AKIDexample")
    made.set_secret_key(SECRET)
    made.save()
    return made


def url(name: str, *args: int) -> str:
    return reverse(f"registries:tencent-account-{name}", args=args)


# URL name, method, the roles that may
MATRIX = [
    ("list", "get", {"viewer", "operator", "administrator"}),
    ("discover", "post", {"operator", "administrator"}),
    ("add", "get", {"administrator"}),
    ("add", "post", {"administrator"}),
    ("edit", "get", {"administrator"}),
    ("edit", "post", {"administrator"}),
    ("restore", "post", {"administrator"}),
    ("delete", "get", {"administrator"}),
    ("delete", "post", {"administrator"}),
]


@pytest.mark.parametrize("role", ["viewer", "operator", "administrator"])
@pytest.mark.parametrize(("name", "method", "may"), MATRIX)
def test_each_role_may_what_it_may(name: str, method: str, may: set[str], role: str, account: CloudAccount) -> None:
    answer = getattr(signed_in_client(role), method)(url(name, *([account.pk] if name not in {"list", "add"} else [])))
    if role in may:
        assert answer.status_code in {200, 302, 422}
    else:
        assert answer.status_code == 403
        assert list(AuditEvent.objects.values_list("action", flat=True)) == ["access.denied"]
        assert CloudAccount.objects.count() == 1
        assert not CloudDiscovery.objects.exists()


def test_the_matrix_names_every_address() -> None:
    named = {pattern.name for pattern in urlpatterns if pattern.name.startswith("tencent-")}
    assert named == {f"tencent-account-{name}" for name, _method, _may in MATRIX}


def test_adding_a_key_looks_for_its_registries_at_once() -> None:
    answer = signed_in_client().post(url("add"), VALUES)
    assert answer.headers["Location"] == LIST
    account = CloudAccount.objects.get()
    assert account.reveal_secret_key() == SECRET
    assert CloudDiscovery.objects.get().account == account
    event = AuditEvent.objects.get(action="cloud-account.add")
    assert (event.target, SECRET in str(event.detail)) == ("production", False)


def test_an_edit_keeps_what_it_leaves_empty_and_reaches_the_registries(account: CloudAccount) -> None:
    copies = {"username": account.secret_id, "password_token": account.secret_key_token}
    Registry.objects.create(name="acme", type="tcr", address="https://a.test", cloud_account=account, **copies)
    team = Registry.objects.create(name="t", type="ccr", address="https://c.test", cloud_account=account, **copies)
    values = {**VALUES, "secret_key": "", "pull_username": "100", "pull_password": "registry-password"}
    assert signed_in_client().post(url("edit", account.pk), values).status_code == 302
    account.refresh_from_db()
    team.refresh_from_db()
    assert account.reveal_secret_key() == SECRET
    assert (team.pull_username, team.reveal_pull_password()) == ("100", "registry-password")
    assert Registry.objects.get(name="acme").pull_username == ""
    values = {**VALUES, "secret_id": "AKIDnew", "secret_key": "new", "pull_username": "100"}
    signed_in_client().post(url("edit", account.pk), values)
    assert {each.reveal_password() for each in Registry.objects.all()} == {"new"}
    assert set(Registry.objects.values_list("username", flat=True)) == {"AKIDnew"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": ""}, "Fill in “Name”."),
        ({"name": "PRODUCTION"}, "Another key has this name."),
        ({"secret_id": "100012345678@corp"}, "only letters and digits"),
        ({"secret_key": ""}, "Fill in “SecretKey”."),
        ({"endpoint": "http://api.test"}, "Plain HTTP is not allowed"),
        ({"endpoint": "https://169.254.169.254"}, "TALLYMAN_ALLOWED_NETWORKS"),
        ({"endpoint": "https://api.test/path"}, "no path"),
        ({"regions": "ap-guangzhou, mars"}, "“mars” has no personal edition"),
        ({"pull_password": "x"}, "needs the username"),
    ],
)
def test_each_wrong_field_says_what_is_wrong_and_nothing_typed_is_lost(
    account: CloudAccount, changed: dict[str, str], message: str
) -> None:
    typed = {**VALUES, "name": "other", "secret_id": "AKIDtyped"} | changed
    answer = signed_in_client().post(url("add"), typed)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert message in page
    assert ("AKIDtyped" in page) == ("secret_id" not in changed)
    assert SECRET not in page
    assert CloudAccount.objects.count() == 1


@pytest.mark.parametrize("changed", [{"secret_id": "AKIDother"}, {"endpoint": "https://elsewhere.test"}])
def test_the_stored_key_is_not_sent_elsewhere(account: CloudAccount, changed: dict[str, str]) -> None:
    answer = signed_in_client().post(url("edit", account.pk), {**VALUES, "secret_key": ""} | changed)
    assert answer.status_code == 422
    assert "Type" in answer.content.decode()


def test_the_page_shows_what_was_found_and_no_secret(account: CloudAccount) -> None:
    account.record(state="connected", instances=3, namespaces=1, notes=["“shop” was removed here."])
    page = signed_in_client("operator").get(LIST).content.decode()
    for text in ("3 TCR instances", "1 CCR namespace", "“shop” was removed here.", "AKIDexample"):
        assert text in page
    assert account.secret_key_token not in page
    account.record(state="refused", reason="Tencent Cloud refuses the SecretKey.", remedy="Correct it.")
    page = signed_in_client("operator").get(LIST).content.decode()
    assert "Correct it." in page


def test_the_registries_page_leads_here_and_sync_assets_looks_for_registries(account: CloudAccount) -> None:
    client = signed_in_client("operator")
    assert LIST in client.get(reverse("registries:registry-list")).content.decode()
    client.post(reverse("registries:sync-all"))
    assert CloudDiscovery.objects.count() == 1
    registry = Registry.objects.create(name="one", address="https://one.test")
    CloudDiscovery.objects.all().delete()
    client.post(reverse("registries:sync-all"), {"ids": [registry.pk]})
    assert not CloudDiscovery.objects.exists()


def test_removed_registries_are_added_again_on_demand(account: CloudAccount) -> None:
    again = url("restore", account.pk)
    assert again not in signed_in_client().get(LIST).content.decode()
    CloudAccount.objects.update(made=["tcr:tcr-shop"])
    assert again in signed_in_client().get(LIST).content.decode()
    signed_in_client().post(url("restore", account.pk))
    account.refresh_from_db()
    assert account.made == []
    assert CloudDiscovery.objects.count() == 1


def test_removing_a_key_says_what_stays_and_does_it(account: CloudAccount) -> None:
    registry = Registry.objects.create(
        name="acme", type="tcr", address="https://a.test", cloud_account=account, username=account.secret_id
    )
    assert (
        account.name
        in signed_in_client().get(reverse("registries:registry-detail", args=[registry.pk])).content.decode()
    )
    assert "This key found 1 registry" in signed_in_client().get(url("delete", account.pk)).content.decode()
    signed_in_client().post(url("delete", account.pk))
    registry.refresh_from_db()
    assert (registry.cloud_account, registry.username, registry.connection) == (None, "", Registry.Connection.FAILED)
    assert AuditEvent.objects.get(action="cloud-account.delete").detail == {"registries": 1}
