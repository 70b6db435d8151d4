"""Quay as it really answers: a wrong token gets 200, robots know the registry alone, pages are small, logins lock."""

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
from registries.connectors import quay
from registries.models import Registry, SyncRun
from registries.oci.errors import (
    AccessDenied,
    AccountLocked,
    CredentialsRefused,
    MalformedResponse,
    NotARegistry,
    NotFound,
    ServerError,
)
from registries.oci.manifests import ImageManifest, parse_manifest
from registries.sync_requests.start import start_sync
from tests.fakes import images
from tests.fakes.quay import PUSHED_AT, FakeQuay, OAuthToken, api, logins, repository_lists, tag_lists, user_info
from tests.fakes.registry import (
    HTML,
    FakeRegistry,
    Status,
    Truncate,
    blobs,
    catalog,
    json_body,
    manifests,
    rate_limited,
    tags,
)

TOKEN = "T" * 40
ROBOT = {"username": "acme+tally", "password": "R" * 64}
USERS = {"acme+tally": "R" * 64, "ann": "secret"}
TOKENS = {TOKEN: OAuthToken("ann")}
RIGHTS = {"ann": {"ann", "acme"}, "acme+tally": {"acme"}}


@pytest.fixture(autouse=True)
def _no_limit_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quay, "REQUESTS_PER_SECOND", 10_000.0)


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeQuay]]:
    """Start Quays that end with the test. Ann and her token see ``ann`` and ``acme``, the robot ``acme`` alone."""
    with ExitStack() as stack:
        given = {"users": USERS, "tokens": TOKENS, "rights": RIGHTS}
        yield lambda **options: stack.enter_context(FakeQuay(**{**given, **options}))


@pytest.fixture
def server(serve: Callable[..., FakeQuay]) -> FakeQuay:
    return serve(public={"other/public"}, poison_cookies=True)


@pytest.fixture
def connect() -> Iterator[Callable[..., RegistryClient]]:
    """Open clients as the console does: ``connect(server, **fields of Registry)``; by the token unless told."""
    with ExitStack() as stack:

        def make(server: FakeRegistry, *, password: str = TOKEN, **fields: Any) -> RegistryClient:
            registry = Registry(name="quay", type="quay", address=server.url, **fields)
            registry.set_password(password)
            return stack.enter_context(open_client(registry))

        yield make


Connect = Callable[..., RegistryClient]
Serve = Callable[..., FakeQuay]


def image(text: str = "") -> images.Image:
    return images.image({"etc/os-release": b"ID=debian\n"}, {"app": text.encode()})


# --- credentials ------------------------------------------------------------------------------------------------------
def test_a_token_lists_all_its_users_namespaces(server: FakeQuay, connect: Connect) -> None:
    for name in ("acme/app", "acme/deep/er/tool", "ann/own", "other/public", "other/private"):
        image(name).put(server, name, "1")
    client = connect(server)
    client.ping()
    assert sorted(client.repositories()) == ["acme/app", "acme/deep/er/tool", "ann/own"]
    assert not server.logins  # nothing was asked of the registry


def test_a_name_before_the_token_as_docker_login_has_it_does_the_same(server: FakeQuay, connect: Connect) -> None:
    image().put(server, "acme/app", "1")
    assert list(connect(server, username="$oauthtoken").repositories()) == ["acme/app"]
    assert not server.requests(catalog)


def test_a_wrong_token_is_refused_though_the_list_answers_it_with_what_is_public(
    server: FakeQuay, connect: Connect
) -> None:
    image().put(server, "acme/app", "1")
    server.public.add("acme/app")
    client = connect(server, password="W" * 40)
    with pytest.raises(CredentialsRefused) as caught:
        list(client.repositories())
    assert caught.value.remedy
    with pytest.raises(CredentialsRefused):
        client.ping()
    with pytest.raises(CredentialsRefused):
        list(client.tags("acme/app"))
    assert server.logins == [("$oauthtoken", 401)]
    assert not server.requests(repository_lists)


def test_a_token_that_may_not_tell_its_user_is_proven_by_the_registry_and_lists_by_the_catalog(
    serve: Serve, connect: Connect
) -> None:
    server = serve(tokens={TOKEN: OAuthToken("ann", frozenset({"repo:read"}))})
    image().put(server, "acme/app", "1")
    image().put(server, "other/app", "1")
    client = connect(server)
    client.ping()
    assert list(client.repositories()) == ["acme/app"]
    assert [tag.digest for tag in client.tags("acme/app")] == [image().digest]


