"""Lists in pages: nothing lost, nothing made up, and an end."""

from __future__ import annotations

import pytest

from demo.registry_server import error_response as refusal
from demo.registry_server import json_response
from registries.oci import MalformedResponse, NotARegistry, NotFound, ServerError
from tests.fakes import images
from tests.fakes.registry import Headers, Status, catalog, json_body, tags
from tests.registries.oci.conftest import until_error


@pytest.fixture
def many(registry):
    made = images.image({"a": b"1"})
    for number in range(25):
        made.put(registry, "app", f"v{number:02}")
    return registry


NAMES = [f"v{number:02}" for number in range(25)]


def paged(link, *, size=10, key="tags"):
    """A server with pages of ``size`` whatever is asked, which writes its Link by ``link(number of the next page)``."""

    def answer(request, real):
        number = int(request.first("page") or 0)
        held = json_response({key: NAMES[number * size : (number + 1) * size]})
        if (number + 1) * size < len(NAMES):
            held.headers["Link"] = link(number + 1)
        return held

    return answer


@pytest.mark.parametrize(
    "link",
    [
        lambda number: f'</v2/app/tags/list?page={number}>; rel="next"',
        lambda number: f'<https://inner.host:8080/other/v2/app/tags/list?page={number}>; rel="next"',
        lambda number: f"</v2/app/tags/list?page={number}>; rel=next",
        lambda number: f'</v2/x?first=a>; rel="first", <?page={number}&x=a,b=c;d>; title="x, y"; REL="last Next"',
        lambda number: f'<tags/list?page={number}>;rel="next"',
        lambda number: f'<http://[broken?page={number}>; rel="prev", </x?page={number}>; rel="next"',
    ],
)
def test_links_of_every_kind_lead_on(many, connect, link):
    many.fail(tags, paged(link))
    assert list(connect(many).tags("app")) == NAMES


def test_an_empty_page_in_between_is_not_the_end(many, connect):
    def answer(request, real):
        if request.first("step") is None:
            held = json_response({"repositories": None})
            held.headers["Link"] = '</v2/_catalog?step=1&n=2>; rel="next"'
            return held
        return json_response({"repositories": ["app"]})

    many.fail(catalog, answer)
    assert list(connect(many).repositories()) == ["app"]


def test_a_list_that_leads_back_ends_as_an_error(many, connect):
    many.fail(tags, paged(lambda number: f'</x?page={number % 2}>; rel="next"', size=5))
    with pytest.raises(MalformedResponse, match="does not end") as error:
        list(connect(many).tags("app"))
    assert error.value.remedy


def test_a_list_without_an_end_ends_as_an_error(many, connect):
    counter = iter(range(10**9))
    link = lambda request, real: Headers({"Link": f'<?next={next(counter)}>; rel="next"'})(  # noqa: E731
        request, lambda: json_response({"tags": None})
    )
    many.fail(tags, link)
    with pytest.raises(MalformedResponse):
        list(connect(many).tags("app"))
    assert len(many.requests(tags)) < 2000


def test_a_link_without_a_query_is_no_end(many, connect):
    many.fail(tags, Headers({"Link": '</v2/app/tags/list/page2>; rel="next"'}))
    with pytest.raises(MalformedResponse):
        list(connect(many).tags("app"))


def test_a_last_page_that_links_to_itself_is_the_end(many, connect):
    many.fail(tags, Headers({"Link": '</v2/app/tags/list?n=1000>; rel="next"'}))
    assert list(connect(many).tags("app")) == NAMES


@pytest.mark.parametrize("limit", [1000, 999, 500, 100, 30, 10])
@pytest.mark.parametrize("status", [400, 422])
def test_a_page_that_is_too_large_is_halved(many, connect, limit, status):
    def strict(request, real):
        asked = int(request.first("n") or 0)
        return real() if asked <= limit else refusal(status, "PAGINATION_NUMBER_INVALID", "too many")

    many.fail(tags, strict)
    assert list(connect(many).tags("app")) == NAMES


def test_a_full_page_without_a_link_is_asked_past_its_end(registry, connect):
    made = images.image({"a": b"1"})
    names = [f"v{number:05}" for number in range(2000)]
    for name in names:
        made.put(registry, "app", name)
    registry.fail(tags, Headers({"Link": None}))
    assert list(connect(registry).tags("app")) == names
    assert len(registry.requests(tags)) == 3


def test_a_server_that_ignores_where_to_go_on_gives_its_list_once(registry, connect):
    everything = [f"v{number:05}" for number in range(1000)]
    registry.fail(tags, json_body({"tags": everything}))
    assert list(connect(registry).tags("app")) == everything
    assert [request.query.get("n") for request in registry.requests(tags)] == ["1000", "1000", "200000"]


