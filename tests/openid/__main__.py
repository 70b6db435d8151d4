"""Serves the provider: ``python -m tests.openid FOLDER``, which says its port, until its standard input ends."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any
from wsgiref.simple_server import make_server

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

SIGN_IN = '<form method="post">{% csrf_token %}{{ form }}<button>Sign in</button></form>'


def configure(folder: Path, issuer: str) -> None:
    """Set up a Django project that has the toolkit and Django's own sign-in, and nothing of the console."""
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    loaders = [
        ("django.template.loaders.locmem.Loader", {"registration/login.html": SIGN_IN}),
        "django.template.loaders.app_directories.Loader",
    ]
    settings.configure(
        SECRET_KEY="of-a-provider-for-tests-" * 3,
        ALLOWED_HOSTS=["127.0.0.1", "localhost"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "provider.sqlite3")}},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "oauth2_provider",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": loaders}}],
        ROOT_URLCONF="tests.openid.urls",
        LOGIN_URL="/login/",
        USE_TZ=True,
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # fast, as in the tests
        OAUTH2_PROVIDER={
            "OIDC_ENABLED": True,
            "OIDC_ISS_ENDPOINT": issuer,
            "OIDC_RSA_PRIVATE_KEY": key.decode(),
            "OAUTH2_VALIDATOR_CLASS": "tests.openid.claims.Claims",
            "SCOPES": {"openid": "Who you are", "profile": "Your name and groups", "email": "Your address"},
        },
    )
    django.setup()


def fill(known: dict[str, Any]) -> None:
    """Make the people and the clients of ``known``."""
    from django.contrib.auth.models import Group, User
    from oauth2_provider.models import Application

    for name, person in known["people"].items():
        user = User.objects.create_user(name, f"{name}@example.com", person["password"])
        user.groups.set([Group.objects.get_or_create(name=group)[0] for group in person["groups"]])
    for client in known["clients"]:
        Application.objects.create(
            **client,
            client_type=Application.CLIENT_CONFIDENTIAL,
            authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
            algorithm=Application.RS256_ALGORITHM,
        )


def main(folder: Path) -> None:
    """Serve until standard input ends, so that the provider does not outlive who has started it."""
    with make_server("127.0.0.1", 0, None) as server:  # type: ignore[arg-type]
        configure(folder, f"http://127.0.0.1:{server.server_port}")
        call_command("migrate", verbosity=0)
        fill(json.loads((folder / "known.json").read_text()))
        server.set_app(get_wsgi_application())
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        print(server.server_port, flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
