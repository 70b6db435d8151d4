"""The private registry of AWS: boto3's real client, moto's real answers, and a gate that checks what AWS does."""

from __future__ import annotations

import base64
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from pytest_django import Settings

from console.jobs.models import State
from inventory import tasks
from inventory.models import Tag
from registries.clients import RegistryClient, open_client
from registries.connection_test.diagnose import diagnose
from registries.connectors import aws, logins
from registries.models import Registry, SyncRun
from registries.oci.errors import (
    AccessDenied,
    AddressForbidden,
    AddressInvalid,
    CertificateError,
    CredentialsRefused,
    MalformedResponse,
    RateLimited,
    RegistryError,
    ServerError,
)
from registries.oci.manifests import Descriptor
from registries.oci.references import Digest
from registries.oci.transport import Transport
from registries.sync_requests.start import start_sync
from tests.fakes import images
from tests.fakes.certificates import Authority
from tests.fakes.ecr import ACCOUNT, KEY, SECRET, Ecr, EcrRegistry, Refusal, moto_server
from tests.fakes.registry import DecoyServer, FakeRegistry, blobs, manifests

ROLE = "arn:aws:iam::111122223333:role/tallyman"
ASKED_BY_A_SYNC = {
    "GetAuthorizationToken",
    "DescribePullThroughCacheRules",
    "DescribeRepositories",
    "DescribeImages",
}


@pytest.fixture(scope="module")
def moto() -> Iterator[ThreadedMotoServer]:
    with moto_server() as server:
        yield server


@pytest.fixture
def server(moto: ThreadedMotoServer) -> Iterator[Ecr]:
    with Ecr(moto) as server:
        yield server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of which takes any time."""
    made: list[float] = []
    monkeypatch.setattr(Transport, "wait", lambda self, seconds: made.append(seconds))
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of the connector, which a test may put forward."""
    now = SimpleNamespace(seconds=1000.0)
    for module in (logins, aws):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def row(server: Ecr, *, secret: str = SECRET, **values: Any) -> Registry:
    """A registry of a stand-in of AWS, not saved."""
    given: dict[str, Any] = {
        "address": server.docker.url,
        "endpoint": server.url,
        "region": server.region,
        "username": KEY,
    }
    registry = Registry(name="ecr", type=Registry.Type.AWS, **{**given, **values})
    registry.set_password(secret)
    return registry


def image(text: str) -> images.Image:
    return images.image({"etc/os-release": b"ID=debian\n"}, {"app": text.encode()})


def config_of(made: images.Image) -> Descriptor:
    return Descriptor("application/vnd.oci.image.config.v1+json", Digest.of(made.config), len(made.config))


def names(client: RegistryClient, repository: str) -> list[str]:
    return sorted(tag.name for tag in client.tags(repository))


# --- listing ----------------------------------------------------------------------------------------------------------
def test_tags_come_with_digest_size_and_push_time(server: Ecr) -> None:
    made = image("one")
    made.put(server, "team/deep/app", "1.0")
    with open_client(row(server)) as client:
        assert list(client.repositories()) == ["team/deep/app"]
        (tag,) = client.tags("team/deep/app")
    assert (tag.name, tag.digest, tag.media_type) == ("1.0", made.digest, made.media_type)
    assert tag.size == len(made.config) + sum(len(layer.content) for layer in made.layers)
    assert tag.pushed_at is not None
    assert tag.pushed_at.utcoffset() is not None


def test_all_pages_are_read_by_the_token_of_the_page_before(moto: ThreadedMotoServer) -> None:
    with Ecr(moto, page=2) as server:
        for number in range(5):
            image("same").put(server, f"team/app{number}", "1.0")
            image(f"{number}").put(server, "team/app0", f"2.{number}")
        with open_client(row(server)) as client:
            assert len(list(client.repositories())) == 5
            assert names(client, "team/app0") == ["1.0", "2.0", "2.1", "2.2", "2.3", "2.4"]
        assert server.asked()["DescribeRepositories"] == server.asked()["DescribeImages"] == 3
        assert {call.parameters["maxResults"] for call in server.calls} == {1000}


