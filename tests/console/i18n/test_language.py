"""The language of the pages: chosen by a person, else by the browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone, translation

from console.templatetags import ui
from tests.people import person

PAGES = ["/images/", "/registries/", "/registries/guide/", "/scans/engines/", "/nothing-here/"]
CHINESE = {"headers": {"accept-language": "zh-CN,zh;q=0.9,en;q=0.5"}}


@pytest.fixture(autouse=True)
def _english_before_and_after() -> Iterator[None]:
    """A request leaves its language to the thread; the next request chooses anew, and the next test must not see it."""
    with translation.override("en"):
        yield


def signed_in(**fields: Any) -> Client:
    client = Client()
    client.force_login(person(**fields))
    return client


@pytest.mark.django_db
def test_who_has_chosen_nothing_gets_the_language_of_the_browser() -> None:
    client = signed_in()
    assert '<html lang="en"' in client.get("/images/").content.decode()
    page = client.get("/images/", **CHINESE)
    assert '<html lang="zh-hans"' in page.content.decode()
    assert page.headers["Content-Language"] == "zh-hans"
    assert "Accept-Language" in page.headers["Vary"]


@pytest.mark.django_db
def test_the_sign_in_speaks_chinese_to_a_chinese_browser() -> None:
    page = Client().get("/sign-in/", **CHINESE).content.decode()
    assert "登录" in page
    assert "密码" in page
    assert "Sign in" not in page


@pytest.mark.django_db
def test_a_language_is_chosen_without_script_and_stays_with_the_person() -> None:
    client = signed_in()
    answer = client.post("/preferences/", {"language": "zh-hans"}, headers={"referer": "http://testserver/images/"})
    assert answer.headers["Location"] == "http://testserver/images/"
    page = client.get("/images/")
    assert page.headers["Content-Language"] == "zh-hans"
    assert "仓库镜像" in page.content.decode()
    assert "Repository images" not in page.content.decode()
    client.post("/preferences/", {"language": "en"})
    assert "Repository images" in client.get("/images/", **CHINESE).content.decode()
    client.post("/preferences/", {"language": ""})
    assert "仓库镜像" in client.get("/images/", **CHINESE).content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["fr", "zh", "../en", "x" * 300])
def test_a_language_that_is_not_offered_is_not_taken(language: str) -> None:
    client = signed_in()
    assert client.post("/preferences/", {"language": language}).status_code == 302
    assert "Repository images" in client.get("/images/").content.decode()


@pytest.mark.django_db
def test_the_choice_of_one_request_does_not_reach_the_next() -> None:
    assert "仓库镜像" in signed_in(language="zh-hans").get("/images/").content.decode()
    assert "Repository images" in signed_in(username="other").get("/images/").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_a_page_in_chinese_has_no_english_sentence(path: str) -> None:
    page = signed_in(role="administrator", language="zh-hans").get(path).content.decode()
    text = re.sub(r"<(script|style|svg|code|pre|template)\b.*?</\1>", " ", page, flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", "\n", text)
    latin = re.findall(r"(?:\b[A-Z]?[a-z]{2,}\b[ ,]+){4,}", text)
    assert latin == []


def test_numbers_and_times_are_written_as_the_language_does() -> None:
    now = timezone.now().replace(month=11, day=23)
    with translation.override("zh-hans"):
        from django.contrib.humanize.templatetags.humanize import intcomma

        assert intcomma(1234567) == "1,234,567"
        assert ui.relative(now - timedelta(minutes=5), now) == "5 分钟前"
        assert ui.relative(now + timedelta(hours=3), now) == "3 小时后"
        assert ui.relative(now - timedelta(days=20), now) == "11月3日"
    assert ui.relative(now - timedelta(days=20), now) == "3 Nov"
