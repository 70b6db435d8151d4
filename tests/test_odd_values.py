"""Values that no form of the console makes, in every field of every address: refused or passed over, never an error."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from registries.live_test import NotNowError
from tests.people import person
from tests.test_access import ADDRESSES, NEVER, client_of, rows, url_of

__all__ = ["rows"]

pytestmark = pytest.mark.django_db

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
}
LEAVES = {"console:sign-out", "console:end-sessions"}  # who has left is sent to the sign-in


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("first", [0, 5])
def test_an_odd_value_in_any_field_of_any_address_is_no_error(
    first: int, rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_now(**_values: object) -> None:
        raise NotNowError("not in this test")

    monkeypatch.setattr("registries.views.connection.begin", not_now)
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
