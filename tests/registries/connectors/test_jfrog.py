"""Artifactory: many registries in one, by path, subdomain and port; who gets in, what is walked, what it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from console.jobs.models import State
from inventory import tasks
from inventory.models import Tag
from registries.clients import RegistryClient, open_client
from registries.connection_test.diagnose import ConnectionStage, StepResult, diagnose
from registries.connectors.jfrog import is_api_key
from registries.models import Registry, SyncRun
from registries.oci import transport
from registries.oci.errors import (
    AccessDenied,
    AccountLocked,
    CredentialsRefused,
    MalformedResponse,
    NotARegistry,
    NotFound,
    PartsUnreadable,
    PolicyBlocked,
    RegistryError,
    Unreachable,
)
from registries.oci.manifests import parse_manifest
from registries.sync_requests.start import start_sync
from tests.fakes import images
from tests.fakes.jfrog import (
    AcceptedLogins,
    ArtifactoryRepository,
    FakeArtifactory,
    catalogs,
    repositories,
    search,
    tag_lists,
)
from tests.fakes.registry import (
    HTML,
    DecoyServer,
    FakeRegistry,
    Redirect,
    Status,
    anything,
    blobs,
    json_body,
    manifests,
    rate_limited,
    reset,
)
from tests.registries.oci.conftest import until_error

API_KEY = "AKCp5" + "k" * 68
ACCESS_TOKEN = "eyJ2ZXIiOiIy.access.token"


def login() -> AcceptedLogins:
    return AcceptedLogins(users={"ann": "pässword"}, bearers={ACCESS_TOKEN}, api_keys={API_KEY})


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeArtifactory]]:
    """Start Artifactories that end with the test; Ann may read everything in them."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(FakeArtifactory(**{"login": login(), **options}))


@pytest.fixture
def server(serve: Callable[..., FakeArtifactory]) -> FakeArtifactory:
    return serve(poison_cookies=True)


def row(server: FakeRegistry, *, username: str = "ann", password: str = "pässword", **fields: Any) -> Registry:
    registry = Registry(**{"name": "jfrog", "type": "jfrog", "address": server.url, "username": username, **fields})
    registry.set_password(password)
    return registry


@pytest.fixture
def connect() -> Iterator[Callable[..., RegistryClient]]:
    """Open clients as the console does: ``connect(server, **fields of Registry)``; as Ann unless told."""
    with ExitStack() as stack:
        yield lambda server, **fields: stack.enter_context(open_client(row(server, **fields)))


Connect = Callable[..., RegistryClient]
Serve = Callable[..., FakeArtifactory]
ALONE = {"username": "", "password": ACCESS_TOKEN}
KEY = {"username": "", "password": API_KEY}
LOGINS = pytest.mark.parametrize("given", [{}, ALONE, KEY], ids=["password", "access token", "API key"])


def image(text: str = "") -> images.Image:
    return images.image({"etc/os-release": b"ID=debian\n"}, {"app": text.encode()})


# --- credentials ------------------------------------------------------------------------------------------------------
@LOGINS
def test_every_kind_of_login_lists_and_pulls(server: FakeArtifactory, connect: Connect, given: dict[str, str]) -> None:
    made = image("one")
    made.put(server.shelf("docker-local"), "team/app", "1.0")
    client = connect(server, **given)
    client.ping()
    assert list(client.repositories()) == ["docker-local/team/app"]
    (tag,) = client.tags("docker-local/team/app")
    raw = client.manifest("docker-local/team/app", tag.digest or "")
    with client.blob("docker-local/team/app", parse_manifest(raw).layers[0]) as content:  # type: ignore[union-attr]
        assert content.read() == made.layers[0].content
    assert server.login is not None
    assert not server.login.failures


@LOGINS
def test_a_wrong_login_is_refused_and_tried_once(
    server: FakeArtifactory, connect: Connect, given: dict[str, str]
) -> None:
    image().put(server.shelf("docker-local"), "app", "1")
    client = connect(server, **{**given, "password": given.get("password", "wrong")[:-1] + "X"})
    for call in (
        client.ping,
        lambda: list(client.repositories()),
        lambda: list(client.tags("docker-local/app")),
        lambda: client.manifest("docker-local/app", "1"),
    ):
        with pytest.raises(CredentialsRefused) as caught:
            call()
        assert caught.value.remedy
    assert server.login is not None
    assert len(server.login.failures) == 1


