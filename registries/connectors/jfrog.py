"""JFrog Artifactory 7: many registries in one server, each listed and pulled through its own path of the REST API.

How the key of a repository gets into the names of images is set up in a proxy before Artifactory: as the first part of
the path, as a subdomain, or by a port. The API path ``/api/docker/<key>/v2/`` works however that is.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, ClassVar
from urllib.parse import quote, unquote, urlsplit

from registries.connectors import messages
from registries.connectors.base import Declaration, TagRef
from registries.connectors.declarations import JFROG
from registries.connectors.distribution import DistributionConnector
from registries.connectors.jfrog_search import ManifestFile, ManifestSearch
from registries.connectors.parts import Parts
from registries.oci import strict_json
from registries.oci.client import DistributionClient
from registries.oci.errors import (
    AccessDenied,
    AccountLocked,
    MalformedResponse,
    NotARegistry,
    NotFound,
    RedirectRefused,
)
from registries.oci.headers import parse_challenges
from registries.oci.manifests import Descriptor, ManifestHead, RawManifest
from registries.oci.references import Digest
from registries.oci.vendor_api import JsonApi

API_KEY_HEADER = "X-JFrog-Art-Api"

_REALM_PATTERN = re.compile(r"/api/(?:docker|oci)/([^/]+)/v2/token")
_PAUSED_MESSAGE = "recurrent login failures"  # of anybody with this account; over within seconds
_LOCKED_PATTERN = re.compile(r"\blocked\b", re.IGNORECASE)
_LOGIN_PAUSE = timedelta(minutes=1)


@dataclass(frozen=True)
class _Repository:
    """A repository of Artifactory that holds images. ``key`` is that of its cache where it is a remote one."""

    name: str  # its own key
    key: str
    package: str
    virtual: bool


@dataclass(frozen=True)
class _Layout:
    """What answers at the address."""

    root: str | None = None  # path of the REST API; None where there is none, only a registry
    image_repositories: tuple[_Repository, ...] = ()
    single_key: str = ""  # the key of the only repository that this address stands for: no image name holds it
    search: ManifestSearch | None = None

    def is_visible(self, key: str) -> bool:
        """Whether the account sees ``key``."""
        return any(key in {each.key, each.name} for each in self.image_repositories)

    def listed_keys(self) -> list[str]:
        """The keys whose images are listed."""
        if self.single_key:
            return [self.single_key]
        own = [each.key for each in self.image_repositories if not each.virtual]
        return own or [each.key for each in self.image_repositories]


@dataclass(frozen=True)
class _Location:
    """Where a repository is kept."""

    registry: DistributionClient
    key: str
    image: str  # its name within ``registry``


class JfrogConnector:
    """One Artifactory, or one of its repositories where the address stands for that alone.

    Local and federated repositories are walked, of remote ones what they have cached, virtual ones only where nothing
    else is to be seen: their images are those of others. Names are alone in an address of one repository, and else
    have its key in front. Pulls as well, because each key is a registry of its own.
    """

    declaration: ClassVar[Declaration] = JFROG

    def __init__(
        self, client: DistributionClient, *, address: str, login: bool, bearer: bool, repositories: str
    ) -> None:
        """``login`` says that there are credentials, ``bearer`` that they are a token without a user name."""
        parts = urlsplit(address)
        self._client, self._host = client, parts.netloc
        self._login, self._bearer = login, bearer
        self._roots = ("",) if parts.path.endswith("/artifactory") else ("/artifactory", "")
        self._distribution = DistributionConnector(client, repositories=repositories, host=parts.netloc)
        self.fixed = self._distribution.fixed
        self._lock = threading.RLock()
        self._cached_layout: _Layout | None = None
        self._registries: dict[str, DistributionClient] = {}

    # --- what answers here --------------------------------------------------------------------------------------------
    def ping(self) -> None:
        """Prove the credentials by the list of repositories, which wrong ones do not get; else by the registry."""
        with self._lock:
            self._cached_layout = None
            self._layout()

    def _layout(self) -> _Layout:
        with self._lock:
            if self._cached_layout is None:
                with self._client.proving():
                    self._cached_layout = self._detect_layout()
            return self._cached_layout

    def _detect_layout(self) -> _Layout:
        for root in self._roots:
            docker = self._image_repositories(root, "docker")
            if docker is not None:
                image_repositories = (*docker, *(self._image_repositories(root, "oci") or ()))
                layout = _Layout(root, image_repositories, search=ManifestSearch(self._api(root)))
                return replace(layout, single_key=self._single_key(layout))
        self._client.ping()  # the API may be reachable by another name only: this is a registry like any other
        return _Layout()

    def _image_repositories(self, root: str, package: str) -> list[_Repository] | None:
        """Return the repositories of one package type; None where the API does not lie at ``root``."""
        subject = messages.ITS_REPOSITORIES()
        try:
            response = self._api(root).get("/repositories", {"packageType": package})
            if response.status == 401 and self._login:
                raise self._api(root).refuse()
            if response.status == 403:
                _raise_if_locked(response.error_text("message"))
            if response.status == 400 and package == "oci":
                return []  # an Artifactory from before that type
            rows = response.items(subject)
            if self._login:
                self._api(root).accept()
        except (NotARegistry, RedirectRefused, NotFound):
            return None
        image_repositories = []
        for row in rows:
            name, kind = strict_json.text(row.get("key"), 200), strict_json.text(row.get("type")).lower()
            if name:
                key = f"{name}-cache" if kind == "remote" else name  # the remote one itself asks its upstream
                image_repositories.append(_Repository(name, key, package, virtual=kind == "virtual"))
        return image_repositories

    def _single_key(self, layout: _Layout) -> str:
        """Return the key of the one repository that the address stands for, by a subdomain or a port; "" for none.

        The proxy leads such an address to the path of one key, which then names it in its challenge. Where that does
        not tell, a host that looks like one of a key must show it: by an image that is found without the key.
        """
        try:
            response = self._client.api("", scheme="none").get("/v2/")
        except RedirectRefused:
            return ""
        challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
        realms = [_REALM_PATTERN.search(each.get("realm")) for each in challenges]
        named = {unquote(found[1]) for found in realms if found} - {"null"}  # which it says where keys are in the path
        if named:
            name = named.pop()
            return next((each.key for each in layout.image_repositories if each.name == name), name)
        label = self._host.partition(".")[0].lower()  # <key>.host, or <instance>-<key>.jfrog.io
        alike = [each for each in layout.image_repositories if f"-{label}".endswith(f"-{each.name.lower()}")]
        return next((each.key for each in alike if self._is_single(layout, each.key)), "")

    def _is_single(self, layout: _Layout, key: str) -> bool:
        try:
            image = next(self._registry(layout, key).repositories(), "")
            return bool(image) and next(self._client.tags(image), None) is not None
        except (NotFound, AccessDenied, MalformedResponse, NotARegistry):
            return False

    def _api(self, root: str) -> JsonApi:
        return self._client.api(f"{root}/api", scheme="bearer" if self._bearer else "basic")

    def _location(self, repository: str) -> _Location:
        """Return where ``repository`` is kept. Raises NotFound for a name without a key where it must have one."""
        layout = self._layout()
        if layout.root is None:
            return _Location(self._client, "", repository)
        key, slash, image = (layout.single_key, "/", repository) if layout.single_key else repository.partition("/")
        if not slash:
            raise NotFound(
                messages.NO_IMAGE_OF_REPOSITORY(name=repository[:100]),
                messages.WRITE_KEY_IN_FRONT(),
                what="repository",
            )
        return _Location(self._registry(layout, key), key, image)

    def _registry(self, layout: _Layout, key: str) -> DistributionClient:
        with self._lock:
            if key not in self._registries:
                package = next(
                    (each.package for each in layout.image_repositories if key in {each.key, each.name}), "docker"
                )
                label = "" if layout.single_key else f"{key}/"
                self._registries[key] = self._open(f"{layout.root}/api/{package}/{quote(key, safe='')}", package, label)
            return self._registries[key]

    def _open(self, path: str, package: str, label: str) -> DistributionClient:
        registry = self._client.at_path(path, label=label)
        if package != "docker":
            try:
                registry.ping()
            except (NotARegistry, NotFound):  # an Artifactory that serves all its images as Docker's
                return self._client.at_path(path.replace(f"/api/{package}/", "/api/docker/", 1), label=label)
        return registry

    # --- listing ------------------------------------------------------------------------------------------------------
    def repositories(self) -> Iterator[str]:
        """Yield the typed names, or all of every key. Raises PartsUnreadable at the end for keys left out."""
        if self.fixed:
            yield from self._distribution.repositories()
            return
        layout = self._layout()
        if layout.root is None:
            yield from self._client.repositories()
            return
        keys, parts = layout.listed_keys(), Parts()
        if not keys:
            raise _keys_denied([])
        for key in keys:
            prefix = "" if layout.single_key else f"{key}/"
            yield from parts.read(key, (f"{prefix}{image}" for image in self._images(layout, key)))
        parts.raise_failed(lambda names: messages.IMAGES_NOT_LISTABLE(keys=names), messages.GIVE_PERMISSION_OR_LIST())

    def includes_tag(self, repository: str, tag: str) -> bool:
        """Whether the typed list asks for ``tag``."""
        return self._distribution.includes_tag(repository, tag)

    def _images(self, layout: _Layout, key: str) -> Iterator[str]:
        """Yield the images of one repository: its catalog, or what the search finds where that is closed."""
        try:
            yield from self._registry(layout, key).repositories()
        except (AccessDenied, NotFound, NotARegistry):
            images = layout.search.images(key) if layout.search else None
            if images is None and not any(each.key == key != each.name for each in layout.image_repositories):
                raise
            yield from images or ()  # nothing was ever cached there

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags of ``repository``, with digest and time where Artifactory's search tells them.

        Raises AccessDenied for one whose key is not to be seen: Artifactory can be told to say of all that one must not
        see that it is not there.
        """
        layout, location = self._layout(), self._location(repository)
        files = layout.search.files(location.key, location.image) if layout.search else {}
        empty = True
        for name in location.registry.tags(location.image):
            empty = False
            if self._distribution.includes_tag(repository, name):
                file = files.get(name, ManifestFile())
                yield TagRef(name, digest=file.digest, pushed_at=file.modified)
        if empty and layout.root is not None and not layout.is_visible(location.key):
            raise _keys_denied([location.key])

    # --- pulling ------------------------------------------------------------------------------------------------------
    def head_manifest(self, repository: str, reference: str | Digest) -> ManifestHead:
        """As :meth:`DistributionClient.head_manifest`."""
        location = self._location(repository)
        return location.registry.head_manifest(location.image, reference)

    def manifest(self, repository: str, reference: str | Digest) -> RawManifest:
        """As :meth:`DistributionClient.manifest`."""
        location = self._location(repository)
        return location.registry.manifest(location.image, reference)

    def blob(self, repository: str, descriptor: Descriptor) -> AbstractContextManager[BinaryIO]:
        """As :meth:`DistributionClient.blob`."""
        location = self._location(repository)
        return location.registry.blob(location.image, descriptor)

    def blob_part(self, repository: str, descriptor: Descriptor, *, start: int, length: int) -> bytes | None:
        """As :meth:`DistributionClient.blob_part`."""
        location = self._location(repository)
        return location.registry.blob_part(location.image, descriptor, start=start, length=length)

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """As :meth:`DistributionClient.blob_size`."""
        location = self._location(repository)
        return location.registry.blob_size(location.image, digest)

    def blob_bytes(self, repository: str, descriptor: Descriptor, *, limit: int) -> bytes:
        """As :meth:`DistributionClient.blob_bytes`."""
        location = self._location(repository)
        return location.registry.blob_bytes(location.image, descriptor, limit=limit)


def is_api_key(password: str) -> bool:
    """Whether ``password`` is an API key of Artifactory by its form; such a one alone goes in a header of its own."""
    return password.startswith("AKC") and password.isalnum()


def _raise_if_locked(message: str) -> None:
    """Raise AccountLocked where a refusal says that nobody gets in with this account for now."""
    if _PAUSED_MESSAGE in message or _LOCKED_PATTERN.search(message):
        raise AccountLocked(
            messages.ARTIFACTORY_LOCKED_ACCOUNT(),
            messages.FIND_WHO_AND_UNLOCK(),
            retry_at=datetime.now(UTC) + _LOGIN_PAUSE if _PAUSED_MESSAGE in message else None,
        )


def _keys_denied(keys: list[str]) -> AccessDenied:
    if not keys:
        return AccessDenied(
            messages.SEES_NO_REPOSITORY(),
            messages.GIVE_PERMISSION_OR_OTHER_ACCOUNT(),
        )
    named = ", ".join(keys[:5]) + (", …" if len(keys) > 5 else "")
    return AccessDenied(
        messages.IMAGES_NOT_LISTABLE(keys=named),
        messages.GIVE_PERMISSION_OR_LIST(),
    )
