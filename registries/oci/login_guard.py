"""Who may send a password now: registries lock accounts after a few wrong ones, whoever sends them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from registries.oci.errors import CredentialsRefused


class LoginGuard(Protocol):
    """Asked before each request that carries a password, a key or what is signed with one. Thread-safe."""

    @property
    def proven(self) -> bool:
        """Whether the credentials have been accepted a moment ago: then several may send them at once."""

    def raise_if_refused(self) -> None:
        """Raise CredentialsRefused where the credentials were refused, as far as is known."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Return a block in which nobody else tries the same credentials. Blocks of one thread may lie in each other.

        A CredentialsRefused that leaves the block is remembered for all. Raises CredentialsRefused where the
        credentials were refused before, and what waiting raises.
        """

    def accepted(self) -> None:
        """Note that the registry has taken the credentials."""

    def refused(self, error: CredentialsRefused) -> None:
        """Remember for all that the registry does not take the credentials."""


class NoGuard:
    """For credentials that a person has just typed and tries once."""

    proven = True

    def raise_if_refused(self) -> None:
        """As :meth:`LoginGuard.look`."""

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """As :meth:`LoginGuard.alone`; keeps nobody waiting."""
        yield

    def accepted(self) -> None:
        """As :meth:`LoginGuard.accepted`."""

    def refused(self, error: CredentialsRefused) -> None:
        """As :meth:`LoginGuard.refused`."""


@contextmanager
def sending(guard: LoginGuard) -> Iterator[None]:
    """The block of one request with the credentials: beside others where they are proven, else alone."""
    if guard.proven:
        guard.raise_if_refused()
        yield
    else:
        with guard.exclusive():
            yield
