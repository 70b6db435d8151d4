"""What of this installation is not safe yet, with how to mend it: the page "Security".

The apps register the functions that look. Each takes nothing and returns checks; none asks the network.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core import checks
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.accounts import sso
from console.accounts.models import User
from console.audit.models import AuditEvent
from console.extension_points import ExtensionPoint, path_of
from console.server import reverse_proxies

Text = str | Promise
IDLE_ACCOUNT_AGE = timedelta(days=90)
MIN_AUDIT_DAYS = 90  # days
# What Django says of TLS and debugging; ``transport`` says it in other words.
COVERED_BY_TRANSPORT = {f"security.W{number:03}" for number in (4, 5, 8, 12, 16, 18, 21)}


@dataclass(frozen=True)
class InstallationCheck:
    """One thing that was looked at. ``do`` is what a button on the page can do about it, ``label`` its words."""

    level: Literal["fault", "advice", "ok"]
    title: Text
    text: Text = ""
    remedy: Text = ""
    do: str = ""
    label: Text = ""


SecurityCheck = Callable[[], Iterable[InstallationCheck]]
SECURITY_CHECKS: ExtensionPoint[SecurityCheck] = ExtensionPoint("security check")


def register(check: SecurityCheck, *, order: int) -> None:
    """Show what ``check`` finds on the page Installation check, below that of a lower ``order``."""
    SECURITY_CHECKS.register(path_of(check), check, order=order)


def run_all() -> list[InstallationCheck]:
    """Return the checks of all registered functions, in their order."""
    return [found for check in SECURITY_CHECKS.values() for found in check()]


def transport() -> Iterator[InstallationCheck]:
    """How people reach the console."""
    if settings.HTTPS:
        yield InstallationCheck(
            "ok",
            _("The console is reached by HTTPS"),
            _("Cookies are sent only over HTTPS, and browsers are instructed to use it (HSTS)."),
        )
    elif urlsplit(settings.URL).hostname in {"127.0.0.1", "localhost", "::1"}:
        yield InstallationCheck(
            "advice",
            _("The console is reached without TLS"),
            _("This is safe only for use on this machine: TALLYMAN_URL names a loopback address."),
            _("Before others use it, put a reverse proxy with TLS in front and set TALLYMAN_URL to its https address."),
        )
    else:
        yield InstallationCheck(
            "fault",
            _("The console is reached without TLS"),
            _("Anyone who sees the traffic can read passwords and take over sessions."),
            _("Put a reverse proxy with TLS in front and set TALLYMAN_URL to its https address."),
        )
    if any(network.prefixlen == 0 for network in reverse_proxies.parse_networks(settings.TRUSTED_PROXIES)[0]):
        yield InstallationCheck(
            "fault",
            _("Every address is trusted as a proxy"),
            _("Any client can write any address into the audit trail and avoid the sign-in lockout."),
            _("Name only the addresses of your proxies in TALLYMAN_TRUSTED_PROXIES."),
        )
    if settings.DEBUG:
        yield InstallationCheck(
            "fault",
            _("Debugging is on"),
            _("Error pages show code, settings and values to everyone."),
            _("Remove TALLYMAN_DEBUG and start the console again."),
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield InstallationCheck(
            "fault",
            _("Any host name is accepted"),
            _("A forged Host header can make links lead elsewhere."),
            _("Name the hosts in TALLYMAN_HOSTS."),
        )


def framework() -> Iterator[InstallationCheck]:
    """What Django's own check for production says; the same as ``manage.py check --deploy``."""
    found = checks.run_checks(include_deployment_checks=True, tags=[checks.Tags.security])
    warnings = [each for each in found if each.level >= checks.WARNING and each.id not in COVERED_BY_TRANSPORT]
    if not warnings:
        yield InstallationCheck("ok", _("manage.py check --deploy has no warnings"))
    for each in warnings:
        yield InstallationCheck("advice", _("Django warns: %(id)s") % {"id": each.id}, each.msg, each.hint or "")


def people() -> Iterator[InstallationCheck]:
    """Who can sign in, and how."""
    active = User.objects.filter(is_active=True)
    powerful = [user for user in active if user.may_administer and user.has_usable_password()]
    with_totp = set(Authenticator.objects.filter(type=Authenticator.Type.TOTP).values_list("user_id", flat=True))
    without_totp = sorted(user.get_username() for user in powerful if user.pk not in with_totp)
    if without_totp:
        yield InstallationCheck(
            "fault" if settings.HTTPS else "advice",
            _("Administrators without second factor"),
            ngettext("%(names)s signs in by password alone.", "%(names)s sign in by password alone.", len(without_totp))
            % {"names": ", ".join(without_totp[:10])},
            _("Each of them switches it on at the top right, under the name: Your account."),
        )
    else:
        yield InstallationCheck("ok", _("All administrators with a password have a second factor"))
    since = timezone.now() - IDLE_ACCOUNT_AGE
    idle = [
        user.get_username() for user in active.order_by("username") if (user.last_login or user.date_joined) < since
    ]
    if idle:
        yield InstallationCheck(
            "advice",
            _("Unused accounts"),
            _("Not signed in for 90 days: %(names)s.") % {"names": ", ".join(idle[:10])},
            _("Deactivate them in Users."),
        )
    fast = [user.get_username() for user in active if user.has_usable_password() and not _has_slow_hash(user.password)]
    if fast:
        yield InstallationCheck(
            "fault",
            _("Passwords with a weak hash"),
            _("Accounts: %(names)s.") % {"names": ", ".join(sorted(fast)[:10])},
            _("Ask them to set a new password; it is hashed with Argon2."),
        )
    if sso.is_enabled():
        yield from _single_sign_on()