def test_a_token_revoked_while_it_lists_is_noticed_at_the_end(serve: Serve, connect: Connect) -> None:
    server = serve(page_size=1)
    for number in range(3):
        image().put(server, f"acme/app{number}", "1")
    names = connect(server).repositories()
    assert next(names) == "acme/app0"
    server.oauth_tokens.clear()
    with pytest.raises(CredentialsRefused):
        list(names)


def test_a_token_without_the_right_to_read_says_which_scope_is_missing(serve: Serve, connect: Connect) -> None:
    server = serve(tokens={TOKEN: OAuthToken("ann", frozenset({"user:read"}))})
    image().put(server, "acme/app", "1")
    client = connect(server, repositories="acme/app")
    client.ping()
    with pytest.raises(AccessDenied) as caught:
        list(client.tags("acme/app"))
    assert "repo:read" in caught.value.remedy


def test_a_robot_never_meets_the_api_and_lists_by_the_catalog(server: FakeQuay, connect: Connect) -> None:
    for name in ("acme/app", "acme/tool", "other/private"):
        image(name).put(server, name, "1")
    client = connect(server, **ROBOT)
    client.ping()
    assert list(client.repositories()) == ["acme/app", "acme/tool"]
    assert [tag.name for tag in client.tags("acme/app")] == ["1"]
    assert str(client.head("acme/app", "1").digest) == image("acme/app").digest
    assert not server.requests(api)


def test_the_scope_of_the_catalog_is_refused_and_done_without(server: FakeQuay, connect: Connect) -> None:
    image().put(server, "acme/app", "1")
    assert list(connect(server, **ROBOT).repositories()) == ["acme/app"]
    scopes = [seen.query.get("scope") for seen in server.requests(logins)]
    assert scopes == [None, "registry:catalog:*", None]


def test_a_user_with_a_password_lists_by_the_catalog_too(server: FakeQuay, connect: Connect) -> None:
    image().put(server, "ann/app", "1")
    assert list(connect(server, username="ann", password="secret").repositories()) == ["ann/app"]
    assert not server.requests(api)


@pytest.mark.parametrize("name", ["acme+tally", "acme+unknown", "ann"])
def test_a_wrong_password_is_tried_once(server: FakeQuay, connect: Connect, name: str) -> None:
    client = connect(server, username=name, password="wrong")
    for call in (client.ping, lambda: list(client.repositories()), lambda: list(client.tags("acme/app"))):
        with pytest.raises(CredentialsRefused):
            call()
    assert server.logins == [(name, 401)]


def test_a_locked_account_is_left_alone_though_the_password_is_right(server: FakeQuay, connect: Connect) -> None:
    server.lock("ann")
    client = connect(server, username="ann", password="secret")
    with pytest.raises(AccountLocked) as caught:
        client.ping()
    assert server.logins == [("ann", 429)]
    assert "locked" in caught.value.reason
    assert caught.value.retry_at is not None
    assert caught.value.retry_at > datetime.now(UTC)


def test_a_rate_limit_of_the_proxy_is_waited_for(server: FakeQuay, connect: Connect) -> None:
    image().put(server, "acme/app", "1")
    server.fail(api, Status(429, {"Content-Type": "text/html"}, body=b"<h1>429 Too Many Requests</h1>"), times=2)
    server.fail(logins, rate_limited("0"), times=1)
    client = connect(server)
    assert list(client.repositories()) == ["acme/app"]
    assert client.manifest("acme/app", "1").digest


def test_nobody_is_told_to_give_credentials_or_a_list(server: FakeQuay, connect: Connect) -> None:
    image().put(server, "other/public", "1")
    client = connect(server, password="")
    client.ping()
    with pytest.raises(AccessDenied) as caught:
        list(client.repositories())
    assert "list" in caught.value.remedy


def test_nobody_may_read_what_is_public_and_listed_by_a_person(server: FakeQuay, connect: Connect) -> None:
    image().put(server, "other/public", "1")
    image().put(server, "acme/app", "1")
    client = connect(server, password="", repositories="other/public\nacme/app")
    assert list(client.repositories()) == ["other/public", "acme/app"]
    assert [tag.digest for tag in client.tags("other/public")] == [image().digest]
    assert client.manifest("other/public", "1").content == image().manifest
    with pytest.raises(AccessDenied):
        list(client.tags("acme/app"))


