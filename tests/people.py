"""People for tests."""

from typing import Any

from django.test import Client

from console.models import AuditEvent, User

PASSWORD = "a-long-password-for-tests"


def person(role: str = "viewer", **fields: Any) -> User:
    """Make somebody with this role who signs in as ``role`` (or ``username``) with PASSWORD."""
    return User.objects.create_user(fields.pop("username", role), password=PASSWORD, role=role, **fields)


def signed_in_client(role: str = "administrator") -> Client:
    """Return the client of the person called ``role``, who is made with that role where there is none."""
    client = Client()
    client.force_login(User.objects.filter(username=role).first() or person(role))
    return client


def actions() -> list[str]:
    """Return what the audit trail says that people did, the oldest first."""
    return list(AuditEvent.objects.order_by("id").values_list("action", flat=True))
