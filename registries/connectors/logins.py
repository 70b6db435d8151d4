"""Logins for pulling that a cloud's API issues for some hours: cached while they are fresh, replaced when refused."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod

from console.i18n.message_codes import Message

MIN_RENEWAL_SECONDS = 60  # at least, between two logins that were asked for because one was refused


class IssuedLoginProvider(ABC):
    """One login at a time, shared by all threads of a client: the ``LoginProvider`` of registries.oci.auth."""

    def __init__(self, *, remedy: Message) -> None:
        self.remedy = remedy
        self._lock = threading.Lock()
        self._login: tuple[str, str] | None = None
        self._fresh_until = self._renewable_at = 0.0  # time.monotonic()

    @abstractmethod
    def _issue(self) -> tuple[str, str, float]:
        """Have the API hand out a login; return user name, password and for how many seconds it is to be used."""

    def login(self) -> tuple[str, str]:
        """Return the login, a new one where its time is over. Raises RegistryError."""
        with self._lock:
            if self._login is None or time.monotonic() >= self._fresh_until:
                return self._replace()
            return self._login

    def renew(self) -> bool:
        """Have another login handed out, unless that was done a moment ago. Raises RegistryError."""
        with self._lock:
            if time.monotonic() < self._renewable_at:
                return False
            self._renewable_at = time.monotonic() + MIN_RENEWAL_SECONDS
            self._replace()
            return True

    def issue(self) -> None:
        """Have a login handed out, which proves the key. Raises CredentialsRefused, AccessDenied and the like."""
        with self._lock:
            self._replace()

    def _replace(self) -> tuple[str, str]:
        username, password, seconds = self._issue()
        self._login = username, password
        self._fresh_until = time.monotonic() + seconds
        return self._login