@pytest.mark.parametrize(
    ("message", "comes_back"),
    [
        ("This request is blocked due to recurrent login failures, please try again in 4 seconds", True),
        ("Your account is locked.", False),
    ],
)
def test_a_locked_account_is_left_alone(
    server: FakeArtifactory, connect: Connect, message: str, comes_back: bool
) -> None:
    body = f'{{"errors":[{{"status":403,"message":"{message}"}}]}}'.encode()
    server.fail(repositories, Status(403, {"Content-Type": "application/json"}, body=body))
    with pytest.raises(AccountLocked) as caught:
        connect(server).ping()
    assert (caught.value.retry_at is not None) == comes_back
    assert len(server.seen) == 1


@pytest.mark.parametrize("message", ["User ann is not permitted", "Access is blocked by the list of addresses"])
def test_an_account_without_rights_is_not_one_with_a_wrong_password(
    server: FakeArtifactory, connect: Connect, message: str
) -> None:
    body = f'{{"errors":[{{"status":403,"message":"{message}"}}]}}'.encode()
    server.fail(repositories, Status(403, {"Content-Type": "application/json"}, body=body))
    with pytest.raises(AccessDenied) as caught:
        connect(server).ping()
    assert "permission" in caught.value.remedy


def test_nobody_gets_in_where_anonymous_access_is_off(server: FakeArtifactory, connect: Connect) -> None:
    with pytest.raises(AccessDenied) as caught:
        connect(server, username="", password="").ping()
    assert "password" in caught.value.remedy


def test_nobody_reads_what_is_open_to_anybody(serve: Serve, connect: Connect) -> None:
    server = serve(anonymous=True)
    image().put(server.shelf("docker-local"), "app", "1")
    client = connect(server, username="", password="")
    assert list(client.repositories()) == ["docker-local/app"]
    assert client.manifest("docker-local/app", "1").content == image().manifest


def test_an_empty_list_of_repositories_is_a_lack_of_rights_and_no_empty_registry(
    serve: Serve, connect: Connect
) -> None:
    client = connect(serve(kept=()))
    client.ping()
    with pytest.raises(AccessDenied) as caught:
        list(client.repositories())
    assert "permission" in caught.value.remedy


def test_a_registry_that_takes_its_own_tokens_alone_gets_them(serve: Serve, connect: Connect) -> None:
    server = serve(basic_on_docker=False)
    image().put(server.shelf("docker-local"), "team/app", "1")
    client = connect(server)
    assert list(client.repositories()) == ["docker-local/team/app"]
    assert client.manifest("docker-local/team/app", "1").content == image().manifest


@LOGINS
def test_no_login_follows_a_redirect_to_the_storage(serve: Serve, connect: Connect, given: dict[str, str]) -> None:
    made = image("stored")
    with DecoyServer(made.layers[0].content) as storage:
        server = serve(storage=storage.url)
        made.put(server.shelf("docker-local"), "app", "1")
        client = connect(server, **given)
        manifest = parse_manifest(client.manifest("docker-local/app", "1"))
        with client.blob("docker-local/app", manifest.layers[0]) as content:  # type: ignore[union-attr]
            assert content.read() == made.layers[0].content
        assert len(storage.seen) == 1
        for seen in storage.seen:
            assert not {"authorization", "x-jfrog-art-api", "cookie"} & set(seen.headers)
            assert API_KEY not in str(seen)


@LOGINS
def test_no_login_follows_a_redirect_of_the_api(
    server: FakeArtifactory, connect: Connect, given: dict[str, str]
) -> None:
    with DecoyServer(b"[]") as elsewhere:
        server.fail(anything, Redirect(f"{elsewhere.url}{{path}}", status=302))
        with pytest.raises(RegistryError):
            connect(server, **given).ping()
        assert elsewhere.seen
        for seen in elsewhere.seen:
            assert not {"authorization", "x-jfrog-art-api"} & set(seen.headers)


