"""The second factor: codes of an authenticator app (TOTP, RFC 6238), and codes on paper for when that is lost.

django-allauth keeps the secrets and does the arithmetic. What it keeps in the memory of one process (used codes, failed
tries) is kept in the database here, so that it holds for all processes of the console.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from console import secret_keys
from console.accounts.models import User
from console.audit.models import AuditEvent

MAX_WRONG_CODES = 5
LOCKOUT_DURATION = timedelta(minutes=15)
PENDING_SIGN_IN_SECONDS = 5 * 60  # between the password and the code
PENDING_SESSION_KEY = "second-factor"  # in the session: who has given the right password
PENDING_SETUP_KEY = "second-factor-secret"  # in the session: the secret that is being set up


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Has django-allauth keep its secrets encrypted."""

    def encrypt(self, text: str) -> str:
        """Return ``text`` encrypted."""
        return str(_cipher().encrypt(text.encode()).decode())

    def decrypt(self, encrypted_text: str) -> str:
        """Return the text behind ``encrypted_text``; one that no code fits where the key is gone."""
        try:
            return str(_cipher().decrypt(encrypted_text.encode()).decode())
        except InvalidToken:
            return new_secret()


def _cipher() -> Fernet:
    path = settings.DATA_DIR / "keys" / "second_factor_key"
    return Fernet(secret_keys.read_or_make(path, make=Fernet.generate_key().decode()))


def is_enabled(user: User) -> bool:
    """Return whether ``user`` must give a code at sign-in."""
    return bool(Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists())


def new_secret() -> str:
    """Return a secret for an authenticator app."""
    return str(totp.generate_totp_secret())


def code_matches(secret: str, code: str) -> bool:
    """Return whether ``code`` is one that an app with ``secret`` shows about now."""
    return _time_step(secret, code) is not None


@transaction.atomic
def enable(user: User, secret: str) -> list[str]:
    """Ask ``user`` for codes of ``secret`` from now on; return the codes for paper, which are told this once."""
    disable(user)
    totp.TOTP.activate(user, secret)
    return list(RecoveryCodes.activate(user).generate_codes())


def disable(user: User) -> None:
    """Ask ``user`` for no code any more."""
    Authenticator.objects.filter(user=user).delete()


def unused_recovery_codes(user: User) -> int:
    """Return how many of the codes on paper are not used up."""
    authenticators = Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).first()
    return len(RecoveryCodes(authenticators).get_unused_codes()) if authenticators else 0


@transaction.atomic
def use_code(user: User, code: str) -> str:
    """Use up ``code``: return what it was, "totp" or "recovery", and "" where it is wrong or was used before."""
    code = code.replace(" ", "").replace("-", "")
    authenticators = {each.type: each for each in Authenticator.objects.select_for_update().filter(user=user)}
    app = authenticators.get(Authenticator.Type.TOTP)
    if app is not None:
        step = _time_step(MfaAdapter().decrypt(app.data["secret"]), code)
        if step is not None and step > app.data.get("last_step", 0):
            app.data["last_step"] = step
            app.last_used_at = timezone.now()
            app.save(update_fields=["data", "last_used_at"])
            return "totp"
    recovery = authenticators.get(Authenticator.Type.RECOVERY_CODES)
    return "recovery" if recovery is not None and RecoveryCodes(recovery).validate_code(code) else ""


@contextmanager
def attempt_lock(user: User) -> Iterator[None]:
    """Let nobody else try at the proofs of ``user`` within the block, so that requests at the same time count too.

    Ask ``is_locked_out`` and record what was refused within it.
    """
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        yield


def is_locked_out(user: User) -> bool:
    """Return whether too many wrong codes were given for ``user`` lately."""
    wrong = AuditEvent.objects.filter(
        action="sign-in.code-refused", target=user.get_username(), at__gte=timezone.now() - LOCKOUT_DURATION
    )
    return wrong.count() >= MAX_WRONG_CODES


def qr_code(user: User, secret: str) -> str:
    """Return the picture of ``secret`` that apps read, as SVG."""
    adapter = MfaAdapter()
    return cast(str, adapter.build_totp_svg(adapter.build_totp_url(user, secret)))


def begin_code_step(session: Any, user: User, *, backend: str, next_url: str) -> None:
    """Note in ``session`` that ``user`` has given the right password, and has some minutes to give a code."""
    session.cycle_key()
    session[PENDING_SESSION_KEY] = {"user": user.pk, "hash": user.get_session_auth_hash(), "at": int(time.time())} | {
        "backend": backend,
        "next": next_url,
    }


def pending_sign_in(session: Any) -> tuple[User, str, str] | None:
    """Return who may give a code now, by which backend, and where that leads; None where nobody may."""
    pending = session.get(PENDING_SESSION_KEY)
    if not pending or time.time() - pending["at"] > PENDING_SIGN_IN_SECONDS:
        return None
    user = User.objects.filter(pk=pending["user"], is_active=True).first()
    if user is None or user.get_session_auth_hash() != pending["hash"]:
        return None
    return user, pending["backend"], pending["next"]


def _time_step(secret: str, code: str) -> int | None:
    """Return the step of time that ``code`` belongs to, None where it is of none about now."""
    for step in totp.yield_hotp_counters_from_time():
        if compare_user_code(actual=code, expected=totp.format_hotp_value(totp.hotp_value(secret, step))):
            return int(step)
    return None
