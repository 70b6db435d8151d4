"""Single sign-on, against a provider that really signs and checks."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from console.accounts import sso
from console.models import AuditEvent, Team, User
from tests import factories
from tests.fakes import oidc
from tests.people import person

pytestmark = pytest.mark.django_db

CALLBACK = "http://127.0.0.1:8000/sign-in/sso/callback/"
JANE = {"sub": "jane-1", "preferred_username": "jane", "email": "jane@example.com", "groups": ["security"]}


@pytest.fixture
def provider(settings: Any) -> Iterator[oidc.OidcProvider]:
    with oidc.serve(CALLBACK) as provider:
        provider.person = dict(JANE)
        settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID = provider.issuer, oidc.CLIENT_ID
        settings.OIDC_CLIENT_SECRET = oidc.CLIENT_SECRET
        settings.OIDC_GROUPS = {"administrator": ["admins"], "operator": ["security", "ops"], "viewer": ["dev"]}
        yield provider


def sign_on(provider: oidc.OidcProvider, client: Client, **form: str) -> Any:
    """Walk the whole way: the button, the provider, and back."""
    return client.get(provider.authorize(leaving(client, **form)))


def leaving(client: Client, **form: str) -> str:
    answer = client.post("/sign-in/sso/", form)
    assert answer.status_code == 200, answer.content
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', answer.content.decode())
    assert found
    return html.unescape(found[1])


def who(client: Client) -> str:
    found = re.search(r"<dt>Name</dt><dd>([^<]*)", client.get("/account/").content.decode())
    return found[1] if found else ""


def test_groups_of_the_provider_give_the_role(provider: oidc.OidcProvider) -> None:
    client = Client()
    answer = sign_on(provider, client, next="/registries/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/registries/")
    assert who(client) == "jane"
    jane = User.objects.get(username="jane")
    assert (jane.role, jane.is_staff, jane.has_usable_password()) == ("operator", False, False)
    assert list(AuditEvent.objects.order_by("pk").values_list("action", flat=True)) == ["user.add", "sign-in"]


def test_the_role_follows_the_groups_at_each_sign_in(provider: oidc.OidcProvider) -> None:
    sign_on(provider, Client())
    for groups, role, staff in ((["admins", "dev"], "administrator", True), (["dev"], "viewer", False)):
        provider.person["groups"] = groups
        sign_on(provider, Client())
        jane = User.objects.get(username="jane")
        assert (jane.role, jane.is_staff, jane.is_superuser) == (role, staff, staff)
    event = AuditEvent.objects.filter(action="user.edit").latest("pk")
    assert (event.before["role"], event.after["role"]) == ("administrator", "viewer")


@pytest.mark.parametrize("groups", [[], ["Security"], ["security "], None, {"security": 1}, [["security"]], 7])
def test_who_is_in_no_named_group_is_not_let_in(provider: oidc.OidcProvider, groups: object) -> None:
    provider.person["groups"] = groups
    client = Client()
    assert sign_on(provider, client).status_code == 403
    assert not client.session.get("_auth_user_id")
    assert not User.objects.exists()
    assert AuditEvent.objects.get().action == "sign-in.refused"


def test_an_equal_name_or_address_takes_over_no_account(provider: oidc.OidcProvider) -> None:
    old = person("administrator", username="jane", email="jane@example.com")
    client = Client()
    sign_on(provider, client)
    assert who(client) not in {"", "jane"}
    old.refresh_from_db()
    assert old.role == "administrator"


def test_a_deactivated_account_stays_out(provider: oidc.OidcProvider) -> None:
    sign_on(provider, Client())
    User.objects.update(is_active=False)
    client = Client()
    assert sign_on(provider, client).status_code == 403
    assert client.get("/account/").status_code == 302


@pytest.mark.parametrize("forge", ["other key", "none", "secret as key", "no token"])
def test_a_token_that_the_provider_has_not_signed_opens_nothing(provider: oidc.OidcProvider, forge: str) -> None:
    provider.forge = forge
    client = Client()
    assert sign_on(provider, client).status_code == 403
    assert client.get("/account/").status_code == 302
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "lies",
    [{"nonce": "of another sign-in"}, {"aud": "another client"}, {"iss": "http://127.0.0.1:1"}, {"exp": 1}],
    ids=lambda lies: next(iter(lies)),
)
def test_a_token_for_something_else_opens_nothing(provider: oidc.OidcProvider, lies: dict[str, Any]) -> None:
    provider.lies = lies
    client = Client()
    assert sign_on(provider, client).status_code == 403
    assert client.get("/account/").status_code == 302


def test_user_info_of_somebody_else_opens_nothing(provider: oidc.OidcProvider) -> None:
    provider.userinfo_lies = {"sub": "the-boss"}
    assert sign_on(provider, Client()).status_code == 403


def test_a_code_of_another_session_opens_nothing(provider: oidc.OidcProvider) -> None:
    mine, victim = Client(), Client()
    back = provider.authorize(leaving(mine))
    leaving(victim)
    assert victim.get(back).status_code == 403
    assert mine.get(back).status_code == 302
    assert mine.get(back).status_code in {302, 403}
    assert provider.codes == {}


def test_groups_that_only_user_info_has_are_seen(provider: oidc.OidcProvider) -> None:
    provider.userinfo_lies = {"groups": ["dev"]}
    del provider.person["groups"]
    sign_on(provider, Client())
    assert User.objects.get().role == "viewer"


@pytest.mark.parametrize(
    "address", ["http://169.254.169.254/x", "file:///etc/passwd", "gopher://127.0.0.1/", "http://10.0.0.1@127.0.0.1/"]
)
def test_the_provider_can_send_our_questions_nowhere_that_is_closed(provider: oidc.OidcProvider, address: str) -> None:
    provider.discovery_lies = {"jwks_uri": address}
    assert sign_on(provider, Client()).status_code == 403
    provider.discovery_lies = {"token_endpoint": address}
    assert sign_on(provider, Client()).status_code == 403


def test_a_provider_that_does_not_answer_is_told(provider: oidc.OidcProvider, settings: Any) -> None:
    settings.OIDC_ISSUER = "http://127.0.0.1:9"
    answer = Client().post("/sign-in/sso/")
    assert answer.status_code == 502
    assert "cannot be reached" in answer.content.decode()


@pytest.mark.parametrize("away", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_single_sign_on_never_leads_away(provider: oidc.OidcProvider, away: str) -> None:
    assert sign_on(provider, Client(), next=away).headers["Location"] == "/"


def test_nothing_of_the_client_secret_is_kept(provider: oidc.OidcProvider, caplog: pytest.LogCaptureFixture) -> None:
    from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken

    sign_on(provider, Client())
    provider.forge = "other key"
    sign_on(provider, Client())
    assert oidc.CLIENT_SECRET not in caplog.text
    assert not SocialApp.objects.exists()
    assert not SocialToken.objects.exists()
    assert SocialAccount.objects.get().extra_data == {}


def test_it_is_off_until_it_is_configured() -> None:
    assert not sso.is_enabled()
    assert Client().post("/sign-in/sso/").status_code == 404
    assert Client().get("/sign-in/sso/callback/?code=x&state=y").status_code == 404
    assert "/sign-in/sso/" not in Client().get("/sign-in/").content.decode()


def test_groups_of_the_provider_limit_to_the_registries_of_teams_from_the_first_page_on(
    provider: oidc.OidcProvider,
) -> None:
    team = Team.objects.create(name="payments", groups="dev")
    team.registries.add(factories.registry(name="seen"))
    factories.registry(name="unseen")
    provider.person["groups"] = ["dev"]
    client = Client()
    sign_on(provider, client)
    html = client.get("/registries/").content.decode()
    assert ("seen" in html, "unseen" in html) == (True, False)
    provider.person["groups"] = ["admins", "dev"]
    sign_on(provider, client)
    assert "unseen" in client.get("/registries/").content.decode()


def test_an_administrator_who_is_in_a_team_sees_all_still_once_both_are_over(provider: oidc.OidcProvider) -> None:
    Team.objects.create(name="payments", groups="dev")
    factories.registry(name="of-no-team")
    for groups in (["admins", "dev"], ["ops"]):
        provider.person["groups"] = groups
        client = Client()
        sign_on(provider, client)
        assert "of-no-team" in client.get("/registries/").content.decode()
    assert User.objects.get().role == "operator"
