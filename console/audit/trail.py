"""The audit trail: who decided what, or was refused. Rows are only ever added; old ones go after a set time."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.audit.models import AuditEvent

log = logging.getLogger(__name__)

# Whatever a caller hands over: a value under such a name is not kept. The host of a token service is no secret.
SECRET_NAME = re.compile(
    r"password|passwd|token(?!_service$)|(^|_)secret(_key)?$|(^|_)key$|ca_bundle|credential", re.IGNORECASE
)
REDACTED = "(not kept)"
MAX_VALUE_CHARACTERS = 2000  # characters of one value

# What the first word of an action is about → its name on screen.
SUBJECTS = {
    "sign-in": _("Sign-in"),
    "sign-out": _("Sign-out"),
    "access": _("Refused access"),
    "user": _("People and roles"),
    "team": _("Teams"),
    "registry": _("Registries"),
    "cloud-account": _("Cloud keys"),
    "push-address": _("Push events"),
    "sync": _("Syncs"),
    "scan": _("Scans"),
    "run": _("Scan runs"),
    "schedule": _("Schedules"),
    "quota": _("Scan quota"),
    "database": _("Vulnerability database"),
    "rematch": _("Re-matches"),
    "export": _("Exports and downloads"),
    "undo": _("Undone changes"),
    "audit": _("Audit trail"),
    "key": _("Keys"),
    "admin": _("Django admin"),
}

# Every action → what it says on screen.
ACTIONS = {
    "sign-in": _("Signed in"),
    "sign-in.refused": _("Sign-in refused"),
    "sign-in.code-refused": _("Second factor refused"),
    "sign-in.locked": _("Sign-in locked after wrong passwords"),
    "sign-out": _("Signed out"),
    "sign-out.everywhere": _("Signed out everywhere"),
    "sign-out.expired": _("Session expired"),
    "access.denied": _("Access refused"),
    "user.add": _("Account added"),
    "user.edit": _("Account changed"),
    "user.delete": _("Account deleted"),
    "user.password": _("Password changed"),
    "user.second-factor-on": _("Second factor switched on"),
    "user.second-factor-off": _("Second factor switched off"),
    "team.add": _("Team added"),
    "team.edit": _("Team changed"),
    "team.delete": _("Team deleted"),
    "registry.add": _("Registry added"),
    "registry.edit": _("Registry changed"),
    "registry.delete": _("Registry deleted"),
    "registry.test": _("Connection tested"),
    "cloud-account.add": _("Cloud key added"),
    "cloud-account.edit": _("Cloud key changed"),
    "cloud-account.delete": _("Cloud key removed"),
    "cloud-account.discover": _("Registries discovered by a cloud key"),
    "cloud-account.restore": _("Registries of a cloud key restored"),
    "push-address.event": _("Push event received"),
    "push-address.scans": _("Scans after pushes changed"),
    "push-address.secret": _("Secret of push events changed"),
    "push-address.off": _("Push events switched off"),
    "sync.start": _("Sync started"),
    "sync.cancel": _("Sync cancelled"),
    "scan.start": _("Scan started"),
    "scan.cancel": _("Scan cancelled"),
    "run.cancel": _("Scan run cancelled"),
    "schedule.add": _("Schedule added"),
    "schedule.change": _("Schedule changed"),
    "schedule.delete": _("Schedule deleted"),
    "quota.change": _("Scan quota changed"),
    "database.update": _("Update of the vulnerability database started"),
    "database.cancel": _("Update of the vulnerability database cancelled"),
    "rematch.start": _("Re-match started"),
    "rematch.cancel": _("Re-match cancelled"),
    "export": _("Exported"),
    "export.download": _("Export downloaded"),
    "export.cancel": _("Export cancelled"),
    "export.remove": _("Export removed"),
    "undo": _("Undone"),
    "audit.expire": _("Old events removed"),
    "key.backup": _("Backup of the keys confirmed"),
    "admin.add": _("Added in Django admin"),
    "admin.edit": _("Changed in Django admin"),
    "admin.delete": _("Deleted in Django admin"),
}


def record(
    request_or_actor: HttpRequest | AbstractBaseUser | None,
    action: str,
    target: object = "",
    detail: Mapping[str, Any] | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Add what was decided to the audit trail and return it.

    The first argument is the request (actor and network address are taken from it), the user, or None for the console
    itself. ``action`` is a dotted verb such as "registry.add", whose first word is one of SUBJECTS. ``before`` and
    ``after`` are the facts of what was changed: only those that differ are kept. A value whose name says that it is a
    secret is never kept.
    """
    actor, address = request_or_actor, None
    if isinstance(request_or_actor, HttpRequest):
        actor = getattr(request_or_actor, "user", None)
        address = request_or_actor.META.get("REMOTE_ADDR") or None
    user = actor if isinstance(actor, AbstractBaseUser) and actor.pk else None
    was, now = difference(before or {}, after or {})
    event = AuditEvent.objects.create(
        actor_id=user.pk if user else None,
        actor_name=user.get_username() if user else "",
        address=address,
        action=action,
        target=database_safe(str(target))[:300],
        detail=redact(detail or {}),
        before=redact(was),
        after=redact(now),
    )
    log.info("audit %s %r by %s", action, event.target, event.actor_name or "-")
    return event


def facts(row: Model, names: Iterable[str]) -> dict[str, Any]:
    """Return the values of the fields ``names`` of ``row``, as JSON can hold them."""
    values = {name: getattr(row, name) for name in names}
    return {
        name: value if isinstance(value, bool | int | float | list | dict | None) else str(value)
        for name, value in values.items()
    }


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what of ``before`` and of ``after`` is not the same in the other."""
    missing = object()
    return (
        {name: value for name, value in before.items() if after.get(name, missing) != value},
        {name: value for name, value in after.items() if before.get(name, missing) != value},
    )


def redact(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` without secrets and without texts of any length."""
    return {
        name: REDACTED if SECRET_NAME.search(name) and _is_sensitive(value) else _shorten(value)
        for name, value in values.items()
    }


def _is_sensitive(value: object) -> bool:
    return isinstance(value, str | bytes | dict | list) and bool(value) and value not in ("set", "changed", "removed")


def _shorten(value: Any) -> Any:
    if isinstance(value, Mapping):
        return redact(value)
    if isinstance(value, list | tuple):
        return [_shorten(each) for each in value]
    return database_safe(value[:MAX_VALUE_CHARACTERS]) if isinstance(value, str) else value


def database_safe(text: str) -> str:
    """Return ``text`` as every database takes it, so that nobody gets out of the trail by odd characters."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def expire_old_events() -> None:
    """Let events go that are older than ``AUDIT_DAYS``; 0 keeps all. Called once a minute, works once a day."""
    if not settings.AUDIT_DAYS:
        return
    now = timezone.now()
    if AuditEvent.objects.filter(action="audit.expire", at__gte=now - timedelta(days=1)).exists():
        return
    if not AuditEvent.objects.filter(at__lt=now - timedelta(days=settings.AUDIT_DAYS)).exists():
        return
    gone = AuditEvent.objects.all().expire(before=now - timedelta(days=settings.AUDIT_DAYS))
    record(None, "audit.expire", detail={"events": gone, "days": settings.AUDIT_DAYS})
