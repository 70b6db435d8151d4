"""People for tests."""

from typing import Any

from console.models import User

PASSWORD = "a-long-password-for-tests"


def person(role: str = "viewer", **fields: Any) -> User:
    """Make somebody with this role who signs in as ``role`` (or ``username``) with PASSWORD."""
    return User.objects.create_user(fields.pop("username", role), password=PASSWORD, role=role, **fields)
