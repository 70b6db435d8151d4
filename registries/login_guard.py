"""One refused password stops every use of the account: what all processes know of it, kept in the database.

Credentials are sent under a lease on the registry's row until they have proven right in this use of them, so of any
number of workers and threads one tries a password, and the others find out what came of it before they do. Registries
that are reached by the same account share that lease, and are marked together.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from registries import messages
from registries.credential_encryption import SecretUnreadableError
from registries.models import CloudAccount, Registry
from registries.models.registry import CREDENTIAL_FIELDS, IS_REFUSED
from registries.oci.errors import CredentialsChanged, CredentialsRefused

LOGIN_LEASE = timedelta(seconds=60)  # so long is waited for who was killed while it tried a password
PROVEN_SECONDS = 30.0  # so long after a success a password that goes with each request is sent by several at once
REFUSAL_CHECK_SECONDS = 1.0  # so old may be what is known of a refusal then
LEASE_POLL_SECONDS = 0.05  # between looks at a lease that others hold

# Types whose credentials belong to an account of the vendor, whatever the address of the registry.
CLOUD_TYPES = frozenset({Registry.Type.AWS, Registry.Type.TCR, Registry.Type.CCR})

_thread_locks: dict[int, threading.Lock] = {}
_thread_locks_guard = threading.Lock()


def already_refused() -> CredentialsRefused:
    """The error for credentials that are not sent because they were refused before."""
    return CredentialsRefused(
        messages.CREDENTIALS_REFUSED_BEFORE(),
        messages.TYPE_PASSWORD_AGAIN(),
    )


def note_refusal(registry: Registry, error: CredentialsRefused) -> None:
    """Keep that the credentials of ``registry`` were refused, unless that is known: most refusals are noted as they
    come, but credentials that no request can hold come to none."""
    if not registry.credentials_refused:
        record_refusal(registry, error)


def record_refusal(registry: Registry, error: CredentialsRefused) -> None:
    """Mark ``registry``: its credentials are not sent again until a person has changed or confirmed them."""
    registry.record_connection(state=Registry.Connection.REFUSED, reason=error.reason, remedy=error.remedy)


class StoredLoginGuard:
    """The LoginGuard of the stored credentials of ``registry``, for one use of them at a time: see :meth:`begin`.

    With ``pulling`` of those that are for pulling alone. ``check`` is called while others are waited for.
    """

    def __init__(self, registry: Registry, *, check: Callable[[], None], pulling: bool = False) -> None:
        self._registry, self._check = registry, check
        self._username = "pull_username" if pulling else "username"
        self._reveal = Registry.reveal_pull_password if pulling else Registry.reveal_password
        self._pulling = pulling
        self._holder = threading.local()
        self._lock = threading.Lock()
        self._lease_key: int | None = None  # key of the registry whose row has the lease
        self._proven_until = self._marked_at = 0.0  # time.monotonic()

    def begin(self) -> None:
        """Begin another use of the credentials, in which they have to prove right again."""
        self._proven_until = 0.0

    @property
    def proven(self) -> bool:
        """As :meth:`registries.oci.login_guard.LoginGuard.proven`."""
        return time.monotonic() < self._proven_until

    def raise_if_refused(self) -> None:
        """As :meth:`registries.oci.login_guard.LoginGuard.look`. Asks the database once a second."""
        with self._lock:
            if time.monotonic() - self._marked_at < REFUSAL_CHECK_SECONDS:
                return
            self._marked_at = time.monotonic()
        with _database():
            self._raise_if_refused()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """As :meth:`registries.oci.login_guard.LoginGuard.alone`. Raises CredentialsChanged after an edit."""
        if getattr(self._holder, "inside", False):
            yield
            return
        with self._exclusive():
            try:
                yield
            except CredentialsRefused as error:
                self.refused(error)
                raise

    def accepted(self) -> None:
        """As :meth:`registries.oci.login_guard.LoginGuard.accepted`."""
        self._proven_until = time.monotonic() + PROVEN_SECONDS

    def refused(self, error: CredentialsRefused) -> None:
        """As :meth:`registries.oci.login_guard.LoginGuard.refused`."""
        self._proven_until = self._marked_at = 0.0
        with _database():
            record_refusal(self._registry, error)
            for other in self._of_same_account().exclude(pk=self._registry.pk):
                if self._has_same_password(other):
                    record_refusal(other, error)
            for account in self._accounts():
                account.record(state=Registry.Connection.REFUSED, reason=error.reason, remedy=error.remedy)

    def confirmed(self) -> None:
        """Lift the refusal from all that have the same credentials: they have proven right."""
        for other in self._of_same_account().filter(IS_REFUSED).exclude(pk=self._registry.pk):
            if self._has_same_password(other):
                values = {"connection": Registry.Connection.UNKNOWN, "connection_reason": "", "connection_remedy": ""}
                Registry._base_manager.filter(pk=other.pk).update(refused_login="", **values)

    # --- one at a time ------------------------------------------------------------------------------------------------
    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with _database():
            self._raise_if_refused()
            first = self._lease_row()
            with self._thread_lock(first), self._lease(first):
                self._raise_if_refused()
                self._holder.inside = True
                try:
                    yield
                finally:
                    self._holder.inside = False

    @contextmanager
    def _thread_lock(self, first: int) -> Iterator[None]:
        """Wait for the other threads of this process: they hand on without looking into the database again."""
        with _thread_locks_guard:
            lock = _thread_locks.setdefault(first, threading.Lock())
        while not lock.acquire(timeout=LEASE_POLL_SECONDS):
            self._check()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _lease(self, first: int) -> Iterator[None]:
        """Wait for other processes."""
        name, free = secrets.token_hex(16), Q(login_lease_until=None) | Q(login_lease_until__lt=Now())
        row = Registry._base_manager.filter(pk=first)
        while not row.filter(free).update(login_lease_until=Now() + LOGIN_LEASE, login_lease_holder=name):
            if not row.exists():
                break  # being removed
            self._raise_if_refused()
            self._check()
            time.sleep(LEASE_POLL_SECONDS)
        try:
            yield
        finally:
            row.filter(login_lease_holder=name).update(login_lease_until=None, login_lease_holder="")

    def _raise_if_refused(self) -> None:
        row = Registry._base_manager.filter(pk=self._registry.pk).only(*CREDENTIAL_FIELDS, "refused_login").first()
        if row is None:
            return  # being removed
        if row.current_login != self._registry.current_login and not self._encrypted_anew(row):
            raise CredentialsChanged(
                messages.CREDENTIALS_CHANGED(),
                messages.NEW_CREDENTIALS_USED(),
            )
        if row.credentials_refused:
            self._proven_until, self._registry.refused_login = 0.0, row.refused_login
            raise already_refused()

    def _encrypted_anew(self, row: Registry) -> bool:
        """Whether ``row`` differs from what is used by the key alone that its secrets are encrypted with."""
        if any(
            getattr(row, name) != getattr(self._registry, name)
            for name in CREDENTIAL_FIELDS
            if not name.endswith("_token")
        ):
            return False
        try:
            same = row.reveal_password() == self._registry.reveal_password()
            if not same or row.reveal_pull_password() != self._registry.reveal_pull_password():
                return False
        except SecretUnreadableError:
            return False
        for name in ("password_token", "pull_password_token"):
            setattr(self._registry, name, getattr(row, name))
        return True

    # --- who else has the account -------------------------------------------------------------------------------------
    def _lease_row(self) -> int:
        if self._lease_key is None:
            self._lease_key = self._of_same_account().order_by("pk").values_list("pk", flat=True).first()
        return self._lease_key or self._registry.pk

    def _of_same_account(self) -> QuerySet[Registry]:
        """Return the registries that the same account signs in to, whatever password is stored for it."""
        username = getattr(self._registry, self._username)
        found = Registry._base_manager.filter(**{self._username: username})
        if self._registry.type in CLOUD_TYPES and not self._pulling:
            return found.filter(type__in=self._cloud_types())
        scheme, _slashes, rest = self._registry.address.partition("://")
        server = f"{scheme}://{rest.partition('/')[0]}"
        return found.filter(Q(address=server) | Q(address__startswith=f"{server}/"))

    def _cloud_types(self) -> set[str]:
        aws = {Registry.Type.AWS.value}
        return aws if self._registry.type == Registry.Type.AWS else {each.value for each in CLOUD_TYPES} - aws

    def _has_same_password(self, other: Registry) -> bool:
        try:
            return self._reveal(other) == self._reveal(self._registry)
        except SecretUnreadableError:
            return False

    def _accounts(self) -> list[CloudAccount]:
        """Return the cloud accounts whose key it is that was refused."""
        if self._pulling or self._registry.type not in CLOUD_TYPES:
            return []
        found = []
        for account in CloudAccount._base_manager.filter(secret_id=self._registry.username):
            try:
                if account.reveal_secret_key() == self._reveal(self._registry):
                    found.append(account)
            except SecretUnreadableError:
                continue
        return found


@contextmanager
def _database() -> Iterator[None]:
    """Leave no connection behind in a thread that had none."""
    had = connection.connection is not None
    try:
        yield
    finally:
        if not had and not connection.in_atomic_block:
            connection.close()


def clear_outdated_refusals() -> None:
    """Forget refusals of credentials that registries have no longer, whatever has changed them."""
    for row in Registry._base_manager.filter(IS_REFUSED).only(*CREDENTIAL_FIELDS, "refused_login"):
        if not row.credentials_refused:
            Registry._base_manager.filter(pk=row.pk, refused_login=row.refused_login).update(refused_login="")
