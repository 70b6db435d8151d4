"""Template tags of lists."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from django import template
from django.template import Context, Engine, Template
from django.template.base import render_value_in_context
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from console.listing.page import Cell

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


@register.simple_tag(takes_context=True)
def cells(context: Context, found: Sequence[Cell]) -> SafeString:
    """Return the cells of the row in the context. A tag and no template, for there are many on a page."""
    parts: list[str] = []
    with context.push():
        for cell in found:
            column = cell.column
            parts.append(_opened(column.css, column.slot, str(column.label) if column.slot == "fact" else ""))
            if column.live:
                context["cell"] = cell
                parts.append(_template("console/listing/live_cell.html").render(context))
            elif column.template:
                context["column"], context["value"] = column, cell.value
                parts.append(_template(column.template).render(context))
            else:
                parts.append(render_value_in_context("–" if cell.value is None else cell.value, context))
            parts.append("</td>")
    return mark_safe("".join(parts))  # noqa: S308 (each part is escaped)


@lru_cache(maxsize=200)
def _opened(css: str, slot: str, label: str) -> SafeString:
    place = format_html(' data-c="{}"', slot) if slot else ""
    if label:
        place += format_html(' data-label="{}"', label)
    return format_html("<td{}{}>", format_html(' class="{}"', css) if css else "", place)


def _template(name: str) -> Template:
    return Engine.get_default().get_template(name)
