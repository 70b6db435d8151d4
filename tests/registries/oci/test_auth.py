"""Signing in: what is sent, to whom, and how often."""

from __future__ import annotations

import base64
import json
import traceback

import pytest

from demo.registry_server import error_response
from registries.oci import (
    AccessDenied,
    CredentialsRefused,
    MalformedResponse,
    RateLimited,
    RedirectRefused,
    ServerError,
    TokensRefused,
    parse_manifest,
)
from tests.fakes import images
from tests.fakes.registry import (
    Challenge,
    Status,
    blobs,
    catalog,
    json_body,
    manifests,
    rate_limited,
    root,
    tags,
    tokens,
)

ANN = {"ann": "pässword"}
LOGIN = {"username": "ann", "password": "pässword"}


@pytest.fixture(params=["basic", "bearer"])
def closed(request, serve):
    """A registry that knows Ann."""
    registry = serve(method=request.param, users=ANN)
    images.image({"a": b"1"}, {"b": b"2"}).put(registry, "app", "1")
    return registry


@pytest.fixture
def tokened(serve):
    """A registry with a token service."""
    registry = serve(method="bearer", users=ANN)
    images.image({"a": b"1"}, {"b": b"2"}).put(registry, "app", "1")
    return registry


def sent_passwords(registry):
    return [each for each in registry.seen if each.headers.get("authorization", "").lower().startswith("basic")]


def test_the_right_password_opens_everything(closed, connect):
    client = connect(closed, **LOGIN)
    client.ping()
    assert list(client.repositories()) == ["app"]
    assert list(client.tags("app")) == ["1"]
    client.manifest("app", "1")


def test_a_wrong_password_is_tried_once_and_never_again(closed, connect):
    client = connect(closed, username="ann", password="wrong")
    for ask in (client.ping, client.ping, lambda: list(client.tags("app")), lambda: client.manifest("app", "1")):
        with pytest.raises(CredentialsRefused) as refused:
            ask()
    assert len(sent_passwords(closed)) == 1
    assert not refused.value.retry
    assert refused.value.remedy


def test_no_password_shows_up_in_what_is_raised(closed, connect):
    client = connect(closed, username="ann", password="hunter2-secret")
    with pytest.raises(CredentialsRefused) as refused:
        client.ping()
    told = "".join(traceback.format_exception(refused.value)) + repr(refused.value) + repr(client._endpoint)
    assert "hunter2" not in told
    assert base64.b64encode(b"ann:hunter2-secret").decode() not in told


def test_a_wrong_password_is_noticed_where_anybody_may_list(serve, connect):
    registry = serve(method="basic", users=ANN)
    images.image({"a": b"1"}).put(registry, "public/app", "1")
    real = registry._refuse
    registry._refuse = lambda request, scope: real(request, scope) if "Authorization" in request.headers else None
    client = connect(registry, username="ann", password="wrong")
    with pytest.raises(CredentialsRefused):
        list(client.repositories())
    assert list(connect(registry).repositories()) == ["public/app"]


def test_a_closed_registry_asks_for_a_sign_in(closed, connect):
    with pytest.raises((AccessDenied, CredentialsRefused), match="sign-in"):
        list(connect(closed).repositories())


def test_a_user_name_with_a_colon_is_not_sent(closed, connect):
    with pytest.raises(CredentialsRefused, match="colon"):
        connect(closed, username="a:b", password="c").ping()
    assert not sent_passwords(closed)


def test_a_password_without_a_user_name_is_a_bearer_token(serve, connect):
    registry = serve(method="bearer", users=ANN)
    images.image({"a": b"1"}).put(registry, "app", "1")
    token = registry.sign_in.issue("ann", ["repository:app:pull"])
    assert list(connect(registry, password=token).tags("app")) == ["1"]
    with pytest.raises(CredentialsRefused):
        connect(registry, password="nonsense").ping()


@pytest.mark.parametrize(
    "answer",
    [
        lambda token: {"token": token, "access_token": "", "expires_in": 1800},
        lambda token: {"token": "", "access_token": token},
        lambda token: {"token": token},
        lambda token: {"token": token, "expires_in": "soon"},
        lambda token: {"token": token, "expires_in": -5},
        lambda token: {"token": token, "expires_in": None, "issued_at": "yesterday"},
        lambda token: {"access_token": token, "expires_in": 1e30},
    ],
)
def test_tokens_come_in_many_forms(tokened, connect, answer):
    token = tokened.sign_in.issue("ann", ["repository:app:pull"])
    tokened.fail(tokens, json_body(answer(token)))
    assert list(connect(tokened, **LOGIN).tags("app")) == ["1"]


@pytest.mark.parametrize("answer", [{}, {"token": ""}, {"token": 5}, {"token": "a\nb"}, {"token": "ü"}, [], None])
def test_an_answer_without_a_token_is_an_error(tokened, connect, answer):
    tokened.fail(tokens, json_body(answer))
    with pytest.raises(MalformedResponse):
        list(connect(tokened, **LOGIN).tags("app"))


