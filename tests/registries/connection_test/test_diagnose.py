"""Test connection names the first step that fails, and what to do."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from registries.connection_test.diagnose import ConnectionStage, ConnectionStep, StepResult, diagnose
from registries.models import Registry
from tests.fakes import images
from tests.fakes.certificates import Authority
from tests.fakes.registry import HTML, FakeRegistry, FlippedBit, Status, blobs, catalog, manifests, root, tokens

pytestmark = pytest.mark.django_db


def add(address: str, password: str = "") -> Registry:
    registry = Registry(name="r", address=address, username="reader" if password else "")
    registry.set_password(password)
    registry.save()
    return registry


def failed(steps: list[ConnectionStep]) -> ConnectionStep:
    (step,) = [step for step in steps if step.result is StepResult.FAILED]
    assert step is steps[-1]
    assert step.reason
    assert step.remedy
    return step


def test_a_registry_that_works_passes_all_steps() -> None:
    with FakeRegistry(method="bearer", users={"reader": "secret"}) as server:
        images.index(images.image({"a": b"1"}), attest=True).put(server, "team/app", "1.0")
        registry = add(server.url, "secret")
        steps = diagnose(registry)
        assert [step.stage for step in steps] == list(ConnectionStage)
        assert {step.result for step in steps if step.stage is not ConnectionStage.TLS} == {StepResult.PASSED}
        registry.refresh_from_db()
        assert registry.connection == Registry.Connection.CONNECTED
        assert len(server.requests(manifests, method="GET")) == 2


def test_an_empty_registry_passes_with_no_images_yet() -> None:
    with FakeRegistry() as server:
        steps = diagnose(add(server.url))
        assert not [step for step in steps if step.result is StepResult.FAILED]
        assert steps[-1].result is StepResult.SKIPPED


def test_a_name_that_nobody_knows_fails_at_the_host_name() -> None:
    registry = add("https://no-such-host.invalid")
    assert failed(diagnose(registry)).stage is ConnectionStage.DNS
    registry.refresh_from_db()
    assert registry.connection == Registry.Connection.FAILED


def test_an_address_that_must_not_be_reached_fails_at_the_host_name(settings: Settings) -> None:
    settings.ALLOWED_NETWORKS = []
    assert failed(diagnose(add("https://127.0.0.1:1"))).stage is ConnectionStage.DNS


def test_an_address_that_must_not_be_reached_says_the_same_of_every_port(settings: Settings) -> None:
    settings.ALLOWED_NETWORKS = []
    with FakeRegistry() as server:
        told = [failed(diagnose(Registry(name="r", address=address))) for address in (server.url, "http://127.0.0.1:1")]
    assert len({(step.stage, step.reason, step.remedy) for step in told}) == 1
    assert not server.seen


def test_a_port_where_nobody_listens_fails_at_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    step = failed(diagnose(add(f"https://127.0.0.1:{port}")))
    assert step.stage is ConnectionStage.TCP
    # what a filtered port gives too: no word and no time tells them apart
    assert (step.reason, step.seconds) == ("Nothing responds at this address.", None)


def test_a_filtered_port_says_the_same_as_a_closed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise ConnectionRefusedError

    def wait(*args: object) -> None:
        raise TimeoutError

    told = []
    for fault in (refuse, wait):
        monkeypatch.setattr("registries.oci.connections._PlainSocket.connect", fault, raising=False)
        told.append(failed(diagnose(Registry(name="r", address="https://127.0.0.1"))))
    assert told[0] == told[1]


def test_the_certificate_is_shown_and_one_that_is_not_to_be_trusted_is_told() -> None:
    authority = Authority("Lab authority")
    with FakeRegistry(tls=authority.issue("127.0.0.1").context()) as server:
        registry = add(server.url)
        assert "signed by an authority" in failed(diagnose(registry)).reason
        assert failed(diagnose(registry)).stage is ConnectionStage.TLS
        registry.ca_bundle = authority.pem
        (step,) = [step for step in diagnose(registry) if step.stage is ConnectionStage.TLS]
        assert (step.result, "Lab authority" in step.detail, "valid until" in step.detail) == (
            StepResult.PASSED,
            True,
            True,
        )
        registry.ca_bundle, registry.verify_tls = "", False
        (step,) = [step for step in diagnose(registry) if step.stage is ConnectionStage.TLS]
        assert (step.result, "not validated" in step.detail) == (StepResult.SKIPPED, True)


def harbor(server: FakeRegistry, version: str) -> None:
    """Let ``server`` say of itself what Harbor of this version says."""
    about = Status(
        200,
        {"Content-Type": "application/json"},
        body=b'{"auth_mode": "db_auth", "harbor_version": "v%s"}' % version.encode(),
    )
    if version.startswith("2"):
        told = Status(200, {"Content-Type": "text/plain"}, body=b'{"version":"v2.0"}')
        server.fail(lambda request: request.path == "/api/version", told)
        server.fail(lambda request: request.path == "/api/v2.0/systeminfo", about)
    else:
        server.fail(lambda request: request.path == "/api/systeminfo", about)


@pytest.mark.parametrize(("version", "chosen", "right"), [("2.11.1-6b7ecba1", "v1", "V2"), ("1.10.19", "v2", "V1")])
def test_another_version_of_harbor_than_the_chosen_one_is_told(version: str, chosen: str, right: str) -> None:
    with FakeRegistry() as server:
        harbor(server, version)
        registry = add(server.url)
        registry.type, registry.version = "harbor", chosen
        step = failed(diagnose(registry))
        assert (step.stage, step.remedy) == (ConnectionStage.API, f"Choose the version {right}.")
        assert version in step.reason


def test_what_is_no_harbor_fails_at_the_api() -> None:
    with FakeRegistry() as server:
        registry = add(server.url)
        registry.type, registry.version = "harbor", "v2"
        assert failed(diagnose(registry)).stage is ConnectionStage.API


def test_charts_are_passed_over_in_search_of_an_image() -> None:
    with FakeRegistry() as server:
        images.helm_chart().put(server, "charts/shop", "1.0")
        images.image({"a": b"1"}).put(server, "team/app", "1.0")
        steps = {step.stage: step for step in diagnose(add(server.url))}
        assert "team/app:1.0" in steps[ConnectionStage.MANIFEST].detail
        assert steps[ConnectionStage.BLOB].result is StepResult.PASSED


def test_plain_http_on_a_tls_address_fails_at_the_certificate() -> None:
    with FakeRegistry() as server:
        assert failed(diagnose(add(server.url.replace("http:", "https:")))).stage is ConnectionStage.TLS


def test_a_web_page_instead_of_a_registry_fails_at_the_api() -> None:
    with FakeRegistry() as server:
        server.fail(root, HTML)
        assert failed(diagnose(add(server.url))).stage is ConnectionStage.API


@pytest.mark.parametrize("method", ["basic", "bearer"])
def test_a_wrong_password_fails_at_the_credentials_and_is_tried_once(method: str) -> None:
    with FakeRegistry(method=method, users={"reader": "secret"}) as server:
        registry = add(server.url, "wrong")
        assert failed(diagnose(registry)).stage is ConnectionStage.CREDENTIALS
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
        (catalog, Status(403, code="DENIED"), ConnectionStage.LISTING),
        (manifests, Status(403, code="DENIED"), ConnectionStage.MANIFEST),
        (lambda request: manifests(request) and request.method == "GET", FlippedBit(), ConnectionStage.MANIFEST),
        (blobs, Status(403, code="DENIED"), ConnectionStage.BLOB),
        (blobs, Status(404, code="BLOB_UNKNOWN"), ConnectionStage.BLOB),
    ],
)
def test_what_fails_after_the_sign_in_is_told_apart(
    route: Callable[..., bool], fault: Callable[..., object], stage: ConnectionStage
) -> None:
    with FakeRegistry() as server:
        images.image({"a": b"1"}).put(server, "team/app", "1.0")
        server.fail(route, fault)  # type: ignore[arg-type]
        assert failed(diagnose(add(server.url))).stage is stage


def test_a_password_whose_key_is_gone_fails_at_the_credentials() -> None:
    registry = add("https://registry.example", "secret")
    registry.password_token = registry.password_token[:-8] + "AAAAAAA="
    assert failed(diagnose(registry)).stage is ConnectionStage.CREDENTIALS


def test_the_command_tells_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeRegistry() as server:
        images.image({"a": b"1"}).put(server, "team/app", "1.0")
        add(server.url)
        call_command("check_registry", "R")
        assert "team/app:1.0" in capsys.readouterr().out
        server.fail(root, HTML)
        with pytest.raises(CommandError):
            call_command("check_registry", "r")
        with pytest.raises(CommandError, match="The registries are: r"):
            call_command("check_registry", "unknown")
