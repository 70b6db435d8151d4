"""The template tags of all pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.template import Context, Template
from django.utils import timezone, translation

from console.templatetags import ui

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def render(source: str, **values: Any) -> str:
    return Template("{% load ui %}" + source).render(Context(values))


def image(**fields: Any) -> SimpleNamespace:
    counts = dict.fromkeys(["critical", "high", "medium", "low", "unknown", "malware", "sensitive"])
    states = {
        "scan_state": "scanned",
        "reason": "",
        "scan_stage": "",
        "scan_percent": None,
        "scan_started_at": None,
        "resumes_at": None,
    }
    return SimpleNamespace(**{**counts, **states, **fields})


CLEAN = {
    **dict.fromkeys(["critical", "high", "medium", "low", "unknown", "malware", "sensitive"], 0),
    **dict.fromkeys(["vulnerabilities_coverage", "malware_coverage", "sensitive_coverage"], "done"),
    "security": "at-risk",
}


@pytest.mark.parametrize(
    ("distance", "text"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(seconds=-0.5), "just now"),
        (timedelta(seconds=-20), "in a moment"),
        (timedelta(minutes=12), "12 min ago"),
        (timedelta(hours=23), "23 h ago"),
        (timedelta(days=2), "2 d ago"),
        (timedelta(days=8), "15 Nov"),
        (timedelta(days=400), "19 Oct 2025"),
        (timedelta(minutes=-30), "in 30 min"),
        (timedelta(hours=-5), "in 5 h"),
    ],
)
def test_times_are_relative_and_dates_from_a_week_on(distance: timedelta, text: str) -> None:
    assert ui.relative(NOW - distance, NOW) == text


def test_the_exact_time_with_its_zone_is_there_for_mouse_and_keyboard(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Vienna"
    html = render("{% when at %}", at=NOW)
    assert 'datetime="2026-11-23T13:00:00+01:00"' in html
    assert 'title="2026-11-23 13:00:00 Europe/Vienna"' in html
    assert 'tabindex="0"' in html
    assert "Never" in render("{% when at %}", at=None)
    many = render("{% when at plain=True %}", at=NOW)
    assert 'datetime="2026-11-23T13:00:00+01:00"' in many
    assert "title" not in many, "tables.js tells it where there are many"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (197_345_678, "188.2 MiB"), (5 * 1024**5, "5120.0 TiB")],
)
def test_sizes_are_binary_with_exact_bytes_on_hover(size: int, text: str) -> None:
    html = render("{{ size|binary_size }}", size=size)
    assert f">{text}<" in html
    assert f'title="{size:,} bytes"' in html


def test_a_digest_shows_twelve_digits_and_copies_all() -> None:
    value = "sha256:" + "ab" * 32
    html = render("{% digest value %}", value=value)
    assert f'title="{value}"' in html, "which tables.js has a button copy"
    assert ">abababababab<" in html
    assert ">sha256:abababababab<" in render("{% digest value algorithm=True %}", value=value)


def test_long_text_gives_way_in_its_middle() -> None:
    html = render("{{ text|middle:20 }}", text="registry/team/" + "x" * 50 + "/app")
    assert re.search(r">.{20}<", html)
    assert "/app<" in html
    assert 'title="registry/team/' in html
    assert render("{{ text|middle:20 }}", text="short") == "short"


@pytest.mark.parametrize("state", ["not-scanned", "queued", "running", "scanned", "failed", "cancelled"])
def test_a_status_is_a_shape_and_a_word_and_a_state(state: str) -> None:
    html = render("{% status image %}", image=image(scan_state=state))
    assert f'data-state="{state}"' in html
    assert "<svg" in html
    assert str(ui.STATE_STYLES[state][3]) in html


def test_a_status_tells_stage_and_percent_and_why_it_failed() -> None:
    running = {"scan_state": "running", "scan_stage": "pulling", "scan_percent": 61}
    assert "pulling · 61 %<" in render("{% status image %}", image=image(**running))
    at = timezone.now() - timedelta(minutes=12, seconds=5)
    assert "pulling · 61 % · 12 min<" in render("{% status image %}", image=image(**running, scan_started_at=at))
    assert " min" not in render("{% status image %}", image=image(scan_state="scanned", scan_started_at=at))
    assert "no space" in render("{% status image %}", image=image(scan_state="failed", reason="no space"))
    assert 'data-state="not-scanned"' in render("{% status image %}", image=None)


def test_not_known_nothing_found_and_a_counted_zero_never_look_alike() -> None:
    assert "Not known" in render("{% risks image %}", image=None)
    assert "Not known" in render("{% risks image %}", image=image(scan_state="not-scanned"))
    assert "Not known yet" in render("{% risks image %}", image=image(scan_state="running"))
    clean = render("{% risks image %}", image=image(**CLEAN | {"security": "safe"}))
    assert "0 found" in clean
    assert "#i-shield" in clean
    partly = render("{% risks image %}", image=image(**CLEAN | {"security": "partly-scanned"}))
    assert "Partly scanned" in partly
    assert "0 found" not in partly
    assert "#i-shield" not in partly
    some = render("{% risks image %}", image=image(**{**CLEAN, "high": 2}))
    assert "0 found" not in some
    assert 'title="Critical: 0, High: 2, Medium: 0' in some
    assert re.search(r'class="sev critical zero">0<', some)


def test_the_letter_of_a_severity_is_of_the_language_of_the_page() -> None:
    some = image(**{**CLEAN, "critical": 2, "high": 1})
    assert re.findall(r"<b[^>]*>(.)</b>", render("{% risks image %}", image=some)) == ["C", "H"]
    with translation.override("zh-hans"):
        assert re.findall(r"<b[^>]*>(.)</b>", render("{% risks image %}", image=some)) == ["严", "高"]


def test_a_category_not_looked_for_is_not_a_zero() -> None:
    html = render("{% risks image %}", image=image(**{**CLEAN, "low": 1, "malware": None, "malware_coverage": ""}))
    assert "0 found" not in html
    assert "Viruses and trojans: not scanned, Sensitive data: 0" in html
    assert re.search(r"#i-bug.*?</svg>–<", html)


@pytest.mark.parametrize(
    ("coverage", "words"),
    [("partial", "partly scanned"), ("failed", "scan exception"), ("unsupported", "unsupported")],
)
def test_the_zero_of_a_category_that_is_not_done_is_not_shown_as_one(coverage: str, words: str) -> None:
    html = render("{% risks image %}", image=image(**{**CLEAN, "low": 1, "malware_coverage": coverage}))
    assert re.search(r"#i-bug.*?</svg>–<", html)
    assert f"Viruses and trojans: 0 ({words})" in html
    found = render("{% risks image %}", image=image(**{**CLEAN, "malware": 3, "malware_coverage": coverage}))
    assert re.search(r"#i-bug.*?</svg>3<", found)


@pytest.mark.parametrize("state", ["at-risk", "safe", "partly-scanned", "not-known"])
def test_a_security_status_is_a_shape_and_a_word(state: str) -> None:
    html = render("{% security image %}", image=image(security=state))
    assert f'data-security="{state}"' in html
    assert "<svg" in html
    assert ("#i-shield" in html) is (state == "safe")
    assert str(ui.SECURITY_STYLES[state][2]) in html
    assert 'data-security="not-known"' in render("{% security image %}", image=None)


def test_large_counts_fit_their_slot_and_stay_exact_on_hover() -> None:
    assert [ui.compact(n) for n in (999, 1000, 1204, 9999, 12345, None)] == ["999", "1.0k", "1.2k", "9k", "12k", "–"]
    assert "Low: 1,204," in render("{% risks image %}", image=image(**{**CLEAN, "low": 1204}))


def test_whatever_a_registry_says_is_escaped() -> None:
    hostile = '"><script>alert(1)</script>'
    html = render(
        "{% status image %}{% digest text %}{{ text|middle:10 }}",
        image=image(scan_state="failed", reason=hostile),
        text=hostile,
    )
    assert "<script>" not in html


def test_every_icon_that_a_template_names_is_in_the_sprite() -> None:
    sprite = (settings.BASE_DIR / "static/icons.svg").read_text()
    known = set(re.findall(r'<symbol id="([^"]+)"', sprite))
    used = set(re.findall(r'{% icon "([^"]+)"', "".join(p.read_text() for p in _templates())))
    used |= set(re.findall(r'icon_name="([^"]+)"', "".join(p.read_text() for p in _templates())))
    used |= {symbol for _kind, symbol, _spin, _label in ui.STATE_STYLES.values()}
    in_rows = {symbol for _kind, symbol, _spin, _label in ui.STATE_STYLES.values()} | {"bug", "key"}
    in_rows |= set(re.findall(r'{% row_icon "([^"]+)"', "".join(p.read_text() for p in _templates())))
    assert used | set(ui.ROW_ICONS) <= known
    assert in_rows == set(ui.ROW_ICONS)
    assert all(f'<symbol id="i-{name}" viewBox' in ui.row_icons() for name in in_rows)


def test_no_template_has_inline_style_or_script() -> None:
    for template in _templates():
        text = template.read_text()
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=\"|javascript:|hx-on|<script(?![^>]*src=)", text), template


def _templates() -> list[Path]:
    return list((settings.BASE_DIR / "templates").rglob("*.html"))


def test_no_line_ends_within_an_option_of_a_command() -> None:
    text = "Run <b> --from FILE, --now or 3--4 and --two-words. (--x)"
    shown = render("{{ text|unbroken }}", text=text)
    assert re.sub("</?span[^>]*>", "", shown) == text.replace("<", "&lt;").replace(">", "&gt;")
    assert re.findall('<span class="nobr">(.*?)</span>', shown) == ["--from FILE", "--now", "--two-words"]
