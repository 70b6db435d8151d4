"""Who asks, where proxies stand in front, and what others who write such headers get."""

from __future__ import annotations

import ipaddress
import logging
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from console.models import AuditEvent
from console.server import installation_checks, reverse_proxies
from tests.people import PASSWORD, person

PROXY, OTHER_PROXY = "10.0.0.1", "10.0.0.2"
TRUSTED = ["10.0.0.0/24", "2001:db8:ffff::/48", "unix"]
ATTACKER = "203.0.113.66"


@pytest.mark.parametrize(
    ("peer", "said", "who"),
    [
        (ATTACKER, "", ATTACKER),
        (ATTACKER, "198.51.100.7", ATTACKER),  # says itself that it is a proxy
        (ATTACKER, "198.51.100.7, 10.0.0.1", ATTACKER),
        (PROXY, "", PROXY),
        (PROXY, "198.51.100.7", "198.51.100.7"),
        (PROXY, "1.1.1.1, 198.51.100.7", "198.51.100.7"),  # the left is what the client wrote
        (PROXY, "198.51.100.7, 10.0.0.2", "198.51.100.7"),  # two proxies
        (PROXY, "1.1.1.1, 10.0.0.9, 198.51.100.7, 10.0.0.2", "198.51.100.7"),  # no jump over one that is not trusted
        (PROXY, "10.0.0.7, 10.0.0.2", "10.0.0.7"),  # somebody in the network of the proxies
        (PROXY, "198.51.100.7:4711", "198.51.100.7"),
        (PROXY, "[2001:db8::7]:4711", "2001:db8::7"),
        (PROXY, "[2001:db8::7]", "2001:db8::7"),
        (PROXY, "2001:DB8:0::7", "2001:db8::7"),
        (PROXY, "fe80::7%eth0", "fe80::7"),
        (PROXY, "[fe80::7%25eth0]:80", "fe80::7"),
        (PROXY, "::ffff:198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("2001:db8:ffff::1", "198.51.100.7", "198.51.100.7"),
        ("2001:db8:fffe::1", "198.51.100.7", "2001:db8:fffe::1"),
        ("", "198.51.100.7", "198.51.100.7"),
        ("", "", "127.0.0.1"),
        (PROXY, "unknown", PROXY),
        (PROXY, "198.51.100.7, unknown", PROXY),
        (PROXY, "198.51.100.7, unknown, 10.0.0.2", OTHER_PROXY),
        (PROXY, "198.51.100.7,", PROXY),
        (PROXY, ",,,", PROXY),
        (PROXY, "_hidden, for=198.51.100.7", PROXY),
        (PROXY, "127.1", PROXY),
        (PROXY, "0x7f000001", PROXY),
        (PROXY, "198.51.100.7.example.com", PROXY),
        (PROXY, "9" * 5000, PROXY),
        (PROXY, "٣.٣.٣.٣", PROXY),
        (PROXY, "10.0.0.3, " * 5000 + "10.0.0.4", "10.0.0.3"),
        (PROXY, "1.1.1.1, " + "10.0.0.3, " * 40 + "10.0.0.4", "10.0.0.3"),
    ],
)
def test_who_asks_is_the_first_from_the_right_that_is_no_trusted_proxy(peer: str, said: str, who: str) -> None:
    assert reverse_proxies.resolve_client(peer, said, TRUSTED) == who


@given(written=st.text(max_size=300), peer=st.sampled_from([PROXY, "", "2001:db8:ffff::1"]))
def test_whatever_a_client_writes_the_proxy_has_the_last_word(written: str, peer: str) -> None:
    assert reverse_proxies.resolve_client(peer, f"{written}, {ATTACKER}", TRUSTED) == ATTACKER


@given(st.text(max_size=200))
def test_what_a_proxy_passes_on_is_always_an_address_in_the_end(written: str) -> None:
    for peer in (PROXY, ATTACKER, ""):
        ipaddress.ip_address(reverse_proxies.resolve_client(peer, written, TRUSTED))
        ipaddress.ip_address(reverse_proxies.resolve_client(peer, written, []))


def sign_in(client: Client, password: str = "wrong", **headers: str) -> int:
    return client.post("/sign-in/", {"username": "viewer", "password": password}, headers=headers).status_code


@pytest.mark.django_db
def test_wrong_passwords_of_one_person_behind_a_proxy_close_the_sign_in_of_nobody_else(settings: Any) -> None:
    settings.TRUSTED_PROXIES = TRUSTED
    person()
    through = Client(REMOTE_ADDR=PROXY)
    assert [sign_in(through, **{"X-Forwarded-For": ATTACKER}) for _ in range(5)] == [200] * 4 + [429]
    for written in ("198.51.100.1", "", "::1", "127.0.0.1", "unknown"):
        assert sign_in(through, **{"X-Forwarded-For": f"{written}, {ATTACKER}"}) == 429, "it cannot get out of the lock"
    assert sign_in(through, PASSWORD, **{"X-Forwarded-For": "198.51.100.7"}) == 302
    assert set(AuditEvent.objects.filter(action="sign-in.refused").values_list("address", flat=True)) == {ATTACKER}
    assert AuditEvent.objects.get(action="sign-in").address == "198.51.100.7"


@pytest.mark.django_db
def test_who_is_no_proxy_gets_neither_another_address_nor_another_scheme(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.TRUSTED_PROXIES, settings.SECURE_PROXY_SSL_HEADER = TRUSTED, ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT = True
    person()
    headers = {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https"}
    direct = Client(REMOTE_ADDR=ATTACKER)
    with caplog.at_level(logging.WARNING, "console.server.reverse_proxies"):
        for _ in range(3):
            assert sign_in(direct, **headers) == 301, "it came without TLS, whatever it says"
    assert [record.getMessage().count(ATTACKER) for record in caplog.records] == [1], "once is enough"
    through = Client(REMOTE_ADDR=PROXY)
    assert sign_in(through, **headers) == 200
    assert sign_in(through, **(headers | {"X-Forwarded-Proto": "http"})) == 301
    assert sign_in(through, **(headers | {"X-Forwarded-Proto": "https, http"})) == 301
    assert AuditEvent.objects.get(action="sign-in.refused").address == "198.51.100.7"


def test_what_nobody_believes_reaches_no_library_and_every_request_has_an_address(settings: Any) -> None:
    settings.TRUSTED_PROXIES = TRUSTED
    reached: list[dict[str, Any]] = []

    def take(request: HttpRequest) -> HttpResponse:
        reached.append(request.META)
        return HttpResponse()

    middleware = reverse_proxies.ProxyMiddleware(take)
    said = dict.fromkeys(reverse_proxies.FORWARDING_HEADERS, "1.1.1.1")
    middleware(RequestFactory().get("/", REMOTE_ADDR=ATTACKER, **said))
    assert not said.keys() & reached[0].keys()
    settings.TRUSTED_PROXIES = []
    middleware(RequestFactory().get("/", REMOTE_ADDR="", **said))
    assert reached[1]["REMOTE_ADDR"] == "127.0.0.1"


def test_a_network_of_everybody_is_a_fault_on_the_page_security(settings: Any) -> None:
    settings.TRUSTED_PROXIES = ["0.0.0.0/0"]
    assert "Every address is trusted as a proxy" in [str(each.title) for each in installation_checks.transport()]
    settings.TRUSTED_PROXIES = TRUSTED
    assert "Every address is trusted as a proxy" not in [str(each.title) for each in installation_checks.transport()]
