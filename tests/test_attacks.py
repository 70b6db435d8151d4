"""Tried as an attacker would, without an account and with a small one: what the console gives away or lets happen."""

from __future__ import annotations

import random
import re
import socket
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from console.models import AuditEvent
from registries.clients import open_client
from registries.connection_test.diagnose import ConnectionStep, StepResult, diagnose
from registries.models import Registry
from registries.oci import connections
from registries.oci.errors import RegistryError
from tests import factories
from tests.fakes.registry import FakeRegistry
from tests.people import PASSWORD, person
from tests.test_access import ADDRESSES, VIEWER

pytestmark = pytest.mark.django_db(transaction=True)

TRIALS = 200
LISTS = sorted(name for name, may in ADDRESSES.items() if name.endswith("-list") and not may.arguments)
LONG = 10 * 1024
SEARCHES = {
    "long word": "a" * LONG,
    "many words": "a " * (LONG // 2),
    "wildcards": "%_" * (LONG // 2),
    "backslashes": "\\" * LONG,
    "quotes": "'\"" * (LONG // 2),
    "nested groups": "(" * 5000 + "a+" + ")+" * 2500,
    "catastrophe": "(a|aa)+$" + "a" * 200 + "!",
    "numbers": "9" * LONG,
    "digest without end": "sha256:" + "0" * LONG,
    "statement": "'; DROP TABLE console_user; --",
    "nulls": "\x00" * 200,
    "right to left": "\u202e" * 250,
}


def sign_in(name: str, password: str) -> Any:
    return Client().post(reverse("console:sign-in"), {"username": name, "password": password})


# --- who has an account --------------------------------------------------------------------------------------------


def test_as_much_is_hashed_for_who_does_not_exist_as_for_who_does(monkeypatch: pytest.MonkeyPatch) -> None:
    person(username="known")
    person(username="left", is_active=False)
    stranger = person(username="by-another-service")
    stranger.set_unusable_password()
    stranger.save()
    hashed: list[str] = []
    real = MD5PasswordHasher.encode

    def encode(self: Any, password: str, salt: str) -> str:
        hashed.append(password)
        return real(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", encode)
    work = {}
    for name in ("known", "left", "by-another-service", "unknown", "KNOWN", "x" * 150):
        hashed.clear()
        assert sign_in(name, "wrong").status_code == 200
        work[name] = len(hashed)
    assert set(work.values()) == {1}, work


def test_the_answer_does_not_tell_who_has_an_account() -> None:
    person(username="known")
    person(username="left", is_active=False)
    said = set()
    for name in ("known", "left", "nobody"):
        answers = [sign_in(name, "wrong") for _attempt in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429]
        said.add(tuple(strip(answer, name) for answer in answers))
    assert len(said) == 1
    assert AuditEvent.objects.filter(action="sign-in.locked").count() == 3


def test_the_right_password_of_who_is_disabled_is_answered_as_a_wrong_one() -> None:
    person(username="left", is_active=False)
    assert strip(sign_in("left", PASSWORD), "left") == strip(sign_in("left", "wrong"), "left")


def strip(answer: Any, name: str) -> str:
    """The page without what is new each time: the token of the form, and the name that was typed."""
    return re.sub(r"[A-Za-z0-9]{64}", "TOKEN", answer.content.decode()).replace(name, "NAME")


# --- what is inside the network ------------------------------------------------------------------------------------


def test_a_name_that_leads_elsewhere_each_time_never_leads_inside(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ALLOWED_NETWORKS = ["127.0.0.1/32"]  # stands for a public address; 127.0.0.2 for one inside
    settings.PLAIN_HTTP_HOSTS = ["rebinding.example"]
    dice, real = random.Random(6), socket.getaddrinfo
    answers: list[str] = []

    def resolve(_host: str, *given: Any, **named: Any) -> Any:
        answers.append(dice.choice(("127.0.0.1", "127.0.0.2")))
        first = real(answers[-1], *given, **named)
        return first + real("127.0.0.2", *given, **named) if dice.random() < 0.3 else first

    with FakeRegistry() as outside:
        port = int(outside.host.rpartition(":")[2])
        with FakeRegistry(host="127.0.0.2", port=port) as inside:
            monkeypatch.setattr(connections.socket, "getaddrinfo", resolve)
            reached = 0
            for _trial in range(TRIALS):
                try:
                    with open_client(Registry(name="lab", address=f"http://rebinding.example:{port}")) as client:
                        client.ping()
                    reached += 1
                except RegistryError:
                    pass
            assert {"127.0.0.1", "127.0.0.2"} == set(answers)
            assert reached == len(outside.seen) > TRIALS / 4
            assert not inside.seen


def test_open_closed_and_silent_ports_inside_look_the_same(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ALLOWED_NETWORKS = []
    settings.PLAIN_HTTP_HOSTS = ["inside.example"]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        connections.socket, "getaddrinfo", lambda _host, *given, **named: real("127.0.0.1", *given, **named)
    )
    with (
        FakeRegistry() as registry,
        socket.create_server(("127.0.0.1", 0)) as silent,
        socket.create_server(("127.0.0.1", 0)) as closed,
    ):
        ports = [registry.host.rpartition(":")[2], silent.getsockname()[1], closed.getsockname()[1]]
        closed.close()
        said = {told(Registry(name="lab", address=f"http://inside.example:{port}")) for port in ports}
        assert not registry.seen
        silent.settimeout(0.1)
        with pytest.raises(TimeoutError):
            silent.accept()
    assert len(said) == 1


def told(registry: Registry) -> tuple[Any, ...]:
    """What "Test connection" says of ``registry``, without the port that was typed."""
    steps: list[ConnectionStep] = []
    diagnose(registry, check=lambda: None, report=steps.append, record=False)
    assert steps[-1].result is StepResult.FAILED
    port = registry.address.rpartition(":")[2]
    return tuple((step.stage, step.result, step.reason.replace(port, "PORT"), step.remedy) for step in steps)


# --- what costs the server much ------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", SEARCHES.values(), ids=SEARCHES)
def test_a_hostile_search_is_answered_and_does_not_reach_the_database_whole(text: str) -> None:
    factories.tag(in_=factories.registry())
    client = Client()
    client.force_login(person("administrator"))
    for name in LISTS:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            answer = client.get(reverse(name), {"q": text})
        assert answer.status_code == 200, name
        longest = max(len(query["sql"]) for query in queries.captured_queries)
        assert longest < LONG * 2, (name, longest)
    assert len(LISTS) > 7


def test_two_hundred_values_of_a_filter_are_answered_and_two_thousand_are_not() -> None:
    factories.tag(in_=factories.registry())
    client = Client()
    client.force_login(person("administrator"))
    values = ["critical", *(f"{'x' * 60}{number}" for number in range(199))]
    for name in LISTS:
        for each in ("registry", "severity", "type", "result", "subject"):
            with CaptureQueriesContext(connection) as queries:
                assert client.get(reverse(name), {each: values}).status_code == 200
            assert len(queries) < 60, name
        assert client.get(reverse(name), {"severity": values * 10}).status_code in {200, 400}  # 200: it reads none


def test_a_viewer_gets_no_file_of_anybody() -> None:
    client = Client()
    client.force_login(person(VIEWER))
    exports = {name: may.arguments for name, may in ADDRESSES.items() if name.endswith("-export")}
    assert len(exports) > 6
    for name, arguments in exports.items():
        assert client.post(reverse(name, args=[1] * len(arguments)), {"all": "1", "view": ""}).status_code == 403
    assert not AuditEvent.objects.filter(action__startswith="export").exists()
    assert AuditEvent.objects.filter(action="access.denied").count() == len(exports)
