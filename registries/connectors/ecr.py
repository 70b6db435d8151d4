"""The private registry of AWS (ECR): listed by its API, pulled by the login that the API issues for twelve hours."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from registries.connectors import messages
from registries.connectors.aws import AwsApi
from registries.connectors.base import Declaration, TagRef
from registries.connectors.declarations import AWS
from registries.connectors.logins import IssuedLoginProvider
from registries.oci import media_types
from registries.oci.client import DistributionClient
from registries.oci.errors import AccessDenied, AddressInvalid, MalformedResponse, NotFound, ServerError
from registries.oci.references import Digest

PAGE_SIZE = 1000  # the most that DescribeRepositories and DescribeImages take
LOGIN_MARGIN_SECONDS = 30 * 60  # before its end a login is replaced
MAX_SIZE_BYTES = 2**63 - 1
FALLBACK_REGION = "us-east-1"

# docs.aws.amazon.com/AmazonECR, "Amazon ECR registries"; the domains of the isolated partitions are botocore's
ECR_HOST_PATTERN = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?P<fips>-fips)?\.(?P<region>[a-z]+(-[a-z0-9]+)+)\.("
    r"amazonaws\.com(\.cn)?|amazonaws\.eu|(?P<dual>on\.aws|on\.amazonwebservices\.com\.cn)"
    r"|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)(:\d+)?"
)
ROLE_ARN_PATTERN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,200}")


class EcrConnector:
    """Repositories and tags with digest, size and push time, a thousand a page."""

    declaration: ClassVar[Declaration] = AWS
    fixed = False

    def __init__(self, client: DistributionClient, aws: AwsApi, *, account: str) -> None:
        self._client, self._aws = client, aws
        self._registry = {"registryId": account} if account else {}
        self._caches: tuple[str, ...] = ()  # what the names of repositories of pull-through caches begin with
        self._logins = EcrLoginProvider(aws)
        client.use_login_provider(self._logins)

    def ping(self) -> None:
        """Prove the key by having it hand out a login, and that login by the registry itself."""
        self._logins.issue()
        self._client.ping()

    def includes_tag(self, repository: str, tag: str) -> bool:
        """All are wanted: there is no typed list."""
        return True

    def repositories(self) -> Iterator[str]:
        """Yield all repositories of the account in this region but those of pull-through caches."""
        self._caches = self._cache_prefixes()
        for rows in self._aws.pages("describe_repositories", of="repositories", maxResults=PAGE_SIZE, **self._registry):
            names = (str(row.get("repositoryName")) for row in rows)
            yield from (name for name in names if not self.leaves_out(name))

    def leaves_out(self, repository: str) -> bool:
        """Whether ``repository`` is one of a pull-through cache, as the last listing has shown."""
        return repository.startswith(self._caches)

    def _cache_prefixes(self) -> tuple[str, ...]:
        """Return what the names of repositories begin with that only cache another registry; none where the key may
        not list the rules of that."""
        found: list[str] = []
        try:
            for rows in self._aws.pages(
                "describe_pull_through_cache_rules", of="pullThroughCacheRules", maxResults=PAGE_SIZE, **self._registry
            ):
                found += [str(row.get("ecrRepositoryPrefix") or "") for row in rows]
        except (AccessDenied, NotFound, MalformedResponse, ServerError):
            return ()  # also stand-ins of AWS that do not know the operation
        return tuple(f"{prefix}/" for prefix in found if prefix and prefix != "ROOT")

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags of ``repository`` but those that the listing shows to be no image; none where it is gone.

        Charts, signatures and other artifacts, and images in the archive, which cannot be pulled, are left out.
        """
        pages = self._aws.pages(
            "describe_images",
            of="imageDetails",
            repositoryName=repository,
            filter={"tagStatus": "TAGGED"},
            maxResults=PAGE_SIZE,
            **self._registry,
        )
        try:
            for rows in pages:
                for row in rows:
                    yield from _tags(row)
        except NotFound:
            return