def test_a_server_that_ignores_where_to_go_on_and_not_how_many_gives_all(registry, connect):
    everything = [f"v{number:05}" for number in range(2500)]

    def first_ones(request, real):
        return json_response({"tags": everything[: int(request.first("n"))]})

    registry.fail(tags, first_ones)
    assert list(connect(registry).tags("app")) == everything


@pytest.mark.parametrize("cut", [1, 3, 10, 24])
def test_pages_cut_below_what_was_asked_for_are_asked_past_their_end(many, connect, cut):
    """nexus-public#117: no Link, and fewer names than asked for."""

    def cut_short(request, real):
        left = [name for name in NAMES if name > (request.first("last") or "")]
        return json_response({"tags": left[:cut]})

    many.fail(tags, cut_short)
    assert list(connect(many).tags("app")) == NAMES


def test_that_a_list_is_whole_is_found_out_a_few_times_and_then_believed(many, connect):
    client = connect(many)
    for _ in range(6):
        assert list(client.tags("app")) == NAMES
    assert len([each for each in many.requests(tags) if "last" in each.query]) == 3
    many.fail(tags, json_body({"tags": NAMES[:20]}))
    assert list(client.tags("app")) == NAMES[:20]
    assert len([each for each in many.requests(tags) if "last" in each.query]) == 3, "shorter than what was whole"


def test_a_server_that_always_gives_everything_is_asked_past_the_end_once(many, connect):
    many.fail(tags, json_body({"tags": NAMES}))
    client = connect(many)
    for _ in range(4):
        assert list(client.tags("app")) == NAMES
    assert len(many.requests(tags)) == 5


@pytest.mark.parametrize("status", [400, 404, 405, 501])
@pytest.mark.parametrize("count", [25, 1000])
def test_a_cursor_of_ones_own_that_is_refused_is_the_end(many, connect, status, count):
    """As ECR Public does it, also behind a full page."""
    everything = [f"v{number:05}" for number in range(count)]

    def no_cursor(request, real):
        if request.first("last"):
            return refusal(status, "UNSUPPORTED", "no")
        return json_response({"tags": everything})

    many.fail(tags, no_cursor)
    assert list(connect(many).tags("app")) == everything


def test_a_cursor_of_the_registry_that_is_refused_is_no_end(many, connect):
    many.fail(lambda request: tags(request) and request.first("last") == "x", Status(404, code="GONE"))
    many.fail(tags, Headers({"Link": '</v2/app/tags/list?last=x&n=1000>; rel="next"'}))
    found, error = until_error(connect(many).tags("app"))
    assert found == NAMES
    assert isinstance(error, NotFound)
    assert "app" in error.reason


@pytest.mark.parametrize("status", [404, 200])
def test_a_web_page_at_the_catalog_points_to_the_fixed_list(many, connect, status):
    many.fail(catalog, Status(status, {"Content-Type": "text/html"}, body=b"<h1>Not Found</h1>"))
    with pytest.raises(NotARegistry) as error:
        list(connect(many).repositories())
    assert "fixed list" in error.value.remedy


def test_a_page_that_fails_leaves_what_was_read_and_says_so(registry, connect):
    made = images.image({"a": b"1"})
    for number in range(2500):
        made.put(registry, f"app{number:04}", "1")
    client = connect(registry)
    registry.fail(lambda request: catalog(request) and request.first("last") == "app1999", Status(500))
    found, error = until_error(client.repositories())
    assert isinstance(error, ServerError)
    assert len(found) == 2000


@pytest.mark.parametrize("value", [{"tags": "abc"}, {"tags": [1]}, {"tags": {"a": 1}}, [], "x", {"tags": [["a"]]}])
def test_a_list_of_something_else_is_an_error(many, connect, value):
    many.fail(tags, json_body(value))
    with pytest.raises(MalformedResponse):
        list(connect(many).tags("app"))


def test_names_that_no_request_can_hold_do_not_hide_the_others(many, connect):
    many.fail(catalog, json_body({"repositories": ["app", "../../x", "a\nb", "x" * 5000, "\ud800", "UPPER/Case", ""]}))
    found, error = until_error(connect(many).repositories())
    assert isinstance(error, MalformedResponse)
    assert "5 names" in error.reason
    assert found == ["app", "UPPER/Case"]


@pytest.mark.parametrize("status", [404, 405])
def test_a_registry_without_a_catalog_asks_for_a_fixed_list(many, connect, status):
    many.fail(catalog, Status(status, code="UNSUPPORTED"))
    with pytest.raises(NotFound, match="no catalog") as error:
        list(connect(many).repositories())
    assert "fixed list" in error.value.remedy


def test_a_catalog_of_html_is_no_catalog(many, connect):
    many.fail(catalog, Status(404, {"Content-Type": "text/html"}, body=b"<h1>404</h1>"))
    with pytest.raises((NotARegistry, NotFound)):
        list(connect(many).repositories())
