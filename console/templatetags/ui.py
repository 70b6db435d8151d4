"""Template tags of all pages: icons, times, sizes, digests, the status and the risks of an image, form fields.

They take plain values or anything shaped like ``inventory.Image``; nothing here knows an app.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import lru_cache
from itertools import zip_longest
from math import ceil
from typing import Any

from django import forms, template
from django.conf import settings
from django.contrib.messages.storage.base import Message
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from console.feedback import toasts
from console.i18n.lists import listed
from console.i18n.messages import translate_message

register = template.Library()

MINUTE_SECONDS, HOUR_SECONDS, DAY_SECONDS = 60, 3600, 86400
COMMAND_OPTION = re.compile(r"(?<!\S)(--[a-z][a-z-]*(?: [A-Z]+\b)?)")  # of a command, with its value

# state of an image → CSS class, icon, class of the icon, word
STATE_STYLES = {
    "not-scanned": ("not-scanned", "todo", "", gettext_lazy("Not scanned")),
    "queued": ("scanning", "clock", "", gettext_lazy("Scanning")),
    "running": ("scanning", "ring", "spin", gettext_lazy("Scanning")),
    "scanned": ("scanned", "done", "", gettext_lazy("Scanned")),
    "failed": ("exception", "alert", "", gettext_lazy("Scan exception")),
    "cancelled": ("cancelled", "stop", "", gettext_lazy("Cancelled")),
}
# Icons of which each row of a list may have one: in the page and not behind a long address, see row_icon.
ROW_ICONS = ("todo", "clock", "ring", "done", "alert", "stop", "scan", "down", "shield", "half", "bug", "key")
# security status of an image → CSS class of its tag, icon, word
SECURITY_STYLES = {
    "at-risk": ("risk", "alert", gettext_lazy("At risk")),
    "safe": ("ok", "shield", gettext_lazy("Safe")),
    "partly-scanned": ("", "half", gettext_lazy("Partly scanned")),
    "not-known": ("off", "todo", gettext_lazy("Not known")),
}
# coverage of a category of an image → what is said of its count, where that is not all there may be
COVERAGE_LABELS = {
    "": gettext_lazy("not scanned"),
    "partial": gettext_lazy("partly scanned"),
    "failed": gettext_lazy("scan exception"),
    "unsupported": gettext_lazy("unsupported"),
}
SEVERITIES = (  # name, letter in a narrow place, label
    ("critical", gettext_lazy("C"), gettext_lazy("Critical")),
    ("high", gettext_lazy("H"), gettext_lazy("High")),
    ("medium", gettext_lazy("M"), gettext_lazy("Medium")),
    ("low", gettext_lazy("L"), gettext_lazy("Low")),
    ("unknown", gettext_lazy("U"), gettext_lazy("Unknown")),
)


@register.filter
def undo_token(message: Message) -> str:
    """Return what the button Undo of a message sends, "" where it offers none."""
    return toasts.undo_token(message)


@register.filter
def toast_links(message: Message) -> list[toasts.ToastLink]:
    """Return the links of the toast of a message."""
    return toasts.toast_links(message)


@register.simple_tag
@lru_cache(maxsize=1000)
def icon(name: str, style: str = "") -> SafeString:
    """Return the icon ``name`` of icons.svg as decoration; what it means stands beside it in words."""
    return format_html(
        '<svg class="icon{}" aria-hidden="true"><use href="{}#{}"/></svg>',
        f" {style}" if style else "",
        static("icons.svg"),
        name,
    )


@register.simple_tag
@lru_cache(maxsize=1000)
def row_icon(name: str, style: str = "") -> SafeString:
    """Return one of ROW_ICONS as ``icon`` does, for where there are many: it is drawn by what the page holds."""
    drawn = format_html('<use href="#i-{}"/>', name)
    return format_html('<svg class="icon{}" aria-hidden="true">{}</svg>', f" {style}" if style else "", drawn)


@register.simple_tag
@lru_cache(maxsize=1)
def row_icons() -> SafeString:
    """Return the drawings of ROW_ICONS from icons.svg, which ``row_icon`` refers to."""
    sprite = (settings.BASE_DIR / "static/icons.svg").read_text()
    drawings = dict(re.findall(r'<symbol id="([^"]+)"(.*?</symbol>)', sprite, re.DOTALL))
    symbols = "".join(f'<symbol id="i-{name}"{drawings[name]}' for name in ROW_ICONS)
    return mark_safe(f'<svg class="sprite" aria-hidden="true">{symbols}</svg>')  # noqa: S308  # nosec B308 B703  # a file of our own


def relative(at: datetime, now: datetime) -> str:
    """Return how long before or after ``now`` the time ``at`` is; from a week on its date."""
    seconds = (now - at).total_seconds()
    ahead, distance = seconds < 0, abs(seconds)
    if distance < MINUTE_SECONDS:
        return _("in a moment") if seconds < -1 else _("just now")  # clocks of two machines are never quite the same
    if distance >= 7 * DAY_SECONDS:
        local, here = timezone.localtime(at).date(), timezone.localtime(now).date()
        return _day(local, local.year == here.year, get_language())
    return (_("in %(span)s") if ahead else _("%(span)s ago")) % {"span": span(distance)}


@lru_cache(maxsize=2000)
def _day(day: date, this_year: bool, _language: str) -> str:
    return date_format(day, _("j M") if this_year else _("j M Y"))


def span(seconds: float) -> str:
    """Return a length of time in its largest unit, from minutes on: "12 min"."""
    if seconds < HOUR_SECONDS:
        return _("%(n)d min") % {"n": seconds // MINUTE_SECONDS}
    if seconds < DAY_SECONDS:
        return _("%(n)d h") % {"n": seconds // HOUR_SECONDS}
    return _("%(n)d d") % {"n": seconds // DAY_SECONDS}


@register.simple_tag
def when(at: datetime | None, never: str = "", plain: bool = False) -> SafeString:
    """Return ``at`` as a <time>: relative text, exact time with its zone on hover and focus.

    Where there are many of them, ``plain`` leaves it to tables.js to tell the exact time by ``datetime``.
    """
    if at is None:
        return format_html('<span class="faint">{}</span>', never or _("Never"))
    return _time(at, relative(at, timezone.now()), plain=plain)


@register.filter
def moment(at: datetime, style: str) -> SafeString:
    """Return ``at`` as a <time> in a format of dates, exact with its zone on hover and focus."""
    return _time(at, date_format(timezone.localtime(at), style))


@register.filter
def exact(at: datetime) -> str:
    """Return ``at`` to the second, with its zone."""
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S} {timezone.get_current_timezone_name()}"


def _time(at: datetime, text: str, *, plain: bool = False) -> SafeString:
    local = timezone.localtime(at).isoformat(timespec="seconds")
    if plain:
        return format_html('<time datetime="{}">{}</time>', local, text)
    return format_html('<time datetime="{}" title="{}" tabindex="0">{}</time>', local, exact(at), text)


@register.filter
def binary_size(size: int | None) -> str:
    """Return a number of bytes in binary units, exact bytes on hover."""
    if size is None:
        return mark_safe('<span class="faint">–</span>')  # nosec B308  # a text of our own
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    text = f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
    return format_html('<span title="{}">{}</span>', _("%(n)s bytes") % {"n": f"{size:,}"}, text)


@register.filter
def translated(text: object) -> str:
    """Return a reason, a remedy or a stage that was kept in English, in the language of the page."""
    return translate_message(text if isinstance(text, str) else str(text or ""))


@register.filter
def unbroken(text: str) -> SafeString:
    """Return ``text`` so that no line ends within an option of a command, such as ``--from FILE``."""
    parts = COMMAND_OPTION.split(str(text))
    options = (format_html('<span class="nobr">{}</span>', part) for part in parts[1::2])
    return format_html_join("", "{}{}", zip_longest(parts[::2], options, fillvalue=""))


@register.filter
def middle(text: str, length: int = 60) -> str:
    """Return ``text``, cut in its middle to ``length`` characters; all of it is on hover."""
    if len(text) <= length:
        return text
    head = (length - 1) // 3
    return format_html('<span title="{}">{}…{}</span>', text, text[:head], text[-(length - 1 - head) :])


@register.inclusion_tag("components/digest.html")
def digest(value: str, algorithm: bool = False) -> dict[str, Any]:
    """Show 12 digits of a digest with a button that copies all of it; ``algorithm`` keeps "sha256:" before them."""
    name, _colon, digits = value.rpartition(":")
    return {"value": value, "short": f"{name}:{digits[:12]}" if algorithm and name else digits[:12]}


@register.simple_tag
def status(image: Any) -> SafeString:
    """Show where the scan of ``image`` stands: shape and word, with ``data-state``. None is an image not readable.

    Of one that runs it says for how long it has run, of one that waits how long it will.
    """
    if not image:
        return _status("not-scanned", "", None, None, "", get_language())
    since = image.scan_started_at if image.scan_state == "running" else None
    minutes = int((timezone.now() - since).total_seconds() // MINUTE_SECONDS) if since else None
    if image.scan_state == "queued" and image.resumes_at and image.resumes_at > timezone.now():
        minutes = ceil((image.resumes_at - timezone.now()).total_seconds() / MINUTE_SECONDS)
    return _status(image.scan_state, image.scan_stage, image.scan_percent, minutes, image.reason, get_language())


@lru_cache(maxsize=500)  # most rows of a list stand at the same
def _status(
    state: str, stage: str, percent: int | None, minutes: int | None, reason: str, _language: str
) -> SafeString:
    kind, symbol, spin, label = STATE_STYLES[state]
    detail = ""
    if state == "queued":
        detail = translate_message(reason) or _("queued")
        if minutes:  # until it goes on; that is seen also where the reason is long
            values = {"reason": Truncator(detail.rstrip(".。")).chars(40), "time": span(minutes * MINUTE_SECONDS)}
            detail = _("%(reason)s, %(time)s") % values
    elif state == "running":
        known = "" if percent is None else f"{percent} %"
        detail = " · ".join(
            filter(None, (translate_message(stage), known, span(minutes * MINUTE_SECONDS) if minutes else ""))
        )
    elif state == "failed":
        detail = translate_message(reason)
    context = {"state": state, "kind": kind, "symbol": symbol, "spin": spin, "label": label, "detail": detail}
    return render_to_string("components/status.html", context)


def compact(count: int | None) -> str:
    """Return a count that fits its slot: from 1,000 on "1.2k", "12k"; "–" where it is not known."""
    if count is None:
        return "–"
    if count < 1000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 9950 else f"{count // 1000}k"


@register.simple_tag
def security(image: Any) -> SafeString:
    """Show the security status of ``image``: shape and word, with ``data-security``. None is an image not readable."""
    state = getattr(image, "security", None) or "not-known"
    kind, symbol, label = SECURITY_STYLES[state]
    return render_to_string(
        "components/security.html", {"state": state, "kind": kind, "symbol": symbol, "label": label}
    )


@register.simple_tag
def risks(image: Any) -> SafeString:
    """Show what the last scan of ``image`` found: five severities, viruses and trojans, sensitive data.

    "0 found" only of an image that is safe, "Partly scanned" where what was looked at has none, "Not known" where
    nothing was looked at. "–" in a category that may have more than the zero that was counted.
    """
    counts = tuple(getattr(image, name, None) for name, _letter, _label in SEVERITIES)
    more = (getattr(image, "malware", None), getattr(image, "sensitive", None))
    coverage = tuple(getattr(image, f"{name}_coverage", "") for name in ("vulnerabilities", "malware", "sensitive"))
    busy = getattr(image, "scan_state", "") in {"queued", "running"}
    return _risks(counts, *more, coverage, getattr(image, "security", "not-known"), busy, get_language())


@lru_cache(maxsize=2000)  # the rows of a list have it in common, for they are tags of the same images
def _risks(
    severities: tuple[int | None, ...],
    malware: int | None,
    sensitive: int | None,
    coverage: tuple[str, str, str],
    security: str,
    busy: bool,
    _language: str,
) -> SafeString:
    matched, read, searched = coverage
    slots = [
        {"name": name, "letter": letter, "label": label, "count": count, "coverage": matched}
        for (name, letter, label), count in zip(SEVERITIES, severities, strict=True)
    ]
    marks: list[dict[str, Any]] = [
        {"icon": "bug", "label": _("Viruses and trojans"), "count": malware, "kind": "bad", "coverage": read},
        {"icon": "key", "label": _("Sensitive data"), "count": sensitive, "kind": "", "coverage": searched},
    ]
    for one in (*slots, *marks):
        one["shown"] = compact(one["count"] if one["count"] or one["coverage"] == "done" else None)
    for mark in marks:
        mark["kind"] = mark["kind"] if mark["count"] else "zero"
    context = {
        "known": security != "not-known",
        "busy": busy,
        "clean": security == "safe",
        "partly": security == "partly-scanned",
        "title": listed(  # what the five severities lack is said after the last
            f"{one['label']}: {_count_label(one['count'], 'done' if one in slots[:-1] else one['coverage'])}"
            for one in (*slots, *marks)
        ),
        "slots": slots,
        "marks": marks,
    }
    return render_to_string("components/risks.html", context)


def _count_label(count: int | None, coverage: str) -> str:
    """Return a count in words, with what it may lack."""
    if count is None:
        return str(COVERAGE_LABELS.get(coverage, COVERAGE_LABELS[""]))
    return f"{count:,}" if coverage == "done" else f"{count:,} ({COVERAGE_LABELS.get(coverage, COVERAGE_LABELS[''])})"


@register.inclusion_tag("components/field.html")
def field(bound: forms.BoundField, full: bool = False, optional: str = "", **attributes: str) -> dict[str, Any]:
    """Show a form field with its label, help or errors. ``attributes`` go to the widget; ``hx_get`` is ``hx-get``."""
    widget = bound.field.widget
    extra: dict[str, str | bool] = {
        "class": "input",
        "aria-describedby": f"{bound.auto_id}-message",
        **({"aria-invalid": "true"} if bound.errors else {}),
        **{re.sub("_", "-", name): value for name, value in attributes.items()},
    }
    return {
        "field": bound,
        "widget": bound.as_widget(attrs=extra),
        "select": isinstance(widget, forms.Select),
        "full": full,
        "optional": optional,
    }
