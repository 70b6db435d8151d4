"""What the settings and the row of a registry make of the way to it."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from registries.clients import endpoint_of, open_client
from registries.connectors.distribution import parse_repository_list
from registries.models import Registry
from registries.oci.errors import AddressForbidden, AddressInvalid, PlainHttpForbidden, RegistryError
from tests.fakes import images
from tests.fakes.registry import FakeRegistry


def row(address: str, **values: object) -> Registry:
    return Registry(name="r", address=address, **values)


def test_the_password_reaches_the_endpoint_in_plain_text_and_shows_in_no_description() -> None:
    registry = row("https://registry.example", username="reader")
    registry.set_password("hunter2")
    endpoint = endpoint_of(registry)
    assert endpoint.password == "hunter2"
    assert "hunter2" not in f"{endpoint!r} {registry!r} {vars(registry)}"


@pytest.mark.parametrize("allowed", ["registry.example", "registry.example:5000"])
def test_plain_http_is_allowed_by_host_and_by_host_and_port(settings: Settings, allowed: str) -> None:
    settings.PLAIN_HTTP_HOSTS = [allowed]
    assert endpoint_of(row("http://registry.example:5000")).allow_plain_http
    assert not endpoint_of(row("http://other.example:5000")).allow_plain_http


def test_plain_http_to_any_other_host_is_refused(settings: Settings) -> None:
    settings.PLAIN_HTTP_HOSTS = []
    with FakeRegistry() as server, pytest.raises(PlainHttpForbidden), open_client(row(server.url)) as client:
        client.ping()


def test_loopback_is_refused_unless_the_operator_allows_it(settings: Settings) -> None:
    settings.ALLOWED_NETWORKS = []
    with FakeRegistry() as server, pytest.raises(AddressForbidden), open_client(row(server.url)) as client:
        client.ping()
    assert not server.seen


def test_an_ipv6_host_is_known_with_and_without_its_brackets(settings: Settings) -> None:
    settings.PLAIN_HTTP_HOSTS = ["::1"]
    assert endpoint_of(row("http://[::1]:5000")).allow_plain_http


def test_a_path_prefix_is_called_and_is_no_part_of_image_names() -> None:
    with FakeRegistry(prefix="/registry") as server:
        images.image({"a": b"1"}).put(server, "team/app", "1.0")
        registry = row(server.url)
        with open_client(registry) as client:
            client.ping()
            assert list(client.repositories()) == ["team/app"]
            assert [tag.name for tag in client.tags("team/app")] == ["1.0"]
        assert registry.host == server.host


def test_a_type_that_this_version_cannot_list_says_so() -> None:
    registry = row("https://registry.example", type="later")
    with pytest.raises(RegistryError, match="later") as caught, open_client(registry):
        pass
    assert caught.value.remedy


def test_a_list_of_repositories_is_read_as_people_write_it() -> None:
    text = "team/app\n\n # all of it\nregistry.example:5000/team/tool:1.*\nteam/tool:latest\n  one:1.0\none\n"
    assert parse_repository_list(text, host="registry.example:5000") == {
        "team/app": (),
        "team/tool": ("1.*", "latest"),
        "one": (),
    }


@pytest.mark.parametrize(
    "line", ["a b", "team/app:", "team//app", "/app", "app@sha256:00", "other.example:5000/app", "../x"]
)
def test_a_line_that_names_no_repository_is_named(line: str) -> None:
    with pytest.raises(AddressInvalid, match="Line 2") as caught:
        parse_repository_list(f"good\n{line}\n", host="registry.example")
    assert caught.value.remedy
