"""Lists that go on for ever are read within bounds, by whatever way they come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from demo.registry_server import ServerRequest, ServerResponse, json_response
from registries.oci import listing_bounds
from registries.oci.client import DistributionClient
from registries.oci.endpoint import Endpoint
from registries.oci.errors import ListingTooLong, TooLarge
from registries.oci.listing_bounds import ListingBounds, within_bounds
from tests.fakes.registry import FakeRegistry, RealAnswer, tags

MANY = ListingBounds(pages=10**9, bytes=10**15, seconds=10**9, names=10**9)


def endless(request: ServerRequest, real: RealAnswer) -> ServerResponse:
    number = int((request.first("last") or "t0")[1:]) + 1
    answer = json_response({"name": "a", "tags": [f"t{number}"]})
    answer.headers["Link"] = f'</v2/a/tags/list?last=t{number}>; rel="next"'
    return answer


@pytest.fixture
def client() -> Iterator[DistributionClient]:
    with FakeRegistry() as server:
        server.fail(tags, endless)
        endpoint = Endpoint(url=server.url, allow_plain_http=True, allowed_networks=("127.0.0.0/8",))
        with DistributionClient(endpoint) as client:
            yield client


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"pages": 7}, "after 7 pages"),
        ({"bytes": 300}, "after 0 MiB"),
        ({"names": 5}, "after 5 names"),
        ({"seconds": 0.0}, "after 0 seconds"),
    ],
)
def test_each_bound_ends_a_list_and_says_which(client: DistributionClient, bounds: dict[str, Any], words: str) -> None:
    found: list[str] = []
    with pytest.raises(ListingTooLong, match=words) as raised:
        found.extend(within_bounds(ListingBounds(**(vars(MANY) | bounds)), client.tags("a")))
    assert "fixed list" in raised.value.remedy


@pytest.mark.parametrize(("bounds", "least", "most"), [({"pages": 7}, 6, 7), ({"names": 5}, 5, 5)])
def test_what_comes_before_the_bound_is_given(
    client: DistributionClient, bounds: dict[str, Any], least: int, most: int
) -> None:
    """The answer at the root of the registry may be one of the pages."""
    found: list[str] = []

    def gather() -> None:
        for name in within_bounds(ListingBounds(**(vars(MANY) | bounds)), client.tags("a")):
            found.append(name)  # what came before the error counts

    with pytest.raises(ListingTooLong):
        gather()
    assert least <= len(found) <= most
    assert found == [f"t{number}" for number in range(1, len(found) + 1)]


def test_time_between_the_requests_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("registries.oci.listing_bounds.time.monotonic", lambda: now[0])
    found = []
    for name in within_bounds(ListingBounds(**(vars(MANY) | {"seconds": 60.0})), iter("abcdef")):
        now[0] += 100  # what is done with the name
        found.append(name)
    assert found == list("abcdef")


def test_answers_to_anything_else_count_for_no_list() -> None:
    listing_bounds.count_page(10**18)
    assert list(within_bounds(ListingBounds(pages=0, bytes=0, seconds=60, names=3), iter("abc"))) == ["a", "b", "c"]


def test_one_answer_with_too_many_names_is_refused_before_it_is_read() -> None:
    names = b"[" + b'"a",' * 250_000 + b'"a"]'
    with FakeRegistry() as server:
        server.fail(tags, lambda request, real: ServerResponse(200, {}, b'{"tags":' + names + b"}"))
        endpoint = Endpoint(url=server.url, allow_plain_http=True, allowed_networks=("127.0.0.0/8",))
        with DistributionClient(endpoint) as other, pytest.raises(TooLarge, match="200000 names"):
            next(other.tags("a"))
