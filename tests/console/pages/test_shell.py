"""What stands on every page: navigation, health, toasts."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone

from console.middleware import ToastMiddleware
from console.models import HealthProbe, ScanHealthProbe
from console.pages import navigation
from console.server import health
from console.server.health import Fact, Notice
from tests.people import person

pytestmark = pytest.mark.django_db


def links(**fields: Any) -> list[str]:
    request = RequestFactory().get("/registries/")
    request.user = person(**fields)
    return [link["url"] for section in navigation.sections(request) for link in section["links"]]


def test_no_link_of_the_sidebar_is_dead() -> None:
    client = Client()
    urls = links(role="administrator", is_staff=True, is_superuser=True)
    from console.models import User

    client.force_login(User.objects.get())
    assert "/registries/" in urls
    assert "/audit/" in urls
    for url in urls:
        assert client.get(url).status_code == 200, url


def test_pages_of_django_admin_stand_only_before_its_staff() -> None:
    assert not [url for url in links() if url.startswith("/admin/")]


def test_a_page_of_django_admin_stands_before_staff_that_it_lets_in() -> None:
    assert "/admin/console/user/" not in links(username="staff", is_staff=True)
    assert "/admin/console/user/" in links(username="root", is_staff=True, is_superuser=True)


def test_a_page_that_does_not_exist_yet_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sections = (("Images", (navigation.NavigationItem("Moon", "moon:list", "moon"),)),)  # type: ignore[arg-type]
    monkeypatch.setattr(navigation, "SECTIONS", sections)
    assert links() == []


def canary(model: type[HealthProbe] | type[ScanHealthProbe], seconds: int) -> None:
    model.objects.create(state="succeeded", ended_at=timezone.now() - timedelta(seconds=seconds))


def test_workers_are_told_by_what_they_finish() -> None:
    assert next(iter(health.workers())).value == "not reported yet"
    canary(HealthProbe, 10)
    canary(ScanHealthProbe, 10)
    assert next(iter(health.workers())).level == "ok"


def test_workers_that_stopped_are_a_notice_on_every_page() -> None:
    canary(HealthProbe, 1000)
    canary(ScanHealthProbe, 1000)
    client = Client()
    client.force_login(person())
    html = client.get("/registries/").content.decode()
    assert "No worker is running" in html
    assert 'role="alert"' in html


def demo() -> list[Fact]:
    return [Fact("fault", "Vulnerability database", "demo", notice=Notice("fault", "Demo database", "It is small."))]


def test_an_app_further_right_adds_facts_and_notices(overrides: ExitStack) -> None:
    overrides.enter_context(health.HEALTH_CHECKS.overridden({"demo": demo}))
    client = Client()
    client.force_login(person())
    html = client.get("/registries/").content.decode()
    assert "Vulnerability database" in html
    assert "Demo database" in html
    assert "It is small." in html


def told(*, htmx: bool, status: int = 200) -> HttpResponse:
    def view(request: HttpRequest) -> HttpResponse:
        messages.success(request, "38 queued, 2 skipped – “ä”")
        return HttpResponse(status=status)

    request = RequestFactory().get("/", headers={"HX-Request": "true"} if htmx else {})
    request.session = {}  # type: ignore[assignment]
    from django.contrib.messages.storage.cookie import CookieStorage

    request._messages = CookieStorage(request)  # type: ignore[attr-defined]
    return ToastMiddleware(view)(request)


def test_a_fragment_carries_its_messages_as_toasts() -> None:
    trigger = json.loads(told(htmx=True).headers["HX-Trigger"])
    assert trigger == {"toasts": [{"level": "success", "text": "38 queued, 2 skipped – “ä”"}]}


def test_a_page_and_a_redirect_keep_their_messages_for_the_page() -> None:
    assert "HX-Trigger" not in told(htmx=False).headers
    assert "HX-Trigger" not in told(htmx=True, status=302).headers