def test_an_api_key_is_known_by_its_form_and_shown_nowhere(server: FakeArtifactory) -> None:
    from registries.clients import _with_credentials, endpoint_of

    assert is_api_key(API_KEY)
    assert not is_api_key(ACCESS_TOKEN)
    registry = row(server, **KEY)
    assert API_KEY not in repr(_with_credentials(registry, endpoint_of(registry)))


# --- what is walked ---------------------------------------------------------------------------------------------------
def test_local_federated_and_cached_images_are_listed_once(serve: Serve, connect: Connect) -> None:
    server = serve(
        kept=(
            ArtifactoryRepository("docker-local"),
            ArtifactoryRepository("docker-fed", "federated"),
            ArtifactoryRepository("hub", "remote"),
            ArtifactoryRepository("never-used", "remote"),
            ArtifactoryRepository("docker", "virtual", holds=("docker-local", "hub-cache")),
            ArtifactoryRepository("oci-local", package="oci"),
            ArtifactoryRepository("charts", package="helmoci"),
        )
    )
    for key in ("docker-local", "docker-fed", "hub-cache", "oci-local", "charts"):
        image(key).put(server.shelf(key), "team/app", "1")
    client = connect(server)
    assert list(client.repositories()) == [
        "docker-local/team/app",
        "docker-fed/team/app",
        "hub-cache/team/app",
        "oci-local/team/app",
    ]
    for key in ("docker-local", "docker-fed", "hub-cache", "oci-local"):
        assert [tag.digest for tag in client.tags(f"{key}/team/app")] == [image(key).digest]
        assert client.manifest(f"{key}/team/app", "1").content == image(key).manifest


def test_a_virtual_repository_is_walked_where_nothing_else_is_to_be_seen(serve: Serve, connect: Connect) -> None:
    server = serve(kept=(ArtifactoryRepository("docker", "virtual", holds=("hidden",)),))
    image().put(server.shelf("hidden"), "app", "1")
    client = connect(server)
    assert list(client.repositories()) == ["docker/app"]
    assert [tag.name for tag in client.tags("docker/app")] == ["1"]
    assert str(client.head("docker/app", "1").digest) == image().digest


@pytest.mark.parametrize("oci_paths", [True, False])
def test_an_oci_repository_is_found_under_either_path(serve: Serve, connect: Connect, oci_paths: bool) -> None:
    server = serve(kept=(ArtifactoryRepository("oci-local", package="oci"),), oci_paths=oci_paths)
    image().put(server.shelf("oci-local"), "app", "1")
    client = connect(server)
    assert list(client.repositories()) == ["oci-local/app"]
    assert client.manifest("oci-local/app", "1").content == image().manifest


def test_an_artifactory_from_before_the_type_oci_is_listed(server: FakeArtifactory, connect: Connect) -> None:
    image().put(server.shelf("docker-local"), "app", "1")

    def of_oci(request: Any, real: Any) -> Any:
        return Status(400)(request, real) if request.first("packageType") == "oci" else real()

    server.fail(repositories, of_oci)
    assert list(connect(server).repositories()) == ["docker-local/app"]


@pytest.mark.parametrize("context", ["/artifactory", ""])
def test_artifactory_is_found_below_its_context_and_at_the_root(serve: Serve, connect: Connect, context: str) -> None:
    server = serve(context=context)
    image().put(server.shelf("docker-local"), "app", "1")
    client = connect(server)
    client.ping()
    assert list(client.repositories()) == ["docker-local/app"]


def test_an_address_with_the_context_in_it_works_and_is_no_part_of_image_names(
    server: FakeArtifactory, connect: Connect
) -> None:
    image().put(server.shelf("docker-local"), "app", "1")
    client = connect(server, address=f"{server.url}/artifactory")
    assert list(client.repositories()) == ["docker-local/app"]
    assert client.manifest("docker-local/app", "1").content == image().manifest