class EcrLoginProvider(IssuedLoginProvider):
    """The logins for pulling: one at a time, replaced half an hour before its end or when it is refused."""

    def __init__(self, aws: AwsApi) -> None:
        super().__init__(remedy=messages.ALLOW_PULL_IN_IAM())
        self._aws = aws

    def _issue(self) -> tuple[str, str, float]:
        response = self._aws.call("get_authorization_token")
        try:
            given = response["authorizationData"][0]
            username, _colon, password = base64.b64decode(given["authorizationToken"]).decode("ascii").partition(":")
            ends: datetime | None = given.get("expiresAt")
        except (LookupError, TypeError, AttributeError, binascii.Error, UnicodeError):
            username = password = ""  # nosec B105  # none
        if not (username and password and password.isprintable()):
            raise MalformedResponse(messages.AWS_ISSUED_NO_LOGIN(), messages.CHECK_ENDPOINT())
        remaining = (ends - datetime.now(UTC)).total_seconds() if ends else 0.0
        # A stand-in of AWS may give an end that is long past: then it holds until the registry refuses it.
        life = max(remaining - LOGIN_MARGIN_SECONDS, remaining / 2) if remaining > 0 else float("inf")
        return username, password, life


@dataclass(frozen=True)
class EcrLocation:
    """Which registry of AWS an address means. ``account`` is "" where it does not say."""

    account: str
    region: str
    fips: bool = False
    dual_stack: bool = False


def ecr_location(host: str, *, region: str, custom_endpoint: bool) -> EcrLocation:
    """Return what ``host`` (with or without a port) says of the registry.

    With ``custom_endpoint`` the host may be any one, and ``region`` counts. Raises AddressInvalid.
    """
    found = ECR_HOST_PATTERN.fullmatch(host)
    if found is None and not custom_endpoint:
        raise AddressInvalid(
            messages.NO_ADDRESS_OF_ECR(),
            messages.LOOKS_LIKE_ECR(),
        )
    if found is None:
        return EcrLocation("", region or FALLBACK_REGION)
    if region and region != found["region"]:
        raise AddressInvalid(
            messages.REGIONS_DIFFER(there=found["region"], chosen=region),
            messages.LEAVE_REGION(),
        )
    return EcrLocation(found["account"], found["region"], bool(found["fips"]), bool(found["dual"]))


def check_role(role: str) -> str:
    """Return ``role``, "" for none. Raises AddressInvalid where it is no ARN of a role."""
    if role and not ROLE_ARN_PATTERN.fullmatch(role):
        raise AddressInvalid(messages.NO_ROLE_ARN(), messages.LOOKS_LIKE_ARN())
    return role


def _tags(image: dict[str, Any]) -> Iterator[TagRef]:
    media_type = str(image.get("imageManifestMediaType") or "")
    artifact = image.get("artifactMediaType") or ""
    if (
        image.get("subjectManifestDigest")
        or media_type == media_types.OCI_ARTIFACT
        or (artifact and media_type in media_types.MANIFESTS and artifact not in media_types.IMAGE_CONFIGS)
        or image.get("imageStatus") not in {None, "ACTIVE"}
    ):
        return
    size = image.get("imageSizeInBytes")
    is_index = media_type in media_types.INDEXES  # for which the size is that of the largest image in it
    pushed_at = image.get("imagePushedAt")
    for tag in image.get("imageTags") or ():
        yield TagRef(
            name=str(tag),
            digest=_digest(image.get("imageDigest")),
            media_type=media_type,
            size=size if isinstance(size, int) and 0 < size <= MAX_SIZE_BYTES and not is_index else None,
            pushed_at=pushed_at.astimezone(UTC) if isinstance(pushed_at, datetime) else None,
        )


def _digest(value: object) -> str | None:
    """``value`` where it is a digest; else None, and the registry is asked for it."""
    try:
        return str(Digest.parse(str(value)))
    except MalformedResponse:
        return None
