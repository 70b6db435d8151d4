"""Test connection names the first step that fails, and what to do."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from registries.doctor import Result, Stage, Step, diagnose
from registries.models import Registry
from tests.fakes import images
from tests.fakes.registry import HTML, FakeRegistry, Flip, Status, blobs, catalog, manifests, root, tokens

pytestmark = pytest.mark.django_db


def add(address: str, password: str = "") -> Registry:
    registry = Registry(name="r", address=address, username="reader" if password else "")
    registry.set_password(password)
    registry.save()
    return registry


def failed(steps: list[Step]) -> Step:
    (step,) = [step for step in steps if step.result is Result.FAILED]
    assert step is steps[-1]
    assert step.reason
    assert step.remedy
    return step


def test_a_registry_that_works_passes_all_steps() -> None:
    with FakeRegistry(method="bearer", users={"reader": "secret"}) as server:
        images.index(images.image({"a": b"1"}), attest=True).put(server, "team/app", "1.0")
        registry = add(server.url, "secret")
        steps = diagnose(registry)
        assert [step.stage for step in steps] == list(Stage)
        assert {step.result for step in steps if step.stage is not Stage.TLS} == {Result.PASSED}
        registry.refresh_from_db()
        assert registry.connection == Registry.Connection.CONNECTED
        assert len(server.requests(manifests, method="GET")) == 2


def test_an_empty_registry_passes_with_no_images_yet() -> None:
    with FakeRegistry() as server:
        steps = diagnose(add(server.url))
        assert not [step for step in steps if step.result is Result.FAILED]
        assert steps[-1].result is Result.SKIPPED


def test_a_name_that_nobody_knows_fails_at_the_host_name() -> None:
    registry = add("https://no-such-host.invalid")
    assert failed(diagnose(registry)).stage is Stage.ADDRESS
    registry.refresh_from_db()
    assert registry.connection == Registry.Connection.FAILED


def test_an_address_that_must_not_be_reached_fails_at_the_host_name(settings: Settings) -> None:
    settings.ALLOWED_NETWORKS = []
    assert failed(diagnose(add("https://127.0.0.1:1"))).stage is Stage.ADDRESS


def test_a_port_where_nobody_listens_fails_at_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registries.oci.transport.MAX_TRIES", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert failed(diagnose(add(f"https://127.0.0.1:{port}"))).stage is Stage.CONNECTION


def test_plain_http_on_a_tls_address_fails_at_the_certificate() -> None:
    with FakeRegistry() as server:
        assert failed(diagnose(add(server.url.replace("http:", "https:")))).stage is Stage.TLS


def test_a_web_page_instead_of_a_registry_fails_at_the_api() -> None:
    with FakeRegistry() as server:
        server.fail(root, HTML)
        assert failed(diagnose(add(server.url))).stage is Stage.API


@pytest.mark.parametrize("method", ["basic", "bearer"])
def test_a_wrong_password_fails_at_the_credentials_and_is_tried_once(method: str) -> None:
    with FakeRegistry(method=method, users={"reader": "secret"}) as server:
        registry = add(server.url, "wrong")
        assert failed(diagnose(registry)).stage is Stage.CREDENTIALS
        registry.refresh_from_db()
        assert registry.credentials_refused
        proofs = server.requests(tokens) if method == "bearer" else server.requests(root)
        assert len([seen for seen in proofs if "authorization" in seen.headers]) == 1


def test_a_test_lifts_the_refusal_once_the_registry_takes_the_password_again() -> None:
    with FakeRegistry(method="basic", users={"reader": "changed"}) as server:
        registry = add(server.url, "secret")
        diagnose(registry)
        assert registry.credentials_refused
        server.sign_in.users = {"reader": "secret"}
        diagnose(registry)
        assert not registry.credentials_refused


@pytest.mark.parametrize(
    ("route", "fault", "stage"),
    [
        (catalog, Status(403, code="DENIED"), Stage.LISTING),
        (manifests, Status(403, code="DENIED"), Stage.MANIFEST),
        (lambda request: manifests(request) and request.method == "GET", Flip(), Stage.MANIFEST),
        (blobs, Status(403, code="DENIED"), Stage.BLOB),
        (blobs, Status(404, code="BLOB_UNKNOWN"), Stage.BLOB),
    ],
)
def test_what_fails_after_the_sign_in_is_told_apart(
    route: Callable[..., bool], fault: Callable[..., object], stage: Stage
) -> None:
    with FakeRegistry() as server:
        images.image({"a": b"1"}).put(server, "team/app", "1.0")
        server.fail(route, fault)  # type: ignore[arg-type]
        assert failed(diagnose(add(server.url))).stage is stage


def test_a_password_whose_key_is_gone_fails_at_the_credentials() -> None:
    registry = add("https://registry.example", "secret")
    registry.password_token = registry.password_token[:-8] + "AAAAAAA="
    assert failed(diagnose(registry)).stage is Stage.CREDENTIALS


def test_the_command_tells_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeRegistry() as server:
        images.image({"a": b"1"}).put(server, "team/app", "1.0")
        add(server.url)
        call_command("check_registry", "R")
        assert "team/app:1.0" in capsys.readouterr().out
        server.fail(root, HTML)
        with pytest.raises(CommandError):
            call_command("check_registry", "r")
        with pytest.raises(CommandError, match="There are: r"):
            call_command("check_registry", "unknown")
