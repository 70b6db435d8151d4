"""What the vendors report of pushes, and what is asked of the registry for it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from console.jobs.models import State
from registries.models import PushAddress, PushEvent, Registry, SyncRun
from registries.webhooks.payloads import MAX_CHANGES, Change, parse_changes
from tests.people import person, signed_in_client

HARBOR = {
    "type": "PUSH_ARTIFACT",
    "event_data": {
        "resources": [{"digest": "sha256:" + "a" * 64, "tag": "v1", "resource_url": "host/proj/app:v1"}],
        "repository": {"name": "app", "namespace": "proj", "repo_full_name": "proj/app"},
    },
}
CLOUD_EVENT = {"specversion": "1.0", "type": "harbor.artifact.pushed", "data": HARBOR["event_data"]}
QUAY = {"repository": "acme/app", "namespace": "acme", "name": "app", "updated_tags": ["latest", "1.0"]}
JFROG = {
    "domain": "docker",
    "event_type": "pushed",
    "data": {"repo_key": "docker-local", "image_name": "app", "tag": "1.0", "sha256": "a" * 64},
}
DISTRIBUTION = {
    "events": [
        {"action": "push", "target": {"repository": "team/app", "tag": "1.0", "digest": "sha256:" + "a" * 64}},
        {"action": "push", "target": {"repository": "team/app", "digest": "sha256:" + "b" * 64}},
        {"action": "pull", "target": {"repository": "team/app", "tag": "1.0"}},
    ]
}
ECR = {
    "source": "aws.ecr",
    "detail-type": "ECR Image Action",
    "detail": {"action-type": "PUSH", "result": "SUCCESS", "repository-name": "app", "image-tag": "1.0"},
}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (HARBOR, [Change(("proj/app",), "v1")]),
        (HARBOR | {"type": "pushImage"}, [Change(("proj/app",), "v1")]),
        (HARBOR | {"type": "DELETE_ARTIFACT"}, [Change(("proj/app",))]),
        (HARBOR | {"type": "PULL_ARTIFACT"}, []),
        (CLOUD_EVENT, [Change(("proj/app",), "v1")]),
        (QUAY, [Change(("acme/app",), "latest"), Change(("acme/app",), "1.0")]),
        (QUAY | {"updated_tags": {"latest": "id"}}, [Change(("acme/app",), "latest")]),
        (JFROG, [Change(("docker-local/app", "app"), "1.0")]),
        (JFROG | {"event_type": "deleted"}, [Change(("docker-local/app", "app"))]),
        (DISTRIBUTION, [Change(("team/app",), "1.0")]),
        (ECR, [Change(("app",), "1.0")]),
        (ECR | {"detail": ECR["detail"] | {"action-type": "DELETE"}}, [Change(("app",))]),  # type: ignore[operator]
        (ECR | {"detail": ECR["detail"] | {"result": "FAILURE"}}, []),  # type: ignore[operator]
        ({"type": "testEndpoint"}, None),
        ([], None),
        ("text", None),
    ],
)
def test_each_vendors_report_says_what_to_look_at(body: object, expected: list[Change] | None) -> None:
    assert parse_changes(body) == expected


def test_a_push_by_digest_alone_asks_for_nothing() -> None:
    event = json.loads(json.dumps(HARBOR))
    event["event_data"]["resources"][0]["tag"] = "sha256:" + "a" * 64
    assert parse_changes(event) == []


@pytest.fixture
def registry(db: None) -> Registry:
    return Registry.objects.create(name="team", address="https://registry.example")


@pytest.fixture
def secret(registry: Registry) -> str:
    address = PushAddress(registry=registry)
    made = address.new_secret()
    address.save()
    return made


def send(registry: Registry, body: Any, *, secret: str = "", **headers: str) -> int:
    """Report ``body`` as a registry does, which has no session and no token of ours; return the status."""
    name = "registries:receive-event-with-secret" if secret else "registries:receive-event"
    arguments = [registry.push_address.key, secret] if secret else [registry.push_address.key]
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    client = Client(enforce_csrf_checks=True)
    url = reverse(name, args=arguments)
    return client.post(url, content, content_type="application/json", headers=headers).status_code


def test_the_secret_counts_in_each_vendors_place(registry: Registry, secret: str) -> None:
    body = json.dumps(JFROG).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    assert send(registry, QUAY, secret=secret) == 200
    assert send(registry, HARBOR, Authorization=secret) == 200
    assert send(registry, DISTRIBUTION, Authorization=f"Bearer {secret}") == 200
    assert send(registry, JFROG, **{"X-JFrog-Event-Auth": secret}) == 200
    assert send(registry, body, **{"X-JFrog-Event-Auth": signature}) == 200
    assert send(registry, ECR, **{"X-Tallyman-Secret": secret}) == 200
    registry.push_address.refresh_from_db()
    assert registry.push_address.received_at is not None


@pytest.mark.parametrize("headers", [{}, {"Authorization": "wrong"}, {"X-JFrog-Event-Auth": "0" * 64}])
def test_without_the_secret_nothing_happens(registry: Registry, secret: str, headers: dict[str, str]) -> None:
    assert send(registry, HARBOR, **headers) == 401
    assert send(registry, QUAY, secret="wrong") == 401
    assert not PushEvent.objects.exists()


def test_an_unknown_address_is_told_apart_from_a_wrong_secret_by_nothing(registry: Registry, secret: str) -> None:
    unknown = Client().post(reverse("registries:receive-event", args=["unknown"]), b"{}", content_type="text/plain")
    url = reverse("registries:receive-event", args=[registry.push_address.key])
    known = Client().post(url, b"{}", content_type="text/plain")
    assert (unknown.status_code, unknown.content) == (known.status_code, known.content) == (401, b"")


def test_what_waits_already_is_not_queued_twice(registry: Registry, secret: str) -> None:
    for _ in range(3):
        send(registry, HARBOR, Authorization=secret)
    assert PushEvent.objects.count() == 1


def test_what_is_not_understood_is_answered_well_and_does_nothing(registry: Registry, secret: str) -> None:
    for body in ({"type": "testEndpoint"}, b"", b"{", b"[" * 100_000, b"\xff\xfe"):
        assert send(registry, body, Authorization=secret) == 200
    assert not PushEvent.objects.exists()


@pytest.mark.parametrize("odd", ["a\0b", "a\ud800", "a\nb", "a\u202eb", "x" * 400])
def test_a_name_that_no_database_holds_does_nothing(registry: Registry, secret: str, odd: str) -> None:
    for name, tag in ((odd, "1.0"), ("proj/app", odd)):
        body = {"repository": name, "updated_tags": [tag]}
        assert send(registry, body, secret=secret) == 200
    assert not PushEvent.objects.exists()


def test_a_report_of_more_than_a_mebibyte_is_refused(registry: Registry, secret: str) -> None:
    assert send(registry, b" " * 1_100_000, Authorization=secret) == 413


def test_a_flood_of_changes_becomes_one_sync(registry: Registry, secret: str) -> None:
    send(registry, QUAY | {"updated_tags": [f"t{n}" for n in range(MAX_CHANGES + 50)]}, secret=secret)
    assert (PushEvent.objects.count(), SyncRun.objects.count()) == (0, 1)


def test_nothing_is_looked_at_by_itself_while_the_whole_registry_waits_to_be(registry: Registry, secret: str) -> None:
    SyncRun.objects.create(registry=registry, state=State.RUNNING, attempt=1)
    send(registry, QUAY | {"updated_tags": [f"t{n}" for n in range(MAX_CHANGES + 50)]}, secret=secret)
    assert PushEvent.objects.get().repository == ""
    send(registry, HARBOR, Authorization=secret)
    assert PushEvent.objects.count() == 1


def test_a_registry_that_is_being_removed_takes_no_reports(registry: Registry, secret: str) -> None:
    Registry.objects.filter(pk=registry.pk).update(deleting_at=timezone.now())
    assert send(registry, HARBOR, Authorization=secret) == 401
    assert not PushEvent.objects.exists()


def test_the_secret_is_shown_once_and_only_to_an_administrator(registry: Registry) -> None:
    page = reverse("registries:push-events", args=[registry.pk])
    viewer = Client()
    viewer.force_login(person("operator"))
    assert viewer.post(page, {"do": "make"}).status_code == 403
    administrator = Client()
    administrator.force_login(person("administrator"))
    made = administrator.post(page, {"do": "make"})
    secret = registry.push_address.reveal_secret()
    assert secret in made.content.decode()
    assert secret not in administrator.get(page).content.decode()
    assert secret not in registry.push_address.secret_token
    administrator.post(page, {"do": "scans", "scans": "on"})
    assert PushAddress.objects.get().scans
    administrator.post(page, {"do": "off"})
    assert not PushAddress.objects.exists()


ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**40, "", "abc", "a\0b", "\ud800", "\u202e", "x" * 5000),
    *([], {}, [[]], ["docker"], {"a": 1}, [None, {}, [[]]], {"": {"": None}}),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
REPORTS = (HARBOR, CLOUD_EVENT, QUAY, JFROG, DISTRIBUTION, ECR)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value in a report."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def put(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """Return a copy of a report with ``odd`` at ``path``."""
    if not path:
        return odd
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], odd)
    return copy


PLACES = [(report, path) for report in REPORTS for path in places(report)]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_any_value_at_any_place_of_a_report_is_no_error(registry: Registry, secret: str) -> None:
    refused = {
        (str(path), str(odd)[:30]): status
        for number, (report, path) in enumerate(PLACES)
        for odd in (ODD if number % 3 == 0 else ODD[number % 3 :: 3])
        if (status := send(registry, put(report, path, odd), secret=secret)) != 200
    }
    assert refused == {}
    assert send(registry, {"domain": ["docker"], "data": {}}, secret=secret) == 200


@given(place=st.sampled_from(PLACES), odd=JSON)
def test_whatever_a_report_holds_it_is_read_to_usable_names_or_to_none(place: Any, odd: Any) -> None:
    for change in parse_changes(put(*place, odd)) or []:
        assert all(name and name.isprintable() for name in change.names)
        assert len(change.tag) <= 300


@pytest.mark.parametrize("length", ["abc", "-5", "1e3"])
def test_a_length_that_is_none_is_no_error(registry: Registry, secret: str, length: str) -> None:
    url = reverse("registries:receive-event-with-secret", args=[registry.push_address.key, secret])
    client = Client(raise_request_exception=False)
    answer = client.post(url, b"{}", content_type="application/json", CONTENT_LENGTH=length)
    assert answer.status_code < 500


@pytest.mark.parametrize("key", ["a%00b", "%ED%A0%80", "x" * 3000, "%ff", "..", "%F0%9F%90%B3"])
def test_an_address_with_odd_characters_is_one_that_is_not_there(registry: Registry, secret: str, key: str) -> None:
    client = Client(raise_request_exception=False)
    for url in (f"/registries/events/{key}/", f"/registries/events/{key}/{key}/"):
        answer = client.post(url, b"{}", content_type="application/json")
        assert answer.status_code == 404 if "%00" in key else answer.status_code in {401, 404}
    url = f"/registries/events/{registry.push_address.key}/{key}/"
    assert client.post(url, b"{}", content_type="application/json").status_code in {401, 404}


def test_what_stands_for_many_reports_is_shown_in_words(registry: Registry, secret: str) -> None:
    for start in range(0, 600, 200):
        send(registry, QUAY | {"updated_tags": [f"t{n}" for n in range(start, start + 200)]}, secret=secret)
    PushEvent.objects.create(registry=registry, names=[], repository="", tag="")
    html = signed_in_client().get(reverse("registries:push-events", args=[registry.pk])).content.decode()
    assert ">all</span>" in html
    assert ">the whole registry</span>" in html
    assert "*" not in html[html.index("<tbody>") : html.index("</tbody>")]


# --- further vendors, as each documents its reports ---------------------------------------------------------------
DIGEST = "sha256:" + "a" * 64
DOCKER_HUB = {
    "push_data": {"pushed_at": 1417566161, "pusher": "ann", "tag": "1.0"},
    "callback_url": "https://registry.hub.docker.com/u/acme/app/hook/",
    "repository": {"name": "app", "namespace": "acme", "repo_name": "acme/app", "status": "Active"},
}
ALIBABA = {
    "push_data": {"digest": DIGEST, "pushed_at": "2026-11-30 12:00:00", "tag": "1.0"},
    "repository": {"name": "app", "namespace": "acme", "region": "cn-hangzhou", "repo_full_name": "acme/app"},
}
AZURE = {
    "id": "x",
    "timestamp": "2026-11-30T12:00:00Z",
    "action": "push",
    "target": {"mediaType": "x", "size": 524, "digest": DIGEST, "repository": "acme/app", "tag": "1.0"},
    "request": {"id": "y", "host": "acme.azurecr.io", "method": "PUT"},
}
AZURE_GRID = [{"eventType": "Microsoft.ContainerRegistry.ImagePushed", "data": AZURE}]
AZURE_CLOUD = {"specversion": "1.0", "type": "Microsoft.ContainerRegistry.ImageDeleted", "data": AZURE}
GITHUB = {
    "action": "published",
    "registry_package": {
        "name": "App",
        "namespace": "Acme",
        "package_type": "CONTAINER",
        "package_version": {"version": DIGEST, "container_metadata": {"tag": {"name": "1.0", "digest": DIGEST}}},
    },
}
GITEA = {
    "action": "created",
    "package": {"owner": {"login": "Acme"}, "type": "container", "name": "app", "version": "1.0"},
    "sender": {"login": "ann"},
}
NEXUS = {
    "repositoryName": "docker-hosted",
    "action": "CREATED",
    "component": {"format": "docker", "name": "acme/app", "group": None, "version": "1.0"},
}
NEXUS_ASSET = {
    "repositoryName": "docker-hosted",
    "action": "UPDATED",
    "asset": {"format": "docker", "name": "v2/acme/app/manifests/1.0"},
}
ZOT = {"type": "zotregistry.image.updated", "data": {"name": "acme/app", "reference": "1.0", "digest": DIGEST}}


def pubsub(**report: str) -> dict[str, Any]:
    data = base64.b64encode(json.dumps(report).encode()).decode()
    return {"message": {"data": data, "messageId": "1"}, "subscription": "projects/p/subscriptions/s"}


PUSHED, LISTED = [Change(("acme/app",), "1.0")], [Change(("acme/app",))]
GOOGLE_TAG, GOOGLE_DIGEST = "eu-docker.pkg.dev/proj/acme/app:1.0", f"eu-docker.pkg.dev/proj/acme/app@{DIGEST}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (DOCKER_HUB, PUSHED),
        (ALIBABA, PUSHED),
        (AZURE, PUSHED),
        (AZURE | {"action": "delete"}, LISTED),
        (AZURE | {"action": "chart_push"}, []),
        (AZURE_GRID, PUSHED),
        (AZURE_CLOUD, LISTED),
        (GITHUB, PUSHED),
        (GITHUB | {"action": "deleted"}, []),
        ({"action": "published", "registry_package": GITHUB["registry_package"] | {"package_type": "npm"}}, []),  # type: ignore[operator]
        (pubsub(action="INSERT", tag=GOOGLE_TAG, digest=GOOGLE_DIGEST), [Change(("proj/acme/app",), "1.0")]),
        (pubsub(action="INSERT", digest=GOOGLE_DIGEST), []),
        (pubsub(action="DELETE", tag=GOOGLE_TAG), [Change(("proj/acme/app",))]),
        (ZOT, PUSHED),
        (ZOT | {"type": "zotregistry.image.deleted"}, LISTED),
        (ZOT | {"type": "zotregistry.image.lint_failed"}, []),
        (GITEA, PUSHED),
        (GITEA | {"action": "deleted"}, LISTED),
        (GITEA | {"package": GITEA["package"] | {"type": "npm"}}, []),  # type: ignore[operator]
        (NEXUS, [Change(("acme/app", "docker-hosted/acme/app"), "1.0")]),
        (NEXUS | {"action": "DELETED"}, [Change(("acme/app", "docker-hosted/acme/app"))]),
        (NEXUS_ASSET, [Change(("acme/app", "docker-hosted/acme/app"), "1.0")]),
        ([{"eventType": "Something.Else"}], None),
        ({"zen": "Keep it logically awesome.", "hook_id": 1}, None),
    ],
)
def test_reports_of_further_vendors_are_understood(body: Any, expected: list[Change] | None) -> None:
    assert parse_changes(body) == expected


def test_a_cloud_event_whose_type_is_in_a_header_is_understood() -> None:
    assert parse_changes(ZOT["data"], event_type="zotregistry.image.updated") == PUSHED


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("header", "algorithm", "prefix"),
    [
        ("X-Hub-Signature-256", "sha256", "sha256="),
        ("X-Gitea-Signature", "sha256", ""),
        ("X-Forgejo-Signature", "sha256", ""),
        ("X-Nexus-Webhook-Signature", "sha1", ""),
    ],
)
def test_signatures_of_further_vendors_prove_the_secret(
    lab: Registry, header: str, algorithm: str, prefix: str
) -> None:
    address = PushAddress(registry=lab)
    secret = address.new_secret()
    address.save()
    url, body = reverse("registries:receive-event", args=[address.key]), json.dumps(GITEA)
    for key, status in ((secret, 200), ("wrong", 401)):
        signature = prefix + hmac.new(key.encode(), body.encode(), algorithm).hexdigest()
        response = Client().post(url, body, content_type="application/json", headers={header: signature})
        assert response.status_code == status
    assert PushEvent.objects.get().tag == "1.0"


@pytest.mark.django_db
def test_a_report_that_is_not_understood_is_said_to_be_that(lab: Registry) -> None:
    address = PushAddress(registry=lab)
    secret = address.new_secret()
    address.save()
    url = reverse("registries:receive-event-with-secret", args=[address.key, secret])
    assert Client().post(url, json.dumps({"what": "ever"}), content_type="application/json").status_code == 200
    address.refresh_from_db()
    assert (address.received_at, address.not_understood_at is None) == (None, False)
    page = signed_in_client("administrator").get(reverse("registries:push-events", args=[lab.pk])).text
    assert "Last report not understood" in page


@pytest.mark.django_db
def test_event_grid_gets_its_code_back(lab: Registry) -> None:
    address = PushAddress(registry=lab)
    secret = address.new_secret()
    address.save()
    body = [{"eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "data": {"validationCode": "abc"}}]
    url = reverse("registries:receive-event-with-secret", args=[address.key, secret])
    response = Client().post(url, json.dumps(body), content_type="application/json")
    assert response.json() == {"validationResponse": "abc"}
