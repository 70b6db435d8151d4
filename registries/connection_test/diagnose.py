"""Test connection: from the host name to the first byte of a blob, and what to do where that ends."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

from django.utils.translation import gettext_lazy

from console.i18n.message_codes import NOTHING, Message, listing
from registries.clients import RegistryClient, endpoint_of, open_client
from registries.connection_test import messages
from registries.connectors.list_rights import nothing_visible
from registries.credential_encryption import SecretUnreadableError
from registries.login_guard import StoredLoginGuard
from registries.models import Registry
from registries.oci.classify import choose_platform, classify, tag_is_artifact
from registries.oci.endpoint import Endpoint
from registries.oci.errors import (
    AccessDenied,
    CredentialsRefused,
    RegistryError,
    TokenServiceElsewhere,
    TokensRefused,
    Unreachable,
)
from registries.oci.manifests import ImageManifest, Index, parse_manifest
from registries.oci.network_probe import Probe

MAX_REPOSITORIES = 20  # so many are looked into for an image to try
MAX_TAGS_PER_REPOSITORY = 10  # of each
MAX_MANIFESTS = 5  # so many manifests are read at most until one is an image


class ConnectionStage(enum.StrEnum):
    """What a connection goes through, in this order."""

    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    API = "api"
    CREDENTIALS = "credentials"
    LISTING = "listing"
    MANIFEST = "manifest"
    BLOB = "blob"


STAGE_LABELS = {
    ConnectionStage.DNS: gettext_lazy("DNS"),
    ConnectionStage.TCP: gettext_lazy("TCP"),
    ConnectionStage.TLS: gettext_lazy("TLS"),
    ConnectionStage.API: gettext_lazy("Registry API"),
    ConnectionStage.CREDENTIALS: gettext_lazy("Credentials"),
    ConnectionStage.LISTING: gettext_lazy("Listing"),
    ConnectionStage.MANIFEST: gettext_lazy("One manifest"),
    ConnectionStage.BLOB: gettext_lazy("One blob byte"),
}


class StepResult(enum.StrEnum):
    """How a step went."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    WARNED = "warned"  # it passed, and what was seen is most probably not what is wanted


@dataclass(frozen=True)
class ConnectionStep:
    """One step of the test. ``detail`` is what was seen; ``reason`` and ``remedy`` say what is wrong, if anything is.

    ``seconds`` is None where the step was not timed.
    """

    stage: ConnectionStage
    result: StepResult = StepResult.PASSED
    seconds: float | None = None
    detail: str = ""
    reason: Message = NOTHING
    remedy: Message = NOTHING
    refused: bool = False  # the credentials were: they must not be tried again unasked
    token_service: str = ""  # host that the registry wants the password sent to, which a person may allow

    @property
    def label(self) -> str:
        """The name of the step on screen."""
        return str(STAGE_LABELS[self.stage])


def diagnose(
    registry: Registry,
    *,
    check: Callable[[], None] = lambda: None,
    report: Callable[[ConnectionStep], None] = lambda step: None,
    record: bool = True,
) -> list[ConnectionStep]:
    """Try everything a sync and a scan need of ``registry``, saved or not, and return the steps up to the first that
    fails; ``report`` gets each as it is done. With ``record`` the outcome is recorded on the (stored) registry.

    The credentials are tried once. The manifest and the byte of an image that it reads do not count against the hourly
    limit. Raises nothing but what ``check`` raises, unless that is a RegistryError: then the step under way has failed.
    """
    steps = []
    for step in _examine(registry, check):
        steps.append(step)
        report(step)
    if record:
        _record(registry, steps)
    return steps


