"""Template tags of lists."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def to_view(url: str, target: str = "#list") -> SafeString:
    """Return the attributes of a link that shows another view of the same list in place; without scripts it loads."""
    return format_html(
        'href="{}" hx-get="{}" hx-target="{}" hx-swap="outerHTML" hx-push-url="true" hx-sync="{}:replace"',
        url,
        url,
        target,
        target,
    )
