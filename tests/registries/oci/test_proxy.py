"""Through a proxy: what it is asked for, what goes past it, and what it is not asked for."""

from __future__ import annotations

import socket

import pytest

from registries.oci import AddressForbidden, Unreachable, connections
from tests.fakes import images
from tests.fakes.certificates import Authority
from tests.fakes.proxy import Proxy


@pytest.fixture
def proxy():
    with Proxy() as made:
        yield made


@pytest.fixture
def filled(registry):
    images.image({"a": b"1"}).put(registry, "app", "1")
    return registry


def test_plain_requests_go_through_the_proxy(filled, connect, proxy):
    assert list(connect(filled, proxy=proxy.url).tags("app")) == ["1"]
    assert f"GET {filled.url}/v2/app/tags/list?n=1000 HTTP/1.1" in proxy.asked


def test_tls_goes_through_a_tunnel_and_is_verified_end_to_end(serve, connect, proxy):
    authority = Authority()
    registry = serve(method="basic", users={"ann": "x"}, tls=authority.issue("127.0.0.1").context())
    images.image({"a": b"1"}).put(registry, "app", "1")
    client = connect(registry, proxy=proxy.url, ca_bundle=authority.pem, username="ann", password="x")
    assert list(client.tags("app")) == ["1"]
    assert {line.split()[0] for line in proxy.asked} == {"CONNECT"}
    assert not [head for head in proxy.heads if "Authorization" in head]


def test_a_name_that_only_the_proxy_knows_is_left_to_the_proxy(registry, connect, proxy, monkeypatch):
    real = socket.getaddrinfo

    def resolve(host, *given, **named):
        if host == "registry.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *given, **named)

    monkeypatch.setattr(connections.socket, "getaddrinfo", resolve)
    port = registry.host.rpartition(":")[2]
    connect(f"http://registry.invalid:{port}", proxy=proxy.url, allowed_networks=()).ping()
    assert proxy.asked == [f"GET http://registry.invalid:{port}/v2/ HTTP/1.1"]


@pytest.mark.parametrize("host", ["169.254.169.254", "127.0.0.1", "2130706433", "localhost"])
def test_the_proxy_is_not_asked_for_what_is_closed(connect, proxy, host):
    with pytest.raises(AddressForbidden):
        connect(f"http://{host}:1", proxy=proxy.url, allowed_networks=()).ping()
    assert proxy.asked == []


@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.0/8", "*"])
def test_some_hosts_are_reached_past_the_proxy(filled, connect, proxy, entry):
    connect(filled, proxy=proxy.url, no_proxy=(entry,)).ping()
    assert proxy.asked == []


@pytest.mark.parametrize(("entry", "direct"), [(".example.com", True), ("example.com", True), ("ample.com", False)])
def test_domains_are_matched_by_whole_labels(filled, connect, proxy, monkeypatch, entry, direct):
    port = filled.host.rpartition(":")[2]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        connections.socket, "getaddrinfo", lambda host, *given, **named: real("127.0.0.1", *given, **named)
    )
    connect(f"http://registry.example.com:{port}", proxy=proxy.url, no_proxy=(entry,)).ping()
    assert (proxy.asked == []) is direct


def test_a_proxy_that_is_not_there_is_said_to_be_not_there(filled, connect):
    with pytest.raises(Unreachable) as error:
        connect(filled, proxy="http://127.0.0.1:1").ping()
    assert error.value.remedy
