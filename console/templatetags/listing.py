"""Template tags of lists."""

from __future__ import annotations

from django import template
from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag(takes_context=True)
def to_view(context: Context, url: str, target: str) -> SafeString:
    """Return the attributes of a link to another view of the list in the element ``target``; without scripts it loads.

    The answer tells htmx which address to show. A list that is part of another page has an address of its own.
    """
    page = context.get("page")
    url = f"{page.path if page else ''}{url}"
    return format_html(
        'href="{}" hx-get="{}" hx-target="#{}" hx-swap="outerHTML" hx-sync="#{}:queue last"', url, url, target, target
    )