# --- listing ----------------------------------------------------------------------------------------------------------
def test_the_list_tells_digest_size_and_push_time(server: FakeQuay, connect: Connect) -> None:
    image().put(server, "acme/app", "1")
    (tag,) = connect(server).tags("acme/app")
    assert (tag.name, tag.digest) == ("1", image().digest)
    assert tag.size == sum(len(layer.content) for layer in image().layers)
    assert tag.pushed_at == datetime.fromtimestamp(PUSHED_AT, UTC)


def test_an_index_has_no_size_and_a_sparse_one_is_read_by_what_it_has(server: FakeQuay, connect: Connect) -> None:
    whole = images.index(image("a"), image("b"))
    sparse = images.index(image("a"), image("b"), absent=[0])
    whole.put(server, "acme/app", "whole")
    sparse.put(server, "acme/sparse", "1")
    client = connect(server)
    assert [(tag.digest, tag.size) for tag in client.tags("acme/app")] == [(whole.digest, None)]
    assert client.manifest("acme/sparse", image("b").digest).content == image("b").manifest
    with pytest.raises(NotFound):
        client.manifest("acme/sparse", image("a").digest)


def test_repositories_come_page_by_page_with_the_token_of_the_last(serve: Serve, connect: Connect) -> None:
    server = serve(page_size=2)
    for number in range(5):
        image().put(server, f"acme/app{number}", "1")
    assert list(connect(server).repositories()) == [f"acme/app{number}" for number in range(5)]
    assert list(connect(server, **ROBOT).repositories()) == [f"acme/app{number}" for number in range(5)]


@pytest.mark.parametrize("following", ["same", 7, ["x"]])
def test_a_list_that_leads_back_ends_with_an_error(server: FakeQuay, connect: Connect, following: Any) -> None:
    row = {"namespace": "acme", "name": "app", "kind": "image"}
    server.fail(repository_lists, json_body({"repositories": [row], "next_page": following}))
    with pytest.raises(MalformedResponse):
        list(connect(server).repositories())
    assert len(server.requests(repository_lists)) <= 2 * 2, "in each of two namespaces"


@pytest.mark.parametrize(
    "body", [None, [], {"repositories": {}}, {"repositories": [{"name": "app"}]}, {"repositories": [7]}]
)
def test_a_list_of_another_form_is_no_empty_list(server: FakeQuay, connect: Connect, body: Any) -> None:
    server.fail(repository_lists, json_body(body))
    with pytest.raises(MalformedResponse):
        list(connect(server).repositories())


def test_an_empty_list_may_be_null(server: FakeQuay, connect: Connect) -> None:
    server.fail(repository_lists, json_body({"repositories": None}))
    assert list(connect(server).repositories()) == []


def test_what_holds_no_images_or_is_being_deleted_is_left_out(server: FakeQuay, connect: Connect) -> None:
    for name in ("acme/app", "acme/chart", "acme/going"):
        image().put(server, name, "1")
    server.content.kinds["acme/chart"] = "application"
    server.content.states["acme/going"] = "MARKED_FOR_DELETION"
    assert list(connect(server).repositories()) == ["acme/app"]


@pytest.mark.parametrize("count", [99, 100, 101, 250])
def test_all_pages_of_tags_are_read(server: FakeQuay, connect: Connect, count: int) -> None:
    for number in range(count):
        image().put(server, "acme/app", f"1.{number}")
    assert {tag.name for tag in connect(server).tags("acme/app")} == {f"1.{number}" for number in range(count)}
    assert {tag.name for tag in connect(server, **ROBOT).tags("acme/app")} == {f"1.{number}" for number in range(count)}


def test_a_tag_that_slips_past_between_two_pages_is_found(server: FakeQuay, connect: Connect) -> None:
    for number in range(150):
        image().put(server, "acme/app", f"1.{number}")
    listing = connect(server).tags("acme/app")
    first = [next(listing) for _ in range(100)]
    for tag in first[:3]:
        server.remove_tag("acme/app", tag.name)
    rest = list(listing)
    assert {f"1.{number}" for number in range(150)} == {tag.name for tag in (*first, *rest)}
    assert len([tag for tag in rest if tag.digest is None]) == 3


def test_tags_that_were_deleted_or_have_expired_are_not_listed(server: FakeQuay, connect: Connect) -> None:
    for name in ("1", "2", "3"):
        image(name).put(server, "acme/app", name)
    server.remove_tag("acme/app", "1")
    server.remove_tag("acme/app", "2", at=PUSHED_AT - 60)
    client = connect(server)
    assert [tag.name for tag in client.tags("acme/app")] == ["3"]
    with pytest.raises(NotFound, match="TAG_EXPIRED"):
        client.head("acme/app", "2")