def test_an_address_of_one_repository_has_no_key_in_its_names(serve: Serve, connect: Connect) -> None:
    """As with the subdomain and port methods, where the proxy leads ``/v2/`` to one key."""
    server = serve(kept=(ArtifactoryRepository("docker-local"), ArtifactoryRepository("other")), alone="docker-local")
    image("a").put(server.shelf("docker-local"), "team/app", "1")
    image("b").put(server.shelf("other"), "team/app", "1")
    client = connect(server)
    assert list(client.repositories()) == ["team/app"]
    assert [tag.digest for tag in client.tags("team/app")] == [image("a").digest]
    assert client.manifest("team/app", "1").content == image("a").manifest


@LOGINS
def test_an_address_of_one_repository_without_the_api_is_a_plain_registry(
    serve: Serve, connect: Connect, given: dict[str, str]
) -> None:
    server = serve(alone="docker-local", api=False, basic_on_docker=False)
    image("a").put(server.shelf("docker-local"), "team/app", "1")
    client = connect(server, **given)
    client.ping()
    assert list(client.repositories()) == ["team/app"]
    assert [tag.name for tag in client.tags("team/app")] == ["1"]
    assert client.manifest("team/app", "1").content == image("a").manifest


def test_a_wrong_password_is_refused_by_a_plain_registry_too(serve: Serve, connect: Connect) -> None:
    server = serve(alone="docker-local", api=False)
    client = connect(server, password="wrong")
    for _ in range(2):
        with pytest.raises(CredentialsRefused):
            client.ping()
    assert server.login is not None
    assert server.login.failures == ["ann"]


def test_a_host_that_looks_like_a_key_must_show_that_it_is_one(serve: Serve, connect: Connect) -> None:
    """The address 127.0.0.1 begins with the key "127"; the key is in the path all the same, or it is not."""
    for alone, names in (("", ["127/team/app"]), ("127", ["team/app"])):
        server = serve(
            kept=(ArtifactoryRepository("127"),), alone=alone, anonymous=True
        )  # without a challenge that would tell
        image().put(server.shelf("127"), "team/app", "1")
        assert list(connect(server).repositories()) == names


def test_a_typed_list_has_the_key_in_front(server: FakeArtifactory, connect: Connect) -> None:
    for tag in ("1.0", "1.1", "2.0"):
        image(tag).put(server.shelf("docker-local"), "team/app", tag)
    client = connect(server, repositories="docker-local/team/app:1.*")
    assert client.fixed
    assert list(client.repositories()) == ["docker-local/team/app"]
    assert [tag.name for tag in client.tags("docker-local/team/app")] == ["1.0", "1.1"]
    with pytest.raises(NotFound) as caught:
        list(client.tags("app"))
    assert "key" in caught.value.remedy


def test_names_in_upper_case_are_passed_through(server: FakeArtifactory, connect: Connect) -> None:
    image().put(server.shelf("docker-local"), "Team/App", "V1")
    client = connect(server)
    assert list(client.repositories()) == ["docker-local/Team/App"]
    (tag,) = client.tags("docker-local/Team/App")
    assert (tag.name, tag.digest) == ("V1", image().digest)
    assert client.manifest("docker-local/Team/App", "V1").content == image().manifest


# --- listing ----------------------------------------------------------------------------------------------------------
def test_the_search_tells_digest_and_push_time_in_one_call(server: FakeArtifactory, connect: Connect) -> None:
    multi = images.index(image("a"), image("b"))
    multi.put(server.shelf("docker-local"), "app", "multi")
    for number in range(20):
        image(str(number)).put(server.shelf("docker-local"), "app", f"1.{number}")
    image("deep").put(server.shelf("docker-local"), "app/deep", "1.0")
    client = connect(server)
    client.ping()
    server.seen.clear()
    found = {tag.name: tag for tag in client.tags("docker-local/app")}
    assert set(found) == {"multi"} | {f"1.{number}" for number in range(20)}
    assert found["multi"].digest == multi.digest
    assert found["1.7"].digest == image("7").digest
    pushed = found["1.7"].pushed_at
    assert pushed is not None
    assert pushed > datetime(2026, 1, 2, tzinfo=UTC)
    assert (len(server.requests(search)), len(server.requests(manifests))) == (1, 0)


