"""Harbor 1 and 2 as they really answer: a wrong password gets 200, lists are null, pages are short, names need care."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from registries.clients import RegistryClient, open_client
from registries.models import Registry
from registries.oci.errors import (
    AccessDenied,
    CredentialsRefused,
    MalformedResponse,
    NotARegistry,
    PartsUnreadable,
    RedirectRefused,
    ServerError,
    WrongVersion,
)
from tests.fakes import images
from tests.fakes.harbor import (
    FakeHarbor,
    Nested,
    api,
    artifacts,
    projects,
    repositories,
    robot,
    user,
    v1_tags,
)
from tests.fakes.registry import (
    GATEWAY,
    HTML,
    FakeRegistry,
    Fault,
    Redirect,
    Status,
    json_body,
    manifests,
    rate_limited,
    tags,
)

BOTH = pytest.mark.parametrize("version", ["1.10.19", "2.5.0"])
ANN = {"username": "ann", "password": "pässword"}
ACCOUNTS = {"ann": user("pässword")}


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeHarbor]]:
    """Start Harbors that end with the test; Ann may see everything in them."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(FakeHarbor(**{"accounts": ACCOUNTS, **options}))


@pytest.fixture
def connect() -> Iterator[Callable[..., RegistryClient]]:
    """Open clients as the console does: ``connect(harbor, **fields of Registry)``."""
    with ExitStack() as stack:

        def make(server: FakeRegistry, *, password: str = ANN["password"], **fields: Any) -> RegistryClient:
            version = "v1" if getattr(server, "version", "").startswith("1.") else "v2"
            values = {"type": "harbor", "version": version, "address": server.url, "username": "ann", **fields}
            registry = Registry(name="harbor", **values)
            registry.set_password(password)
            return stack.enter_context(open_client(registry))

        yield make


def image(text: str) -> images.Image:
    return images.image({"app": text.encode()})


def logins(server: FakeHarbor) -> int:
    return sum(each.headers.get("authorization", "").startswith("Basic") for each in server.seen)


# --- which Harbor, and who asks -----------------------------------------------------------------------------------
@BOTH
def test_the_right_credentials_are_proven(serve, connect, version):
    connect(serve(version=version)).ping()


@pytest.mark.parametrize(
    ("version", "chosen", "named", "right"), [("2.5.0", "v1", "2.5.0", "v2"), ("1.10.19", "v2", "1.10.19", "v1")]
)
def test_the_wrong_version_is_named_with_the_right_one_and_no_password_is_sent(
    serve, connect, version, chosen, named, right
):
    server = serve(version=version)
    with pytest.raises(WrongVersion, match=named) as wrong:
        connect(server, version=chosen).ping()
    assert wrong.value.version == right
    assert right.upper() in wrong.value.remedy
    assert logins(server) == 0


@pytest.mark.parametrize("fault", [None, HTML, Status(401), Status(403), json_body(["x"]), json_body({"a": 1})])
def test_what_is_no_harbor_says_so_and_hears_no_password(connect, fault):
    with FakeRegistry() as server:
        if fault:
            server.fail(api, fault)
        with pytest.raises(NotARegistry, match="No Harbor") as raised:
            connect(server).ping()
        assert raised.value.remedy
        assert not any("authorization" in each.headers for each in server.seen)


@BOTH
def test_a_wrong_password_is_refused_though_the_api_answers_200_to_it_and_is_tried_once(serve, connect, version):
    server = serve(version=version)
    server.project("library", public=True)
    image("a").put(server, "library/app", "1")
    client = connect(server, password="wrong")
    for ask in (
        client.ping,
        client.ping,
        lambda: list(client.repositories()),
        lambda: list(client.tags("library/app")),
        lambda: client.head("library/app", "1"),
    ):
        with pytest.raises(CredentialsRefused):
            ask()
    assert server.failed_logins == ["ann"]


@BOTH
def test_threads_that_list_without_a_ping_try_a_wrong_password_once(serve, connect, version):
    server = serve(version=version)
    image("a").put(server, "team/app", "1")
    client = connect(server, password="wrong")
    refused = []

    def work():
        try:
            list(client.tags("team/app"))
        except CredentialsRefused as error:
            refused.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(refused), server.failed_logins) == (6, ["ann"])


