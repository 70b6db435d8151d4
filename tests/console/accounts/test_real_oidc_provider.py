"""Single sign-on through an OpenID provider that others have written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from django.test import Client

from console.models import AuditEvent, User
from tests import openid
from tests.console.accounts.test_sso import CALLBACK, leaving, who

pytestmark = pytest.mark.django_db

PASSWORD = "of-the-provider-alone"
GROUPS = {"jane": ["security", "lunch"], "max": ["lunch"], "ruth": ["admins", "dev"]}
SECRET = "planted-client-secret"
CLIENTS = [
    {"name": name, "client_id": name, "client_secret": SECRET, "redirect_uris": CALLBACK}
    for name in ("tallyman", "wiki")
]


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    people = {name: {"password": PASSWORD, "groups": groups} for name, groups in GROUPS.items()}
    with openid.serve(tmp_path_factory.mktemp("provider"), {"people": people, "clients": CLIENTS}) as issuer:
        yield issuer


@pytest.fixture(autouse=True)
def _configured(issuer: str, settings: Any) -> None:
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = issuer, "tallyman", SECRET
    settings.OIDC_GROUPS = {"administrator": ["admins"], "operator": ["security"], "viewer": ["dev"]}


def signed_in(client: Client, name: str) -> Any:
    """Walk the whole way: the button, the provider's form and consent, and back."""
    return client.get(openid.sign_in_and_consent(leaving(client), name=name, password=PASSWORD))


def why() -> object:
    return AuditEvent.objects.get(action="sign-in.refused").detail.get("why")


@pytest.mark.parametrize(("name", "role"), [("jane", "operator"), ("ruth", "administrator")])
def test_the_groups_of_the_provider_give_the_highest_of_their_roles(name: str, role: str) -> None:
    client = Client()
    assert signed_in(client, name).status_code == 302
    assert who(client) == name
    user = User.objects.get()
    assert (user.username, user.role, user.is_staff) == (name, role, role == "administrator")
    assert list(AuditEvent.objects.order_by("pk").values_list("action", flat=True)) == ["user.add", "sign-in"]


def test_who_comes_again_is_the_same_person() -> None:
    signed_in(Client(), "jane")
    signed_in(Client(), "jane")
    assert User.objects.count() == 1
    assert AuditEvent.objects.filter(action="sign-in", actor_name="jane").count() == 2


def test_who_is_in_no_named_group_is_not_let_in() -> None:
    client = Client()
    assert signed_in(client, "max").status_code == 403
    assert client.get("/account/").status_code == 302
    assert not User.objects.exists()
    assert AuditEvent.objects.get().action == "sign-in.refused"


def test_the_provider_is_asked_with_all_that_it_can_check() -> None:
    asked = parse_qs(urlsplit(leaving(Client())).query)
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert all(len(asked[name][0]) >= 16 for name in ("state", "nonce", "code_challenge"))


def test_a_code_that_another_person_got_opens_nothing() -> None:
    mine, victim = Client(), Client()
    back = openid.sign_in_and_consent(leaving(mine), name="ruth", password=PASSWORD)
    state = parse_qs(urlsplit(leaving(victim)).query)["state"][0]
    code = parse_qs(urlsplit(back).query)["code"][0]
    assert victim.get(f"{CALLBACK}?{urlencode({'code': code, 'state': state})}").status_code == 403
    assert victim.get("/account/").status_code == 302
    assert not User.objects.exists()


def test_a_code_for_another_client_opens_nothing(settings: Any) -> None:
    client = Client()
    settings.OIDC_CLIENT_ID = "wiki"
    back = openid.sign_in_and_consent(leaving(client), name="jane", password=PASSWORD)
    settings.OIDC_CLIENT_ID = "tallyman"
    assert client.get(back).status_code == 403
    assert not User.objects.exists()


def test_a_real_token_for_another_audience_opens_nothing(issuer: str, settings: Any, monkeypatch: Any) -> None:
    """The provider signs it rightly; it was only made for the wiki, which hands it on."""
    from console.accounts import sso

    client = Client()
    settings.OIDC_CLIENT_ID = "wiki"
    back = openid.sign_in_and_consent(leaving(client), name="jane", password=PASSWORD)
    decode = sso._OpenIdConnect._decode_id_token

    def for_us(self: Any, app: Any, id_token: str) -> Any:
        app.client_id = "tallyman"
        return decode(self, app, id_token)

    monkeypatch.setattr(sso._OpenIdConnect, "_decode_id_token", for_us)
    assert client.get(back).status_code == 403
    assert why() == "Invalid id_token"
    assert not User.objects.exists()


def test_a_provider_that_calls_itself_by_another_name_opens_nothing(issuer: str, settings: Any) -> None:
    settings.OIDC_ISSUER = issuer.replace("127.0.0.1", "localhost")
    told = requests.get(f"{settings.OIDC_ISSUER}/.well-known/openid-configuration", timeout=5).json()
    assert told["issuer"] == issuer
    client = Client()
    assert signed_in(client, "jane").status_code == 403
    assert why() == "The provider calls itself by another name than TALLYMAN_OIDC_ISSUER"
    assert not User.objects.exists()


def test_a_wrong_client_secret_opens_nothing(settings: Any) -> None:
    settings.OIDC_CLIENT_SECRET = "guessed"
    client = Client()
    assert signed_in(client, "jane").status_code == 403
    assert not User.objects.exists()
