"""Template filters of the audit trail."""

from __future__ import annotations

from django import template

from console.audit.models import AuditEvent
from console.pages.audit_table import event_facts as lines_of

register = template.Library()


@register.filter
def lines(event: AuditEvent) -> list[tuple[str, str, str]]:
    """Return name, value before and value now of each fact of an event."""
    return lines_of(event)