def test_a_token_that_opens_nothing_does_not_loop(tokened, connect):
    tokened.fail(tokens, json_body({"token": tokened.sign_in.issue("ann", []), "access": []}))
    client = connect(tokened, **LOGIN)
    with pytest.raises(AccessDenied):
        list(client.tags("app"))
    assert len(tokened.requests(tags)) == 2
    assert len(tokened.requests(tokens)) <= 4


def test_a_token_that_expires_between_two_blobs_is_renewed_once(tokened, connect):
    client = connect(tokened, **LOGIN)
    layers = parse_manifest(client.manifest("app", "1")).layers
    client.blob_bytes("app", layers[0], limit=1000)
    before = len(tokened.requests(tokens))
    tokened.fail(blobs, Challenge(f'Bearer realm="{tokened.url}/token",error="invalid_token"'), times=1)
    client.blob_bytes("app", layers[1], limit=1000)
    assert len(tokened.requests(tokens)) == before + 1


def test_a_second_refusal_in_a_row_is_the_end(tokened, connect):
    client = connect(tokened, **LOGIN)
    layers = parse_manifest(client.manifest("app", "1")).layers
    tokened.fail(blobs, Challenge(f'Bearer realm="{tokened.url}/token",error="invalid_token"'))
    with pytest.raises(AccessDenied):
        client.blob_bytes("app", layers[0], limit=1000)
    assert len(tokened.requests(blobs)) == 2


def test_a_token_is_renewed_before_it_ends(serve, connect):
    registry = serve(method="bearer", users=ANN, token_seconds=20)
    images.image({"a": b"1"}).put(registry, "app", "1")
    client = connect(registry, **LOGIN)
    for _ in range(3):
        list(client.tags("app"))
    assert len(registry.requests(tokens)) == 1 + 3 * 2, "each list is asked past its end until that is known"
    registry.sign_in.token_seconds = 600
    for _ in range(3):
        list(client.tags("app"))
    assert len(registry.requests(tokens)) == 1 + 3 * 2 + 1


def test_a_scope_that_does_not_suffice_is_widened_as_asked(tokened, connect):
    wide = "repository:app:pull,metadata_read"
    challenge = f'Bearer realm="{tokened.url}/token",service="registry",scope="{wide}",error="insufficient_scope"'
    tokened.fail(tags, Challenge(challenge), times=1)
    assert list(connect(tokened, **LOGIN).tags("app")) == ["1"]
    assert tokened.requests(tokens)[-1].query["scope"] == wide


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer realm="{url}/token"',
        'bearer REALM="{url}/token", Service="registry"',
        'Basic realm="x", Bearer realm="{url}/token",service="registry",scope="repository:samalba/my-app:pull,push"',
        'Negotiate, Bearer realm="{url}/token?first=1"',
        "Bearer realm={url}/token",
    ],
)
def test_challenges_come_in_many_forms(tokened, connect, challenge):
    tokened.fail(root, Challenge(challenge.format(url=tokened.url)), times=1)
    assert list(connect(tokened, **LOGIN).tags("app")) == ["1"]
    assert tokened.requests(tokens)[-1].query["scope"] == "repository:app:pull"


@pytest.mark.parametrize(
    "challenge", ["", "Negotiate", "Digest realm=x", "Bearer", 'Bearer realm=""', 'Bearer realm="file:///x"']
)
def test_a_sign_in_nobody_knows_is_said_to_be_one(tokened, connect, challenge):
    tokened.fail(root, Challenge(challenge))
    with pytest.raises((AccessDenied, MalformedResponse)) as error:
        connect(tokened, **LOGIN).ping()
    assert error.value.remedy


def test_the_password_goes_to_no_token_service_elsewhere(tokened, canary, connect):
    elsewhere = canary.url.replace("127.0.0.1", "localhost")
    tokened.fail(root, Challenge(f'Bearer realm="{elsewhere}/token",service="x"'))
    with pytest.raises(RedirectRefused, match="localhost"):
        connect(tokened, **LOGIN).ping()
    assert canary.seen == []


def test_the_password_goes_to_a_token_service_elsewhere_that_was_allowed(tokened, canary, connect):
    elsewhere = canary.url.replace("127.0.0.1", "localhost")
    token = tokened.sign_in.issue("ann", ["repository:app:pull"])
    canary._answer = (200, json.dumps({"token": token}).encode())
    tokened.fail(root, Challenge(f'Bearer realm="{elsewhere}/token",service="x"'), times=1)
    assert list(connect(tokened, **LOGIN, token_hosts=("localhost",)).tags("app")) == ["1"]
    assert "authorization" in canary.seen[-1].headers