def test_one_image_with_many_tags_is_one_row_of_the_listing_and_many_tags(server: Ecr) -> None:
    for tag in ("1", "1.0", "latest"):
        image("one").put(server, "team/app", tag)
    with open_client(row(server)) as client:
        assert names(client, "team/app") == ["1", "1.0", "latest"]


def test_rows_without_the_key_of_tags_are_untagged_images_and_no_tags(server: Ecr) -> None:
    server.untagged = True
    images.index(image("amd"), image("arm")).put(server, "team/app", "1.0")
    image("two").put(server, "team/app", "2.0")
    server.untag("team/app", "2.0")
    with open_client(row(server)) as client:
        (tag,) = client.tags("team/app")
    assert (tag.name, tag.size) == ("1.0", None)  # the listing's size is that of the largest image in the index


def test_what_the_listing_shows_to_be_no_image_is_left_out(server: Ecr) -> None:
    image("one").put(server, "team/app", "1.0")
    images.helm_chart().put(server, "team/app", "chart")
    images.artifact(images.OCI_CONFIG, "text/spdx", subject=image("one").descriptor).put(server, "team/app", "attached")
    archived = image("archived")
    archived.put(server, "team/app", "old")
    server.details[archived.digest] = {"imageStatus": "ARCHIVED"}
    with open_client(row(server)) as client:
        assert names(client, "team/app") == ["1.0"]


def test_a_listing_of_nonsense_harms_nobody(server: Ecr) -> None:
    made = image("one")
    made.put(server, "team/app", "1.0")
    server.details[made.digest] = {"imageDigest": "../../etc", "imageSizeInBytes": -(2**70), "imageStatus": None}
    with open_client(row(server)) as client:
        (tag,) = client.tags("team/app")
    assert (tag.digest, tag.size) == (None, None)


def test_a_repository_that_vanishes_between_two_calls_has_no_tags(server: Ecr) -> None:
    server.create("team/app")
    with open_client(row(server)) as client:
        (name,) = client.repositories()
        server.delete(name)
        assert list(client.tags(name)) == []


def test_a_list_that_leads_to_its_own_page_is_given_up(server: Ecr) -> None:
    server.fail("DescribeRepositories", b'{"repositories": [], "nextToken": "again"}', times=9)
    with open_client(row(server)) as client, pytest.raises(MalformedResponse):
        list(client.repositories())
    assert server.asked()["DescribeRepositories"] == 2


# --- credentials ------------------------------------------------------------------------------------------------------
def test_a_wrong_secret_is_refused_after_one_call(server: Ecr) -> None:
    with open_client(row(server, secret="wrong")) as client, pytest.raises(CredentialsRefused) as caught:
        client.ping()
    assert len(server.calls) == 1
    assert not server.docker.seen
    assert "wrong" not in f"{caught.value} {caught.value.remedy}"


def test_an_unknown_key_is_refused(server: Ecr) -> None:
    with open_client(row(server, username="AKIAUNKNOWN")) as client, pytest.raises(CredentialsRefused):
        client.ping()


def test_a_temporary_key_is_told_from_a_wrong_one(server: Ecr) -> None:
    registry = row(server, username="ASIAIOSFODNN7EXAMPLE")
    with open_client(registry) as client, pytest.raises(CredentialsRefused, match="temporary") as caught:
        client.ping()
    assert "AKIA" in caught.value.remedy


def test_without_a_key_nothing_is_called(server: Ecr) -> None:
    for registry in (row(server, secret=""), row(server, username="")):
        with open_client(registry) as client, pytest.raises(CredentialsRefused, match="No access key"):
            client.ping()
    assert not server.calls