def _has_slow_hash(password: str) -> bool:
    return password.startswith("argon2")


def _single_sign_on() -> Iterator[InstallationCheck]:
    if not settings.OIDC_ISSUER.startswith("https://"):
        yield InstallationCheck(
            "fault",
            _("The sign-in service is contacted without TLS"),
            _("Anyone on the network path can impersonate users."),
            _("Use its https address in TALLYMAN_OIDC_ISSUER."),
        )
    for role in ("administrator", "operator"):
        if sso.ANY_GROUP in settings.OIDC_GROUPS[role]:
            yield InstallationCheck(
                "fault",
                _("Every account of the sign-in service is %(role)s") % {"role": role},
                _("The setting names “*”."),
                _("Name groups in TALLYMAN_OIDC_%(role)sS.") % {"role": role.upper()},
            )


def keys() -> Iterator[InstallationCheck]:
    """The keys in the data folder: who may read them, and whether somebody has said that they are backed up."""
    folder = settings.DATA_DIR / "keys"
    loose = [path.name for path in (settings.DATA_DIR, folder, *_key_files()) if _others_can_read(path)]
    if loose:
        yield InstallationCheck(
            "fault",
            _("Other users of this machine can read the data folder"),
            _("Too open: %(names)s.") % {"names": ", ".join(loose)},
            _("Run: chmod -R go-rwx %(folder)s") % {"folder": settings.DATA_DIR},
        )
    else:
        yield InstallationCheck("ok", _("Only the console's own user can read the data folder"))
    last = AuditEvent.objects.filter(action="key.backup").order_by("-id").first()
    if last is None or last.detail.get("fingerprint") != fingerprint():
        yield InstallationCheck(
            "fault",
            _("The backup of the keys is not confirmed"),
            _("Without them stored registry passwords cannot be read again, whatever else is restored."),
            _("Copy %(folder)s to a safe place, apart from backups of the database; then confirm it here.")
            % {"folder": folder},
            do="key.backup",
            label=_("The keys are backed up"),
        )
    else:
        text = _("Confirmed by %(name)s. A new key must be confirmed again.") % {"name": last.actor_name or "–"}
        yield InstallationCheck("ok", _("The keys are backed up"), text)


def fingerprint() -> str:
    """Return what tells the keys of now from others, and nothing more."""
    parts = sorted(f"{path.name}:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in _key_files())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _key_files() -> list[Path]:
    folder: Path = settings.DATA_DIR / "keys"
    return sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))


def _others_can_read(path: Path) -> bool:
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def machine() -> Iterator[InstallationCheck]:
    """The user the console runs as, and the services it uses."""
    if os.geteuid() == 0:
        yield InstallationCheck(
            "advice",
            _("The console runs as root"),
            _("A process that escapes the console has full control of the machine."),
            _("Run it as a user of its own; the README has the service file."),
        )
    else:
        yield InstallationCheck("ok", _("The console does not run as root"))
    database = settings.DATABASES["default"]
    if database.get("HOST") and not database["HOST"].startswith("/"):
        mode = database.get("OPTIONS", {}).get("sslmode", "")
        if mode not in {"verify-full", "verify-ca"}:
            yield InstallationCheck(
                "advice",
                _("The connection to the database is not verified"),
                _("sslmode is “%(mode)s”.") % {"mode": mode or "prefer"},
                _("Add ?sslmode=verify-full&sslrootcert=… to DATABASE_URL, unless nobody else uses the network."),
            )
    redis = urlsplit(settings.REDIS_URL)
    if settings.REDIS_URL and (redis.scheme != "rediss" or not redis.password):
        yield InstallationCheck(
            "advice",
            _("Redis is without TLS or without password"),
            _("Anyone who can write to Redis can wake workers, but not choose what they do."),
            _("Use rediss:// with a password in REDIS_URL."),
        )
    if parse_qs(redis.query).get("ssl_cert_reqs") == ["none"]:
        yield InstallationCheck(
            "fault",
            _("The certificate of Redis is not verified"),
            "",
            _("Remove ssl_cert_reqs=none from REDIS_URL."),
        )


def trail() -> Iterator[InstallationCheck]:
    """How long the audit trail goes back."""
    if settings.AUDIT_DAYS and settings.AUDIT_DAYS < MIN_AUDIT_DAYS:
        yield InstallationCheck(
            "advice",
            _("The audit trail is short"),
            _("Events are removed after %(n)s days; intrusions are often found later.") % {"n": settings.AUDIT_DAYS},
            _("Set TALLYMAN_AUDIT_DAYS to 365 or more."),
        )
    else:
        yield InstallationCheck("ok", _("The audit trail goes back far enough"))
