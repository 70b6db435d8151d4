"""A vendor's own API: by the one transport, with the one memory of a refused password."""

from __future__ import annotations

import pytest

from registries.oci import (
    CredentialsRefused,
    MalformedResponse,
    NotARegistry,
    NotFound,
    RedirectRefused,
    ServerError,
    TooLarge,
)
from tests.fakes.registry import GATEWAY, HTML, Body, EndlessBody, Redirect, Status, json_body, rate_limited

ANN = {"username": "ann", "password": "pässword"}


def path(request):
    return request.path.startswith("/api/")


@pytest.fixture
def api(registry, connect):
    return connect(registry, **ANN).api("/api/v1")


def test_a_call_carries_query_and_password_and_brings_status_headers_and_value(registry, api):
    registry.fail(path, json_body([{"name": "a"}]))
    answer = api.get("/projects", {"page": 1, "q": "a=~b,c"})
    assert (answer.status, answer.items("the projects")) == (200, [{"name": "a"}])
    assert answer.headers["content-type"]
    (seen,) = registry.seen
    assert (seen.path, seen.query) == ("/api/v1/projects", {"page": "1", "q": "a=~b,c"})
    assert seen.headers["authorization"].startswith("Basic ")


def test_a_password_without_a_name_can_go_as_a_bearer_token_and_none_need_go_at_all(registry, connect):
    client = connect(registry, username="$oauthtoken", password="secret")
    client.api("/api", scheme="bearer").get("/x")
    client.api("/api", scheme="none").get("/x")
    assert [each.headers.get("authorization") for each in registry.seen] == ["Bearer secret", None]


def test_a_double_encoding_stays_as_it_is(registry, api):
    api.get("/a%252Fb")
    assert registry.seen[0].path == "/api/v1/a%2Fb"


def test_after_a_refusal_no_call_goes_out_neither_here_nor_to_the_registry(registry, connect):
    client = connect(registry, **ANN)
    api = client.api("/api")
    assert isinstance(api.refuse(), CredentialsRefused)
    for ask in (lambda: api.get("/x"), lambda: api.post("/x", b"q"), client.ping, lambda: list(client.tags("app"))):
        with pytest.raises(CredentialsRefused):
            ask()
    assert not registry.seen


def test_a_busy_or_failing_server_is_asked_again(registry, api):
    registry.fail(path, rate_limited("0"), times=1)
    registry.fail(path, GATEWAY, times=1)
    registry.fail(path, json_body({}), times=1)
    assert api.get("/x").item("the x") == {}
    assert len(registry.seen) == 3


def test_an_answer_from_another_origin_is_refused_for_no_password_went_there(registry, api, canary):
    registry.fail(path, Redirect(f"{canary.url}{{path}}"))
    with pytest.raises(RedirectRefused):
        api.get("/x")
    assert "authorization" not in canary.seen[0].headers


def test_a_query_is_not_posted_to_another_origin(registry, api, canary):
    registry.fail(path, Redirect(f"{canary.url}{{path}}"))
    with pytest.raises(RedirectRefused):
        api.post("/x", b"query")
    assert not canary.seen


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Status(404, code="NOT_FOUND"), NotFound),
        (Status(500), ServerError),
        (HTML, NotARegistry),
        (json_body("text"), MalformedResponse),
        (json_body({}), MalformedResponse),
        (json_body([1]), MalformedResponse),
        (Body(b'[{"a": 1, "a": 2}]'), MalformedResponse),
    ],
)
def test_what_is_no_list_of_objects_raises_with_a_remedy(registry, api, fault, error):
    registry.fail(path, fault)
    with pytest.raises(error) as raised:
        api.get("/x").items("the list of projects")
    assert raised.value.remedy


def test_null_is_an_empty_list(registry, api):
    registry.fail(path, json_body(None))
    assert api.get("/x").items("the list") == []


def test_an_answer_without_an_end_is_cut(registry, api):
    endless = EndlessBody()
    registry.fail(path, endless)
    with pytest.raises(TooLarge):
        api.get("/x")
    assert sum(endless.sent) < 32 * 2**20
