"""No cache keeps what a person may see, at any address, by any method, for any role; static files may be kept."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from registries.connection_test.background_test import TooManyTestsError
from tests.people import person
from tests.test_access import ADDRESSES, ANYBODY, ROLES, admin_addresses, client_of, rows, url_of

__all__ = ["rows"]

pytestmark = pytest.mark.django_db


def is_kept_by_none(answer: Any) -> bool:
    said = {each.strip() for each in answer.headers.get("Cache-Control", "").split(",")}
    return {"no-store", "private"} <= said and "public" not in said


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", [ANYBODY, *ROLES])
def test_no_answer_of_any_address_is_kept_by_a_cache(
    role: str, rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_now(**_values: object) -> None:
        raise TooManyTestsError("not in this test")

    monkeypatch.setattr("registries.views.connection.start_connection_test", not_now)
    kept = []
    for name in ADDRESSES:
        for method in ("get", "post"):
            for headers in ({}, {"HX-Request": "true"}):
                answer = getattr(client_of(role), method)(url_of(name, rows), headers=headers)
                if not is_kept_by_none(answer):
                    kept.append((name, method, answer.status_code, answer.headers.get("Cache-Control")))
    assert kept == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nor_is_one_of_django_admin_or_of_what_is_not_there(rows: dict[str, Any]) -> None:
    client = Client()
    client.force_login(person("administrator", username="root", is_staff=True, is_superuser=True))
    for url in (*admin_addresses(rows), "/nothing/", "/registries/events/none/", "/images/0/", "/\0"):
        assert is_kept_by_none(client.get(url)), url
        assert is_kept_by_none(client.post(url)), url
    assert is_kept_by_none(client.get("/sign-in/", headers={"Host": "evil.example"}))


def test_files_of_exports_are_kept_by_none(rows: dict[str, Any]) -> None:
    answer = client_of("administrator").post("/images/export/", {"all": "1", "format": "csv"})
    assert answer.status_code == 200
    assert "attachment" in answer.headers["Content-Disposition"]
    assert is_kept_by_none(answer)


def test_static_files_may_be_kept(settings: Any) -> None:
    settings.WHITENOISE_USE_FINDERS = settings.WHITENOISE_AUTOREFRESH = True
    answer = Client().get("/static/console.css")
    assert answer.status_code == 200
    assert "max-age" in answer.headers["Cache-Control"]
    assert "no-store" not in answer.headers["Cache-Control"]