def test_an_old_quay_that_lists_the_past_too_is_understood(server: FakeQuay, connect: Connect) -> None:
    rows = [
        {"name": "gone", "manifest_digest": image().digest, "start_ts": 1, "end_ts": 2},
        {"name": "kept", "manifest_digest": image().digest, "start_ts": 1, "size": 10, "end_ts": 1 << 34},
    ]
    server.fail(tag_lists, json_body({"tags": rows, "has_additional": False}))
    assert [tag.name for tag in connect(server).tags("acme/app")] == ["kept"]


def test_a_repository_that_is_gone_has_no_tags_and_a_forbidden_one_says_so(server: FakeQuay, connect: Connect) -> None:
    image().put(server, "acme/app", "1")
    image().put(server, "other/private", "1")
    server.remove_repository("acme/app")
    image().put(server, "acme/tool", "1")
    client = connect(server)
    assert list(client.tags("acme/app")) == []
    with pytest.raises(AccessDenied):
        list(client.tags("other/private"))
    robot = connect(server, **ROBOT)
    with pytest.raises(AccessDenied):  # the registry says the same of what is gone and what is forbidden
        list(robot.tags("other/private"))


def test_a_404_of_a_proxy_is_no_repository_that_is_gone(server: FakeQuay, connect: Connect) -> None:
    image().put(server, "acme/app", "1")
    server.fail(tag_lists, Status(404, {"Content-Type": "text/html"}, body=b"<h1>404</h1>"))
    with pytest.raises(NotARegistry):
        list(connect(server).tags("acme/app"))


def test_a_typed_list_is_kept_to_with_its_patterns(server: FakeQuay, connect: Connect) -> None:
    for name in ("1.0", "1.1", "2.0"):
        image(name).put(server, "acme/app", name)
    image().put(server, "acme/tool", "1")
    client = connect(server, repositories="acme/app:1.*")
    assert client.fixed
    assert list(client.repositories()) == ["acme/app"]
    assert {tag.name for tag in client.tags("acme/app")} == {"1.0", "1.1"}


def test_what_is_no_quay_says_so(connect: Connect) -> None:
    with FakeRegistry() as server, pytest.raises(NotARegistry):
        connect(server).ping()


def test_a_sign_in_page_is_no_quay(server: FakeQuay, connect: Connect) -> None:
    server.fail(user_info, HTML)
    with pytest.raises(NotARegistry):
        connect(server).ping()


def test_a_failure_of_quay_is_no_wrong_token(server: FakeQuay, connect: Connect) -> None:
    server.fail(user_info, Status(500))
    with pytest.raises(ServerError):
        connect(server).ping()


# --- pace -------------------------------------------------------------------------------------------------------------
def test_calls_are_spread_as_quays_own_limits_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waited = [1000.0], []

    def wait(seconds: float) -> None:
        waited.append(round(seconds, 3))
        now[0] += seconds

    monkeypatch.setattr(quay, "REQUESTS_PER_SECOND", 4.0)
    monkeypatch.setattr(quay.time, "monotonic", lambda: now[0])
    pace = quay.RateLimiter(wait, burst=3)
    for _ in range(6):
        pace()
    assert waited == [0.25, 0.25, 0.25]
    now[0] += 60
    pace()
    assert len(waited) == 3


# --- pulling ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("login", [{}, ROBOT, {"username": "ann", "password": "secret"}])
def test_an_image_is_pulled_by_a_token_of_the_registry(
    server: FakeQuay, connect: Connect, login: dict[str, str]
) -> None:
    made = image("pulled")
    made.put(server, "acme/app", "1")
    client = connect(server, **login)
    raw = client.manifest("acme/app", made.digest)
    assert raw.content == made.manifest
    sent = {seen.headers.get("authorization", "").partition(" ")[0] for seen in server.requests(manifests)}
    assert sent == {"Bearer"}


def test_a_blob_that_breaks_off_is_read_again_from_its_start(server: FakeQuay, connect: Connect) -> None:
    made = images.image({"big": b"x" * 300_000}, compression="none")
    made.put(server, "acme/app", "1")
    client = connect(server)
    manifest = parse_manifest(client.manifest("acme/app", "1"))
    assert isinstance(manifest, ImageManifest)
    server.fail(blobs, Truncate(0.5), times=1)
    with client.blob("acme/app", manifest.layers[0]) as content:
        assert content.read() == made.layers[0].content
    assert len(server.requests(blobs)) == 2


