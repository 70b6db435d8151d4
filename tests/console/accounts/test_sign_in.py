"""Signing in and out, roles, preferences, and the pages that say no."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from console.models import AuditEvent, User
from tests.people import PASSWORD, person

pytestmark = pytest.mark.django_db

SIGN_IN = "/sign-in/"


def sign_in(client: Client, password: str = PASSWORD, name: str = "viewer", **query: str) -> Any:
    return client.post(SIGN_IN, {"username": name, "password": password, **query})


def test_the_sign_in_leads_where_somebody_wanted_to_go() -> None:
    person()
    assert sign_in(Client(), next="/registries/?q=lab").headers["Location"] == "/registries/?q=lab"
    assert AuditEvent.objects.get().action == "sign-in"


@pytest.mark.parametrize("away", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_the_sign_in_never_leads_away(away: str) -> None:
    person()
    assert sign_in(Client(), next=away).headers["Location"] == "/"


def test_a_session_gets_a_new_key_at_sign_in() -> None:
    person()
    client = Client()
    session = client.session
    session.save()
    client.cookies["sessionid"] = session.session_key
    sign_in(client)
    assert client.session.session_key != session.session_key


def test_a_wrong_password_is_told_and_recorded_without_it() -> None:
    person()
    answer = sign_in(Client(), "planted-wrong-password")
    html = answer.content.decode()
    assert "That did not work" in html
    assert 'value="viewer"' in html
    assert "planted-wrong-password" not in html
    event = AuditEvent.objects.get()
    assert (event.action, event.target, event.address) == ("sign-in.refused", "viewer", "127.0.0.1")
    assert "planted" not in str(event.detail)


def test_five_wrong_passwords_close_the_sign_in_for_that_name_alone() -> None:
    person()
    person(username="other")
    client = Client()
    for _attempt in range(5):
        last = sign_in(client, "wrong")
    assert last.status_code == 429
    assert "15 minutes" in last.content.decode()
    assert sign_in(client).status_code == 429
    assert sign_in(client, name="other").status_code == 302
    assert AuditEvent.objects.filter(action="sign-in.locked", target="viewer").count() == 1


def test_wrong_passwords_from_many_addresses_close_the_sign_in_for_that_name_too() -> None:
    person()
    person(username="other")
    codes = []
    for number in range(22):
        name = "viewer" if number % 2 else "\uff56iewer"  # the same name, written in another width
        client = Client(REMOTE_ADDR=f"192.0.2.{number}")
        codes.append(sign_in(client, "wrong", name=name).status_code)
    assert codes == [200] * 20 + [429] * 2
    assert sign_in(Client(REMOTE_ADDR="198.51.100.1")).status_code == 429
    assert sign_in(Client(REMOTE_ADDR="198.51.100.1"), name="other").status_code == 302
    assert AuditEvent.objects.filter(action="sign-in.locked", target="viewer").count() == 1


def test_signing_out_is_a_post() -> None:
    client = Client()
    client.force_login(person())
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/").headers["Location"] == SIGN_IN
    assert client.get("/registries/").status_code == 302
    assert AuditEvent.objects.get().action == "sign-out"


def test_a_form_without_token_is_refused_in_plain_words() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(person())
    answer = client.post("/preferences/", {"theme": "dark"})
    assert answer.status_code == 403
    assert "This form is too old" in answer.content.decode()


def test_theme_and_density_are_kept_per_person() -> None:
    client = Client()
    client.force_login(person())
    assert client.post("/preferences/", {"theme": "dark"}, headers={"HX-Request": "true"}).status_code == 204
    client.post("/preferences/", {"density": "compact"})
    html = client.get("/registries/").content.decode()
    assert '<html lang="en" data-theme="dark" data-density="compact">' in html
    client.post("/preferences/", {"theme": ""})
    assert "data-theme" not in client.get("/registries/").content.decode().split(">", 2)[1]


def test_a_preference_that_does_not_exist_changes_nothing() -> None:
    user = person()
    client = Client()
    client.force_login(user)
    client.post("/preferences/", {"theme": '"><script>', "density": "x", "role": "administrator"})
    user.refresh_from_db()
    assert (user.theme, user.density, user.role) == ("", "", "viewer")


@pytest.mark.parametrize("referer", ["https://evil.example/", "//evil.example", ""])
def test_preferences_lead_back_only_to_the_console(referer: str) -> None:
    client = Client()
    client.force_login(person())
    answer = client.post("/preferences/", {"theme": "dark"}, headers={"Referer": referer})
    assert answer.headers["Location"] == "/"


def test_what_is_not_there_gets_a_page_in_the_console_s_style() -> None:
    client = Client()
    client.force_login(person())
    answer = client.get("/nothing/")
    assert answer.status_code == 404
    assert "Page not found" in answer.content.decode()


def test_a_mistake_gets_a_page_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    from registries.views import lists

    def broken(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("planted cause")

    monkeypatch.setattr(lists.lists, "show", broken)
    client = Client(raise_request_exception=False)
    client.force_login(person())
    answer = client.get("/registries/")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.content.decode()
    assert "planted cause" not in answer.content.decode()


def test_pages_forbid_inline_script_style_and_framing() -> None:
    policy = Client().get(SIGN_IN).headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def create(*words: str) -> str:
    out = StringIO()
    call_command("create_administrator", *words, stdout=out)
    return out.getvalue()


def test_the_first_administrator_gets_a_password_that_works() -> None:
    lines = create("ines").splitlines()
    assert lines[0] == "User: ines"
    password = lines[1].removeprefix("Password: ")
    user = User.objects.get()
    assert user.may_administer
    assert user.is_staff
    assert sign_in(Client(), password, "ines").status_code == 302


def test_an_administrator_is_not_made_twice() -> None:
    first = create("ines")
    with pytest.raises(CommandError, match="--new-password"):
        create("ines")
    assert create("ines", "--new-password") != first
    person()
    with pytest.raises(CommandError, match="not an administrator"):
        create("viewer", "--new-password")
    with pytest.raises(CommandError, match="valid"):
        create("no spaces!")