def test_nobody_in_particular_may_fetch_a_token_anywhere(tokened, canary, connect):
    elsewhere = canary.url.replace("127.0.0.1", "localhost")
    token = tokened.sign_in.issue("anybody", ["repository:app:pull"])
    canary._answer = (200, json.dumps({"token": token}).encode())
    tokened.fail(root, Challenge(f'Bearer realm="{elsewhere}/token",service="x"'), times=1)
    assert list(connect(tokened).tags("app")) == ["1"]
    assert "authorization" not in canary.seen[-1].headers


def test_a_catalog_whose_scope_the_token_service_refuses_is_listed_without_scope(tokened, connect):
    client = connect(tokened, **LOGIN)
    client.ping()
    tokened.fail(lambda request: "registry:catalog" in str(request.query), Status(400, code="INVALID_REQUEST"))
    tokened.fail(tokens, json_body({"token": tokened.sign_in.issue("ann", ["registry:catalog:*"])}))
    assert list(client.repositories()) == ["app"]


def test_a_login_that_is_slowed_down_waits_as_told(tokened, connect):
    tokened.fail(tokens, rate_limited("1"), times=1)
    assert list(connect(tokened, **LOGIN).tags("app")) == ["1"]
    first, second = tokened.requests(tokens)[:2]
    assert second.at - first.at >= 1


def test_a_login_that_stays_slowed_down_is_no_refusal(tokened, connect):
    tokened.fail(tokens, rate_limited("0"))
    client = connect(tokened, **LOGIN)
    with pytest.raises(RateLimited):
        client.ping()
    tokened.heal()
    client.ping()


def test_a_registry_that_answers_401_and_then_500_is_a_failing_one(tokened, connect):
    tokened.fail(lambda request: not tokens(request) and "authorization" in request.headers, Status(500))
    with pytest.raises(ServerError) as error:
        list(connect(tokened, **LOGIN).tags("app"))
    assert error.value.retry
    assert error.value.remedy


def test_a_closed_catalog_points_to_the_fixed_list(closed, connect):
    closed.fail(catalog, Status(401, code="UNAUTHORIZED"))
    with pytest.raises(AccessDenied) as error:
        list(connect(closed, **LOGIN).repositories())
    assert "fixed list" in error.value.remedy


def test_rights_for_one_repository_do_not_undo_the_sign_in(closed, connect):
    client = connect(closed, **LOGIN)
    closed.fail(manifests, Status(403, code="DENIED"), times=1)
    with pytest.raises(AccessDenied, match="DENIED"):
        client.manifest("app", "1")
    client.manifest("app", "1")


def refuse_tokens(registry, times=None):
    """Refuse the next tokens at the root; what comes without one gets the usual challenge."""
    real, left = registry._refuse, [times]

    def refuse(request, scope):
        bears = request.headers.get("Authorization", "").startswith("Bearer")
        if request.path == "/v2/" and bears and left[0] != 0:
            left[0] = None if left[0] is None else left[0] - 1
            answer = error_response(401, "UNAUTHORIZED", "token used before issued")
            answer.headers["WWW-Authenticate"] = f'Bearer realm="{registry.url}/token",error="invalid_token"'
            return answer
        return real(request, scope)

    registry._refuse = refuse
    return lambda: setattr(registry, "_refuse", real)


def test_a_fresh_token_that_is_refused_once_is_replaced(tokened, connect):
    refuse_tokens(tokened, times=1)
    client = connect(tokened, **LOGIN)
    client.ping()
    assert len(tokened.requests(tokens)) == 2
    assert list(client.tags("app")) == ["1"]


def test_a_registry_that_takes_no_token_says_nothing_of_the_password(tokened, connect):
    heal = refuse_tokens(tokened)
    client = connect(tokened, **LOGIN)
    for _ in range(2):
        with pytest.raises(TokensRefused, match="refuses the tokens of its token service") as refused:
            client.ping()
    assert refused.value.remedy
    assert len(tokened.requests(tokens)) == 4
    heal()
    client.ping()
    assert list(client.tags("app")) == ["1"]


def test_a_password_that_basic_requests_lose_in_between_is_found_to_be_refused(serve, connect):
    registry = serve(method="basic", users=dict(ANN))
    images.image({"a": b"1"}).put(registry, "app", "1")
    client = connect(registry, **LOGIN)
    client.manifest("app", "1")
    registry.sign_in.users = {"ann": "another"}
    registry.seen.clear()
    for _ in range(3):
        with pytest.raises(CredentialsRefused):
            client.manifest("app", "1")
    assert len(sent_passwords(registry)) == 2


def test_a_right_that_is_lacking_is_no_wrong_password(serve, connect):
    registry = serve(method="basic", users=dict(ANN))
    images.image({"a": b"1"}).put(registry, "app", "1")
    client = connect(registry, **LOGIN)
    registry.fail(catalog, Challenge('Basic realm="x"'))
    for _ in range(3):
        with pytest.raises(AccessDenied):
            list(client.repositories())
    assert len(registry.requests(root)) == 3, "to learn how to sign in, to do it, and once to see that it still holds"
    client.manifest("app", "1")
