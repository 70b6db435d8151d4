"""Test connection: from the host name to the first byte of a blob, and what to do where that ends."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from registries.clients import RegistryClient, open_client
from registries.models import Registry
from registries.oci.errors import (
    AddressForbidden,
    AddressInvalid,
    CredentialsRefused,
    NameNotResolved,
    RegistryError,
    TlsError,
    Unreachable,
)
from registries.oci.kinds import choose_platform, classify, tag_is_artifact
from registries.oci.manifests import ImageManifest, Index, parse_manifest
from registries.secrets import SecretUnreadableError

REPOSITORIES = 20  # so many are looked into for an image to try
TAGS = 10  # of each


class Stage(enum.StrEnum):
    """What a connection goes through, in this order."""

    ADDRESS = "address"
    CONNECTION = "connection"
    TLS = "tls"
    API = "api"
    CREDENTIALS = "credentials"
    LISTING = "listing"
    MANIFEST = "manifest"
    BLOB = "blob"


LABELS = {
    Stage.ADDRESS: gettext_lazy("Host name"),
    Stage.CONNECTION: gettext_lazy("Connection"),
    Stage.TLS: gettext_lazy("Certificate"),
    Stage.API: gettext_lazy("Registry API"),
    Stage.CREDENTIALS: gettext_lazy("Credentials"),
    Stage.LISTING: gettext_lazy("List of repositories and tags"),
    Stage.MANIFEST: gettext_lazy("Manifest of an image"),
    Stage.BLOB: gettext_lazy("Content of an image"),
}


class Result(enum.StrEnum):
    """How a step went."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Step:
    """One step of the test. ``detail`` is what was seen; ``reason`` and ``remedy`` are filled where it failed."""

    stage: Stage
    result: Result
    seconds: float = 0.0
    detail: str = ""
    reason: str = ""
    remedy: str = ""

    @property
    def label(self) -> str:
        """The name of the step on screen."""
        return str(LABELS[self.stage])


def diagnose(registry: Registry, *, check: Callable[[], None] = lambda: None) -> list[Step]:
    """Try everything a sync and a scan need of ``registry``, saved or not; record the outcome on it.

    Returns all steps up to the first that fails. Raises nothing but what ``check`` raises. The credentials are tried
    once. The manifest and the byte of an image that it reads do not count against the hourly limit.
    """
    steps = list(examine(registry, check=check))
    failed = next((step for step in steps if step.result is Result.FAILED), None)
    if failed is None:
        registry.record_connection(state=Registry.Connection.CONNECTED)
    else:
        refused = failed.stage is Stage.CREDENTIALS
        registry.record_connection(
            state=Registry.Connection.REFUSED if refused else Registry.Connection.FAILED,
            reason=failed.reason,
            remedy=failed.remedy,
        )
    return steps


def examine(registry: Registry, *, check: Callable[[], None] = lambda: None) -> Iterator[Step]:
    """Yield the steps of a test as they are done, up to the first that fails. Records nothing."""
    begun = time.monotonic()
    try:
        with open_client(registry, check=check) as client:
            client.ping()
            yield from _arrival(registry, failed=None, error=None, seconds=time.monotonic() - begun)
            yield from _content(client)
    except SecretUnreadableError as error:
        yield Step(Stage.CREDENTIALS, Result.FAILED, reason=error.reason, remedy=error.remedy)
    except RegistryError as error:
        yield from _arrival(registry, failed=_stage(error), error=error, seconds=time.monotonic() - begun)


def _stage(error: RegistryError) -> Stage:
    """How far a call had come that ended in ``error``."""
    match error:
        case AddressInvalid() | AddressForbidden() | NameNotResolved():
            return Stage.ADDRESS
        case Unreachable():
            return Stage.CONNECTION
        case TlsError():
            return Stage.TLS
        case CredentialsRefused():
            return Stage.CREDENTIALS
        case _:
            return Stage.API


def _arrival(
    registry: Registry, *, failed: Stage | None, error: RegistryError | None, seconds: float
) -> Iterator[Step]:
    """Yield the steps of one call, which has come as far as ``failed``, or all the way."""
    for stage in (Stage.ADDRESS, Stage.CONNECTION, Stage.TLS, Stage.API, Stage.CREDENTIALS):
        if stage is failed and error is not None:
            yield Step(stage, Result.FAILED, seconds, reason=error.reason, remedy=error.remedy)
            return
        if stage is Stage.TLS and registry.address.startswith("http://"):
            yield Step(stage, Result.SKIPPED, detail=_("The address is without TLS."))
        elif stage is Stage.TLS and not registry.verify_tls:
            yield Step(stage, Result.SKIPPED, detail=_("Certificates are not validated for this registry."))
        elif stage is Stage.CREDENTIALS and not (registry.username or registry.has_password):
            yield Step(stage, Result.PASSED, seconds, detail=_("None are needed."))
        else:
            yield Step(stage, Result.PASSED, seconds)


def _content(client: RegistryClient) -> Iterator[Step]:
    """Yield the steps from the listing to the first byte of an image."""
    stage, begun = Stage.LISTING, time.monotonic()
    try:
        found, repositories = _find_image(client)
        if found is None:
            detail = _("No image yet.") if not repositories else _("No image in the repositories looked into.")
            yield Step(stage, Result.PASSED, time.monotonic() - begun, detail=detail)
            yield Step(Stage.MANIFEST, Result.SKIPPED, detail=_("There is no image to try."))
            yield Step(Stage.BLOB, Result.SKIPPED, detail=_("There is no image to try."))
            return
        repository, tag = found
        yield Step(stage, Result.PASSED, time.monotonic() - begun, detail=f"{repository}:{tag}")
        stage, begun = Stage.MANIFEST, time.monotonic()
        manifest = _read_manifest(client, repository, tag)
        yield Step(stage, Result.PASSED, time.monotonic() - begun, detail=f"{repository}:{tag}")
        stage, begun = Stage.BLOB, time.monotonic()
        blobs = [blob for blob in ((manifest.config, *manifest.layers) if manifest else ()) if blob and blob.size]
        if not blobs:
            yield Step(stage, Result.SKIPPED, detail=_("There is no content to try."))
            return
        with client.blob(repository, blobs[0]) as content:
            content.read(1)
        yield Step(stage, Result.PASSED, time.monotonic() - begun)
    except RegistryError as error:
        yield Step(stage, Result.FAILED, time.monotonic() - begun, reason=error.reason, remedy=error.remedy)


def _find_image(client: RegistryClient) -> tuple[tuple[str, str] | None, int]:
    """Return (repository, tag) of something that may be an image, and how many repositories were looked into."""
    looked = 0
    for repository in islice(client.repositories(), REPOSITORIES):
        looked += 1
        for tag in islice(client.tags(repository), TAGS):
            if not tag_is_artifact(tag.name):
                return (repository, tag.name), looked
    return None, looked


def _read_manifest(client: RegistryClient, repository: str, tag: str) -> ImageManifest | None:
    """Read the manifest of a tag, and of an index the image for the default platform; None where it is no image."""
    digest = str(client.head(repository, tag).digest)
    for _depth in range(3):
        manifest = parse_manifest(client.manifest(repository, digest))
        if isinstance(manifest, Index) and classify(manifest).kind == "index":
            child = choose_platform(manifest)
            if child is not None:
                digest = str(child.digest)
                continue
        return manifest if isinstance(manifest, ImageManifest) else None
    return None