@BOTH
def test_a_password_that_changes_while_repositories_are_listed_is_no_end_of_the_list(serve, connect, version):
    server = serve(version=version)
    for number in range(3):
        image("a").put(server, f"team{number}/app", "1")
    server.project("library", public=True)
    image("a").put(server, "library/app", "1")
    names = connect(server).repositories()
    next(names)
    server.accounts = {"ann": user("new")}
    with pytest.raises(CredentialsRefused):
        list(names)
    assert len(server.failed_logins) == 1


@BOTH
def test_a_password_that_changes_before_the_last_page_of_projects_is_no_end_of_the_list(serve, connect, version):
    """That page comes with 200 and without the projects that nobody else may see."""
    server = serve(version=version)
    made = image("a")
    for number in range(101):
        made.put(server, f"team{number}/app", "1")
    names = connect(server).repositories()
    assert len([next(names) for _ in range(100)]) == 100
    server.accounts = {"ann": user("new")}
    with pytest.raises(CredentialsRefused):
        list(names)


@BOTH
def test_threads_that_list_without_a_ping_prove_the_credentials_once(serve, connect, version):
    server = serve(version=version)
    image("a").put(server, "team/app", "1")
    client = connect(server)
    threads = [threading.Thread(target=lambda: list(client.tags("team/app"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests(lambda request: request.path == "/api/version")) == 1


@BOTH
def test_a_password_that_changes_before_tags_are_listed_is_tried_once(serve, connect, version):
    server = serve(version=version)
    for number in range(3):
        image("a").put(server, f"team/app{number}", "1")
    client = connect(server)
    client.ping()
    server.accounts = {"ann": user("new")}
    for number in range(3):
        with pytest.raises(CredentialsRefused):
            list(client.tags(f"team/app{number}"))
    assert len(server.failed_logins) == 1


@BOTH
def test_without_credentials_public_projects_are_listed_and_read(serve, connect, version):
    server = serve(version=version)
    server.project("library", public=True)
    made = image("a")
    made.put(server, "library/app", "1")
    image("b").put(server, "secret/app", "1")
    client = connect(server, username="", password="")
    client.ping()
    assert list(client.repositories()) == ["library/app"]
    assert [(ref.name, ref.digest) for ref in client.tags("library/app")] == [("1", made.digest)]
    assert client.manifest("library/app", made.digest).content == made.manifest
    with pytest.raises(AccessDenied):
        list(client.tags("secret/app"))
    assert logins(server) == 0


def test_an_account_that_only_the_token_service_takes_lists_nothing(serve, connect):
    server = serve()
    server.fail(lambda request: request.path.endswith("/systeminfo"), json_body({"auth_mode": "oidc_auth"}))
    with pytest.raises(AccessDenied, match="API") as raised:
        connect(server).ping()
    assert raised.value.remedy


@BOTH
def test_no_call_is_followed_to_another_origin_where_no_password_goes(serve, connect, version):
    server, other = serve(version=version), serve(version=version)
    server.fail(projects, Redirect(f"{other.url}{{path}}"))
    with pytest.raises(RedirectRefused):
        list(connect(server).repositories())
    assert logins(other) == 0


# --- the address --------------------------------------------------------------------------------------------------
@BOTH
@pytest.mark.parametrize("external", ["https://other.example", "http://harbor.internal:8080", "http://localhost"])
def test_tokens_are_had_at_the_address_typed_whatever_harbor_calls_itself(serve, connect, version, external):
    server = serve(version=version, external_url=external)
    made = image("a")
    made.put(server, "team/app", "1")
    client = connect(server)
    client.ping()
    assert client.manifest("team/app", made.digest).content == made.manifest


@BOTH
def test_a_path_prefix_that_harbor_does_not_know_of_stays_in_front_of_everything(serve, connect, version):
    server = serve(version=version, prefix="/registry", external_url="http://harbor.internal")
    for number in range(101):
        image("a").put(server, f"team/app{number}", "1")
    client = connect(server)
    client.ping()
    assert len(set(client.repositories())) == 101
    assert [ref.name for ref in client.tags("team/app7")] == ["1"]
    assert client.head("team/app7", "1")


@BOTH
def test_cookies_are_never_sent_back(serve, connect, version):
    server = serve(version=version, poison_cookies=True)
    made = image("a")
    made.put(server, "team/app", "1")
    client = connect(server)
    client.ping()
    assert list(client.repositories()) == ["team/app"]
    assert [ref.digest for ref in client.tags("team/app")] == [made.digest]
    client.manifest("team/app", made.digest)


# --- listing: both ------------------------------------------------------------------------------------------------
@BOTH
def test_a_tag_comes_with_digest_size_and_push_time_and_no_manifest_is_asked_for(serve, connect, version):
    server = serve(version=version)
    made = image("a")
    made.put(server, "team/app", "1")
    (ref,) = connect(server).tags("team/app")
    assert (ref.name, ref.digest) == ("1", made.digest)
    assert ref.size == len(made.manifest) + len(made.config) + len(made.layers[0].content)
    assert ref.pushed_at is not None
    assert ref.pushed_at.tzinfo is UTC
    assert ref.pushed_at.year == 2026
    assert not server.requests(manifests)
    assert not server.pulled


@BOTH
def test_projects_and_repositories_come_in_pages_that_are_counted_here(serve, connect, version):
    server = serve(version=version)
    made = image("a")
    wanted = {f"project{number}/app" for number in range(205)} | {f"project0/deep/app{n}" for n in range(199)}
    for name in sorted(wanted):
        made.put(server, name, "1")
    assert set(connect(server).repositories()) == wanted
    assert {each.query["page_size"] for each in server.requests(projects)} == {"100"}


@BOTH
def test_an_empty_harbor_answers_null_and_that_is_no_repository(serve, connect, version):
    server = serve(version=version)
    assert list(connect(server).repositories()) == []
    server.project("empty")
    assert list(connect(server).repositories()) == []
    assert list(connect(server).tags("empty/gone")) == []


@BOTH
def test_a_repository_that_is_gone_with_its_project_is_no_proof_of_anything(serve, connect, version):
    """Harbor 2 says 403 of projects that are gone and of those that one must not see."""
    server = serve(version=version)
    client = connect(server)
    client.ping()
    with pytest.raises(AccessDenied):
        list(client.tags("gone/app"))


@BOTH
def test_names_of_many_segments_lead_to_their_tags(serve, connect, version):
    server = serve(version=version)
    server.project("library", public=True)
    made = image("a")
    made.put(server, "team/a/b/c", "sha256")
    client = connect(server)
    assert list(client.repositories()) == ["team/a/b/c"]
    assert [ref.name for ref in client.tags("team/a/b/c")] == ["sha256"]
    assert not server.requests(tags)


@BOTH
@pytest.mark.parametrize("fault", [rate_limited("0"), GATEWAY])
def test_a_busy_harbor_is_asked_again(serve, connect, version, fault):
    server = serve(version=version)
    made = image("a")
    made.put(server, "team/app", "1")
    client = connect(server)
    client.ping()
    server.fail(api, fault, times=2)
    assert list(client.repositories()) == ["team/app"]


@BOTH
@pytest.mark.parametrize(
    ("route", "fault", "error"),
    [
        (projects, Status(500), ServerError),
        (repositories, Status(500), ServerError),
        (projects, HTML, NotARegistry),
        (repositories, HTML, NotARegistry),
        (projects, json_body({"a": 1}), MalformedResponse),
        (projects, json_body([{"nothing": 1}]), MalformedResponse),
        (repositories, json_body([{"name": None}]), MalformedResponse),
    ],
)
def test_a_list_that_cannot_be_had_raises_and_does_not_just_end(serve, connect, version, route, fault: Fault, error):
    server = serve(version=version)
    image("a").put(server, "team/app", "1")
    client = connect(server)
    client.ping()
    server.fail(route, fault)
    with pytest.raises(error) as raised:
        list(client.repositories())
    assert raised.value.remedy


@BOTH
def test_the_same_page_again_and_again_is_an_error(serve, connect, version):
    server = serve(version=version)
    made = image("a")
    for number in range(250):
        made.put(server, f"team/app{number}", "1")
    client = connect(server)
    client.ping()
    full = [{"name": f"team/app{number}", "project_id": number} for number in range(100)]
    server.fail(repositories, json_body(full))
    with pytest.raises(MalformedResponse, match="keeps returning"):
        list(client.repositories())


@BOTH
def test_a_list_that_shrinks_while_it_is_read_is_read_again(serve, connect, version):
    server = serve(version=version)
    made = image("a")
    for number in range(230):
        made.put(server, f"project{number:03}/app", "1")
    names = connect(server).repositories()
    found = {next(names) for _ in range(100)}
    server.remove_project("project000")  # moves project100 to the page that was read already
    found |= set(names)
    assert found == {f"project{number:03}/app" for number in range(230)}


@BOTH
def test_a_typed_list_asks_for_no_projects_and_its_patterns_hold(serve, connect, version):
    server = serve(version=version)
    for name, tag in (("team/app", "1.0"), ("team/app", "2.0"), ("team/b/c", "1"), ("team/other", "1")):
        image(name + tag).put(server, name, tag)
    client = connect(server, repositories="team/app:1.*\nteam/b/c\n")
    assert client.fixed
    assert list(client.repositories()) == ["team/app", "team/b/c"]
    assert [ref.name for ref in client.tags("team/app")] == ["1.0"]
    assert all(ref.digest for ref in client.tags("team/b/c"))
    assert not server.requests(projects)


@BOTH
def test_a_token_that_expires_in_the_middle_is_renewed(serve, connect, version):
    server = serve(version=version, token_seconds=0)
    made = image("a")
    made.put(server, "team/app", "1")
    client = connect(server)
    server.sign_in.token_seconds = 1800
    client.ping()
    client.manifest("team/app", made.digest)
    server.sign_in._key = b"another key: all tokens given out are worthless"
    client.manifest("team/app", made.digest)
    assert not server.failed_logins


# --- Harbor 2 -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("nested", ["double", "single"])
def test_a_name_with_slashes_is_encoded_as_the_proxy_in_front_needs_it_and_that_is_kept_to(
    serve, connect, nested: Nested
):
    server = serve(nested=nested)
    made = image("a")
    for number in range(4):
        made.put(server, f"team/a/b{number}", "1")
    client = connect(server)
    client.ping()
    for number in range(4):
        assert [ref.digest for ref in client.tags(f"team/a/b{number}")] == [made.digest]
    assert len([each for each in server.seen if each.path.endswith("/artifacts")]) == 4 + (nested == "single")


def test_where_no_encoding_gets_through_the_registry_itself_is_asked(serve, connect):
    server = serve(nested="none")
    image("a").put(server, "team/a/b", "1")
    assert [(ref.name, ref.digest) for ref in connect(server).tags("team/a/b")] == [("1", None)]


def test_the_project_is_cut_off_the_name_for_with_it_harbor_answers_an_empty_list(serve, connect):
    server = serve()
    image("a").put(server, "team/app", "1")
    image("b").put(server, "team/team/app", "2")
    client = connect(server)
    assert [ref.name for ref in client.tags("team/app")] == ["1"]
    assert [ref.name for ref in client.tags("team/team/app")] == ["2"]


def test_a_project_named_by_a_number_is_taken_by_its_name(serve, connect):
    server = serve()
    server.project("first")
    made = image("a")
    made.put(server, "1/app", "x")
    client = connect(server)
    assert list(client.repositories()) == ["1/app"]
    assert [ref.name for ref in client.tags("1/app")] == ["x"]


def test_a_page_of_more_than_a_hundred_is_refused_by_this_server(serve, connect):
    """Else the tests above would prove nothing."""
    server = serve()
    for page_size, status in (("100", 200), ("101", 422), ("0", 422)):
        client = server.answer(_request("/api/v2.0/projects", page_size=page_size))
        assert client.status == status


def test_artifacts_without_tags_and_children_of_an_index_are_no_tags(serve, connect):
    server = serve()
    made = images.index(image("amd"), images.image({"a": b"arm"}, architecture="arm64"), attest=True)
    made.put(server, "team/multi", "1")
    image("untagged").put(server, "team/multi")
    (ref,) = connect(server).tags("team/multi")
    assert (ref.name, ref.digest, ref.media_type) == ("1", made.digest, images.OCI_INDEX)
    assert ref.size is None  # Harbor's is that of all platforms together


def test_one_artifact_with_many_tags_gives_them_all_each_with_its_own_time(serve, connect):
    server = serve()
    made = image("a")
    for number in range(120):
        made.put(server, "team/app", f"1.{number}")
    refs = list(connect(server).tags("team/app"))
    assert {ref.name for ref in refs} == {f"1.{number}" for number in range(120)}
    assert len({ref.pushed_at for ref in refs}) == 120
    assert len(server.requests(artifacts)) == 1


def test_more_artifacts_than_a_page_holds_come_whole_oldest_first(serve, connect):
    server = serve()
    for number in range(230):
        image(str(number)).put(server, "team/app", f"1.{number}")
    assert [ref.name for ref in connect(server).tags("team/app")] == [f"1.{number}" for number in range(230)]


def test_pages_made_short_by_hidden_signatures_are_not_the_last(serve, connect):
    server = serve()
    for number in range(150):
        made = image(str(number))
        made.put(server, "team/app", f"1.{number}")
        tag, signature = images.cosign_signature(made.digest)
        signature.put(server, "team/app", tag)
    assert {ref.name for ref in connect(server).tags("team/app")} == {f"1.{number}" for number in range(150)}


def test_a_tag_that_moves_while_its_repository_is_listed_hides_no_other(serve, connect):
    server = serve()
    for number in range(230):
        image(str(number)).put(server, "team/app", f"1.{number}")
    refs = connect(server).tags("team/app")
    found = {next(refs).name for _ in range(100)}
    image("new").put(server, "team/app", "1.0")
    found |= {ref.name for ref in refs}
    assert found == {f"1.{number}" for number in range(230)}


def test_artifacts_that_are_deleted_while_they_are_listed_hide_no_other(serve, connect):
    server = serve()
    made = [image(str(number)) for number in range(230)]
    for number, each in enumerate(made):
        each.put(server, "team/app", f"1.{number}")
    refs = connect(server).tags("team/app")
    found = {next(refs).name for _ in range(100)}
    for each in made[:10]:
        server.remove_artifact("team/app", each.digest)
    found |= {ref.name for ref in refs}
    assert found >= {f"1.{number}" for number in range(10, 230)}


def test_what_the_listing_shows_to_be_no_image_is_left_out(serve, connect):
    server = serve()
    made = image("a")
    made.put(server, "team/app", "1")
    images.helm_chart().put(server, "team/app", "chart")
    images.artifact("application/vnd.wasm.config.v1+json", "application/wasm").put(server, "team/app", "wasm")
    images.artifact(images.OCI_EMPTY, "text/plain").put(server, "team/app", "oras")
    images.artifact("application/vnd.buildkit.cacheconfig.v0", images.OCI_LAYER).put(server, "team/app", "cache")
    tag, signature = images.cosign_signature(made.digest)
    signature.put(server, "team/app", tag)
    assert [ref.name for ref in connect(server).tags("team/app")] == ["1"]


def test_an_artifact_type_of_newer_harbors_tells_what_is_no_image(serve, connect):
    server = serve(version="2.5.0")
    image("a").put(server, "team/app", "1")
    image("b").put(server, "team/app", "2")
    first, second = (artifact.row for artifact in server.artifacts["team/app"].values())
    first["artifact_type"] = images.OCI_CONFIG
    second["artifact_type"] = "application/vnd.goharbor.harbor.sbom.v1"
    assert [ref.name for ref in connect(server).tags("team/app")] == ["1"]


def test_a_proxy_cache_project_is_listed_and_never_asked_for_what_it_does_not_hold(serve, connect):
    server = serve()
    server.project("cache", registry_id=3)
    made = image("a")
    made.put(server, "cache/library/debian", "12")
    client = connect(server)
    assert list(client.repositories()) == ["cache/library/debian"]
    assert [ref.digest for ref in client.tags("cache/library/debian")] == [made.digest]
    assert not server.requests(manifests)


@pytest.mark.parametrize("field", ["digest", "name"])
def test_an_artifact_without_a_proper_digest_or_tag_name_is_an_error(serve, connect, field):
    server = serve()
    broken = {"type": "IMAGE", "digest": "sha256:" + "0" * 64, "tags": [{"name": "1"}]}
    (broken if field == "digest" else broken["tags"][0])[field] = 7
    client = connect(server)
    client.ping()
    server.fail(artifacts, json_body([broken]))
    with pytest.raises(MalformedResponse):
        list(client.tags("team/app"))


def test_a_robot_that_may_only_pull_lists_by_other_ways(serve, connect):
    server = serve(accounts={"robot$ci": robot("secret", projects=["team"], may_list=False)})
    made = image("a")
    for number in range(3):
        made.put(server, f"team/app{number}", "1")
    image("b").put(server, "foreign/app", "1")
    client = connect(server, username="robot$ci", password="secret")
    client.ping()
    assert set(client.repositories()) == {"team/app0", "team/app1", "team/app2"}
    for number in range(3):
        assert [(ref.name, ref.digest) for ref in client.tags(f"team/app{number}")] == [("1", None)]
    assert len([each for each in server.seen if each.path.endswith("/artifacts")]) == 1
    assert str(client.head("team/app0", "1").digest) == made.digest
    assert not server.pulled


def test_before_harbor_2_3_a_robot_that_may_only_pull_needs_rights_or_a_typed_list(serve, connect):
    account = {"robot$ci": robot("secret", projects=["team"], may_list=False)}
    server = serve(accounts=account, with_global_list=False)
    image("a").put(server, "team/app", "1")
    server.project("library", public=True)
    image("a").put(server, "library/app", "1")
    names, found = connect(server, username="robot$ci", password="secret").repositories(), []
    with pytest.raises(PartsUnreadable, match="team") as raised:
        found.extend(iter(names))
    assert "robot" in raised.value.remedy
    client = connect(server, username="robot$ci", password="secret", repositories="team/app")
    assert list(client.repositories()) == ["team/app"]
    assert [ref.name for ref in client.tags("team/app")] == ["1"]


# --- Harbor 1 -----------------------------------------------------------------------------------------------------
def test_a_robot_of_harbor_1_cannot_list_and_is_told_so(serve, connect):
    server = serve(version="1.10.19", accounts={"robot$ci": robot("secret", projects=["team"])})
    made = image("a")
    made.put(server, "team/app", "1")
    client = connect(server, username="robot$ci", password="secret")
    client.ping()
    with pytest.raises(AccessDenied, match="robot") as raised:
        list(client.repositories())
    assert "list" in raised.value.remedy
    client = connect(server, username="robot$ci", password="secret", repositories="team/app")
    assert [(ref.name, ref.digest) for ref in client.tags("team/app")] == [("1", None)]
    assert client.manifest("team/app", made.digest).content == made.manifest
    assert not server.failed_logins


def test_projects_of_harbor_1_that_the_user_must_not_list_are_named_and_the_others_listed(serve, connect):
    server = serve(version="1.10.19", accounts={"ann": user("pässword", may_list=False)})
    server.project("library", public=True)
    image("a").put(server, "library/app", "1")
    image("a").put(server, "closed/app", "1")
    names = connect(server).repositories()
    assert next(names) == "library/app"
    with pytest.raises(PartsUnreadable, match="closed"):
        next(names)


@pytest.mark.parametrize("fault", [Status(500), Status(404)])
def test_where_harbor_1_fails_on_its_tags_the_registry_itself_is_asked(serve, connect, fault):
    server = serve(version="1.10.19")
    image("a").put(server, "team/app", "1")
    server.fail(v1_tags, fault)
    assert [(ref.name, ref.digest) for ref in connect(server).tags("team/app")] == [("1", None)]


def test_a_tag_list_without_digests_and_push_times_leaves_them_open(serve, connect):
    server = serve(version="1.10.19")
    client = connect(server)
    client.ping()
    old = {"name": "1", "digest": "", "size": 968, "architecture": "", "created": "2015-03-04T05:06:07.123456789Z"}
    server.fail(v1_tags, json_body([old, {"name": "2", "push_time": "0001-01-01T00:00:00Z", "created": "2015-03-04"}]))
    first, second = client.tags("team/app")
    assert (first.digest, first.size) == (None, None)
    assert first.pushed_at == datetime(2015, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
    assert (second.digest, second.pushed_at) == (None, None)


def test_tag_lists_of_harbor_1_are_asked_for_one_at_a_time(serve, connect):
    server = serve(version="1.10.19")
    made = image("a")
    for number in range(8):
        made.put(server, f"team/app{number}", "1")
    busy, most = [], []

    def watch(request, real):
        busy.append(request.path)
        most.append(len(busy))
        try:
            threading.Event().wait(0.02)
            return real()
        finally:
            busy.pop()

    client = connect(server)
    client.ping()
    server.fail(v1_tags, watch)
    threads = [threading.Thread(target=lambda n=n: list(client.tags(f"team/app{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(most), max(most)) == (8, 1)


def _request(path: str, **query: str) -> Any:
    from email.message import Message

    from demo.registry_server import ServerRequest

    return ServerRequest("GET", path, tuple(query.items()), Message())
