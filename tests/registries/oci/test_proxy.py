"""Through a proxy: what it is asked for, what goes past it, and what it is not asked for."""

from __future__ import annotations

import socket

import pytest

from registries.oci import AddressForbidden, RegistryError, Unreachable, address_guard, connections
from tests.fakes import images
from tests.fakes.certificates import Authority
from tests.fakes.proxy import Proxy
from tests.fakes.registry import Challenge, Redirect, anything


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


PUBLIC, INSIDE = "8.8.8.8", "127.0.0.1"
NAMES = {"registry.example": PUBLIC, "storage.example": PUBLIC, "inside.corp": INSIDE, "hub.corp": INSIDE}
NO_PROXY = (".corp", "127.0.0.0/8", "10.0.0.0/8")


@pytest.fixture
def names(monkeypatch):
    """Name servers with public and private hosts; loopback stands for a private network, and is no more than that."""
    real = socket.getaddrinfo

    def resolve(host, *given, **named):
        if host.endswith(".unknown"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(NAMES.get(host, host), *given, **named)

    monkeypatch.setattr(connections.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(address_guard, "_FORBIDDEN", ())


def at(server, name):
    return f"http://{name}:{server.host.rpartition(':')[2]}"


@pytest.mark.parametrize("no_proxy", [NO_PROXY, ()], ids=["past the proxy", "by the proxy"])
@pytest.mark.parametrize("home", ["registry.example", "registry.unknown"])
@pytest.mark.parametrize("target", ["inside.corp", "127.0.0.1", "127.1", "[::ffff:127.0.0.1]"])
def test_a_public_registry_behind_the_proxy_leads_to_nothing_inside(
    filled, connect, proxy, canary, names, home, target, no_proxy
):
    filled.fail(anything, Redirect(at(canary, target) + "{path}"))
    client = connect(at(filled, home), proxy=proxy.url, no_proxy=no_proxy, allowed_networks=())
    asks = (client.ping, lambda: list(client.tags("app")), lambda: list(client.repositories()))
    for ask in (*asks, lambda: client.manifest("app", "1"), lambda: client.head_manifest("app", "1")):
        with pytest.raises(AddressForbidden):
            ask()
    assert canary.seen == []
    assert not [line for line in proxy.asked if f":{canary.host.rpartition(':')[2]}" in line]


def test_nor_does_it_by_way_of_another_public_host(filled, serve, connect, proxy, canary, names):
    storage = serve()
    storage.fail(anything, Redirect(at(canary, "inside.corp") + "{path}"))
    filled.fail(anything, Redirect(at(storage, "storage.example") + "{path}"))
    client = connect(at(filled, "registry.example"), proxy=proxy.url, no_proxy=NO_PROXY, allowed_networks=())
    with pytest.raises(AddressForbidden):
        client.manifest("app", "1")
    assert storage.seen
    assert canary.seen == []


def test_a_token_service_inside_is_not_asked_for_a_public_registry(serve, connect, proxy, canary, names):
    closed = serve(method="basic", users={"ann": "x"})
    closed.fail(anything, Challenge(f'Bearer realm="{at(canary, "inside.corp")}/token",service="registry"'))
    client = connect(
        at(closed, "registry.example"),
        proxy=proxy.url,
        no_proxy=NO_PROXY,
        allowed_networks=(),
        username="ann",
        password="x",
        token_hosts=("inside.corp",),
    )
    with pytest.raises(RegistryError):
        client.ping()
    assert canary.seen == []


def test_a_registry_inside_may_lead_inside(filled, connect, proxy, canary, names):
    filled.fail(anything, Redirect(at(canary, "inside.corp") + "{path}"))
    for no_proxy in (NO_PROXY, ()):
        connect(at(filled, "hub.corp"), proxy=proxy.url, no_proxy=no_proxy, allowed_networks=()).head_manifest(
            "app", "1"
        )
    assert {"connection" in each.headers for each in canary.seen} == {True, False}, "by the proxy, and past it"


def test_what_only_the_proxy_can_resolve_is_left_to_it_but_for_names_of_its_own_machine(
    filled, connect, proxy, canary, names, monkeypatch
):
    client = connect(at(filled, "registry.unknown"), proxy=proxy.url, no_proxy=NO_PROXY, allowed_networks=())
    filled.fail(anything, Redirect(at(canary, "storage.unknown") + "{path}"))
    client.head_manifest("app", "1")
    asked = len(canary.seen)
    assert asked
    known = connections.socket.getaddrinfo

    def resolve(host, *given, **named):
        if address_guard.is_forbidden_name(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *given, **named)

    monkeypatch.setattr(connections.socket, "getaddrinfo", resolve)
    for name in ("metadata.google.internal", "METADATA.google.internal.", "a.localhost", "localhost"):
        filled.heal()
        filled.fail(anything, Redirect(at(canary, name) + "{path}"))
        with pytest.raises(AddressForbidden):
            client.head_manifest("app", "1")
    assert len(canary.seen) == asked
