"""Template tags of lists."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def to_view(url: str, target: str) -> SafeString:
    """Return the attributes of a link to another view of the list in the element ``target``; without scripts it loads.

    The answer tells htmx which address to show.
    """
    return format_html(
        'href="{}" hx-get="{}" hx-target="#{}" hx-swap="outerHTML" hx-sync="#{}:queue last"', url, url, target, target
    )
