"""What can go wrong with a registry, each with a reason and a remedy for a person.

No message holds a body, a password, a token or the query of an address.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from console.i18n.message_codes import ExplainedError, Message


class RegistryError(ExplainedError):
    """A registry did not give what was asked of it. ``retry`` says whether it may work later without any change."""


class AddressInvalid(RegistryError):
    """The address of the registry is not one that can be called."""


class PlainHttpForbidden(AddressInvalid):
    """The address is http, and nobody has allowed that for this registry."""


class AddressForbidden(RegistryError):
    """A name leads to an address that must not be reached from here (loopback, link-local, metadata services)."""


class NameNotResolved(RegistryError):
    """The host name is not known to the DNS."""


class Unreachable(RegistryError):
    """No connection, or one that broke. ``host`` is set where none could be made at all."""

    retries = True

    def __init__(self, reason: Message, remedy: Message, *, retry: bool | None = None, host: str = "") -> None:
        super().__init__(reason, remedy, retry=retry)
        self.host = host.strip("[]").rstrip(".").lower()


class ConnectionRefused(Unreachable):
    """The host is there and nothing listens on the port."""


class TimedOut(Unreachable):
    """No answer in time, or one that trickles."""


class TlsError(RegistryError):
    """The TLS handshake failed for another reason than the certificate."""


class CertificateError(TlsError):
    """The certificate is not one to trust for this host."""


class NotARegistry(RegistryError):
    """Something answers, and it is no registry."""


class WrongVersion(NotARegistry):
    """The registry is of the expected make and of another version; ``version`` is the one to choose."""

    def __init__(self, reason: Message, remedy: Message, *, version: str) -> None:
        super().__init__(reason, remedy)
        self.version = version


class CredentialsRefused(RegistryError):
    """The user name or the password is wrong, or both are missing. Never repeat it: registries lock accounts."""


class AccessDenied(RegistryError):
    """The credentials are right (or none are needed to get in), and they do not suffice for this."""


class TokensRefused(RegistryError):
    """The registry does not take the tokens of its own token service. That says nothing of the password."""

    retries = True


class CredentialsChanged(RegistryError):
    """The credentials were changed while they were in use; the work can go on with the new ones."""

    retries = True


class PolicyBlocked(AccessDenied):
    """A policy of the registry blocks this pull."""


class NotFound(RegistryError):
    """The registry says that a repository, a manifest or a blob is not there."""

    def __init__(
        self, reason: Message, remedy: Message, *, what: Literal["repository", "manifest", "blob", "page"] = "page"
    ) -> None:
        super().__init__(reason, remedy)
        self.what = what


class RateLimited(RegistryError):
    """The registry limits the rate. ``retry_at`` (aware) is when it will listen again, where it has told."""

    retries = True

    def __init__(self, reason: Message, remedy: Message, *, retry_at: datetime | None = None) -> None:
        super().__init__(reason, remedy)
        self.retry_at = retry_at


class AccountLocked(RateLimited):
    """The registry lets nobody sign in with this account for a while, not even with the right password."""


class ServerError(RegistryError):
    """The registry or a proxy before it failed (5xx)."""

    retries = True


class RedirectRefused(RegistryError):
    """The registry redirects in a loop, too often, or to where no request may go."""


class TokenServiceElsewhere(RedirectRefused):
    """The registry names a token service at another ``host``, which nobody has allowed to be sent the password."""

    def __init__(self, reason: Message, remedy: Message, *, host: str) -> None:
        super().__init__(reason, remedy)
        self.host = host


class MalformedResponse(RegistryError):
    """The registry answered what no registry may answer: broken JSON, contradictions, wrong types."""


class InvalidNames(MalformedResponse):
    """A list held names that no request can hold. Raised at its end: all other names were given."""


class PartsUnreadable(RegistryError):
    """``parts`` of a list (projects, namespaces, …) could not be read. Raised at its end: all others were given."""

    def __init__(self, reason: Message, remedy: Message, *, parts: tuple[str, ...]) -> None:
        super().__init__(reason, remedy)
        self.parts = parts


class ListingTooLong(MalformedResponse):
    """A list of tags or repositories goes on beyond what is read of one. What was given till then is right."""


class TooLarge(MalformedResponse):
    """An answer is larger than any honest one."""


class DigestMismatch(RegistryError):
    """Content is not what its digest or its size says. What reads small content loads it once more by itself."""


class Truncated(RegistryError):
    """Content ended early again and again."""

    retries = True
