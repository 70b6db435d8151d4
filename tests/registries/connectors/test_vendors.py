"""Types by one module each: form, connection test, sync and pull against servers that check what the vendor's would."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
from django.urls import reverse

from console.jobs.models import State
from inventory.models import Tag
from registries.clients import RegistryClient, open_client
from registries.connection_test.diagnose import ConnectionStage, StepResult, diagnose
from registries.connectors import DECLARATIONS
from registries.connectors.base import TagRef
from registries.connectors.vendors import VENDORS
from registries.models import Registry
from registries.oci.errors import AccessDenied, CredentialsRefused, PartsUnreadable
from tests.fakes.registry import FakeRegistry, Status, catalog, manifests
from tests.fakes.registry import tags as tag_lists
from tests.fakes.vendors import (
    TOKEN,
    USER,
    FakeAzure,
    FakeDockerHub,
    FakeGithub,
    FakeGitlab,
    FakeGoogle,
    FakePlain,
)
from tests.inventory.sync.test_sync_registry import image, names, sync
from tests.people import signed_in_client
from tests.registries.oci.conftest import until_error

SERVERS: dict[str, type[FakeRegistry]] = {
    "dockerhub": FakeDockerHub,
    "ghcr": FakeGithub,
    "gitlab": FakeGitlab,
    "acr": FakeAzure,
    "gar": FakeGoogle,
    "alibaba": FakePlain,
    "swr": FakePlain,
    "ocir": FakePlain,
    "docean": FakePlain,
    "nexus": FakePlain,
    "gitea": FakePlain,
    "zot": FakePlain,
}
WITH_API = ("dockerhub", "ghcr", "gitlab")
TELLS_DIGESTS = ("dockerhub", "ghcr", "acr", "gar")
HELD = {"acme/app": ("1", "2", "3"), "acme/web": ("1",), "ann/tool": ("x",)}
PUSHED = datetime(2026, 3, 4, 5, 6, 7, 123000, UTC)


@pytest.fixture
def serve() -> Iterator[Callable[[str], Any]]:
    """Start servers of a type that end with the test, filled with ``HELD``."""
    with ExitStack() as stack:

        def start(kind: str) -> Any:
            server = stack.enter_context(SERVERS[kind]())
            for name, tags in HELD.items():
                for tag in tags:
                    image(f"{name}{tag}").put(server, name, tag)
            return server

        yield start


def unsaved(kind: str, server: FakeRegistry, *, password: str = TOKEN, **fields: str) -> Registry:
    given = {"username": USER, **({"endpoint": server.url} if kind in WITH_API else {}), **fields}
    if "repositories" in DECLARATIONS[kind].required:
        given = {"repositories": "\n".join(HELD), **given}
    registry = Registry(name=kind, type=kind, address=server.url, **given)
    registry.set_password(password)
    return registry


@pytest.fixture
def connect() -> Iterator[Callable[..., RegistryClient]]:
    with ExitStack() as stack:
        yield lambda kind, server, **fields: stack.enter_context(open_client(unsaved(kind, server, **fields)))


def test_each_module_is_offered_with_its_guide_and_has_a_server_here() -> None:
    assert set(VENDORS) == set(SERVERS)
    assert set(DECLARATIONS) == {value for value, _label in Registry.Type.choices}
    for name, vendor in VENDORS.items():
        assert vendor.declaration.type == name
        guide = vendor.declaration.guide
        assert guide is not None, name
        assert guide.network, name
        assert guide.account, name


@pytest.mark.parametrize("kind", SERVERS)
def test_all_that_the_account_sees_is_listed_and_pulled(kind: str, serve: Any, connect: Any) -> None:
    server = serve(kind)
    client = connect(kind, server)
    client.ping()
    assert sorted(client.repositories()) == sorted(HELD)
    for name, tags in HELD.items():
        refs = list(client.tags(name))
        assert sorted(ref.name for ref in refs) == sorted(tags)
        for ref in refs:
            held = server.store.manifest(name, ref.name)
            assert ref.digest == (held.digest if kind in TELLS_DIGESTS else None)
            assert client.head(name, ref.name).digest == client.manifest(name, ref.name).digest
            if kind in {"dockerhub", "ghcr", "acr"}:
                assert ref.pushed_at == PUSHED
    assert not server.failed_logins


@pytest.mark.parametrize("kind", SERVERS)
def test_a_wrong_password_is_refused_and_sent_once(kind: str, serve: Any, connect: Any) -> None:
    server = serve(kind)
    client = connect(kind, server, password="wrong")
    for _ in range(3):
        with pytest.raises(CredentialsRefused):
            client.ping()
        if not client.fixed:
            with pytest.raises(CredentialsRefused):
                list(client.repositories())
    sent = [each for each in server.seen if each.headers.get("authorization")]
    assert len(sent) == 1, [each.path for each in sent]


@pytest.mark.parametrize("kind", SERVERS)
def test_a_typed_list_goes_before_all_else(kind: str, serve: Any, connect: Any) -> None:
    server = serve(kind)
    client = connect(kind, server, repositories="acme/app:1\nacme/web")
    assert list(client.repositories()) == ["acme/app", "acme/web"]
    assert list(client.tags("acme/app")) == [TagRef("1")]
    assert [ref.name for ref in client.tags("acme/web")] == ["1"]
    assert not server.requests(catalog)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", SERVERS)
def test_the_connection_test_goes_from_the_name_to_a_blob(kind: str, serve: Any) -> None:
    steps = diagnose(unsaved(kind, serve(kind)), record=False)
    assert steps[-1].stage is ConnectionStage.BLOB
    assert {step.result for step in steps} <= {StepResult.PASSED, StepResult.SKIPPED}, steps[-1].reason


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", SERVERS)
def test_a_sync_brings_rows_and_an_unchanged_one_asks_for_no_manifest(kind: str, serve: Any) -> None:
    server = serve(kind)
    registry = unsaved(kind, server)
    registry.save()
    run = sync(registry)
    assert (run.state, run.complete, run.tags, run.errors) == (State.SUCCEEDED, True, 5, 0), run.reason
    assert names() == {f"{name}:{tag}" for name, tags in HELD.items() for tag in tags}
    server.seen.clear()
    image("new").put(server, "acme/app", "3")
    run = sync(registry)
    assert (run.tags_new, run.tags_changed, run.complete) == (0, 1, True)
    assert len(server.requests(manifests, method="GET")) == 1
    assert len(server.requests(manifests, method="HEAD")) == (0 if kind in TELLS_DIGESTS else 5)
    assert Tag.objects.get(repository__name="acme/app", name="3").digest == image("new").digest


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", SERVERS)
def test_a_password_that_changes_marks_the_registry_and_keeps_the_inventory(kind: str, serve: Any) -> None:
    server = serve(kind)
    registry = unsaved(kind, server)
    registry.save()
    sync(registry)
    registry.set_password("wrong")
    registry.save()
    server.seen.clear()
    for _ in range(3):
        run = sync(registry)
    assert (run.state, Tag.objects.count()) == (State.FAILED, 5)
    assert registry.connection == Registry.Connection.REFUSED
    assert len([each for each in server.seen if each.headers.get("authorization")]) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("kind", SERVERS)
def test_the_form_and_the_guide_show_the_type(kind: str, settings: Any) -> None:
    client = signed_in_client("administrator")
    page = client.get(reverse("registries:registry-add"), {"type": kind, "show": "1"})
    assert page.status_code == 200
    guide = client.get(reverse("registries:guide"), {"type": kind}).text
    assert "Minimum permissions" in guide
    values = {"name": kind, "type": kind, "network": "public", "address": "https://registry.example.com"}
    values |= {"repositories": "team/app"} if "repositories" in DECLARATIONS[kind].required else {}
    response = client.post(reverse("registries:registry-add"), {**values, "username": USER, "password": TOKEN})
    assert response.status_code == 302, response.text
    saved = Registry.objects.get()
    assert (saved.type, saved.reveal_password()) == (kind, TOKEN)
    assert "Push events" in client.get(reverse("registries:push-events", args=[saved.pk])).text


# --- parts that are closed ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "closed"), [("dockerhub", "closed"), ("ghcr", "closed"), ("gitlab", "acme")])
def test_what_is_closed_is_named_and_the_rest_is_listed(kind: str, closed: str, serve: Any, connect: Any) -> None:
    server = serve(kind)
    server.hidden.add(closed)
    found, error = until_error(connect(kind, server).repositories())
    hidden = {"acme/app", "acme/web"} if closed == "acme" else set()
    assert sorted(found) == sorted(set(HELD) - hidden)
    assert isinstance(error, PartsUnreadable)
    assert error.parts == (closed,)


# --- single vendors -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "path", "body", "shown"),
    [
        ("zot", "/v2/_zot/ext/mgmt", {"distSpecVersion": "1.1.1", "releaseTag": "v2.1.20"}, "v2.1.20"),
        ("gitea", "/api/v1/version", {"version": "1.25.1"}, "1.25.1"),
        ("gitea", "/api/v1/version", {"version": "13.0.2+gitea-1.22.0"}, "13.0.2+gitea-1.22.0"),
    ],
)
def test_the_version_is_shown_where_it_is_told(
    kind: str, path: str, body: dict[str, str], shown: str, serve: Any, connect: Any
) -> None:
    server = serve(kind)
    server.about = {path: body}
    client = connect(kind, server)
    client.ping()
    assert client.about == shown


def test_azure_without_the_right_to_read_metadata_lists_names(serve: Any, connect: Any) -> None:
    server = serve("acr")
    server.may_read_metadata = False
    assert list(connect("acr", server).tags("acme/app")) == [TagRef("1"), TagRef("2"), TagRef("3")]


def test_many_tags_of_azure_are_read_page_by_page(serve: Any, connect: Any) -> None:
    server = serve("acr")
    made = image("many")
    for number in range(250):
        made.put(server, "acme/many", f"t{number:03}")
    assert len(list(connect("acr", server).tags("acme/many"))) == 250


def test_google_takes_the_key_of_a_service_account_in_one_line(serve: Any) -> None:
    key = {"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\nabc\n"}
    server = serve("gar")
    server.sign_in.users = {"_json_key": json.dumps(key)}
    registry = unsaved("gar", server, username="_json_key", password=json.dumps(key))
    with open_client(registry) as client:
        client.ping()
    sent = next(each.headers["authorization"] for each in server.seen if each.headers.get("authorization"))
    assert base64.b64decode(sent.removeprefix("Basic ")).decode() == f"_json_key:{json.dumps(key)}"


@pytest.mark.django_db
def test_the_form_brings_a_json_key_into_one_line() -> None:
    key = {"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\nabc\n"}
    values = {"name": "gar", "type": "gar", "network": "public", "address": "https://europe-west3-docker.pkg.dev"}
    values |= {"username": "_json_key", "password": json.dumps(key, indent=2)}
    response = signed_in_client("administrator").post(reverse("registries:registry-add"), values)
    assert response.status_code == 302, response.text
    assert json.loads(Registry.objects.get().reveal_password()) == key


def test_google_that_tells_only_names_is_asked_by_head(serve: Any, connect: Any) -> None:
    server = serve("gar")
    server.fail(tag_lists, Status(200, body=b'{"name":"acme/app","tags":["1","2"]}'))
    assert list(connect("gar", server).tags("acme/app")) == [TagRef("1"), TagRef("2")]


def test_many_tags_of_google_are_all_listed(serve: Any, connect: Any) -> None:
    server = serve("gar")
    made = image("many")
    for number in range(250):
        made.put(server, "acme/many", f"t{number:03}")
    assert len({ref.name for ref in connect("gar", server).tags("acme/many")}) == 250


def test_docker_hub_without_a_sign_in_wants_a_list(serve: Any) -> None:
    server = serve("dockerhub")
    registry = Registry(name="hub", type="dockerhub", address=server.url, endpoint=server.url)
    with open_client(registry) as client, pytest.raises(AccessDenied) as error:
        list(client.repositories())
    assert "fixed list" in error.value.remedy


def test_a_deploy_token_of_gitlab_is_refused_by_its_api_and_says_so(serve: Any, connect: Any) -> None:
    server = serve("gitlab")
    server.fail(lambda request: request.path.startswith("/api/v4/"), Status(401))
    with pytest.raises(AccessDenied) as error:
        list(connect("gitlab", server).repositories())
    assert "deploy token" in error.value.remedy