def _record(registry: Registry, steps: list[ConnectionStep]) -> None:
    failed = next((step for step in steps if step.result is StepResult.FAILED), None)
    proven = any(step.stage is ConnectionStage.CREDENTIALS and step.result is StepResult.PASSED for step in steps)
    login = StoredLoginGuard(registry, check=lambda: None)
    warned = next((step for step in steps if step.result is StepResult.WARNED), ConnectionStep(ConnectionStage.API))
    if failed is None:
        state = Registry.Connection.CONNECTED
        registry.record_connection(state=state, reason=warned.reason, remedy=warned.remedy)
    elif failed.refused and registry.type != Registry.Type.CCR:  # which has two passwords
        login.refused(CredentialsRefused(failed.reason, failed.remedy))
    else:
        state = Registry.Connection.REFUSED if failed.refused else Registry.Connection.FAILED
        registry.record_connection(state=state, reason=failed.reason, remedy=failed.remedy, proven=proven)
    if proven:
        login.confirmed()


def _examine(registry: Registry, check: Callable[[], None]) -> Iterator[ConnectionStep]:
    here = _Progress()
    try:
        endpoint = endpoint_of(registry)
        if registry.network == Registry.Network.VPC:
            for stage in (ConnectionStage.DNS, ConnectionStage.TCP, ConnectionStage.TLS):
                yield ConnectionStep(stage, StepResult.SKIPPED, detail=messages.INTERNAL_ADDRESS())
        else:
            yield from _network_steps(endpoint, here, check)
        here.at(ConnectionStage.API)
        with open_client(registry, check=check, manual=True) as client:
            client.ping()
            yield here.passed(messages.API_REPORTS_VERSION(version=client.about) if client.about else "")
            detail = "" if registry.has_login else messages.NO_CREDENTIALS_NEEDED()
            yield ConnectionStep(ConnectionStage.CREDENTIALS, detail=detail)
            yield from _content_steps(registry, client, here)
    except SecretUnreadableError as error:
        yield ConnectionStep(ConnectionStage.CREDENTIALS, StepResult.FAILED, reason=error.reason, remedy=error.remedy)
    except RegistryError as error:
        if isinstance(error, CredentialsRefused | AccessDenied | TokensRefused) and here.stage is ConnectionStage.API:
            yield ConnectionStep(ConnectionStage.API)
            here.stage = ConnectionStage.CREDENTIALS
        yield here.failed(error)


class _Progress:
    """Where the test is, and since when."""

    def __init__(self) -> None:
        self.at(ConnectionStage.DNS)

    def at(self, stage: ConnectionStage) -> None:
        self.stage, self.since = stage, time.monotonic()

    def passed(self, detail: str = "") -> ConnectionStep:
        return ConnectionStep(self.stage, seconds=time.monotonic() - self.since, detail=detail)

    def failed(self, error: RegistryError) -> ConnectionStep:
        seconds, reason, remedy = time.monotonic() - self.since, error.reason, error.remedy
        if self.stage is ConnectionStage.TCP and isinstance(error, Unreachable):
            # One text, and no time, for closed and filtered ports: nobody maps the network with this.
            return ConnectionStep(
                self.stage,
                StepResult.FAILED,
                reason=messages.NOTHING_RESPONDS(),
                remedy=messages.CHECK_PORT_AND_FIREWALL(),
            )
        refused = isinstance(error, CredentialsRefused)
        elsewhere = error.host if isinstance(error, TokenServiceElsewhere) else ""
        return ConnectionStep(
            self.stage,
            StepResult.FAILED,
            seconds,
            reason=reason,
            remedy=remedy,
            refused=refused,
            token_service=elsewhere,
        )