def test_the_list_of_tags_is_asked_for_without_the_types_of_manifests(
    server: FakeArtifactory, connect: Connect
) -> None:
    """Some versions answer 406 to those; the fake does."""
    image().put(server.shelf("docker-local"), "app", "1")
    assert [tag.name for tag in connect(server).tags("docker-local/app")] == ["1"]
    assert all("manifest" not in seen.headers.get("accept", "") for seen in server.requests(tag_lists))


@pytest.mark.parametrize(
    "fault",
    [Status(400), Status(403), Status(404), Status(408), Status(500), HTML, json_body([]), rate_limited("0")],
    ids=["400", "403", "404", "408", "500", "page", "other form", "429"],
)
def test_without_the_search_names_are_listed_and_each_is_asked_for(
    server: FakeArtifactory, connect: Connect, fault: Any
) -> None:
    image().put(server.shelf("docker-local"), "app", "1")
    image().put(server.shelf("docker-local"), "tool", "1")
    server.fail(search, fault)
    client = connect(server)
    for name in ("docker-local/app", "docker-local/tool"):
        assert [(tag.name, tag.digest) for tag in client.tags(name)] == [("1", None)]
    assert len(server.requests(search)) <= transport.MAX_TRIES  # given up after the first repository
    assert str(client.head("docker-local/app", "1").digest) == image().digest


def test_a_tag_with_two_manifests_is_asked_for(server: FakeArtifactory, connect: Connect) -> None:
    image().put(server.shelf("docker-local"), "app", "1")
    rows = [
        {"repo": "docker-local", "path": "app/1", "name": name, "sha256": digit * 64}
        for name, digit in (("manifest.json", "a"), ("list.manifest.json", "b"))
    ]
    server.fail(search, json_body({"results": rows}))
    assert [tag.digest for tag in connect(server).tags("docker-local/app")] == [None]


def test_a_connection_that_breaks_is_no_closed_search(server: FakeArtifactory, connect: Connect) -> None:
    image().put(server.shelf("docker-local"), "app", "1")
    client = connect(server)
    client.ping()
    server.fail(search, reset)
    with pytest.raises(Unreachable):
        list(client.tags("docker-local/app"))


def test_a_closed_catalog_is_made_up_for_by_the_search(serve: Serve, connect: Connect) -> None:
    server = serve(kept=(ArtifactoryRepository("docker-local", catalog=False),))
    for name in ("app", "team/app"):
        for tag in ("1", "2"):
            image(tag).put(server.shelf("docker-local"), name, tag)
    assert sorted(connect(server).repositories()) == ["docker-local/app", "docker-local/team/app"]


def test_repositories_that_may_not_be_listed_are_named_after_all_others(serve: Serve, connect: Connect) -> None:
    server = serve(kept=(ArtifactoryRepository("closed", catalog=False), ArtifactoryRepository("open")), aql=False)
    for key in ("closed", "open"):
        image(key).put(server.shelf(key), "app", "1")
    names = connect(server).repositories()
    assert next(names) == "open/app"
    with pytest.raises(PartsUnreadable, match="closed") as caught:
        next(names)
    assert "list" in caught.value.remedy


def test_a_key_whose_registry_is_not_there_ends_no_list(serve: Serve, connect: Connect) -> None:
    keys = [ArtifactoryRepository(key) for key in ("a", "b", "c")]
    server = serve(kept=tuple(keys), aql=False)
    for key in ("a", "b", "c"):
        image(key).put(server.shelf(key), "app", "1")
    server.fail(lambda request: "/api/docker/b/" in request.path, Status(404, body=b"<h1>Not found</h1>"))
    found, error = until_error(connect(server).repositories())
    assert found == ["a/app", "c/app"]
    assert isinstance(error, PartsUnreadable)
    assert (error.parts, "b" in error.reason) == (("b",), True)


def test_a_catalog_without_links_is_read_to_its_end(server: FakeArtifactory, connect: Connect) -> None:
    from registries.oci import name_lists

    every = [f"app{number:03}" for number in range(25)]
    for name in every:
        image().put(server.shelf("docker-local"), name, "1")
    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(name_lists, "PAGE_SIZE", 10)
        assert list(connect(server).repositories()) == [f"docker-local/{name}" for name in every]
    assert len(server.requests(catalogs)) == 3


