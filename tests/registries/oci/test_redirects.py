"""Where registries point: what follows there, and what stays at home."""

from __future__ import annotations

import contextlib

import pytest

from registries.oci import (
    AccessDenied,
    AddressForbidden,
    DigestMismatch,
    RedirectRefused,
    RegistryError,
    parse_manifest,
)
from tests.fakes import images
from tests.fakes.certificates import Authority
from tests.fakes.registry import DecoyServer, Redirect, Status, anything, blobs, catalog, manifests, root, tags

LOGIN = {"username": "ann", "password": "password-of-ann"}


@pytest.fixture(params=["basic", "bearer"])
def closed(request, serve):
    registry = serve(method=request.param, users={"ann": LOGIN["password"]})
    images.image({"a": b"1"}).put(registry, "app", "1")
    return registry


def layer_of(client):
    return parse_manifest(client.manifest("app", "1")).layers[0]


def secrets_heard(canary):
    ours = {"host", "user-agent", "accept-encoding", "range", "connection"}
    return [each for each in canary.seen if set(each.headers) - ours or LOGIN["password"] in str(each)]


def test_a_blob_in_a_storage_elsewhere_is_read_without_the_login(closed, canary, connect):
    client = connect(closed, **LOGIN)
    layer = layer_of(client)
    canary._answer = (200, closed.store.blob("app", str(layer.digest)).source)
    closed.fail(blobs, Redirect(canary.url + "/bucket/x?X-Amz-Signature=abc%2Fdef"))
    assert client.blob_bytes("app", layer, limit=100_000)
    assert canary.seen[0].query == {"X-Amz-Signature": "abc/def"}
    assert not secrets_heard(canary)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("route", [root, catalog, tags, manifests], ids=["root", "catalog", "tags", "manifests"])
def test_no_redirect_carries_the_login_elsewhere(closed, canary, connect, route, status):
    closed.fail(route, Redirect(canary.url + "{path}", status))
    client = connect(closed, **LOGIN)
    asks = [client.ping, lambda: list(client.repositories()), lambda: list(client.tags("app"))]
    for ask in (*asks, lambda: client.manifest("app", "1"), lambda: client.head_manifest("app", "1")):
        with contextlib.suppress(RegistryError):
            ask()
    assert canary.seen
    assert not secrets_heard(canary)


def test_a_storage_that_sends_the_client_back_gets_no_login_either(closed, connect):
    client = connect(closed, **LOGIN)
    layer = layer_of(client)
    with DecoyServer() as other:
        other.fail(anything, Redirect(closed.url + "/v2/app/manifests/1"))
        other.answer = super(DecoyServer, other).answer
        closed.fail(blobs, Redirect(other.url + "/x"))
        with pytest.raises(AccessDenied):
            client.blob_bytes("app", layer, limit=1000)
    assert "authorization" not in closed.requests(manifests)[-1].headers


def test_the_same_host_on_another_port_is_another_origin(closed, canary, connect):
    assert canary.host.split(":")[0] == closed.host.split(":")[0]
    closed.fail(tags, Redirect(canary.url + "{path}"))
    with contextlib.suppress(RegistryError):
        list(connect(closed, **LOGIN).tags("app"))
    assert canary.seen
    assert not secrets_heard(canary)


def test_a_registry_that_moved_says_where_to(registry, closed, connect):
    registry.fail(root, Redirect(closed.url + "{path}"))
    with pytest.raises(RedirectRefused, match=closed.host) as error:
        connect(registry, **LOGIN).ping()
    assert "enter that address" in error.value.remedy
    assert not [each for each in closed.seen if "authorization" in each.headers]


def test_a_storage_that_refuses_is_named(closed, canary, connect):
    client = connect(closed, **LOGIN)
    layer = layer_of(client)
    canary._answer = (403, b"<Error><Code>AccessDenied</Code></Error>")
    closed.fail(blobs, Redirect(canary.url + "/x"))
    with pytest.raises(AccessDenied, match=canary.host):
        client.blob_bytes("app", layer, limit=1000)


def test_content_from_elsewhere_is_verified_too(closed, canary, connect):
    client = connect(closed, **LOGIN)
    layer = layer_of(client)
    canary._answer = (200, bytes(layer.size))
    closed.fail(blobs, Redirect(canary.url + "/x"))
    with pytest.raises(DigestMismatch):
        client.blob_bytes("app", layer, limit=100_000)


def test_a_redirect_within_the_registry_keeps_the_login(closed, connect):
    closed.fail(tags, Redirect("/v2/app/tags/list"), times=1)
    closed.fail(tags, Redirect("../../app/tags/list?n=5"), times=1)
    assert list(connect(closed, **LOGIN).tags("app")) == ["1"]


@pytest.mark.parametrize(
    "location",
    [
        "{path}",
        "/v2/app/tags/list?n=1000",
        "http://[",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "",
        "//",
        "ftp://x/",
    ],
)
def test_redirects_to_nowhere_are_refused(registry, connect, location):
    images.image({"a": b"1"}).put(registry, "app", "1")
    registry.fail(tags, Redirect(location))
    with pytest.raises(RedirectRefused) as error:
        list(connect(registry).tags("app"))
    assert error.value.remedy
    assert len(registry.requests(tags)) <= 6


def test_a_redirect_with_a_password_in_it_is_refused(registry, canary, connect):
    registry.fail(tags, Redirect(canary.url.replace("://", "://user:password@")))
    with pytest.raises(RedirectRefused):
        list(connect(registry).tags("app"))
    assert not canary.seen


def test_a_long_chain_of_redirects_is_cut(registry, connect):
    counter = iter(range(100))
    registry.fail(tags, lambda request, real: Redirect(f"/v2/app{next(counter)}/tags/list")(request, real))
    with pytest.raises(RedirectRefused):
        list(connect(registry).tags("app"))
    assert len(registry.requests(tags)) == 6


def test_no_redirect_leads_from_tls_to_plain_text(serve, canary, connect):
    authority = Authority()
    registry = serve(tls=authority.issue("127.0.0.1").context())
    registry.fail(tags, Redirect(canary.url + "/x"))
    with pytest.raises(RedirectRefused, match="TLS"):
        list(connect(registry, ca_bundle=authority.pem).tags("app"))
    assert not canary.seen


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_no_redirect_leads_to_this_machine(serve, connect, host):
    registry = serve(host="127.0.0.2")
    with DecoyServer(host="::" if "[" in host else "127.0.0.1") as canary:
        port = canary.host.rsplit(":", 1)[1]
        for route in (tags, manifests, blobs):
            registry.fail(route, Redirect(f"http://{host}:{port}/x"))
        with pytest.raises(AddressForbidden) as error:
            list(connect(registry, allowed_networks=("127.0.0.2/32",)).tags("app"))
        assert not canary.seen
    assert not error.value.retry


def test_a_status_that_only_looks_like_a_redirect_is_none(registry, connect):
    registry.fail(tags, Status(304), times=1)
    with pytest.raises(Exception, match="304"):
        list(connect(registry).tags("app"))