def test_nothing_of_the_machine_this_runs_on_is_used(
    server: Ecr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image("one").put(server, "team/app", "1.0")  # before moto, too, would find what is planted
    (tmp_path / ".aws").mkdir()
    profile = "aws_access_key_id = AKIAFILE\naws_secret_access_key = file\nrole_arn = arn:aws:iam::1:role/x\n"
    (tmp_path / ".aws/credentials").write_text(f"[default]\n{profile}")
    with DecoyServer() as canary:
        (tmp_path / ".aws/config").write_text(f"[default]\nregion = xx-file-1\nendpoint_url = {canary.url}\n")
        ambient = {
            "AWS_ACCESS_KEY_ID": "AKIAENVIRONMENT",
            "AWS_SECRET_ACCESS_KEY": "environment",
            "AWS_SESSION_TOKEN": "environment",
            "AWS_PROFILE": "nobody",
            "AWS_DEFAULT_REGION": "xx-environment-1",
            "AWS_ENDPOINT_URL": canary.url,
            "AWS_ENDPOINT_URL_ECR": canary.url,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": canary.url,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": canary.url,
            "AWS_USE_FIPS_ENDPOINT": "true",
            "AWS_CA_BUNDLE": "/nonexistent",
            "HTTP_PROXY": canary.url,
            "HTTPS_PROXY": canary.url,
            "http_proxy": canary.url,
            "HOME": str(tmp_path),
        }
        for name, value in ambient.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(os.path, "expanduser", lambda path: str(path).replace("~", str(tmp_path)))
        with open_client(row(server)) as client:
            client.ping()
            assert list(client.repositories()) == ["team/app"]
        with open_client(row(server, username="", secret="")) as client, pytest.raises(CredentialsRefused):
            client.ping()
        assert not canary.seen
    assert {call.key for call in server.calls} == {KEY}
    assert not any("x-amz-security-token" in call.headers or "cookie" in call.headers for call in server.calls)


def test_no_secret_is_logged_even_in_every_detail(server: Ecr, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("botocore").setLevel(logging.NOTSET)
    aws._session.cache_clear()
    caplog.set_level(logging.DEBUG)
    with open_client(row(server, role=ROLE)) as client:
        client.ping()
    secrets = [SECRET, *server.docker.logins, *(each.secret for each in server.sessions.values())]
    tokens = [base64.b64encode(f"AWS:{login}".encode()).decode() for login in server.docker.logins]
    assert not [secret for secret in (*secrets, *tokens) if secret in caplog.text]


def test_the_key_never_goes_to_the_registry_but_the_login_does(server: Ecr) -> None:
    made = image("one")
    made.put(server, "team/app", "1.0")
    with open_client(row(server)) as client:
        client.ping()
        client.head("team/app", "1.0")
    (login,) = server.docker.logins
    sent = {each.headers["authorization"] for each in server.docker.seen if "authorization" in each.headers}
    assert sent == {f"Basic {base64.b64encode(f'AWS:{login}'.encode()).decode()}"}


# --- a role -----------------------------------------------------------------------------------------------------------
def test_a_role_is_taken_on_and_lists_the_registry_of_its_account(server: Ecr) -> None:
    image("one").put(server, "team/app", "1.0")  # in the account of the key
    with open_client(row(server, role=ROLE)) as client:
        client.ping()
        assert list(client.repositories()) == []
    assume, *others = server.calls
    assert (assume.operation, assume.parameters["RoleArn"], assume.key) == ("AssumeRole", ROLE, KEY)
    assert all(call.key not in {"", KEY} and call.headers["x-amz-security-token"] for call in others)


def test_the_credentials_of_a_role_are_replaced_before_their_end(server: Ecr, clock: SimpleNamespace) -> None:
    with open_client(row(server, role=ROLE)) as client:
        list(client.repositories())
        clock.seconds += 49 * 60
        list(client.repositories())
        assert server.asked()["AssumeRole"] == 1
        clock.seconds += 2 * 60
        list(client.repositories())
    assert server.asked()["AssumeRole"] == 2
    assert len({call.key for call in server.calls}) == 3


def test_a_role_whose_credentials_end_early_is_taken_on_once_more(server: Ecr) -> None:
    with open_client(row(server, role=ROLE)) as client:
        list(client.repositories())
        server.end_sessions()
        assert list(client.repositories()) == []
        server.role_seconds = -60  # from now on they are over at once
        server.end_sessions()
        with pytest.raises(CredentialsRefused, match="role"):
            list(client.repositories())
    assert server.asked()["AssumeRole"] == 3


def test_a_role_that_may_not_be_taken_on_says_what_to_allow(server: Ecr) -> None:
    server.rights.discard("sts:AssumeRole")
    with open_client(row(server, role=ROLE)) as client, pytest.raises(AccessDenied) as caught:
        client.ping()
    assert "sts:AssumeRole" in caught.value.remedy
    assert "trust policy" in caught.value.remedy
    with open_client(row(server, role=ROLE, secret="wrong")) as client, pytest.raises(CredentialsRefused):
        client.ping()


def test_a_role_that_is_no_arn_is_refused_before_any_call(server: Ecr) -> None:
    with pytest.raises(AddressInvalid, match="ARN"), open_client(row(server, role="admin")):
        pass


# --- pulling ----------------------------------------------------------------------------------------------------------
def test_a_login_that_is_said_to_have_ended_long_ago_serves_until_it_is_refused(moto: ThreadedMotoServer) -> None:
    with Ecr(moto, login_seconds=None) as server:
        made = image("one")
        made.put(server, "team/app", "1.0")
        with open_client(row(server)) as client:
            for _each in range(5):
                assert client.manifest("team/app", "1.0").content == made.manifest
                assert client.blob_bytes("team/app", config_of(made)) == made.config
        assert server.asked()["GetAuthorizationToken"] == 1


@pytest.mark.parametrize(
    "pull",
    [
        lambda client, made: client.head("team/app", "1.0"),  # whose refusal has no body
        lambda client, made: client.manifest("team/app", "1.0"),
        lambda client, made: client.blob_bytes("team/app", config_of(made)),
    ],
    ids=["head", "manifest", "blob"],
)
def test_a_login_that_expires_in_the_middle_is_replaced_once(
    server: Ecr, pull: Callable[[RegistryClient, images.Image], object]
) -> None:
    made = image("one")
    made.put(server, "team/app", "1.0")
    with open_client(row(server)) as client:
        client.ping()
        server.docker.expire()
        pull(client, made)
        pull(client, made)
    assert server.asked()["GetAuthorizationToken"] == 2


def test_a_login_is_replaced_half_an_hour_before_its_end(server: Ecr, clock: SimpleNamespace) -> None:
    image("one").put(server, "team/app", "1.0")
    with open_client(row(server)) as client:
        client.head("team/app", "1.0")
        clock.seconds += 11 * 3600 + 1700
        client.head("team/app", "1.0")
        assert server.asked()["GetAuthorizationToken"] == 1
        clock.seconds += 200
        client.head("team/app", "1.0")
    assert server.asked()["GetAuthorizationToken"] == 2


def test_a_repository_that_may_not_be_pulled_costs_one_login_and_no_loop(server: Ecr) -> None:
    for name in ("team/app", "team/closed"):
        image("one").put(server, name, "1.0")
    server.docker.denied.add("team/closed")
    with open_client(row(server)) as client:
        for _each in range(4):
            with pytest.raises(AccessDenied) as caught:
                client.manifest("team/closed", "1.0")
            assert "ecr:BatchGetImage" in caught.value.remedy
        client.manifest("team/app", "1.0")
    assert server.asked()["GetAuthorizationToken"] == 2
    assert len(server.docker.requests(manifests)) == 6


def test_a_registry_that_takes_no_login_of_this_account_is_no_wrong_password(server: Ecr) -> None:
    with open_client(row(server)) as client:
        server.docker.issue = lambda: "of-another-registry"  # type: ignore[method-assign]
        with pytest.raises(AccessDenied, match="that the cloud's API issued"):
            client.ping()


def test_blobs_come_from_storage_that_is_sent_no_login(server: Ecr) -> None:
    made = image("one")
    made.put(server, "team/app", "1.0")
    with open_client(row(server)) as client:
        assert client.blob_bytes("team/app", config_of(made)) == made.config
    (asked,) = server.docker.storage.requests(blobs)
    assert "authorization" not in asked.headers


# --- addresses --------------------------------------------------------------------------------------------------------
HOSTS = [
    ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "eu-central-1", "api.ecr.eu-central-1.amazonaws.com"),
    ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", "api.ecr.cn-north-1.amazonaws.com.cn"),
    ("123456789012.dkr.ecr.us-gov-west-1.amazonaws.com", "us-gov-west-1", "api.ecr.us-gov-west-1.amazonaws.com"),
    ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", "api.ecr.eusc-de-east-1.amazonaws.eu"),
    ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "us-east-1", "api.ecr-fips.us-east-1.amazonaws.com"),
    ("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1", "ecr.eu-west-1.api.aws"),
]


