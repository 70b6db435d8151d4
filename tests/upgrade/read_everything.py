"""``python -m tests.upgrade.read_everything``: read all rows and open all pages; prints what came of it as JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

LEAVING = {"console:sign-out", "console:sso", "console:sso-callback"}  # these lead out of the console


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from console import visibility

    with visibility.unrestricted():
        found = {"problem": problem(), "models": models(), "password": password(), "pages": pages()}
    print(json.dumps(found))


def problem() -> str:
    """Return what is not right with the tables."""
    from console.db import schema

    return schema.find_problem()


def models() -> dict[str, int]:
    """Read each row of each model; return how many there are."""
    from django.apps import apps

    every = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    return {model._meta.label: sum(1 for row in model._base_manager.all() if repr(row)) for model in every}


def password() -> str:
    """Return the registry's password, decrypted."""
    from registries import credentials
    from registries.models import Registry

    return credentials.decrypt(Registry._base_manager.exclude(password_token="").get().password_token)


def pages() -> dict[str, int]:
    """Open each address of the console there is a row for, as an administrator; return the status of each."""
    from django.test import Client

    from console.models import User
    from tests.pages import addresses
    from tests.upgrade.rows import OWNER

    client = Client(raise_request_exception=False, headers={"host": "127.0.0.1"})
    client.force_login(User._base_manager.get(username=OWNER), backend="django.contrib.auth.backends.ModelBackend")
    statuses: dict[str, Any] = {}
    for name, path in list(addresses()):
        if name not in LEAVING:
            statuses[name] = client.get(path).status_code
    return statuses


if __name__ == "__main__":
    sys.exit(main())
