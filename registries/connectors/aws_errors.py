"""What AWS refuses, said for a person: why, and which right or setting is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

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
        return SessionEnded(
            _("AWS says at once that the credentials of the role have expired."), _("Check the clock of this machine.")
        )
    if any(sign in words for sign in _CLOCK_SKEW_PHRASES) or code in {"RequestTimeTooSkewed", "RequestExpired"}:
        return RegistryError(
            _("The clock of this machine and that of AWS differ by more than five minutes."),
            _("Set the clock, best by NTP, and try again."),
        )
    if "scoped to a valid region" in words:
        return AddressInvalid(
            _("The API endpoint belongs to another region than the registry."),
            _("Correct the region, or enter the endpoint of the region in the registry's address."),
        )
    if code in _REFUSED or code in _EXPIRED:
        return _refused(temporary=key.startswith("ASIA") and not in_role)
    if code in _DENIED:
        return _denied(right, words)
    if code in _THROTTLED or status == 429:
        return RateLimited(
            _("AWS limits the rate of calls to %(right)s.") % {"right": right},
            _("It is asked again later by itself. A quota of the account can be raised at AWS."),
            retry_at=datetime.now(UTC) + timedelta(minutes=1),
        )
    if code == "RepositoryNotFoundException":
        return NotFound(
            _("AWS does not know this repository."),
            _("It may have been deleted. The next sync notices that by itself."),
            what="repository",
        )
    if status >= 500 or code in {"ServerException", "InternalFailure", "ServiceUnavailable"}:
        return ServerError(
            _("The API of AWS failed at %(right)s (%(code)s).") % {"right": right, "code": code or status},
            _("Look at the AWS Health Dashboard, and try again later."),
        )
    return RegistryError(
        _("AWS refuses %(right)s (%(code)s).") % {"right": right, "code": code or status},
        _("Check address, region and API endpoint of this registry."),
    )


def _refused(*, temporary: bool) -> CredentialsRefused:
    if temporary:
        return CredentialsRefused(
            _("This is a temporary access key, and AWS takes none without its session token."),
            _("Enter the access key of an IAM user, which begins with AKIA, and the role, if it needs one."),
        )
    return CredentialsRefused(
        _("AWS refuses the access key ID or the secret access key."),
        _("Correct them in the registry's settings. The key may also be inactive or deleted, or of another partition."),
    )


def _denied(right: str, words: str) -> AccessDenied:
    if right == "sts:AssumeRole":
        return AccessDenied(
            _("The key may not take on the role."),
            _("Allow sts:AssumeRole on it to the key's user, and name that user in the role's trust policy."),
        )
    if "explicit deny" in words:
        return AccessDenied(
            _("A policy of AWS expressly denies the right %(right)s.") % {"right": right},
            _("Look for the deny in the policies of the user or role, of the organization and of the VPC endpoint."),
        )
    return AccessDenied(
        _("The key lacks the right %(right)s.") % {"right": right},
        _("Allow %(right)s to its user or role in IAM; for the registry of another account, there too.")
        % {"right": right},
    )


def malformed_response() -> MalformedResponse:
    """The error for what boto3 cannot read, or what holds nothing that was asked for."""
    return MalformedResponse(
        _("The answer is none that the API of AWS gives."), _("Check the API endpoint, and the proxy before it.")
    )