@pytest.mark.parametrize("body", [{}, {"errors": []}, "x", [7]])
def test_an_answer_of_another_form_is_no_empty_registry(server: FakeArtifactory, connect: Connect, body: Any) -> None:
    server.fail(repositories, json_body(body))
    with pytest.raises(MalformedResponse):
        list(connect(server).repositories())


def test_a_repository_that_is_gone_has_no_tags(server: FakeArtifactory, connect: Connect) -> None:
    assert list(connect(server).tags("docker-local/gone")) == []


def test_what_is_no_artifactory_and_no_registry_says_so(connect: Connect) -> None:
    with DecoyServer(b"<html>", 404) as server, pytest.raises(NotARegistry):
        connect(server).ping()


def test_xray_says_that_it_blocks(server: FakeArtifactory, connect: Connect) -> None:
    image().put(server.shelf("docker-local"), "app", "1")
    message = b'{"errors":[{"code":"DENIED","message":"Artifact is blocked by Xray policy block-critical"}]}'
    server.fail(manifests, Status(403, {"Content-Type": "application/json"}, body=message))
    with pytest.raises(PolicyBlocked, match="Xray"):
        connect(server).manifest("docker-local/app", "1")


@pytest.mark.django_db
def test_the_connection_test_goes_from_the_name_to_a_blob(server: FakeArtifactory) -> None:
    image().put(server.shelf("docker-local"), "team/app", "1.0")
    registry = row(server)
    registry.save()
    steps = {step.stage: step for step in diagnose(registry)}
    assert steps[ConnectionStage.LISTING].detail == "docker-local/team/app:1.0"
    assert steps[ConnectionStage.BLOB].result is StepResult.PASSED
    registry.set_password("wrong")
    *_before, last = diagnose(registry)
    assert (last.stage, last.result, last.refused) == (ConnectionStage.CREDENTIALS, StepResult.FAILED, True)


# --- as rows ----------------------------------------------------------------------------------------------------------
def sync(registry: Registry, **options: bool) -> SyncRun:
    (run,) = start_sync(registries=[registry], **options).runs
    tasks.sync(run.pk)
    run.refresh_from_db()
    registry.refresh_from_db()
    return run


def names() -> set[str]:
    return {str(tag).split("/", 1)[1] for tag in Tag.objects.all()}


@pytest.fixture
def registry(server: FakeArtifactory) -> Registry:
    registry = row(server)
    registry.save()
    return registry


def listing(seen: Any) -> bool:
    return bool(
        seen.path.endswith(("/api/repositories", "/api/search/aql", "/_catalog", "/tags/list", "/v2/", "/token"))
    )


@pytest.mark.django_db(transaction=True)
def test_an_artifactory_becomes_rows_and_an_unchanged_one_costs_listing_calls_only(
    server: FakeArtifactory, registry: Registry
) -> None:
    shelf = server.shelf("docker-local")
    for number in range(3):
        image(str(number)).put(shelf, f"team/app{number}", "1")
    images.index(image("a"), image("b"), attest=True).put(shelf, "multi", "1")
    images.helm_chart().put(shelf, "chart", "1")
    run = sync(registry)
    assert (run.state, run.complete, run.reason) == (State.SUCCEEDED, True, "")
    assert (run.repositories, run.tags, run.not_images) == (5, 4, 1)
    tag = Tag.objects.get(name="1", repository__name="docker-local/team/app0")
    assert tag.address == f"{registry.host}/docker-local/team/app0"
    assert tag.pushed_at is not None
    assert registry.connection == Registry.Connection.CONNECTED
    server.seen.clear()
    run = sync(registry)
    assert (run.complete, run.tags_new, run.tags_changed, run.tags_gone) == (True, 0, 0, 0)
    assert all(listing(seen) for seen in server.seen)