class Loopback:
    """Names of AWS that lead to servers here, whatever their port."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ports: dict[str, int] = {}
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: str, port: int, *arguments: Any, **options: Any) -> Any:
        if host in self.ports:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", self.ports[host]))]
        if host != "127.0.0.1":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return self._real(host, port, *arguments, **options)


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Loopback:
    return Loopback(monkeypatch)


@pytest.mark.parametrize(("host", "region", "api"), HOSTS)
def test_the_host_tells_region_account_and_api_of_every_partition(
    moto: ThreadedMotoServer, loopback: Loopback, host: str, region: str, api: str
) -> None:
    authority = Authority()
    docker = EcrRegistry(tls=authority.issue(host).context())
    with Ecr(moto, region=region, docker=docker, tls=authority.issue(api).context()) as server:
        loopback.ports |= {host: int(docker.host.rpartition(":")[2]), api: server.port}
        registry = row(server, address=f"https://{host}", endpoint="", region="", ca_bundle=authority.pem)
        made = image("one")
        made.put(server, "team/app", "1.0")
        with open_client(registry) as client:
            client.ping()
            assert list(client.repositories()) == ["team/app"]
            assert [tag.digest for tag in client.tags("team/app")] == [made.digest]
            assert client.manifest("team/app", made.digest).content == made.manifest
        listing = [call for call in server.calls if call.operation.startswith("Describe")]
        assert {call.parameters["registryId"] for call in listing} == {ACCOUNT}
        assert {call.headers["host"] for call in server.calls} == {api}


def test_certificates_of_the_public_api_are_checked_even_where_those_of_the_registry_are_not(
    moto: ThreadedMotoServer, loopback: Loopback
) -> None:
    host, _region, api = HOSTS[0]
    authority = Authority()
    docker = EcrRegistry(tls=authority.issue(host).context())
    with Ecr(moto, docker=docker, tls=authority.issue(api).context()) as server:
        loopback.ports |= {host: int(docker.host.rpartition(":")[2]), api: server.port}
        registry = row(server, address=f"https://{host}", endpoint="", region="", verify_tls=False)
        with open_client(registry) as client, pytest.raises(CertificateError, match=r"api\.ecr"):
            client.ping()
        with open_client(row(server, address=f"https://{host}", region="", verify_tls=False)) as client:
            client.ping()  # of one's own endpoint they need not be


def test_the_role_is_asked_of_aws_itself_beside_a_vpc_endpoint(moto: ThreadedMotoServer, loopback: Loopback) -> None:
    host, region, _api = HOSTS[0]
    vpc, sts = f"vpce-1.api.ecr.{region}.vpce.amazonaws.com", f"sts.{region}.amazonaws.com"
    authority = Authority()
    docker = EcrRegistry(tls=authority.issue(host).context())
    with Ecr(moto, docker=docker, tls=authority.issue(vpc, sts).context()) as server:
        loopback.ports |= {host: int(docker.host.rpartition(":")[2]), vpc: server.port, sts: server.port}
        registry = row(server, address=f"https://{host}", endpoint=f"https://{vpc}", role=ROLE, ca_bundle=authority.pem)
        with open_client(registry) as client:
            client.ping()
        assert [call.headers["host"] for call in server.calls] == [sts, vpc]
        registry.ca_bundle, registry.verify_tls = "", False
        with open_client(registry) as client, pytest.raises(CertificateError, match="sts"):
            client.ping()


@pytest.mark.parametrize(
    "address",
    [
        "https://public.ecr.aws",
        "https://123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example",
        "https://evil.example/123456789012.dkr.ecr.eu-central-1.amazonaws.com",
        "https://1234.dkr.ecr.eu-central-1.amazonaws.com",
        "https://registry.example",
    ],
)
def test_the_login_is_sent_to_no_host_that_is_not_of_aws(server: Ecr, address: str) -> None:
    with pytest.raises(AddressInvalid) as caught, open_client(row(server, address=address, endpoint="")):
        pass
    assert "amazonaws.com" in caught.value.remedy


def test_a_region_other_than_that_of_the_address_is_told(server: Ecr) -> None:
    registry = row(server, address=f"https://{HOSTS[0][0]}", region="us-east-1")
    with pytest.raises(AddressInvalid, match="us-east-1"), open_client(registry):
        pass


def test_the_endpoint_of_another_region_is_no_wrong_password(server: Ecr) -> None:
    with open_client(row(server, region="us-east-2")) as client, pytest.raises(AddressInvalid, match="region"):
        client.ping()


def test_an_endpoint_on_loopback_is_refused_unless_the_operator_allows_it(server: Ecr, settings: Settings) -> None:
    settings.ALLOWED_NETWORKS = []
    with open_client(row(server)) as client, pytest.raises(AddressForbidden):
        list(client.repositories())
    assert not server.calls


def test_no_endpoint_leads_to_a_metadata_service(server: Ecr, settings: Settings) -> None:
    settings.PLAIN_HTTP_HOSTS = ["169.254.169.254", "127.0.0.1"]
    with open_client(row(server, endpoint="http://169.254.169.254")) as client, pytest.raises(AddressForbidden):
        client.ping()


def test_an_endpoint_without_tls_needs_the_operators_word(server: Ecr, settings: Settings) -> None:
    settings.PLAIN_HTTP_HOSTS = []
    with pytest.raises(AddressInvalid, match="does not use TLS"), open_client(row(server)) as client:
        client.ping()


# --- errors -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("right", "call"),
    [
        ("ecr:GetAuthorizationToken", lambda client: client.ping()),
        ("ecr:DescribeRepositories", lambda client: list(client.repositories())),
        ("ecr:DescribeImages", lambda client: list(client.tags("team/app"))),
    ],
)
def test_a_missing_right_is_named(server: Ecr, right: str, call: Callable[[RegistryClient], object]) -> None:
    server.rights.discard(right)
    with open_client(row(server)) as client, pytest.raises(AccessDenied) as caught:
        call(client)
    assert right in caught.value.reason
    assert right in caught.value.remedy
    assert ACCOUNT not in caught.value.reason


def test_an_explicit_deny_is_told_from_a_missing_right(server: Ecr) -> None:
    server.fail(
        "DescribeImages", Refusal("AccessDeniedException", "… with an explicit deny in a service control policy")
    )
    with open_client(row(server)) as client, pytest.raises(AccessDenied, match="explicitly denies"):
        list(client.tags("team/app"))


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("ThrottlingException", "Rate exceeded"),
        Refusal("TooManyRequestsException", "", 429),
        Refusal("ServerException", "", 500),
        Refusal("ServiceUnavailable", "", 503),
    ],
    ids=lambda refusal: refusal.code,
)
def test_what_passes_by_itself_is_asked_again(server: Ecr, waits: list[float], refusal: Refusal) -> None:
    server.create("team/app")
    server.fail("DescribeRepositories", refusal, times=2)
    with open_client(row(server)) as client:
        assert list(client.repositories()) == ["team/app"]
    assert len(waits) == 2
    assert waits[1] > waits[0] / 2


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [(Refusal("ThrottlingException"), RateLimited), (Refusal("ServerException", "", 500), ServerError)],
    ids=["throttled", "failing"],
)
def test_what_does_not_pass_ends(server: Ecr, waits: list[float], refusal: Refusal, kind: type[RegistryError]) -> None:
    server.fail("DescribeRepositories", refusal, times=99)
    with open_client(row(server)) as client, pytest.raises(kind) as caught:
        list(client.repositories())
    assert caught.value.retry
    assert len(waits) == server.asked()["DescribeRepositories"] - 1 == aws.MAX_TRIES - 1


def test_a_cancelled_job_ends_while_aws_is_waited_for(server: Ecr) -> None:
    server.fail("DescribeRepositories", Refusal("ThrottlingException"), times=99)

    class Cancelled(Exception):
        pass

    def check() -> None:
        if server.asked()["DescribeRepositories"]:
            raise Cancelled

    with pytest.raises(Cancelled), open_client(row(server), check=check) as client:
        list(client.repositories())
    assert server.asked()["DescribeRepositories"] == 1


@pytest.mark.parametrize("skew", [-3600, 3600])
def test_a_wrong_clock_is_no_wrong_password(server: Ecr, skew: float) -> None:
    server.skew = skew
    with open_client(row(server)) as client, pytest.raises(RegistryError, match="clock") as caught:
        client.ping()
    assert not isinstance(caught.value, CredentialsRefused)


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html><title>Sign in</title>",
        b"",
        b"[]",
        b"{}",
        b'{"repositories": {"a": 1}}',
        b'{"repositories": [1]}',
    ],
)
def test_an_answer_that_is_none_of_aws_is_told(server: Ecr, body: bytes) -> None:
    server.fail("DescribeRepositories", body)
    with open_client(row(server)) as client, pytest.raises(MalformedResponse) as caught:
        list(client.repositories())
    assert caught.value.remedy


@pytest.mark.parametrize("given", [b"{}", b'{"authorizationData": [{"authorizationToken": "%%%"}]}'])
def test_an_answer_without_a_login_is_told(server: Ecr, given: bytes) -> None:
    server.fail("GetAuthorizationToken", given)
    with open_client(row(server)) as client, pytest.raises(MalformedResponse, match="no login"):
        client.ping()


def test_an_answer_without_end_is_cut_off(server: Ecr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws, "MAX_RESPONSE_BYTES", 1000)
    server.fail("DescribeRepositories", b" " * 5000)
    with open_client(row(server)) as client, pytest.raises(MalformedResponse, match="larger"):
        list(client.repositories())


# --- the whole --------------------------------------------------------------------------------------------------------
def sync(registry: Registry, **options: bool) -> SyncRun:
    (run,) = start_sync(registries=[registry], **options).runs
    tasks.sync(run.pk)
    run.refresh_from_db()
    registry.refresh_from_db()
    return run


@pytest.fixture
def saved(server: Ecr) -> Registry:
    registry = row(server)
    registry.save()
    return registry


@pytest.mark.django_db(transaction=True)
def test_a_sync_makes_rows_and_a_second_one_calls_for_nothing_but_lists(server: Ecr, saved: Registry) -> None:
    made = image("one")
    made.put(server, "team/app", "1.0")
    images.index(image("amd"), image("arm"), attest=True).put(server, "team/multi", "1")
    images.helm_chart().put(server, "team/chart", "1.0")
    run = sync(saved)
    assert (run.state, run.complete, run.reason) == (State.SUCCEEDED, True, "")
    assert (run.repositories, run.tags, run.errors) == (3, 2, 0)
    tag = Tag.objects.select_related("image").get(name="1.0")
    assert tag.image is not None
    assert (tag.digest, tag.image.image_id) == (made.digest, made.image_id)
    assert tag.pushed_at is not None
    assert tag.address == f"{saved.host}/team/app"
    server.calls.clear()
    server.docker.seen.clear()
    run = sync(saved)
    assert run.complete
    assert (run.tags, run.tags_new, run.tags_changed, run.tags_gone) == (2, 0, 0, 0)
    assert set(server.asked()) == ASKED_BY_A_SYNC
    assert {each.path for each in server.docker.seen} == {"/v2/"}


@pytest.mark.django_db(transaction=True)
def test_repositories_of_pull_through_caches_are_left_out(server: Ecr, saved: Registry) -> None:
    for name in ("team/app", "docker-hub/library/nginx", "docker-hubs/own"):
        image(name).put(server, name, "1")
    server.cache_prefixes = ["docker-hub", "ROOT"]
    assert sync(saved).tags == 3, "the key may not list the rules"
    server.rights |= {"ecr:DescribePullThroughCacheRules"}
    run = sync(saved)
    assert (run.complete, run.repositories, run.tags_gone) == (True, 2, 1)
    assert {tag.repository.name for tag in Tag.objects.all()} == {"team/app", "docker-hubs/own"}


@pytest.mark.django_db(transaction=True)
def test_tags_that_are_gone_go_and_tags_that_move_move(server: Ecr, saved: Registry) -> None:
    for tag in ("1.0", "2.0", "3.0"):
        image(tag).put(server, "team/app", tag)
    sync(saved)
    server.untag("team/app", "2.0")
    image("new").put(server, "team/app", "3.0")
    run = sync(saved, confirm_missing=True)
    assert (run.tags, run.tags_changed, run.tags_gone) == (2, 1, 1)
    assert Tag.objects.get(name="3.0").digest == image("new").digest


@pytest.mark.django_db(transaction=True)
def test_a_wrong_secret_keeps_the_inventory_and_is_not_tried_again(server: Ecr, saved: Registry) -> None:
    image("one").put(server, "team/app", "1.0")
    sync(saved)
    saved.set_password("changed at AWS")
    saved.save()
    server.calls.clear()
    run = sync(saved)
    assert run.state == State.FAILED
    assert saved.connection == Registry.Connection.REFUSED
    assert Tag.objects.count() == 1
    assert len(server.calls) == 1
    assert sync(saved).state == State.FAILED
    assert len(server.calls) == 1
    saved.role = ROLE  # another way to sign in may be tried
    saved.save()
    sync(saved)
    assert len(server.calls) == 2


@pytest.mark.django_db(transaction=True)
def test_a_right_that_is_taken_away_in_the_middle_removes_nothing(server: Ecr, saved: Registry) -> None:
    image("one").put(server, "team/app", "1.0")
    sync(saved)
    server.rights.discard("ecr:DescribeImages")
    run = sync(saved)
    assert not run.complete
    assert "ecr:DescribeImages" in run.reason + run.remedy
    assert Tag.objects.count() == 1
    server.rights.discard("ecr:DescribeRepositories")
    run = sync(saved)
    assert run.state == State.FAILED
    assert "ecr:DescribeRepositories" in run.reason
    assert Tag.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_login_that_ends_in_the_middle_of_a_sync_is_no_event(server: Ecr, saved: Registry) -> None:
    for number in range(6):
        image(f"{number}").put(server, "team/app", f"1.{number}")
    server.docker.fail(manifests, lambda request, real: (server.docker.expire(), real())[1], times=1)
    run = sync(saved)
    assert (run.complete, run.tags, run.errors) == (True, 6, 0)
    assert server.asked()["GetAuthorizationToken"] == 2


@pytest.mark.django_db
def test_the_test_of_the_connection_goes_all_the_way(server: Ecr, saved: Registry) -> None:
    image("one").put(server, "team/app", "1.0")
    steps = diagnose(saved)
    assert not [step for step in steps if step.reason], [step.reason for step in steps]
    assert saved.connection == Registry.Connection.CONNECTED


def test_a_plain_registry_at_an_endpoint_is_no_aws() -> None:
    with FakeRegistry() as plain:
        registry = Registry(
            name="r", type=Registry.Type.AWS, address=plain.url, endpoint=plain.url, username=KEY, region="eu-west-1"
        )
        registry.set_password(SECRET)
        with open_client(registry) as client, pytest.raises(RegistryError) as caught:
            client.ping()
    assert caught.value.remedy
