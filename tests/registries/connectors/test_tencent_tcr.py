"""TCR and CCR, against an API that verifies the SDK's signatures and a registry that takes the tokens it hands out."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from pytest_django import Settings

from registries.clients import RegistryClient, open_client
from registries.connection_test.diagnose import ConnectionStage, StepResult, diagnose
from registries.connectors import tencent_api, tencent_lists
from registries.connectors.tencent_lists import parse_timestamp
from registries.models import Registry
from registries.oci.errors import (
    AccessDenied,
    AddressForbidden,
    AddressInvalid,
    CredentialsRefused,
    MalformedResponse,
    NotARegistry,
    NotFound,
    PartsUnreadable,
    RateLimited,
    RegistryError,
    ServerError,
)
from registries.oci.manifests import Descriptor, ImageManifest, parse_manifest
from tests.fakes import images
from tests.fakes.certificates import Authority
from tests.fakes.registry import HTML, DecoyServer, Status, blobs, manifests, root, tokens
from tests.fakes.tencent import SECRET_ID, SECRET_KEY, UIN, FakeInstance, FakeTencent, api
from tests.registries.oci.conftest import until_error


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tencent_api, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def server() -> Iterator[FakeTencent]:
    with FakeTencent(instances=(FakeInstance("tcr-acme", "acme", region="ap-hongkong"),)) as server:
        yield server


def tcr(server: FakeTencent, **values: object) -> Registry:
    fields = {"name": "acme", "type": "tcr", "address": server.url, "endpoint": server.url, "username": SECRET_ID}
    registry = Registry(**fields | values)
    registry.set_password(SECRET_KEY)
    return registry


def ccr(server: FakeTencent, *, password: str = "", **values: object) -> Registry:
    server.personal = True
    server.namespaces.setdefault("ap-guangzhou", ["team"])
    registry = tcr(server, type="ccr", pull_username=UIN if password else "", **values)
    registry.set_pull_password(password)
    return registry


def put(server: FakeTencent, repository: str, *tags: str) -> images.Image:
    made = images.image({"app": repository.encode()})
    for tag in tags:
        made.put(server, repository, tag)
    return made


def pull(client: RegistryClient, repository: str, tag: str) -> int:
    """Read manifest and all blobs; return how many bytes."""
    manifest = parse_manifest(client.manifest(repository, str(client.head(repository, tag).digest)))
    assert isinstance(manifest, ImageManifest)
    wanted: list[Descriptor] = [each for each in (manifest.config, *manifest.layers) if each]
    return sum(len(client.blob_bytes(repository, each)) for each in wanted)


# --- listing ------------------------------------------------------------------------------------------------------
def test_repositories_and_tags_come_with_digest_size_and_push_time(server: FakeTencent) -> None:
    made = put(server, "team/app/api", "1.0", "sha256")
    put(server, "other/tool", "latest")
    with open_client(tcr(server)) as client:
        client.ping()
        assert sorted(client.repositories()) == ["other/tool", "team/app/api"]
        refs = {ref.name: ref for ref in client.tags("team/app/api")}
    assert set(refs) == {"1.0", "sha256"}
    assert refs["1.0"].digest == made.digest
    assert refs["1.0"].size == len(made.config) + sum(len(layer.content) for layer in made.layers)
    assert refs["1.0"].pushed_at == datetime(2026, 3, 4, 5, 6, 7, 123456, UTC)
    asked = [parameters for action, _region, parameters in server.calls if action == "DescribeImages"]
    assert (asked[0]["NamespaceName"], asked[0]["RepositoryName"]) == ("team", "app/api")


def test_every_call_but_the_first_goes_to_the_region_of_the_instance(server: FakeTencent) -> None:
    put(server, "team/app", "1.0")
    with open_client(tcr(server)) as client:
        client.ping()
        list(client.repositories())
    assert {region for action, region, _ in server.calls if action != "DescribeInstances"} == {"ap-hongkong"}


@pytest.mark.parametrize("first_page", [0, 1])
def test_pages_are_counted_by_number_whichever_is_the_first(server: FakeTencent, first_page: int) -> None:
    server.first_page = first_page
    for number in range(230):
        put(server, f"team/app{number:03}", "1.0")
    put(server, "team/app000", *(f"1.{number}" for number in range(205)))
    with open_client(tcr(server)) as client:
        assert len(list(client.repositories())) == 230
        names = [ref.name for ref in client.tags("team/app000")]
    assert len(names) == len(set(names)) == 205
    assert all(parameters["Limit"] == 100 for action, _, parameters in server.calls if action == "DescribeImages")


def test_a_full_last_page_costs_no_further_call(server: FakeTencent) -> None:
    put(server, "team/app", *(f"1.{number}" for number in range(200)))
    with open_client(tcr(server)) as client:
        list(client.tags("team/app"))
    assert server.actions().count("DescribeImages") == 2


def test_tags_that_move_while_they_are_read_are_all_found(server: FakeTencent) -> None:
    put(server, "team/app", *(f"1.{number:03}" for number in range(150)))
    pages: list[int] = []

    def push(action: str, parameters: dict[str, object]) -> None:
        if action == "DescribeImages":
            pages.append(1)
            if len(pages) == 2:  # what is deleted from the first page moves the second
                server.store.remove_tag("team/app", "1.000")

    server.before = push
    with open_client(tcr(server)) as client:
        names = {ref.name for ref in client.tags("team/app")}
    assert names >= {f"1.{number:03}" for number in range(1, 150)}


def test_a_list_shorter_than_its_count_is_an_error_at_its_end(server: FakeTencent) -> None:
    put(server, "team/app", "1.0")
    server.extra_total = 2
    with open_client(tcr(server)) as client:
        found, error = until_error(client.tags("team/app"))
    assert [ref.name for ref in found] == ["1.0"]
    assert isinstance(error, MalformedResponse)
    assert "counts 3 entries, but lists 1" in error.reason


def test_rows_without_a_tag_and_two_of_one_name_are_no_missing_rows() -> None:
    rows = [{"Name": "a", "Digest": "1"}, {"Name": "a", "Digest": "2"}, {"Name": "", "Digest": "3"}]
    found = list(tencent_lists.read_list(lambda offset: (rows, 3), name="Name", first=1, by_row=False))
    assert [row["Digest"] for row in found] == ["1", "2"]


def test_instances_are_listed_by_row(server: FakeTencent) -> None:
    server.instances = [FakeInstance(f"tcr-{number}", f"n{number}", host=f"n{number}.test") for number in range(130)]
    server.instances.append(FakeInstance("tcr-acme", "acme"))
    with open_client(tcr(server)) as client:
        client.ping()
    offsets = [parameters["Offset"] for action, _, parameters in server.calls if action == "DescribeInstances"]
    assert offsets == [0, 100]


def test_charts_are_left_out_and_what_is_unknown_is_left_to_the_manifest(server: FakeTencent) -> None:
    server.kinds = {"chart-1": "chart", "chart-2": "Helm_Chart", "new": "never-heard-of", "none": ""}
    put(server, "team/app", "chart-1", "chart-2", "new", "none", "1.0")
    with open_client(tcr(server)) as client:
        assert {ref.name for ref in client.tags("team/app")} == {"new", "none", "1.0"}


def test_a_repository_that_is_gone_has_no_tags(server: FakeTencent) -> None:
    with open_client(tcr(server)) as client:
        assert list(client.tags("team/gone")) == []
        server.script("DescribeImages", "InternalError.ErrNotExist")
        assert list(client.tags("team/gone")) == []


def test_a_namespace_that_is_closed_to_the_key_is_named_and_the_others_are_read(server: FakeTencent) -> None:
    for name in ("a/app", "b/app", "c/app"):
        put(server, name, "1.0")
    server.forbidden = {"b"}
    with open_client(tcr(server)) as client:
        found, error = until_error(client.repositories())
    assert found == ["a/app", "c/app"]
    assert isinstance(error, PartsUnreadable)
    assert "namespaces: b." in error.reason


# --- errors, all of them in HTTP 200 ------------------------------------------------------------------------------
def test_a_rate_limit_is_waited_for(server: FakeTencent) -> None:
    put(server, "team/app", "1.0")
    server.script("DescribeImages", "RequestLimitExceeded", times=2)
    with open_client(tcr(server)) as client:
        assert len(list(client.tags("team/app"))) == 1
    assert server.actions().count("DescribeImages") == 3


@pytest.mark.parametrize(
    ("code", "error", "calls"),
    [
        ("RequestLimitExceeded", RateLimited, 5),
        ("InternalError.DbError", ServerError, 5),
        ("FailedOperation.ErrorTcrUnauthorized", AccessDenied, 1),
        ("InternalError.ErrUnauthorized", AccessDenied, 1),
        ("InternalError.ErrorTcrUnauthorized", AccessDenied, 1),
        ("AuthFailure.UnauthorizedOperation", AccessDenied, 1),
        ("UnauthorizedOperation", AccessDenied, 1),
        ("ResourceInsufficient.ErrorInstanceNotRunning", ServerError, 1),
        ("InvalidParameter.UnsupportedRegion", AddressInvalid, 1),
        ("FailedOperation.DependenceError", ServerError, 1),
        ("InvalidParameter", MalformedResponse, 1),
        ("<script>", MalformedResponse, 1),
    ],
)
def test_each_family_of_errors_is_told_apart_by_its_last_part(
    server: FakeTencent, code: str, error: type[RegistryError], calls: int
) -> None:
    server.script("DescribeImages", code, times=99)
    with open_client(tcr(server)) as client, pytest.raises(error) as caught:
        list(client.tags("team/app"))
    assert caught.value.remedy
    assert server.actions().count("DescribeImages") == calls
    assert SECRET_KEY not in f"{caught.value.reason} {caught.value.remedy}"
    assert "<" not in caught.value.reason


def test_an_error_is_seen_also_where_the_type_has_a_charset(server: FakeTencent) -> None:
    server.content_type = "application/json; charset=utf-8"  # where the SDK itself would see an empty list
    server.script("DescribeImages", "UnauthorizedOperation")
    with open_client(tcr(server)) as client, pytest.raises(AccessDenied):
        list(client.tags("team/app"))


@pytest.mark.parametrize("key", ["wrong", "Gu5t9xGARNpq86cd98joQYCN3EXAMPLF"])
def test_a_wrong_secret_key_is_refused_and_sent_once(server: FakeTencent, key: str) -> None:
    registry = tcr(server)
    registry.set_password(key)
    with open_client(registry) as client:
        for _try in range(3):
            with pytest.raises(CredentialsRefused):
                client.ping()
    assert len(server.requests(api)) == 1


def test_an_unknown_secret_id_and_an_empty_one_are_refused(server: FakeTencent) -> None:
    for username in ("AKIDunknown", "", " x"):
        with open_client(tcr(server, username=username)) as client, pytest.raises(CredentialsRefused):
            client.ping()


def test_a_clock_that_is_wrong_is_no_wrong_key(server: FakeTencent, monkeypatch: pytest.MonkeyPatch) -> None:
    behind = SimpleNamespace(time=lambda: time.time() - 3600)
    monkeypatch.setattr("tencentcloud.common.abstract_client.time", behind)
    with open_client(tcr(server)) as client, pytest.raises(RegistryError, match="clock") as caught:
        client.ping()
    assert not isinstance(caught.value, CredentialsRefused)


def test_the_international_site_is_asked_where_the_other_does_not_know_the_key(
    server: FakeTencent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeTencent() as mainland:
        mainland.keys = {}
        monkeypatch.setattr(tencent_api, "SITE_URLS", (mainland.url, server.url))
        put(server, "team/app", "1.0")
        with open_client(tcr(server, endpoint="")) as client:
            client.ping()
            assert list(client.repositories()) == ["team/app"]
        assert len(mainland.requests(api)) == 1
        server.keys = {}
        with open_client(tcr(server, endpoint="")) as client, pytest.raises(CredentialsRefused):
            client.ping()
        assert len(mainland.requests(api)) == 2


@pytest.mark.parametrize("fault", [HTML, Status(404), Status(403, body=b"<html>")])
def test_something_else_at_the_endpoint_is_told(server: FakeTencent, fault: Status) -> None:
    server.fail(api, fault)
    with open_client(tcr(server)) as client, pytest.raises(NotARegistry) as caught:
        client.ping()
    assert "endpoint" in caught.value.remedy


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b'{"Response": null}', b"not json", b'{"Response": {"Registries": [7]}}']
)
def test_an_answer_of_another_form_is_no_empty_list(server: FakeTencent, body: bytes) -> None:
    server.fail(api, Status(200, {"Content-Type": "application/json"}, body=body))
    with open_client(tcr(server)) as client, pytest.raises(MalformedResponse):
        client.ping()


def test_a_server_that_fails_for_a_moment_is_asked_again(server: FakeTencent) -> None:
    server.fail(api, Status(503), times=2)
    with open_client(tcr(server)) as client:
        client.ping()


# --- the way there ------------------------------------------------------------------------------------------------
def test_the_endpoint_is_judged_by_its_address(server: FakeTencent, settings: Settings) -> None:
    settings.ALLOWED_NETWORKS = []
    with open_client(tcr(server)) as client, pytest.raises(AddressForbidden):
        client.ping()
    assert not server.seen


def test_nothing_of_the_environment_takes_part(
    server: FakeTencent, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    with DecoyServer() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("TENCENTCLOUD_SECRET_ID", "AKIDother")
        monkeypatch.setenv("TENCENTCLOUD_SECRET_KEY", "other")
        with open_client(tcr(server)) as client:
            client.ping()
        with open_client(tcr(server, username="")) as client, pytest.raises(CredentialsRefused):
            client.ping()
        assert not proxy.seen


def test_the_proxy_of_the_console_is_used(server: FakeTencent, settings: Settings) -> None:
    with DecoyServer(b'{"Response": {"Registries": []}}') as proxy:
        settings.OUTBOUND_PROXY = proxy.url
        with open_client(tcr(server)) as client, pytest.raises(RegistryError):
            client.ping()
        assert proxy.seen
        assert not server.seen


def test_certificates_of_an_endpoint_are_checked_against_the_registrys_bundle() -> None:
    authority = Authority()
    with FakeTencent(
        instances=(FakeInstance("tcr-acme", "acme"),), tls=authority.issue("127.0.0.1").context()
    ) as server:
        with open_client(tcr(server)) as client, pytest.raises(RegistryError, match="certificate"):
            client.ping()
        with open_client(tcr(server, ca_bundle=authority.pem)) as client:
            client.ping()


def test_no_token_and_no_key_is_logged(server: FakeTencent, caplog: pytest.LogCaptureFixture) -> None:
    put(server, "team/app", "1.0")
    with caplog.at_level(logging.DEBUG), open_client(tcr(server)) as client:
        client.ping()
        pull(client, "team/app", "1.0")
    handed_out = list(server.sign_in.handed_out)  # type: ignore[attr-defined]
    assert handed_out
    assert not any(secret in caplog.text for secret in (SECRET_KEY, *handed_out))


def test_a_cancel_ends_a_call_that_waits(server: FakeTencent) -> None:
    class Cancelled(Exception):
        pass

    wanted = threading.Event()

    def check() -> None:
        if wanted.is_set():
            raise Cancelled

    server.before = lambda action, parameters: wanted.set()
    server.script("DescribeInstances", "RequestLimitExceeded", times=99)
    with open_client(tcr(server), check=check) as client, pytest.raises(Cancelled):
        client.ping()


# --- pulling from TCR ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("in_seconds", [False, True])
def test_one_token_serves_a_whole_job(server: FakeTencent, in_seconds: bool) -> None:
    server.exp_in_seconds = in_seconds
    made = put(server, "team/app", "1.0")
    put(server, "team/tool", "1.0")
    with open_client(tcr(server)) as client:
        assert pull(client, "team/app", "1.0") == len(made.config) + len(made.layers[0].content)
        pull(client, "team/tool", "1.0")
    asked = [parameters for action, _, parameters in server.calls if action == "CreateInstanceToken"]
    assert asked == [{"RegistryId": "tcr-acme", "TokenType": "temp"}]


@pytest.mark.parametrize("in_seconds", [False, True])
def test_a_token_is_replaced_five_minutes_before_its_end(
    server: FakeTencent, in_seconds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.exp_in_seconds, server.token_life = in_seconds, 30 * 60
    later = SimpleNamespace(monotonic=time.monotonic)
    monkeypatch.setattr("registries.connectors.logins.time", later)
    for name in ("team/a", "team/b", "team/c"):
        put(server, name, "1.0")
    with open_client(tcr(server)) as client:
        pull(client, "team/a", "1.0")
        later.monotonic = lambda: time.monotonic() + 24 * 60
        pull(client, "team/b", "1.0")
        assert server.actions().count("CreateInstanceToken") == 1
        later.monotonic = lambda: time.monotonic() + 26 * 60
        pull(client, "team/c", "1.0")
    assert server.actions().count("CreateInstanceToken") == 2


def test_an_end_that_makes_no_sense_counts_as_an_hour(server: FakeTencent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registries.connectors.tencent_tcr.time", SimpleNamespace(time=lambda: 4e9))
    put(server, "team/app", "1.0")
    with open_client(tcr(server)) as client:
        for _again in range(3):
            pull(client, "team/app", "1.0")
    assert server.actions().count("CreateInstanceToken") == 1


def test_a_token_that_ends_in_the_middle_is_replaced_once(server: FakeTencent) -> None:
    put(server, "team/app", "1.0")
    put(server, "team/tool", "1.0")
    with open_client(tcr(server)) as client:
        client.ping()
        pull(client, "team/app", "1.0")
        server.sign_in.expire_all()  # type: ignore[attr-defined]
        pull(client, "team/app", "1.0")
        pull(client, "team/tool", "1.0")
    assert server.actions().count("CreateInstanceToken") == 2


def test_tokens_that_the_registry_never_takes_are_no_wrong_key_and_no_loop(server: FakeTencent) -> None:
    put(server, "team/app", "1.0")
    server.fail(tokens, Status(401))
    with open_client(tcr(server)) as client:
        for _try in range(3):
            with pytest.raises(AccessDenied):
                client.manifest("team/app", "1.0")
    assert server.actions().count("CreateInstanceToken") <= 2


def test_a_registry_that_lets_nobody_in_says_allowlist(server: FakeTencent) -> None:
    server.fail(root, Status(403))
    with open_client(tcr(server)) as client, pytest.raises(AccessDenied, match="API works") as caught:
        client.ping()
    assert "allowlist" in caught.value.remedy
    assert "VPC" in caught.value.remedy


def test_an_instance_that_does_not_run_says_so(server: FakeTencent) -> None:
    server.instances[0].status = "Isolate"
    with open_client(tcr(server)) as client, pytest.raises(ServerError, match="Isolate") as caught:
        client.ping()
    assert not caught.value.retry


def test_an_instance_that_is_gone_says_so(server: FakeTencent) -> None:
    with open_client(tcr(server, cloud_id="tcr-gone")) as client, pytest.raises(NotFound, match="no longer lists"):
        client.ping()
    with (
        open_client(tcr(server, address="https://other.test")) as client,
        pytest.raises(NotFound, match=r"other\.test"),
    ):
        client.ping()


def test_an_instance_is_known_by_a_domain_of_the_customer(server: FakeTencent) -> None:
    server.instances = [
        FakeInstance("tcr-a", "a", host="a.tencentcloudcr.com"),
        FakeInstance("tcr-b", "b", host="b.tencentcloudcr.com", domains=(server.host,)),
    ]
    with open_client(tcr(server)) as client:
        client.ping()
    assert server.calls[-1] == ("CreateInstanceToken", "ap-guangzhou", {"RegistryId": "tcr-b", "TokenType": "temp"})


def test_vpc_pulls_from_the_internal_address_and_public_from_the_other(server: FakeTencent) -> None:
    made = put(server, "team/app", "1.0")
    inside = server.host.replace("127.0.0.1", "localhost")
    server.instances[0].internal = inside
    registry = tcr(server, network=Registry.Network.VPC)
    with open_client(registry) as client:
        assert str(client.head("team/app", "1.0").digest) == made.digest
    assert {seen.headers["host"] for seen in server.requests(manifests)} == {inside}
    server.seen.clear()
    registry.network = Registry.Network.PUBLIC
    with open_client(registry) as client:
        client.head("team/app", "1.0")
    assert {seen.headers["host"] for seen in server.requests(manifests)} == {server.host}


# --- CCR ----------------------------------------------------------------------------------------------------------
def test_the_personal_edition_is_listed_by_row_and_pulled_with_its_own_password() -> None:
    with FakeTencent(users={UIN: "registry-password"}) as server:
        for number in range(120):
            put(server, f"team/app{number:03}", "1.0")
        made = put(server, "team/app000", *(f"1.{number}" for number in range(130)))
        with open_client(ccr(server, password="registry-password")) as client:
            client.ping()
            assert len(list(client.repositories())) == 120
            refs = {ref.name: ref for ref in client.tags("team/app000")}
            assert len(refs) == 130
            assert refs["1.0"].digest is None
            assert refs["1.0"].pushed_at == datetime(2026, 3, 3, 21, 6, 7, tzinfo=UTC)  # Beijing
            assert pull(client, "team/app000", "1.0") == refs["1.0"].size
            assert str(client.head("team/app000", "1.0").digest) == made.digest
        offsets = [parameters["Offset"] for action, _, parameters in server.calls if action == "DescribeImagePersonal"]
        assert offsets == [0, 100]


def test_one_namespace_is_listed_alone() -> None:
    with FakeTencent() as server:
        for name in ("team/app", "team-2/app", "other/team/app"):
            put(server, name, "1.0")
        with open_client(ccr(server, cloud_id="team")) as client:
            assert list(client.repositories()) == ["team/app"]


def test_without_the_registry_password_all_is_listed_and_nothing_asked_of_the_registry() -> None:
    with FakeTencent() as server:
        put(server, "team/app", "1.0", "2.0")
        with open_client(ccr(server)) as client:
            client.ping()
            refs = list(client.tags("team/app"))
            assert {ref.name for ref in refs} == {"1.0", "2.0"}
            assert len({ref.digest for ref in refs}) == 1
            with pytest.raises(AccessDenied, match="registry password is missing") as caught:
                client.manifest("team/app", str(refs[0].digest))
            assert "UIN" in caught.value.remedy
        assert not [seen for seen in server.seen if seen.path != "/"]


def test_a_wrong_registry_password_is_refused_once() -> None:
    with FakeTencent(users={UIN: "right"}) as server, open_client(ccr(server, password="wrong")) as client:
        for _try in range(2):
            with pytest.raises(CredentialsRefused):
                client.ping()
        assert len(server.requests(tokens)) == 1


def test_a_personal_edition_that_is_not_open_says_so() -> None:
    with FakeTencent() as server:
        registry = ccr(server, region="ap-singapore")
        with open_client(registry) as client, pytest.raises(AccessDenied, match="not open in ap-singapore"):
            client.ping()


def test_the_host_tells_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeTencent() as server:
        server.namespaces = {"ap-hongkong": []}
        with open_client(ccr(server, address="https://hkccr.ccs.tencentyun.com")) as client:
            assert list(client.repositories()) == []
        assert {region for _action, region, _parameters in server.calls} == {"ap-hongkong"}


# --- the connection test ------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_the_connection_test_goes_from_the_name_to_the_first_byte(server: FakeTencent) -> None:
    put(server, "team/app", "1.0")
    steps = diagnose(tcr(server), record=False)
    assert {step.stage: step.result for step in steps if step.stage is not ConnectionStage.TLS} == {
        stage: StepResult.PASSED for stage in ConnectionStage if stage is not ConnectionStage.TLS
    }


@pytest.mark.django_db
def test_the_connection_test_of_a_vpc_asks_nothing_of_the_public_address(server: FakeTencent) -> None:
    put(server, "team/app", "1.0")
    server.instances[0].internal = server.host.replace("127.0.0.1", "localhost")
    server.instances[0].host = "acme.invalid"
    registry = tcr(server, network=Registry.Network.VPC, address="https://acme.invalid", cloud_id="tcr-acme")
    steps = diagnose(registry, record=False)
    assert [step.stage for step in steps if step.result is StepResult.FAILED] == [
        ConnectionStage.API
    ]  # plain HTTP is in the way
    assert "TLS" in steps[-1].reason


@pytest.mark.django_db
def test_the_connection_test_tells_a_wrong_key(server: FakeTencent) -> None:
    server.keys[SECRET_ID] = "changed"
    last = diagnose(tcr(server), record=False)[-1]
    assert (last.stage, last.result, last.refused) == (ConnectionStage.CREDENTIALS, StepResult.FAILED, True)


@pytest.mark.django_db
def test_the_connection_test_tells_a_missing_registry_password() -> None:
    with FakeTencent() as server:
        put(server, "team/app", "1.0")
        last = diagnose(ccr(server), record=False)[-1]
        assert (last.stage, last.result) == (ConnectionStage.MANIFEST, StepResult.FAILED)
        assert "registry password is missing" in last.reason
        assert last.remedy


# --- small things -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-04 05:06:07.123456789 +0800 CST", datetime(2026, 3, 3, 21, 6, 7, tzinfo=UTC)),
        ("2026-03-04T05:06:07Z", datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)),
        ("2026-03-04T05:06:07+08:00", datetime(2026, 3, 3, 21, 6, 7, tzinfo=UTC)),
        ("0001-01-01 00:00:00 +0000 UTC", None),
        ("0001-01-01 00:00:00", None),
        ("2026-13-45 05:06:07", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (1772600767, None),
    ],
)
def test_times_are_read_in_every_form(text: object, expected: datetime | None) -> None:
    assert parse_timestamp(text) == expected


def test_a_list_that_never_moves_on_comes_to_an_end() -> None:
    rows = [{"Name": str(number)} for number in range(100)]
    calls: list[int] = []

    def ask(offset: int) -> tuple[tencent_lists.Rows, int]:
        calls.append(offset)
        return rows, 1000

    with pytest.raises(MalformedResponse):
        list(tencent_lists.read_list(ask, name="Name", first=1, by_row=False))
    assert len(calls) < 50


def test_blobs_are_asked_for_with_the_token_alone(server: FakeTencent) -> None:
    put(server, "team/app", "1.0")
    with open_client(tcr(server)) as client:
        pull(client, "team/app", "1.0")
    for seen in server.requests(blobs):
        assert SECRET_ID not in str(seen.headers)
