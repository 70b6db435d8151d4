"""Odd servers, each with what the connection test and a sync make of it: one row for each quirk.

Each row is run through the form, the connection test and a sync of a registry of two repositories with four tags.
Sources: the specification, and issues of the projects that are named in the rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from console.jobs.models import State
from demo.registry_server import ServerRequest, ServerResponse, json_response
from inventory.models import Tag
from registries.connection_test.diagnose import ConnectionStage, StepResult, diagnose
from registries.models import Registry
from tests.fakes.registry import (
    HTML,
    NO_DIGEST,
    WRONG_DIGEST,
    Body,
    FakeRegistry,
    Fault,
    Headers,
    Route,
    Status,
    anything,
    blobs,
    catalog,
    gzip_by_proxy,
    json_body,
    manifests,
    no_head,
    no_range,
    rate_limited,
    root,
    tags,
)
from tests.inventory.sync.test_sync_registry import image, sync
from tests.registries.forms.test_registry import filled

pytestmark = pytest.mark.django_db(transaction=True)

ALL = 4  # tags
COMPLETE, PARTIAL, FAILED, AGAIN = "complete", "partial", "failed", "again"


@dataclass(frozen=True)
class Quirk:
    """A fault on a route, and what is expected: result of the sync, tags, last step of the test that passed."""

    name: str
    route: Route
    fault: Fault
    result: str = COMPLETE
    tags: int = ALL
    fails_at: ConnectionStage | None = None
    times: int | None = None
    says: str = ""  # in reason or remedy of the sync


def heads(request: ServerRequest) -> bool:
    return manifests(request) and request.method == "HEAD"


def gets(request: ServerRequest) -> bool:
    return manifests(request) and request.method == "GET"


def tags_of(name: str) -> Route:
    return lambda request: request.path == f"/v2/{name}/tags/list"


def in_path(part: str) -> Route:
    return lambda request: part in request.path


def cut(size: int, *, link: Callable[[str], str] | None = None) -> Fault:
    """Pages of ``size`` names, whatever was asked for, with or without a Link."""

    def answer(request: ServerRequest, real: Any) -> ServerResponse:
        answered = json.loads(real().body)
        key = "tags" if "tags" in answered else "repositories"
        left = [name for name in answered[key] if name > (request.first("last") or "")]
        made = json_response({key: left[:size]})
        if link is not None and len(left) > size:
            made.headers["Link"] = link(f"last={left[size - 1]}&n={size}")
        return made

    return answer


def refuses_cursors(status: int) -> Fault:
    def answer(request: ServerRequest, real: Any) -> ServerResponse:
        return Status(status)(request, real) if request.first("last") else real()

    return answer


def listed(*names: str) -> Fault:
    return json_body({"repositories": list(names)})


S = ConnectionStage
QUIRKS = (
    # --- what stands at the root
    Quirk("quay 3.18: true as text/html", root, Body(b"true", {"Content-Type": "text/html"})),
    Quirk("an empty body", root, Body(b"")),
    Quirk("null", root, Body(b"null")),
    Quirk("a byte order mark", root, Body(b"\xef\xbb\xbf{}")),
    Quirk("a list", root, Body(b"[]")),
    Quirk("words, with the header of the API", root, Body(b"OK", {"Docker-Distribution-Api-Version": "registry/2.0"})),
    Quirk("words alone", root, Body(b"OK"), FAILED, 0, S.API),
    Quirk("a sign-in page", root, HTML, FAILED, 0, S.API),
    Quirk("a page as JSON", root, Body(b"<html>", {"Content-Type": "application/json"}), FAILED, 0, S.API),
    Quirk("404", root, Status(404), FAILED, 0, S.API),
    Quirk("403", root, Status(403), FAILED, 0, S.CREDENTIALS),
    Quirk("500", root, Status(500), AGAIN, 0, S.API),
    # --- catalog
    Quirk("catalog in pages of 1 without Link", catalog, cut(1)),
    Quirk("catalog in pages of 1 with Link", catalog, cut(1, link=lambda query: f'</v2/x?{query}>; rel="next"')),
    Quirk("Link of an inner host", catalog, cut(1, link=lambda query: f'<http://inner:1/x?{query}>; rel="next"')),
    Quirk("Link without quotes", catalog, cut(1, link=lambda query: f"</v2/_catalog?{query}>; rel=next")),
    *(Quirk(f"a cursor refused with {status}", catalog, refuses_cursors(status)) for status in (400, 404, 405, 501)),
    Quirk("catalog null", catalog, json_body({"repositories": None}), COMPLETE, 0, says="shows no repository"),
    Quirk("catalog {}", catalog, json_body({}), COMPLETE, 0, says="shows no repository"),
    Quirk("catalog closed", catalog, Status(403), FAILED, 0, S.LISTING, says="fixed list"),
    Quirk("catalog absent", catalog, Status(404), FAILED, 0, S.LISTING, says="fixed list"),
    Quirk("catalog: a page", catalog, Status(404, body=b"<h1>404</h1>"), FAILED, 0, S.LISTING, says="fixed list"),
    Quirk("catalog of numbers", catalog, json_body({"repositories": [1]}), FAILED, 0, S.LISTING),
    Quirk("catalog cut off", catalog, Body(b'{"repositories":["a'), FAILED, 0, S.LISTING),
    Quirk("catalog fails", catalog, Status(500), AGAIN, 0, S.LISTING),
    Quirk("catalog twice the same name", catalog, listed("team/app", "team/app", "team/web")),
    Quirk(
        "a deleted repository in the catalog", catalog, json_body({"repositories": ["gone", "team/app", "team/web"]})
    ),
    Quirk(
        "a name that leads elsewhere", catalog, json_body({"repositories": ["../x", "team/app", "team/web"]}), PARTIAL
    ),
    # --- tags
    Quirk("tags in pages of 1 without Link", tags, cut(1)),
    Quirk("tags in pages of 2 without Link", tags, cut(2)),
    *(Quirk(f"tags: a cursor refused with {status}", tags, refuses_cursors(status)) for status in (400, 404, 405)),
    Quirk("tags null", tags_of("team/web"), json_body({"tags": None}), tags=3),
    Quirk("tags []", tags_of("team/web"), json_body({"tags": []}), tags=3),
    Quirk("tags {}", tags_of("team/web"), json_body({}), tags=3),
    Quirk("tags of a repository that is gone", tags_of("team/web"), Status(404, code="NAME_UNKNOWN"), tags=3),
    Quirk("tags forbidden", tags_of("team/web"), Status(403), PARTIAL, 3, says="team/web"),
    Quirk("tags fail", tags_of("team/web"), Status(500), PARTIAL, 3, says="team/web"),
    Quirk("tags: a page", tags_of("team/web"), HTML, PARTIAL, 3, says="team/web"),
    Quirk("tags of numbers", tags_of("team/web"), json_body({"tags": [1]}), PARTIAL, 3, says="team/web"),
    Quirk("tags once rate-limited", tags_of("team/web"), rate_limited("0"), times=1),
    Quirk("tags twice the same", tags_of("team/web"), json_body({"tags": ["1", "1"]})),
    # --- manifests
    *(Quirk(f"HEAD refused with {status}", heads, Status(status)) for status in (400, 403, 404, 405, 500, 501)),
    Quirk("HEAD not known", manifests, no_head),
    Quirk("no digest in the head", manifests, NO_DIGEST),
    Quirk("another digest in the head", gets, WRONG_DIGEST),
    Quirk("manifests as text/plain", gets, Headers({"Content-Type": "text/plain"})),
    Quirk("manifests without a type", gets, Headers({"Content-Type": None})),
    Quirk("manifests compressed by a proxy", gets, gzip_by_proxy),
    # --- blobs, which a sync reads for the history of new images
    Quirk("blobs without ranges", blobs, no_range),
    Quirk("blobs compressed by a proxy", blobs, gzip_by_proxy),
    Quirk("blobs forbidden", blobs, Status(403), fails_at=S.BLOB),
    # --- the whole
    Quirk("a cookie with each answer", anything, Headers({"Set-Cookie": "sid=1; Path=/"})),
    Quirk("the type of a download", anything, Headers({"Content-Disposition": "attachment"})),
    Quirk("one 503 for each", in_path("team/app"), Status(503, {"Retry-After": "0"}), times=1),
)


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.name)
def test_each_quirk_comes_to_what_is_expected(quirk: Quirk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registries.oci.transport.FIRST_PAUSE_SECONDS", 0.01)
    with FakeRegistry() as server:
        for tag in ("1", "2", "3"):
            image(tag).put(server, "team/app", tag)
        image("web").put(server, "team/web", "1")
        server.fail(quirk.route, quirk.fault, times=quirk.times)
        assert "address" not in filled(address=server.url).errors or "127.0.0.1" in server.url
        registry = Registry.objects.create(name="odd", address=server.url)
        failed = [step for step in diagnose(registry) if step.result is StepResult.FAILED]
        assert [step.stage for step in failed] == ([quirk.fails_at] if quirk.fails_at else []), failed
        assert all(step.reason and step.remedy for step in failed)
        server.heal()
        server.fail(quirk.route, quirk.fault, times=quirk.times)
        run = sync(registry)
    found = {State.SUCCEEDED: COMPLETE if run.complete and not run.errors else PARTIAL, State.QUEUED: AGAIN}
    assert found.get(State(run.state), FAILED) == quirk.result, f"{run.reason} {run.remedy}"
    assert Tag.objects.count() == quirk.tags
    assert (run.reason != "") == (quirk.result != COMPLETE or bool(quirk.says))
    assert quirk.says in f"{run.reason} {run.remedy}"