def _network_steps(endpoint: Endpoint, here: _Progress, check: Callable[[], None]) -> Iterator[ConnectionStep]:
    """Yield the steps from the name to the certificate."""
    if endpoint.proxy_for(endpoint.origin):
        for stage in (ConnectionStage.DNS, ConnectionStage.TCP, ConnectionStage.TLS):
            yield ConnectionStep(stage, StepResult.SKIPPED, detail=messages.DONE_BY_PROXY())
        return
    with Probe(endpoint, check=check) as probe:
        addresses = probe.resolve()
        more = messages.AND_MORE(n=len(addresses) - 3) if len(addresses) > 3 else ""
        yield here.passed(messages.RESOLVED(host=probe.origin.host, addresses=", ".join(addresses[:3]), more=more))
        here.at(ConnectionStage.TCP)
        address = probe.connect()
        yield here.passed(messages.PORT_OPEN(address=address, port=probe.origin.port))
        here.at(ConnectionStage.TLS)
        if probe.origin.scheme == "http":
            yield ConnectionStep(ConnectionStage.TLS, StepResult.SKIPPED, detail=messages.WITHOUT_TLS())
            return
        shown = probe.handshake()
        facts: list[str] = [shown.protocol.replace("TLSv", "TLS ")]
        if shown.expires:
            facts.append(messages.CERTIFICATE_VALID(date=shown.expires.date()))
        if shown.issuer:
            facts.append(messages.ISSUED_BY(name=shown.issuer))
        if endpoint.verify:
            yield here.passed(listing(facts))
        else:
            facts.append(messages.NOT_VALIDATED())
            yield ConnectionStep(
                ConnectionStage.TLS, StepResult.SKIPPED, time.monotonic() - here.since, detail=listing(facts)
            )


def _content_steps(registry: Registry, client: RegistryClient, here: _Progress) -> Iterator[ConnectionStep]:
    """Yield the steps from the listing to the first byte of an image."""
    here.at(ConnectionStage.LISTING)
    seen: list[str] = []
    candidates = _candidates(client, seen)
    first = next(candidates, None)
    if first is None:
        if seen:
            yield here.passed(messages.NO_IMAGES_YET())
        else:
            reason, remedy = nothing_visible(registry.type, anonymous=not registry.has_login)
            seconds = time.monotonic() - here.since
            yield ConnectionStep(here.stage, StepResult.WARNED, seconds, reason=reason, remedy=remedy)
        for stage in (ConnectionStage.MANIFEST, ConnectionStage.BLOB):
            yield ConnectionStep(stage, StepResult.SKIPPED, detail=messages.NO_IMAGE_TO_TRY())
        return
    yield here.passed(f"{first[0]}:{first[1]}")
    here.at(ConnectionStage.MANIFEST)
    for repository, tag in chain([first], islice(candidates, MAX_MANIFESTS - 1)):
        manifest, digest = _read_manifest(client, repository, tag)
        blobs = [blob for blob in ((manifest.config, *manifest.layers) if manifest else ()) if blob and blob.size]
        if blobs:
            break
    else:
        yield here.passed(messages.TRIED_IS_NO_IMAGE())
        yield ConnectionStep(ConnectionStage.BLOB, StepResult.SKIPPED, detail=messages.NO_IMAGE_TO_TRY())
        return
    yield here.passed(f"{repository}:{tag}, {digest[:19]}")
    here.at(ConnectionStage.BLOB)
    with client.blob(repository, blobs[0]) as content:
        content.read(1)
    yield here.passed()


def _candidates(client: RegistryClient, seen: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (repository, tag) of what may be an image, one of each repository; put the repositories into ``seen``."""
    for repository in islice(client.repositories(), MAX_REPOSITORIES):
        seen.append(repository)
        for tag in islice(client.tags(repository), MAX_TAGS_PER_REPOSITORY):
            if not tag_is_artifact(tag.name):
                yield repository, tag.name
                break


def _read_manifest(client: RegistryClient, repository: str, tag: str) -> tuple[ImageManifest | None, str]:
    """Read the manifest of a tag, and of an index the image for the default platform; None where it is no image."""
    digest = str(client.head(repository, tag).digest)
    for _depth in range(3):
        manifest = parse_manifest(client.manifest(repository, digest))
        if isinstance(manifest, Index) and classify(manifest).kind == "index":
            child = choose_platform(manifest)
            if child is not None:
                digest = str(child.digest)
                continue
        if isinstance(manifest, ImageManifest) and classify(manifest).kind == "image":
            return manifest, digest
        break
    return None, digest