@pytest.mark.django_db(transaction=True)
def test_what_is_moved_and_deleted_is_seen(server: FakeArtifactory, registry: Registry) -> None:
    shelf = server.shelf("docker-local")
    for tag in ("1", "2"):
        image(tag).put(shelf, "app", tag)
    sync(registry)
    server.store.remove_tag("docker-local/app", "1")
    image("new").put(shelf, "app", "2")
    run = sync(registry, confirm_missing=True)
    assert (run.complete, run.tags_gone, run.tags_changed, names()) == (True, 1, 1, {"docker-local/app:2"})


@pytest.mark.django_db(transaction=True)
def test_a_wrong_password_keeps_the_inventory_and_marks_the_credentials(
    server: FakeArtifactory, registry: Registry
) -> None:
    image().put(server.shelf("docker-local"), "app", "1")
    sync(registry)
    registry.set_password("wrong")
    registry.save()
    run = sync(registry)
    assert (run.state, names()) == (State.FAILED, {"docker-local/app:1"})
    assert run.remedy
    assert registry.connection == Registry.Connection.REFUSED
    sync(registry)
    assert server.login is not None
    assert server.login.failures == ["ann"]


@pytest.mark.django_db(transaction=True)
def test_a_password_that_changes_while_it_is_used_is_noticed_once_and_loses_nothing(
    server: FakeArtifactory, registry: Registry
) -> None:
    for number in range(12):
        image(str(number)).put(server.shelf("docker-local"), f"app{number}", "1")
    sync(registry)
    assert server.login is not None

    def changed(request: Any, real: Any) -> Any:
        assert server.login is not None
        server.login.users["ann"] = "another"
        return real()

    server.fail(lambda request: request.path.endswith("/app5/tags/list"), changed, times=1)
    run = sync(registry)
    assert run.state == State.FAILED
    assert (registry.connection, len(names())) == (Registry.Connection.REFUSED, 12)


@pytest.mark.django_db(transaction=True)
def test_rights_that_are_lost_retire_nothing(serve: Serve) -> None:
    server = serve(kept=(ArtifactoryRepository("one"), ArtifactoryRepository("two")))
    for key in ("one", "two"):
        image(key).put(server.shelf(key), "app", "1")
    registry = row(server)
    registry.save()
    sync(registry)
    server.kept["two"].catalog = False
    server.has_aql = False
    run = sync(registry)
    assert not run.complete
    assert (run.tags_gone, names()) == (0, {"one/app:1", "two/app:1"})
    assert "two" in run.reason


@pytest.mark.django_db(transaction=True)
def test_a_repository_that_is_not_to_be_seen_any_more_retires_nothing(serve: Serve) -> None:
    """Artifactory can be told to say of all that one must not see that it is not there."""
    server = serve(kept=(ArtifactoryRepository("one"), ArtifactoryRepository("two")))
    for key in ("one", "two"):
        image(key).put(server.shelf(key), "app", "1")
    registry = row(server)
    registry.save()
    sync(registry)
    del server.kept["two"]
    run = sync(registry)
    assert not run.complete
    assert (run.tags_gone, names()) == (0, {"one/app:1", "two/app:1"})


@pytest.mark.django_db(transaction=True)
def test_the_only_repository_of_an_address_that_is_not_to_be_seen_any_more_retires_nothing(serve: Serve) -> None:
    server = serve(kept=(ArtifactoryRepository("one"), ArtifactoryRepository("two")), alone="one")
    for key in ("one", "two"):
        image(key).put(server.shelf(key), "team/app", "1")
    registry = row(server)
    registry.save()
    sync(registry)
    del server.kept["one"]
    run = sync(registry)
    assert (run.tags_gone, names()) == (0, {"team/app:1"})
    assert run.reason


@pytest.mark.django_db(transaction=True)
def test_blobs_from_storage_are_read_for_the_first_look_at_an_image(serve: Serve) -> None:
    made = image("stored")
    with DecoyServer(made.config) as storage:
        server = serve(storage=storage.url)
        made.put(server.shelf("docker-local"), "app", "1")
        registry = row(server, **KEY)
        registry.save()
        run = sync(registry)
        assert run.complete
        assert len(server.requests(blobs)) == len(storage.seen) == 1
        assert Tag.objects.get().image.config_known  # type: ignore[union-attr]
