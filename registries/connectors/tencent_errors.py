"""What the error codes of the Tencent Container Registry mean for a person (tencentcloud.com/document/product/1051).

Families mislead: missing rights come as InternalError and FailedOperation too, so the last part of a code counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.utils.translation import gettext as _

from registries.oci.errors import (
    AccessDenied,
    AddressInvalid,
    CredentialsRefused,
    MalformedResponse,
    NotFound,
    RateLimited,
    RegistryError,
    ServerError,
)

_DENIED = frozenset({"UnauthorizedOperation", "ErrorTcrUnauthorized", "ErrUnauthorized"})
_NOT_OPENED = frozenset({"ErrNoUser", "ErrNoUserInitialized"})
_TRANSIENT = frozenset({"InternalError", "InternalError.DbError", "InternalError.Unknown"})


class PersonalEditionClosed(AccessDenied):
    """The account has not opened the personal edition in this region."""


def explain(code: str, *, action: str, region: str) -> RegistryError:
    """Return the error for ``code``, which ``action`` was answered in ``region``."""
    family, _dot, detail = code.partition(".")
    last = detail or family
    right = f"tcr:{action}"
    if family == "RequestLimitExceeded":
        return RateLimited(
            _("Tencent Cloud limits the rate of calls to %(right)s.") % {"right": right},
            _("It is asked again later by itself."),
            retry_at=datetime.now(UTC) + timedelta(minutes=1),
        )
    if last in _DENIED:
        return AccessDenied(
            _("The key lacks the right %(right)s.") % {"right": right},
            _("Allow %(right)s to its user in CAM, for this instance.") % {"right": right},
        )
    if last in _NOT_OPENED:
        return PersonalEditionClosed(
            _("The personal edition is not open in %(region)s.") % {"region": region},
            _("Open it in the Tencent Cloud console and set its password, or choose another region."),
        )
    if code == "AuthFailure.SignatureExpire":
        return RegistryError(
            _("The clock of this machine and that of Tencent Cloud differ by more than five minutes."),
            _("Set the clock, best by NTP, and try again."),
        )
    if family in {"AuthFailure", "InvalidCredential"}:
        return CredentialsRefused(
            _("Tencent Cloud refuses the SecretId or the SecretKey."),
            _("Correct them. The key may also be disabled or deleted; a docker login is no API key."),
        )
    if last == "ErrorInstanceNotRunning":
        return not_running(_("isolated or paused"))
    if last == "UnsupportedRegion":
        return AddressInvalid(
            _("Tencent Cloud has no container registry in the region “%(region)s”.") % {"region": region[:60]},
            _("Choose the region of the instance."),
        )
    if family == "ResourceNotFound" or last == "ErrNotExist":
        return NotFound(
            _("Tencent Cloud does not know what was asked for by %(right)s.") % {"right": right},
            _("It may have been deleted, or lie in another region."),
            what="repository",
        )
    if family in {"InternalError", "FailedOperation"}:
        return ServerError(
            _("Tencent Cloud failed at %(right)s (%(code)s).") % {"right": right, "code": code},
            _("Try again later. If it goes on, give this code to the support of Tencent Cloud."),
            retry=code in _TRANSIENT,
        )
    return MalformedResponse(
        _("Tencent Cloud refuses %(right)s (%(code)s).") % {"right": right, "code": code or _("no code")},
        _("Check region and API endpoint. The code stands in the API documentation of Tencent Cloud."),
    )


def not_running(status: str) -> RegistryError:
    """Return the error for an instance whose ``status``, as its vendor words it, is not that of a running one."""
    return ServerError(
        _("The instance does not run: Tencent Cloud says “%(status)s”.") % {"status": status[:60]},
        _("Look at it in the Tencent Cloud console: an isolated one has expired and can be renewed for some days."),
        retry=False,
    )
