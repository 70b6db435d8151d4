"""Which addresses may be connected to, looked at once the name is resolved."""

from __future__ import annotations

import socket

import pytest

from registries.oci import AddressForbidden, AddressInvalid, Endpoint, PlainHttpForbidden, connections
from registries.oci.address_guard import AddressGuard
from tests.fakes import images
from tests.fakes.registry import Challenge, Headers, root, tags

NEVER = [
    *["127.0.0.1", "127.8.9.10", "0.0.0.0", "169.254.169.254", "169.254.0.23", "224.0.0.1", "255.255.255.255"],
    *["100.100.100.200", "168.63.129.16", "192.0.0.192", "::1", "::", "fe80::1", "fe80::1%eth0", "ff02::1"],
    *["fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1"],
    *["2002:7f00:1::", "2001:0:0:0:0:0:80ff:fffe"],
]


@pytest.mark.parametrize("address", NEVER)
def test_no_registry_lives_there(address):
    assert not AddressGuard(()).permits(address, home=True)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "2606:4700::1", "fd12::1", "100.64.0.1"]
)
def test_registries_live_in_public_and_private_networks(address):
    guard = AddressGuard(())
    assert guard.permits(address, home=True)
    guard.home_resolved(["10.0.0.9"])
    assert guard.permits(address, home=False)


def test_an_administrator_can_open_a_network_and_no_more():
    guard = AddressGuard(("127.0.0.0/30", "fe80::/10"))
    assert guard.permits("127.0.0.1", home=True)
    assert guard.permits("::ffff:127.0.0.2", home=True)
    assert guard.permits("fe80::1%eth0", home=True)
    assert not guard.permits("127.0.0.4", home=True)
    assert not guard.permits("169.254.169.254", home=True)


def test_a_public_registry_cannot_point_into_a_private_network():
    for addresses in (["8.8.8.8"], ["10.0.0.9", "8.8.8.8"], ["64:ff9b::808:808"], []):
        guard = AddressGuard(())
        assert not guard.permits("10.0.0.5", home=False), "where it lives is not known yet"
        guard.home_resolved(addresses)
        assert guard.knows_home
        assert not guard.permits("10.0.0.5", home=False)
        assert guard.permits("10.0.0.5", home=True)
        guard.home_resolved(["10.0.0.9"])
        assert not guard.permits("10.0.0.5", home=False), "it moves inside by its name server alone"


def test_nonsense_in_the_list_of_networks_is_said_to_be_nonsense():
    with pytest.raises(AddressInvalid):
        AddressGuard(("10.0.0.0/8", "my network"))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "LOCALHOST."]
)
def test_this_machine_is_closed_however_it_is_written(registry, connect, host):
    port = registry.host.rsplit(":", 1)[1]
    with pytest.raises(AddressForbidden) as error:
        connect(f"http://{host}:{port}", allowed_networks=()).ping()
    assert registry.seen == []
    assert "TALLYMAN_ALLOWED_NETWORKS" in error.value.remedy


def test_a_name_that_changes_its_mind_is_judged_by_where_it_leads_now(registry, connect, monkeypatch):
    images.image({"a": b"1"}).put(registry, "app", "1")
    port = int(registry.host.rsplit(":", 1)[1])
    answers = iter(["127.0.0.1", "169.254.169.254", "127.0.0.1"])
    real = socket.getaddrinfo
    asked = []

    def resolve(host, *given, **named):
        asked.append(host)
        return real(next(answers), *given, **named)

    monkeypatch.setattr(connections.socket, "getaddrinfo", resolve)
    registry.fail(root, Headers({"Connection": "close"}))
    client = connect(f"http://rebinding.example:{port}", allowed_networks=("127.0.0.1/32",))
    client.ping()
    with pytest.raises(AddressForbidden):
        client.ping()
    assert asked == ["rebinding.example"] * 2


def test_only_the_permitted_addresses_of_a_name_are_tried(registry, connect, monkeypatch):
    port = int(registry.host.rsplit(":", 1)[1])
    real = socket.getaddrinfo
    both = [*real("169.254.169.254", port, type=socket.SOCK_STREAM), *real("127.0.0.1", port, type=socket.SOCK_STREAM)]
    monkeypatch.setattr(connections.socket, "getaddrinfo", lambda *given, **named: both)
    connect(f"http://two.example:{port}", allowed_networks=("127.0.0.1/32",)).ping()


def test_a_token_service_on_this_machine_is_not_asked(serve, canary, connect):
    registry = serve(host="127.0.0.2")
    registry.fail(root, Challenge(f'Bearer realm="{canary.url}/token"'))
    with pytest.raises(AddressForbidden):
        list(connect(registry, allowed_networks=("127.0.0.2/32",)).tags("app"))
    assert not canary.seen


def test_a_link_to_another_host_is_read_for_its_query_alone(registry, canary, connect):
    made = images.image({"a": b"1"})
    for name in ("1", "2", "3"):
        made.put(registry, "app", name)
    registry.fail(tags, Headers({"Link": f'<{canary.url}/v2/app/tags/list?last=2&n=2>; rel="next"'}), times=1)
    assert list(connect(registry).tags("app")) == ["1", "2", "3", "3"]
    assert not canary.seen


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "file:///etc/passwd",
        "gopher://host",
        "https://",
        "https://user@host",
        "https://user:password@host",
        "http://github@127.0.0.1",
        "https://host:99999",
        "https://host\\@other",
        "https://ho st",
        "https://127。0。0。1",
        "https://host\n",
        "javascript:alert(1)",
        "",
    ],
)
def test_what_is_no_address_of_a_server_is_refused(url, connect):
    with pytest.raises(AddressInvalid) as error:
        connect(url).ping()
    assert "password@" not in error.value.reason


def test_plain_http_needs_to_be_allowed(registry, connect):
    with pytest.raises(PlainHttpForbidden):
        connect(registry, allow_plain_http=False)
    assert registry.seen == []


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("host", "https://host"),
        ("https://Host:443/", "https://host"),
        ("https://host:8443/pre/fix/", "https://host:8443/pre/fix"),
        ("https://host/v2/", "https://host"),
        ("https://[::1]:5000", "https://[::1]:5000"),
        ("docker.io", "https://registry-1.docker.io"),
        ("https://index.docker.io/v1/", "https://registry-1.docker.io"),
    ],
)
def test_an_address_is_brought_into_one_form(url, base):
    assert Endpoint(url).base == base
