"""Template tags of lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.forms.boundfield import BoundWidget
from django.forms.utils import flatatt
from django.template import Context, Engine, Template
from django.template.base import render_value_in_context
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from console.listing.page import Cell
from console.templatetags.ui import when

register = template.Library()


@register.simple_tag(takes_context=True)
def to_view(context: Context, url: str, target: str = "") -> SafeString:
    """Return the attributes of a link to another view of the list in the element ``target``; without scripts it loads.

    The answer tells htmx which address to show. A list that is part of another page has an address of its own. Without
    ``target`` an element around the link says what is swapped.
    """
    page = context.get("page")
    url = f"{page.path if page else ''}{url}"
    if not target:
        return format_html('href="{}" hx-get="{}"', url, url)
    return format_html(
        'href="{}" hx-get="{}" hx-target="#{}" hx-swap="outerHTML" hx-sync="#{}:queue last"', url, url, target, target
    )


@register.simple_tag
def box(choice: BoundWidget) -> SafeString:
    """Return the box of a choice of a filter, as Django's templates would: a tag and no template, for they are many."""
    data = choice.data
    attributes = {"type": data["type"], "name": data["name"], "value": data["value"], **data["attrs"]}
    shown = {name: value for name, value in attributes.items() if value is not None and value is not False}
    return format_html("<input{}>", flatatt(shown))


@register.simple_tag(takes_context=True)
def cells(context: Context, found: Sequence[Cell]) -> SafeString:
    """Return the cells of the row in the context. A tag and no template, for there are many on a page."""
    parts: list[str] = []
    with context.push():
        for cell in found:
            column = cell.column
            parts.append(_opening_tag(column.css, column.slot, str(column.label) if column.slot == "fact" else ""))
            if column.live:  # as live_cell.html has it
                parts.append(f'<div id="{context["listing"].name}-{column.name}-{context["row"].pk}">')
            parts.append(_content(context, cell))
            parts.append("</div></td>" if column.live else "</td>")
    return mark_safe("".join(parts))  # noqa: S308  # nosec B308 B703  # each part is escaped


def _content(context: Context, cell: Cell) -> str:
    column, value = cell.column, cell.value
    if column.template in _CELL_RENDERERS:
        return _CELL_RENDERERS[column.template](value)
    if column.template:
        context["column"], context["value"] = column, value
        return _template(column.template).render(context)
    return render_value_in_context("–" if value is None else value, context)


def _number(value: Any) -> str:
    return '<span class="faint">–</span>' if value is None else conditional_escape(intcomma(value))


def _time(value: Any) -> str:
    return when(value, "–", plain=True)


# The simplest templates of cells are the most common ones: what they say is said here without their rendering.
_CELL_RENDERERS: dict[str, Callable[[Any], str]] = {
    "console/listing/number.html": _number,
    "console/listing/time.html": _time,
}


@lru_cache(maxsize=200)
def _opening_tag(css: str, slot: str, label: str) -> SafeString:
    attributes = format_html(' data-c="{}"', slot) if slot else ""
    if label:
        attributes += format_html(' data-label="{}"', label)
    return format_html("<td{}{}>", format_html(' class="{}"', css) if css else "", attributes)


def _template(name: str) -> Template:
    return Engine.get_default().get_template(name)
