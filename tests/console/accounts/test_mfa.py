"""The second factor, the account page, and how sessions end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.db import connection
from django.test import Client

from console.accounts import mfa as accounts_mfa
from console.accounts import sessions
from console.models import AuditEvent, User
from tests.people import PASSWORD, person

pytestmark = pytest.mark.django_db

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def code(ahead: int = 0) -> str:
    return str(totp.format_hotp_value(totp.hotp_value(SECRET, int(time.time()) // 30 + ahead)))


@pytest.fixture
def jane() -> User:
    user = person(username="jane")
    accounts_mfa.enable(user, SECRET)
    return user


def password_given(client: Client, **form: str) -> Any:
    return client.post("/sign-in/", {"username": "jane", "password": PASSWORD, **form})


def is_in(client: Client) -> bool:
    return client.get("/account/").status_code == 200


def test_the_password_alone_opens_nothing(jane: User) -> None:
    client = Client()
    assert password_given(client).headers["Location"] == "/sign-in/code/"
    assert not is_in(client)
    assert client.get("/admin/").status_code == 302


def test_password_and_code_lead_on_with_a_new_session_key(jane: User) -> None:
    client = Client()
    password_given(client, next="/registries/?q=lab")
    before = client.session.session_key
    answer = client.post("/sign-in/code/", {"code": code()})
    assert answer.headers["Location"] == "/registries/?q=lab"
    assert is_in(client)
    assert client.session.session_key != before
    assert AuditEvent.objects.get(action="sign-in").detail == {"by": "password", "second_factor": "totp"}


def test_a_code_is_taken_once_and_no_older_one_after_it(jane: User) -> None:
    assert accounts_mfa.use_code(jane, code()) == "totp"
    assert accounts_mfa.use_code(jane, code()) == ""
    assert accounts_mfa.use_code(jane, code(-1)) == ""
    assert accounts_mfa.use_code(jane, code(1)) == "totp"


def test_codes_of_other_times_are_wrong(jane: User) -> None:
    assert not [step for step in (-20, -3, -2, 2, 3, 20) if accounts_mfa.use_code(jane, code(step))]


def test_a_code_on_paper_opens_once(jane: User) -> None:
    paper = accounts_mfa.enable(jane, SECRET)
    assert len(set(paper)) == 10
    assert accounts_mfa.use_code(jane, paper[3]) == "recovery"
    assert accounts_mfa.use_code(jane, paper[3]) == ""
    assert accounts_mfa.unused_recovery_codes(jane) == 9


def test_five_wrong_codes_close_it_from_wherever_they_come(jane: User) -> None:
    for attempt in range(5):
        client = Client(REMOTE_ADDR=f"10.0.0.{attempt}")
        password_given(client)
        assert client.post("/sign-in/code/", {"code": "000000"}).status_code == 200
    client = Client(REMOTE_ADDR="10.9.9.9")
    password_given(client)
    assert client.post("/sign-in/code/", {"code": code()}).status_code == 429
    assert AuditEvent.objects.filter(action="sign-in.code-refused", target="jane").count() == 5


def at_the_same_time(tries: list[Callable[[], Any]]) -> list[int]:
    """Return the status of each answer, all asked for at once, in threads with connections of their own."""
    together = threading.Barrier(len(tries))

    def run(attempt: Callable[[], Any]) -> int:
        together.wait()
        try:
            return int(attempt().status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(tries)) as pool:
        return list(pool.map(run, tries))


@pytest.mark.django_db(transaction=True)
def test_codes_given_at_the_same_time_are_no_more_than_five(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts_mfa.enable(person(username="jane"), SECRET)
    clients = [Client(REMOTE_ADDR=f"10.0.0.{number}") for number in range(12)]
    for client in clients:
        password_given(client)
    judged, take = [], accounts_mfa.use_code

    def slowly(user: User, given: str) -> str:
        judged.append(given)
        time.sleep(0.1)  # for the others to come in between
        return take(user, given)

    monkeypatch.setattr(accounts_mfa, "use_code", slowly)
    codes = at_the_same_time([partial(client.post, "/sign-in/code/", {"code": "000000"}) for client in clients])
    assert sorted(codes) == [200] * 5 + [429] * 7
    assert len(judged) == 5, "a code that comes too late is not even looked at"
    again = Client()
    password_given(again)
    assert again.post("/sign-in/code/", {"code": code()}).status_code == 429
    assert len(judged) == 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("url", "field"),
    [("/account/second-factor/off/", "password"), ("/account/password/", "old_password")],
)
def test_proofs_given_at_the_same_time_in_one_session_are_no_more_than_five(
    url: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = person(username="jane")
    accounts_mfa.enable(user, SECRET)
    clients = [Client() for _ in range(10)]
    for client in clients:
        client.force_login(user)
    judged, check = [], User.check_password

    def slowly(self: User, raw: str) -> bool:
        judged.append(raw)
        time.sleep(0.1)
        return check(self, raw)

    monkeypatch.setattr(User, "check_password", slowly)
    at_the_same_time([partial(client.post, url, {field: "wrong"}) for client in clients])
    assert AuditEvent.objects.filter(action="sign-in.code-refused").count() == 5
    assert accounts_mfa.is_locked_out(user)


def test_a_code_without_a_password_before_it_is_not_asked_for(jane: User) -> None:
    assert Client().post("/sign-in/code/", {"code": code()}).headers["Location"] == "/sign-in/"


def test_a_password_given_too_long_ago_or_changed_since_counts_no_more(
    jane: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    password_given(client)
    jane.set_password("another-long-password-for-tests")
    jane.save()
    assert client.post("/sign-in/code/", {"code": code()}).headers["Location"] == "/sign-in/"
    jane.set_password(PASSWORD)
    jane.save()
    password_given(client)
    now = time.time()
    monkeypatch.setattr(accounts_mfa.time, "time", lambda: now + accounts_mfa.PENDING_SIGN_IN_SECONDS + 1)
    assert client.post("/sign-in/code/", {"code": code()}).headers["Location"] == "/sign-in/"


def test_the_secret_is_encrypted_in_the_database(jane: User) -> None:
    kept = str(Authenticator.objects.values_list("data", flat=True))
    assert SECRET not in kept
    assert "seed" in kept


def test_it_is_set_up_with_password_and_code_and_other_sessions_end(settings: Any) -> None:
    user = person(username="jane")
    here, there = Client(), Client()
    here.force_login(user)
    there.force_login(user)
    page = here.get("/account/").content.decode()
    secret = here.session[accounts_mfa.PENDING_SETUP_KEY]
    assert " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)) in page
    now = str(totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30)))
    assert here.post("/account/second-factor/on/", {"password": "wrong", "code": now}).status_code == 422
    assert here.post("/account/second-factor/on/", {"password": PASSWORD, "code": "000000"}).status_code == 422
    assert not accounts_mfa.is_enabled(user)
    answer = here.post("/account/second-factor/on/", {"password": PASSWORD, "code": now})
    assert answer.content.decode().count("<li><code>") == 10
    assert accounts_mfa.is_enabled(user)
    assert is_in(here)
    assert not is_in(there)
    assert here.post("/account/second-factor/off/", {"password": "wrong"}).status_code == 422
    assert here.post("/account/second-factor/off/", {"password": PASSWORD}).status_code == 302
    assert not accounts_mfa.is_enabled(user)
    actions = AuditEvent.objects.order_by("pk").values_list("action", flat=True)
    assert [action for action in actions if action.startswith("user.")] == [
        "user.second-factor-on",
        "user.second-factor-off",
    ]


def test_passwords_tried_on_the_account_page_are_counted() -> None:
    client = Client()
    client.force_login(person(username="jane"))
    new = {"new_password1": "correct horse battery 9", "new_password2": "correct horse battery 9"}
    for _attempt in range(5):
        assert client.post("/account/password/", {"old_password": "wrong", **new}).status_code == 422
    assert client.post("/account/password/", {"old_password": PASSWORD, **new}).status_code == 422
    assert User.objects.get().check_password(PASSWORD)


@pytest.mark.parametrize("weak", ["short", "password1234", "jane-jane-jane"])
def test_weak_passwords_are_refused(weak: str) -> None:
    client = Client()
    client.force_login(person(username="jane-jane"))
    form = {"old_password": PASSWORD, "new_password1": weak, "new_password2": weak}
    assert client.post("/account/password/", form).status_code == 422


def test_a_new_password_ends_all_other_sessions() -> None:
    user = person(username="jane")
    here, there = Client(), Client()
    here.force_login(user)
    there.force_login(user)
    new = "correct horse battery 9"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert here.post("/account/password/", form).status_code == 302
    assert (is_in(here), is_in(there)) == (True, False)


def test_signing_out_everywhere_ends_every_session_at_its_next_request() -> None:
    user = person(username="jane")
    clients = [Client() for _ in range(3)]
    for client in clients:
        client.force_login(user)
    clients[0].post("/account/end-sessions/")
    assert not [client for client in clients if is_in(client)]
    assert AuditEvent.objects.get(action="sign-out.everywhere").actor_name == "jane"


def test_a_deactivated_person_is_out_at_the_next_request() -> None:
    user, client = person(username="jane"), Client()
    client.force_login(user)
    assert is_in(client)
    User.objects.update(is_active=False)
    assert not is_in(client)


@pytest.mark.parametrize(("minutes", "stays"), [(29, True), (31, False)])
def test_a_session_without_a_sign_of_the_person_ends(
    minutes: int, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    client.force_login(person(username="jane"))
    assert is_in(client)
    now = time.time()
    monkeypatch.setattr(sessions.time, "time", lambda: now + minutes * 60)
    assert is_in(client) is stays


def test_what_a_page_polls_for_by_itself_keeps_no_session_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    client, now = Client(), time.time()
    client.force_login(person(username="jane"))
    client.get("/account/")
    for minutes in (10, 20, 29):
        monkeypatch.setattr(sessions.time, "time", lambda at=minutes: now + at * 60)
        assert client.get("/scans/progress/", headers={"HX-Request": "true"}).status_code == 200
    monkeypatch.setattr(sessions.time, "time", lambda: now + 31 * 60)
    assert not is_in(client)
    assert AuditEvent.objects.filter(action="sign-out.expired", actor_name="jane").exists()


def test_who_works_with_parts_of_a_page_alone_stays_signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    client, now = Client(), time.time()
    client.force_login(person(username="jane"))
    for minutes in (20, 40, 60):
        monkeypatch.setattr(sessions.time, "time", lambda at=minutes: now + at * 60)
        assert client.get("/images/?q=app", headers={"HX-Request": "true"}).status_code == 200
    assert is_in(client)


def test_a_session_ends_after_twelve_hours_whatever_happens_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    client, now = Client(), time.time()
    client.force_login(person(username="jane"))
    client.get("/account/")
    for minutes in range(20, 12 * 60, 20):
        monkeypatch.setattr(sessions.time, "time", lambda at=minutes: now + at * 60)
        assert is_in(client)
    monkeypatch.setattr(sessions.time, "time", lambda: now + 12 * 3600 + 1)
    assert not is_in(client)
