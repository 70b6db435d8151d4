"""What AWS refuses, said for a person: why, and which right or setting is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

# docs.aws.amazon.com: "Common errors" of ECR and STS, and what API Gateways say before them
_REFUSED = frozenset(
    {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch"}
    | {"InvalidAccessKeyId", "IncompleteSignature", "AuthFailure"}
    | {"MissingAuthenticationToken", "MissingAuthenticationTokenException"}
)
_EXPIRED = frozenset({"ExpiredTokenException", "ExpiredToken"})
_DENIED = frozenset({"AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "OptInRequired"})
_THROTTLED = frozenset(
    {"ThrottlingException", "Throttling", "ThrottledException", "RequestThrottledException", "RequestLimitExceeded"}
    | {"TooManyRequestsException", "SlowDown"}
)
_CLOCK_SKEW_PHRASES = ("signature expired", "signature not yet current")


class SessionEnded(RegistryError):
    """The credentials of a role have come to their end."""


def explain(error: ClientError, *, key: str, in_role: bool) -> RegistryError:
    """The error for what AWS answered to a call that was signed with the access key ID ``key``.

    Its own words are not passed on: they may hold anything. A SessionEnded is only given to who acts in a role.
    """
    details = error.response.get("Error", {})
    code, words = str(details.get("Code", ""))[:60], str(details.get("Message", "")).lower()
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    service = "sts" if error.operation_name == "AssumeRole" else "ecr"
    right = f"{service}:{error.operation_name}"
    if code in _EXPIRED and in_role:
        return SessionEnded(messages.ROLE_EXPIRED_AT_ONCE(), messages.CHECK_CLOCK())
    if any(sign in words for sign in _CLOCK_SKEW_PHRASES) or code in {"RequestTimeTooSkewed", "RequestExpired"}:
        return RegistryError(
            messages.AWS_CLOCKS_DIFFER(),
            messages.SET_CLOCK(),
        )
    if "scoped to a valid region" in words:
        return AddressInvalid(
            messages.ENDPOINT_OF_OTHER_REGION(),
            messages.CORRECT_REGION(),
        )
    if code in _REFUSED or code in _EXPIRED:
        return _refused(temporary=key.startswith("ASIA") and not in_role)
    if code in _DENIED:
        return _denied(right, words)
    if code in _THROTTLED or status == 429:
        return RateLimited(
            messages.AWS_RATE_LIMITED(right=right),
            messages.RAISE_AWS_QUOTA(),
            retry_at=datetime.now(UTC) + timedelta(minutes=1),
        )
    if code == "RepositoryNotFoundException":
        return NotFound(
            messages.AWS_REPOSITORY_UNKNOWN(),
            messages.REPOSITORY_MAY_BE_DELETED(),
            what="repository",
        )
    if status >= 500 or code in {"ServerException", "InternalFailure", "ServiceUnavailable"}:
        return ServerError(
            messages.AWS_FAILED(right=right, code=code or status),
            messages.CHECK_HEALTH_DASHBOARD(),
        )
    return RegistryError(
        messages.AWS_REFUSES(right=right, code=code or status),
        messages.CHECK_ADDRESS_REGION_ENDPOINT(),
    )


def _refused(*, temporary: bool) -> CredentialsRefused:
    if temporary:
        return CredentialsRefused(
            messages.TEMPORARY_ACCESS_KEY(),
            messages.ENTER_KEY_OF_USER(),
        )
    return CredentialsRefused(
        messages.ACCESS_KEY_REFUSED(),
        messages.CORRECT_ACCESS_KEY(),
    )


def _denied(right: str, words: str) -> AccessDenied:
    if right == "sts:AssumeRole":
        return AccessDenied(
            messages.MAY_NOT_ASSUME_ROLE(),
            messages.ALLOW_ASSUME_ROLE(),
        )
    if "explicit deny" in words:
        return AccessDenied(
            messages.AWS_POLICY_DENIES(right=right),
            messages.FIND_DENY(),
        )
    return AccessDenied(
        messages.KEY_LACKS_RIGHT(right=right),
        messages.ALLOW_IN_IAM(right=right),
    )


def malformed_response() -> MalformedResponse:
    """The error for what boto3 cannot read, or what holds nothing that was asked for."""
    return MalformedResponse(messages.NO_RESPONSE_OF_AWS(), messages.CHECK_ENDPOINT_AND_PROXY())