@pytest.mark.django_db
@pytest.mark.parametrize(("username", "right"), [("", TOKEN), ("acme+tally", "R" * 64)])
def test_the_connection_test_goes_from_the_name_to_a_blob(server: FakeQuay, username: str, right: str) -> None:
    image().put(server, "acme/app", "1.0")
    registry = saved(server, username=username, password=right)
    steps = {step.stage: step for step in diagnose(registry)}
    assert steps[ConnectionStage.LISTING].detail == "acme/app:1.0"
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


def saved(server: FakeQuay, *, username: str = "", password: str = TOKEN) -> Registry:
    registry = Registry(name="quay", type="quay", address=server.url, username=username)
    registry.set_password(password)
    registry.save()
    return registry


def names() -> set[str]:
    return {str(tag).split("/", 1)[1] for tag in Tag.objects.all()}


@pytest.mark.django_db(transaction=True)
def test_a_quay_becomes_rows_and_an_unchanged_one_costs_listing_calls_only(server: FakeQuay) -> None:
    for number in range(3):
        image(str(number)).put(server, f"acme/app{number}", "1")
    images.index(image("a"), image("b"), attest=True).put(server, "acme/multi", "1")
    images.index(image("0"), image("1"), absent=[0]).put(server, "ann/sparse", "1")
    images.helm_chart().put(server, "acme/chart", "1")
    signature_tag, signature = images.cosign_signature(image("0").digest)
    signature.put(server, "acme/app0", signature_tag)
    registry = saved(server)
    run = sync(registry)
    assert (run.state, run.complete, run.reason) == (State.SUCCEEDED, True, "")
    assert (run.repositories, run.tags, run.not_images) == (6, 5, 2)
    tag = Tag.objects.get(name="1", repository__name="acme/app0")
    assert tag.address == f"{registry.host}/acme/app0"
    assert tag.pushed_at is not None
    assert registry.connection == Registry.Connection.CONNECTED
    server.seen.clear()
    run = sync(registry)
    assert (run.complete, run.tags_new, run.tags_changed, run.tags_gone) == (True, 0, 0, 0)
    assert all(api(seen) for seen in server.seen)  # type: ignore[arg-type]


@pytest.mark.django_db(transaction=True)
def test_what_is_deleted_and_moved_is_seen(server: FakeQuay) -> None:
    for name in ("1", "2"):
        image(name).put(server, "acme/app", name)
    image().put(server, "acme/gone", "1")
    registry = saved(server)
    sync(registry)
    server.remove_tag("acme/app", "1")
    image("new").put(server, "acme/app", "2")
    server.remove_repository("acme/gone")
    run = sync(registry, confirm_missing=True)
    assert (run.complete, run.tags_gone, run.tags_changed, names()) == (True, 2, 1, {"acme/app:2"})


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("username", "right"), [("", TOKEN), ("acme+tally", "R" * 64), ("ann", "secret")])
def test_a_wrong_password_keeps_the_inventory_and_marks_the_credentials(
    server: FakeQuay, username: str, right: str
) -> None:
    image().put(server, "acme/app", "1")
    server.public.add("acme/app")
    registry = saved(server, username=username, password=right)
    sync(registry)
    registry.set_password("wrong")
    registry.save()
    server.logins.clear()
    run = sync(registry)
    assert (run.state, names()) == (State.FAILED, {"acme/app:1"})
    assert run.remedy
    assert registry.connection == Registry.Connection.REFUSED
    sync(registry)
    assert server.logins == [(username or "$oauthtoken", 401)]


@pytest.mark.django_db(transaction=True)
def test_a_locked_account_puts_the_sync_off_and_keeps_everything(server: FakeQuay) -> None:
    image().put(server, "acme/app", "1")
    registry = saved(server, username="ann", password="secret")
    sync(registry)
    server.lock("ann")
    server.logins.clear()
    run = sync(registry)
    assert (run.state, names()) == (State.QUEUED, {"acme/app:1"})
    assert registry.connection == Registry.Connection.FAILED
    assert server.logins == [("ann", 429)]


@pytest.mark.django_db(transaction=True)
def test_a_failure_in_the_middle_retires_nothing(server: FakeQuay) -> None:
    for number in range(3):
        image(str(number)).put(server, f"acme/app{number}", "1")
    registry = saved(server)
    sync(registry)
    server.remove_repository("acme/app0")
    server.fail(tag_lists, Status(500))
    server.fail(tags, Status(500))
    run = sync(registry)
    assert not run.complete
    assert (run.tags_gone, len(names())) == (0, 3)
    server.heal()
    assert (sync(registry, confirm_missing=True).tags_gone, len(names())) == (1, 2)
