"""Who may send a password now: registries lock accounts after a few wrong ones, whoever sends them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from registries.oci.errors import CredentialsRefused


class LoginGuard(Protocol):
    """Asked before each request that carries a password, a key or what is signed with one. Thread-safe."""

    def sending(self, *, alone: bool = False) -> AbstractContextManager[None]:
        """Return a block in which the credentials may be sent.

        With ``alone``, and until :meth:`accepted` was called, nobody else sends the same credentials meanwhile. Blocks
        of one thread may lie within each other. A CredentialsRefused that leaves the block is remembered for all.
        Raises CredentialsRefused where the credentials were refused before, and what waiting raises.
        """

    def accepted(self) -> None:
        """Note that the registry has taken the credentials."""

    def refused(self, error: CredentialsRefused) -> None:
        """Remember for all that the registry does not take the credentials."""


class NoGuard:
    """For credentials that a person has just typed and tries once."""

    @contextmanager
    def sending(self, *, alone: bool = False) -> Iterator[None]:
        """As :meth:`LoginGuard.sending`; keeps nobody waiting."""
        yield

    def accepted(self) -> None:
        """As :meth:`LoginGuard.accepted`."""

    def refused(self, error: CredentialsRefused) -> None:
        """As :meth:`LoginGuard.refused`."""
