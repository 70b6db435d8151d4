"""Values that no form of the console makes, in every field of every address: refused or passed over, never an error."""

from __future__ import annotations

import ast
import functools
import inspect
import os
import re
from types import ModuleType
from typing import Any

import pytest
from django.test import Client
from django.urls import resolve, reverse

from console.listing import filters as listing_filters
from console.listing import page as listing_page
from console.listing import saved_views, views
from registries.connection_test.background_test import TooManyTestsError
from tests.people import person
from tests.test_access import ADDRESSES, NEVER, client_of, rows, url_of

__all__ = ["rows"]

pytestmark = pytest.mark.django_db

# What code may read from a request: the first argument of get and getlist, what is taken out of brackets or looked for.
READS = {"get", "getlist", "pop"}
FIELD = re.compile(r'\bname="([^"]+)"')
ALWAYS = ("q", "sort", "page", "size", "ids", "view", "next", "back", "all", "columns", "registry", "severity", "tab")
VALUES = {
    "a zero": "a\0b",
    "half a character": "a\ud800",
    "a number without end": "9" * 40,
    "a number below zero": "-1",
    "a number with an exponent": "1e999",
    "digits of another script": "٣²",
    "a list": "[[[]]]",
    "a date that is none": "2026-02-30T25:61",
    "a date before all dates": "0001-01-01T00:00",
    "a pattern": "%_\\' OR 1=1 --",
    "a long text": "x" * 5000,
    "a word": "abc",
    "no number": "NaN",
    "nothing": "",
    "text that runs the other way": "\u202e\u2066\ufeff\ufffe\U0010ffff",
    "a number with a part": "1.5",
    "an object": '{"a": {"b": [null, true]}}',
    "a name of the language": "__class__",
}
VALUES_A_FIELD = int(os.environ.get("TALLYMAN_ODD_VALUES", "2"))
LEAVES = {"console:sign-out", "console:end-sessions"}  # who has left is sent to the sign-in


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("first", [0, 5])
def test_an_odd_value_in_any_field_of_any_address_is_no_error(
    first: int, rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_now(**_values: object) -> None:
        raise TooManyTestsError("not in this test")

    monkeypatch.setattr("registries.views.connection.start_connection_test", not_now)
    administrator = client_of("administrator")
    administrator.raise_request_exception = False
    values = [value.encode("utf-8", "surrogatepass").decode("latin-1") for value in VALUES.values()]
    wrong = {}
    for name, may in ADDRESSES.items():
        if name in LEAVES:
            continue
        url = url_of(name, rows)
        page = administrator.get(url)
        html = page.content.decode(errors="replace") if not page.streaming else ""
        names = dict.fromkeys([*ALWAYS, *FIELD.findall(html)])
        fields = {field: values[(number + first) % len(values)] for number, field in enumerate(names)}
        fields.pop("csrfmiddlewaretoken", None)
        for headers in ({}, {"HX-Request": "true"}):
            answers = [administrator.get(url, fields, headers=headers)]
            if may.post != NEVER and not headers:
                answers.append(administrator.post(url, fields))
                answers.append(administrator.post(url, fields | {"all": "1"}))
            for answer in answers:
                if answer.status_code >= 500:
                    wrong[name, answer.request["REQUEST_METHOD"]] = repr(answer.exc_info and answer.exc_info[1])
    assert wrong == {}


def names_read(view: Any) -> set[str]:
    """Return the words that the module of ``view``, and what lists share, may read from a request."""
    modules = [inspect.getmodule(inspect.unwrap(view)), views, listing_page, saved_views, listing_filters]
    return {name for module in modules if module is not None for name in _words(module)}


@functools.cache
def _words(module: ModuleType) -> frozenset[str]:
    found: set[object] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        match node:
            case ast.Call(func=ast.Attribute(attr=attr), args=[ast.Constant(value=value), *_]) if attr in READS:
                found.add(value)
            case (
                ast.Subscript(slice=ast.Constant(value=value))
                | ast.Compare(left=ast.Constant(value=value), ops=[ast.In() | ast.NotIn()])
            ):
                found.add(value)
    return frozenset(each for each in found if isinstance(each, str) and each.isidentifier())


def view_of(name: str, rows: dict[str, Any]) -> Any:
    found = resolve(url_of(name, rows)).func
    return getattr(found, "view_class", found)


def test_the_words_that_a_view_reads_are_found(rows: dict[str, Any]) -> None:
    assert {"update", "name", "default", "view"} <= names_read(view_of("console:view-save", rows))
    assert {"do", "scans"} <= names_read(view_of("registries:push-events", rows))
    assert {"code"} <= names_read(view_of("console:sign-in-code", rows))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(4))
