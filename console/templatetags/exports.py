"""Template tags of the page of exports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from console.exports.models import Export
from console.jobs.models import State

register = template.Library()

STATE_STYLES = {  # state → class, icon, class of the icon
    State.QUEUED: ("scanning", "clock", ""),
    State.RUNNING: ("scanning", "ring", "spin"),
    State.SUCCEEDED: ("ok", "done", ""),
    State.FAILED: ("exception", "alert", ""),
    State.CANCELLED: ("cancelled", "stop", ""),
}


@register.simple_tag
def export_progress(rows: Iterable[Export]) -> SafeString:
    """Return the element that asks for the cells of those of ``rows`` that are unfinished, until none is."""
    going = "&".join(f"ids={export.pk}" for export in rows if not export.is_final)
    poll = format_html(' data-poll="{}?{}"', reverse("console:export-progress"), going) if going else ""
    return format_html('<div id="export-progress" hidden{}></div>', poll)


@register.inclusion_tag("console/exports/cells/status.html")
def export_status(export: Export) -> dict[str, Any]:
    """Show where an export stands, its progress, and why it waits or failed."""
    kind, symbol, spin = STATE_STYLES[State(export.state)]
    words = {State.QUEUED: _("Waiting"), State.RUNNING: _("Writing"), State.SUCCEEDED: _("Ready")}
    label = words.get(State(export.state), export.get_state_display())
    if export.cancel_requested_at and not export.is_final:
        label = _("Being cancelled")
    return {"row": export, "kind": kind, "symbol": symbol, "spin": spin, "label": label}
