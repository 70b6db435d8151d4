"""The audit trail: who decided what, or was refused. Rows are only ever added."""

from __future__ import annotations

import logging
from typing import Any

from django.http import HttpRequest

from console.models import AuditEvent, User

log = logging.getLogger(__name__)


def record(
    request_or_actor: HttpRequest | User | None, action: str, target: object = "", detail: dict[str, Any] | None = None
) -> AuditEvent:
    """Add what was decided to the audit trail and return it.

    The first argument is the request (actor and network address are taken from it), the user, or None for the console
    itself. ``action`` is a dotted verb such as "registry.add". ``detail`` is JSON and must not hold a secret.
    """
    actor, address = request_or_actor, None
    if isinstance(request_or_actor, HttpRequest):
        actor = getattr(request_or_actor, "user", None)
        address = request_or_actor.META.get("REMOTE_ADDR") or None
    user = actor if isinstance(actor, User) and actor.pk else None
    event = AuditEvent.objects.create(
        actor=user,
        actor_name=user.get_username() if user else "",
        address=address,
        action=action,
        target=str(target)[:300],
        detail=detail or {},
    )
    log.info("audit %s %s by %s", action, event.target, event.actor_name or "-")
    return event