def test_each_word_that_a_view_reads_may_have_any_value(
    part: int, rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One field at a time, for a form that is refused for its first field hides what the next one does."""

    def not_now(**_values: object) -> None:
        raise TooManyTestsError("not in this test")

    monkeypatch.setattr("registries.views.connection.start_connection_test", not_now)
    administrator = client_of("administrator")
    administrator.raise_request_exception = False
    values = [value.encode("utf-8", "surrogatepass").decode("latin-1") for value in VALUES.values()]
    wrong = {}
    for number, (name, may) in enumerate(ADDRESSES.items()):
        if name in LEAVES or number % 4 != part:
            continue
        url = url_of(name, rows)
        for place, field in enumerate(sorted(names_read(view_of(name, rows)))):
            for turn in range(VALUES_A_FIELD):
                value = values[(place * VALUES_A_FIELD + turn + number) % len(values)]
                answers = [administrator.get(url, {field: value})] if may.get != NEVER else []
                if may.post != NEVER:
                    answers.append(administrator.post(url, {field: [value, value] if turn else value}))
                for answer in answers:
                    if answer.status_code >= 500:
                        wrong[name, answer.request["REQUEST_METHOD"], field, value[:20]] = repr(
                            answer.exc_info and answer.exc_info[1]
                        )
    assert wrong == {}


@pytest.mark.slow
def test_a_body_of_any_kind_is_no_error(rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def not_now(**_values: object) -> None:
        raise TooManyTestsError("not in this test")

    monkeypatch.setattr("registries.views.connection.start_connection_test", not_now)
    administrator = client_of("administrator")
    administrator.raise_request_exception = False
    bodies = [
        (b"\xff\xfe\x00", "application/x-www-form-urlencoded"),
        (b"a=" + b"%00" * 50 + b"&%ff=%ff&=&&&a[]=1", "application/x-www-form-urlencoded; charset=no-such"),
        (b"&".join(b"ids=%d" % number for number in range(2000)), "application/x-www-form-urlencoded"),
        (b"x=1", "multipart/form-data"),
        (b'--b\r\nContent-Disposition: form-data; name="a"; filename="x"\r\n\r\nx', "multipart/form-data; boundary=b"),
        (b"[[[[", "application/json"),
        (b"", "\0"),
    ]  # fmt: skip
    wrong = {}
    for name, may in ADDRESSES.items():
        if name in LEAVES or may.post == NEVER:
            continue
        for number, (body, kind) in enumerate(bodies):
            answer = administrator.generic("POST", url_of(name, rows), body, content_type=kind)
            if answer.status_code >= 500:
                wrong[name, number] = repr(answer.exc_info and answer.exc_info[1])
    assert wrong == {}


@pytest.mark.parametrize("number", ["9" * 18, "9" * 19, "9" * 60])
def test_a_number_that_no_database_holds_is_not_there(number: str, rows: dict[str, Any]) -> None:
    administrator = client_of("administrator")
    administrator.raise_request_exception = False
    for name, may in ADDRESSES.items():
        if may.arguments:
            held = reverse(name, args=[rows[key] for key in may.arguments])
            url = re.sub(r"\d+", number, held)
            for method in ("get", "post"):
                assert getattr(administrator, method)(url).status_code < 500, (method, url)


def test_a_stranger_with_odd_values_gets_no_error() -> None:
    person()
    stranger = Client(raise_request_exception=False)
    for value in VALUES.values():
        odd = value.encode("utf-8", "surrogatepass").decode("latin-1")
        for path in ("/sign-in/", "/sign-in/code/", "/sign-in/sso/", "/sign-in/sso/callback/", "/admin/login/", "/"):
            for answer in (
                stranger.get(path, {"next": odd, "state": odd, "code": odd, "error": odd}),
                stranger.post(path, {"username": odd, "password": odd, "code": odd, "next": odd}),
                stranger.post(path, {"username": "x", "password": odd}, headers={"User-Agent": odd, "Accept": odd}),
                stranger.get(path, headers={"Cookie": f"sessionid={value.encode('ascii', 'ignore').decode()}"}),
                stranger.get(path, headers={"Accept-Language": odd, "Referer": odd, "X-Forwarded-For": odd}),
            ):
                assert answer.status_code < 500, (path, value[:20])
