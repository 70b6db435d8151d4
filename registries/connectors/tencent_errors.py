"""What the error codes of the Tencent Container Registry mean for a person (tencentcloud.com/document/product/1051).

Families mislead: missing rights come as InternalError and FailedOperation too, so the last part of a code counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from console.i18n.message_codes import Message
from registries.connectors import messages
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
            messages.TENCENT_RATE_LIMITED(right=right),
            messages.RETRIED_LATER(),
            retry_at=datetime.now(UTC) + timedelta(minutes=1),
        )
    if last in _DENIED:
        return AccessDenied(
            messages.KEY_LACKS_RIGHT(right=right),
            messages.ALLOW_IN_CAM(right=right),
        )
    if last in _NOT_OPENED:
        return PersonalEditionClosed(
            messages.PERSONAL_EDITION_NOT_OPEN(region=region),
            messages.OPEN_PERSONAL_EDITION(),
        )
    if code == "AuthFailure.SignatureExpire":
        return RegistryError(
            messages.TENCENT_CLOCKS_DIFFER(),
            messages.SET_CLOCK(),
        )
    if family in {"AuthFailure", "InvalidCredential"}:
        return CredentialsRefused(
            messages.SECRET_REFUSED(),
            messages.CORRECT_SECRET(),
        )
    if last == "ErrorInstanceNotRunning":
        return not_running(messages.ISOLATED_OR_PAUSED())
    if last == "UnsupportedRegion":
        return AddressInvalid(
            messages.NO_TCR_IN_REGION(region=region[:60]),
            messages.CHOOSE_REGION(),
        )
    if family == "ResourceNotFound" or last == "ErrNotExist":
        return NotFound(
            messages.TENCENT_UNKNOWN(right=right),
            messages.DELETED_OR_OTHER_REGION(),
            what="repository",
        )
    if family in {"InternalError", "FailedOperation"}:
        return ServerError(
            messages.TENCENT_FAILED(right=right, code=code),
            messages.TRY_LATER_OR_SUPPORT(),
            retry=code in _TRANSIENT,
        )
    return MalformedResponse(
        messages.TENCENT_REFUSES(right=right, code=code or messages.NO_CODE()),
        messages.CHECK_REGION_AND_ENDPOINT(),
    )


def not_running(status: str) -> RegistryError:
    """Return the error for an instance whose ``status``, as its vendor words it, is not that of a running one."""
    return ServerError(
        messages.INSTANCE_NOT_RUNNING(status=status if isinstance(status, Message) else status[:60]),
        messages.CHECK_INSTANCE(),
        retry=False,
    )
