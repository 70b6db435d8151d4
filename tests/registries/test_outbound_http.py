"""The one door, as the settings open and close it: proxy, what goes past it, own authorities, closed addresses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from registries.clients import open_anonymous, open_client
from registries.models import Registry
from registries.oci.errors import CertificateError, RegistryError
from registries.outbound_http import OutboundSession
from tests.fakes.certificates import Authority
from tests.fakes.proxy import Proxy
from tests.fakes.registry import FakeRegistry, Redirect, anything

pytestmark = pytest.mark.django_db


@pytest.fixture
def proxy(settings: Any) -> Iterator[Proxy]:
    with Proxy() as made:
        settings.OUTBOUND_PROXY = made.url
        yield made


def ping(server: FakeRegistry) -> None:
    with open_client(Registry(name="lab", address=server.url)) as client:
        client.ping()


def ask(server: FakeRegistry) -> None:
    OutboundSession().get(f"{server.url}/v2/").raise_for_status()


def ask_stranger(server: FakeRegistry) -> None:
    scheme, _slashes, host = server.url.partition("://")
    with open_anonymous(host, plain_http=scheme == "http") as client:
        client.ping()


WAYS = pytest.mark.parametrize("way", [ping, ask, ask_stranger])


@WAYS
def test_each_way_out_goes_by_the_proxy_of_the_settings(way: Any, proxy: Proxy) -> None:
    with FakeRegistry() as server:
        way(server)
    assert proxy.asked == [f"GET {server.url}/v2/ HTTP/1.1"]


@WAYS
@pytest.mark.parametrize("entry", ["127.0.0.1", "127.0.0.0/8"])
def test_what_the_settings_name_is_reached_without_it(way: Any, entry: str, proxy: Proxy, settings: Any) -> None:
    settings.NO_PROXY = ["other.example", entry]
    with FakeRegistry() as server:
        way(server)
        assert server.seen
    assert proxy.asked == []


@WAYS
def test_an_authority_of_the_settings_is_believed_and_no_other(way: Any, settings: Any, tmp_path: Path) -> None:
    authority = Authority()
    bundle = tmp_path / "authorities.pem"
    bundle.write_text(authority.pem)
    with FakeRegistry(tls=authority.issue("127.0.0.1").context()) as server:
        with pytest.raises((CertificateError, requests.ConnectionError)):
            way(server)
        assert not server.seen
        settings.CA_BUNDLE = str(bundle)
        way(server)
        assert server.seen


@WAYS
def test_a_bundle_that_cannot_be_read_is_told_and_nothing_is_sent(way: Any, settings: Any, tmp_path: Path) -> None:
    settings.CA_BUNDLE = str(tmp_path / "missing.pem")
    with FakeRegistry() as server:
        with pytest.raises((CertificateError, requests.ConnectionError), match="TALLYMAN_CA_BUNDLE"):
            way(server)
        assert not server.seen


@WAYS
def test_no_way_out_leads_to_this_machine(way: Any, settings: Any) -> None:
    settings.ALLOWED_NETWORKS = ["127.0.0.1/32"]
    with FakeRegistry() as server, FakeRegistry(host="127.0.0.2") as inside:
        server.fail(anything, Redirect(inside.url + "/v2/"))
        with pytest.raises((RegistryError, requests.RequestException)):
            way(server)
        assert server.seen
        settings.ALLOWED_NETWORKS = []
        with pytest.raises((RegistryError, requests.RequestException)):
            way(inside)
        assert not inside.seen


@WAYS
def test_the_environment_names_no_proxy(way: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with FakeRegistry() as server:
        way(server)
        assert server.seen
