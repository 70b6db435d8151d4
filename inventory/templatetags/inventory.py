"""Template tags of Repository images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from django import template
from django.utils.formats import date_format
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from console.i18n.message_codes import Message
from inventory.dashboard.trend import TrendLine
from inventory.models import Image, Tag

register = template.Library()


class AddressParts(NamedTuple):
    """An address cut for the screen: ``host``, ``path`` up to its last slash, ``name`` after it."""

    host: str
    path: str
    name: str


@register.filter
def address_parts(address: str) -> AddressParts:
    """Cut ``host/path/name``."""
    host, _slash, rest = address.partition("/")
    path, slash, name = rest.rpartition("/")
    return AddressParts(host, path + slash, name or host)


class FailureReason(NamedTuple):
    """Why the scan of an image failed; ``earlier`` where what is shown was found by a scan before it."""

    reason: Message
    remedy: Message
    earlier: bool


@register.filter
def reason(image: Image) -> FailureReason:
    """Return why the scan of ``image`` failed."""
    return FailureReason(image.reason, image.remedy, image.highest is not None)


@register.inclusion_tag("inventory/_reasons.html")
def reasons(rows: Iterable[Tag]) -> dict[str, list[FailureReason]]:
    """Give each reason why scans of ``rows`` failed once, and its number to the rows, as ``reason_number``."""
    numbers: dict[FailureReason, int] = {}
    for row in rows:
        if row.image and row.image.scan_state == Image.ScanState.FAILED:
            row.reason_number = numbers.setdefault(reason(row.image), len(numbers))  # type: ignore[attr-defined]  # for its cell
    return {"reasons": list(numbers)}


@register.simple_tag
def strip(line: TrendLine) -> SafeString:
    """Return the part of a trend that answers the pointer: a strip a day, each with its figure."""
    width, form = f"{line.step:.2f}", _("j M")
    return format_html_join(
        "",
        '<rect x="{}" width="{}"><title>{}: {}</title></rect>',
        (
            (
                f"{point.left:.2f}",
                width,
                date_format(point.day, form),
                _("no data") if point.value is None else f"{point.value:,}",
            )
            for point in line.points
        ),
    )
