"""JFrog Artifactory 7: many registries in one server, each listed and pulled through its own path of the REST API.

How the key of a repository gets into the names of images is set up in a proxy before Artifactory: as the first part of
the path, as a subdomain, or by a port. The API path ``/api/docker/<key>/v2/`` works however that is.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, BinaryIO, ClassVar
from urllib.parse import quote, unquote, urlsplit

from django.utils.translation import gettext as _

from registries.connectors.base import Declaration, TagRef
from registries.connectors.declarations import JFROG
from registries.connectors.distribution import DistributionConnector
from registries.oci import strict_json
from registries.oci.api import JsonApi, objects
from registries.oci.client import DistributionClient
from registries.oci.errors import (
    AccessDenied,
    CredentialsRefused,
    MalformedAnswer,
    NamesUnfit,
    NotARegistry,
    NotFound,
    RedirectRefused,
    RegistryError,
    TooLarge,
    Unreachable,
)
from registries.oci.headers import parse_challenges
from registries.oci.manifests import Descriptor, ManifestHead, RawManifest
from registries.oci.names import Digest

API_KEY_HEADER = "X-JFrog-Art-Api"
MANIFESTS = ("manifest.json", "list.manifest.json")  # the files that Artifactory keeps in the folder of a tag

SEARCH_SECONDS = 120.0

_REALM = re.compile(r"/api/(?:docker|oci)/([^/]+)/v2/token")
_CHILD = "sha256__"  # begins the folders of what indexes point to
_LOCKED = re.compile("locked|recurrent login failures", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class _Kept:
    """A repository of Artifactory that holds images. ``key`` is that of its cache where it is a remote one."""

    name: str  # its own key
    key: str
    package: str
    virtual: bool


@dataclass(frozen=True)
class _Layout:
    """What answers at the address."""

    root: str | None = None  # path of the REST API; None where there is none, only a registry
    kept: tuple[_Kept, ...] = ()
    alone: str = ""  # the key of the only repository that this address stands for: no image name holds it

    def walked(self) -> list[str]:
        """The keys whose images are listed."""
        if self.alone:
            return [self.alone]
        own = [each.key for each in self.kept if not each.virtual]
        return own or [each.key for each in self.kept]


@dataclass(frozen=True)
class _Place:
    """Where a repository is kept."""

    registry: DistributionClient
    key: str
    image: str  # its name within ``registry``


@dataclass(frozen=True)
class _File:
    """The manifest of a tag, as Artifactory's search tells. ``digest`` is None where two are found."""

    digest: str | None
    modified: datetime | None


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
        self._plain = DistributionConnector(client, repositories=repositories, host=parts.netloc)
        self.fixed = self._plain.fixed
        self._turn = threading.RLock()
        self._found: _Layout | None = None
        self._registries: dict[str, DistributionClient] = {}
        self._searches = True  # until the search proves to be closed

    # --- what answers here --------------------------------------------------------------------------------------------
    def ping(self) -> None:
        """Prove the credentials by the list of repositories, which wrong ones do not get; else by the registry."""
        with self._turn:
            self._found = None
            self._layout()

    def _layout(self) -> _Layout:
        with self._turn:
            if self._found is None:
                self._found = self._explore()
            return self._found

    def _explore(self) -> _Layout:
        for root in self._roots:
            docker = self._kept(root, "docker")
            if docker is not None:
                layout = _Layout(root, (*docker, *(self._kept(root, "oci") or ())))
                return replace(layout, alone=self._alone(layout))
        self._client.ping()  # the API may be reachable by another name only: this is a registry like any other
        return _Layout()

    def _kept(self, root: str, package: str) -> list[_Kept] | None:
        """Return the repositories of one package type; None where the API does not lie at ``root``."""
        subject = _("its repositories")
        try:
            answer = self._api(root).get("/repositories", {"packageType": package})
            if answer.status == 401 or (answer.status == 403 and _LOCKED.search(answer.told("message"))):
                raise self._api(root).refuse() if self._login else answer.error(subject)
            rows = answer.items(subject)
        except (NotARegistry, RedirectRefused, NotFound):
            return None
        kept = []
        for row in rows:
            name, kind = strict_json.text(row.get("key"), 200), strict_json.text(row.get("type")).lower()
            if name:
                key = f"{name}-cache" if kind == "remote" else name  # the remote one itself asks its upstream
                kept.append(_Kept(name, key, package, virtual=kind == "virtual"))
        return kept

    def _alone(self, layout: _Layout) -> str:
        """Return the key of the one repository that the address stands for, by a subdomain or a port; "" for none.

        The proxy leads such an address to the path of one key, which then names it in its challenge. Where that does
        not tell, a host that looks like one of a key must show it: by an image that is found without the key.
        """
        answer = self._client.api("", scheme="none").get("/v2/")
        challenges = parse_challenges(answer.headers.get("WWW-Authenticate", ""))
        realms = [_REALM.search(each.get("realm")) for each in challenges]
        named = {unquote(found[1]) for found in realms if found}
        for each in layout.kept:
            if each.name in named:
                return each.key
        label = self._host.partition(".")[0].lower()  # <key>.host, or <instance>-<key>.jfrog.io
        alike = [each for each in layout.kept if f"-{label}".endswith(f"-{each.name.lower()}")]
        return next((each.key for each in alike if self._is_alone(layout, each.key)), "")

    def _is_alone(self, layout: _Layout, key: str) -> bool:
        try:
            image = next(self._registry(layout, key).repositories(), "")
            return bool(image) and next(self._client.tags(image), None) is not None
        except (NotFound, AccessDenied, MalformedAnswer, NotARegistry):
            return False

    def _api(self, root: str) -> JsonApi:
        return self._client.api(f"{root}/api", scheme="bearer" if self._bearer else "basic")

    def _place(self, repository: str) -> _Place:
        """Return where ``repository`` is kept. Raises NotFound for a name without a key where it must have one."""
        layout = self._layout()
        if layout.root is None:
            return _Place(self._client, "", repository)
        key, image = (
            (layout.alone, repository) if layout.alone else repository.split("/", 1) if "/" in repository else ("", "")
        )
        if not key:
            raise NotFound(
                _("“%(name)s” names no image of a repository.") % {"name": repository[:100]},
                _("Write the key of the repository in front, such as docker-local/team/app."),
                what="repository",
            )
        return _Place(self._registry(layout, key), key, image)

    def _registry(self, layout: _Layout, key: str) -> DistributionClient:
        with self._turn:
            if key not in self._registries:
                package = next((each.package for each in layout.kept if key in {each.key, each.name}), "docker")
                self._registries[key] = self._open(f"{layout.root}/api/{package}/{quote(key, safe='')}", package)
            return self._registries[key]

    def _open(self, path: str, package: str) -> DistributionClient:
        registry = self._client.below(path)
        if package != "docker":
            try:
                registry.ping()
            except (NotARegistry, NotFound):  # an Artifactory that serves all its images as Docker's
                return self._client.below(path.replace(f"/api/{package}/", "/api/docker/", 1))
        return registry

    # --- listing ------------------------------------------------------------------------------------------------------
    def repositories(self) -> Iterator[str]:
        """Yield the typed names, or all of every key. Raises AccessDenied at the end for keys left out."""
        if self.fixed:
            yield from self._plain.repositories()
            return
        layout = self._layout()
        if layout.root is None:
            yield from self._client.repositories()
            return
        keys, denied = layout.walked(), []
        unfit: NamesUnfit | None = None
        for key in keys:
            try:
                for image in self._images(layout, key):
                    yield image if layout.alone else f"{key}/{image}"
            except NamesUnfit as error:
                unfit = error
            except AccessDenied:
                denied.append(key)
        if denied or not keys:
            raise _not_listable(denied)
        if unfit is not None:
            raise unfit

    def _images(self, layout: _Layout, key: str) -> Iterator[str]:
        """Yield the images of one repository: its catalog, or what the search finds where that is closed."""
        try:
            yield from self._registry(layout, key).repositories()
        except (AccessDenied, NotFound):
            rows = self._search(layout, {"repo": key})
            if rows is None:
                if any(each.key == key != each.name for each in layout.kept):
                    return  # nothing was ever cached there
                raise AccessDenied(_("The catalog is closed."), "") from None
            yield from dict.fromkeys(image for image, _tag, _row in _tagged(rows))

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags of ``repository``, with digest and time where Artifactory's search tells them."""
        layout, place = self._layout(), self._place(repository)
        files = self._files(layout, place)
        for name in place.registry.tags(place.image):
            if self._plain.wants(repository, name):
                known = files.get(name, _File(None, None))
                yield TagRef(name, digest=known.digest, pushed_at=known.modified)

    def _files(self, layout: _Layout, place: _Place) -> dict[str, _File]:
        """Return what the search tells of the manifests of an image, by tag."""
        if layout.root is None or set(place.image) & set("*?"):
            return {}
        found: dict[str, _File] = {}
        for image, tag, row in _tagged(
            self._search(layout, {"repo": place.key, "path": {"$match": f"{place.image}/*"}})
        ):
            if image == place.image:
                digest = row.get("sha256")
                known = isinstance(digest, str) and _HEX.fullmatch(digest) and tag not in found
                found[tag] = _File(f"sha256:{digest}" if known else None, strict_json.moment(row.get("modified")))
        return found

    def _search(self, layout: _Layout, where: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """Ask Artifactory's search (AQL) for manifests; None where it does not tell.

        Neither sorted nor cut into pages: that is refused to the free edition.
        """
        if not self._searches or layout.root is None:
            return None
        criteria = json.dumps({**where, "$or": [{"name": name} for name in MANIFESTS]})
        query = f'items.find({criteria}).include("repo","path","name","modified","sha256")'
        subject = _("the search")
        try:
            answer = self._api(layout.root).post(
                "/search/aql", query.encode(), headers={"Content-Type": "text/plain"}, patience=SEARCH_SECONDS
            )
            return objects(answer.item(subject).get("results"), subject)
        except TooLarge:
            return None
        except (CredentialsRefused, Unreachable):
            raise
        except RegistryError:  # not for this account or edition, or overloaded: each tag is asked for then
            self._searches = False
            return None

    # --- pulling ------------------------------------------------------------------------------------------------------
    def head_manifest(self, repository: str, reference: str | Digest) -> ManifestHead:
        """As :meth:`DistributionClient.head_manifest`."""
        place = self._place(repository)
        return place.registry.head_manifest(place.image, reference)

    def manifest(self, repository: str, reference: str | Digest) -> RawManifest:
        """As :meth:`DistributionClient.manifest`."""
        place = self._place(repository)
        return place.registry.manifest(place.image, reference)

    def blob(self, repository: str, descriptor: Descriptor) -> AbstractContextManager[BinaryIO]:
        """As :meth:`DistributionClient.blob`."""
        place = self._place(repository)
        return place.registry.blob(place.image, descriptor)

    def blob_bytes(self, repository: str, descriptor: Descriptor, *, limit: int) -> bytes:
        """As :meth:`DistributionClient.blob_bytes`."""
        place = self._place(repository)
        return place.registry.blob_bytes(place.image, descriptor, limit=limit)


def is_api_key(password: str) -> bool:
    """Whether ``password`` is an API key of Artifactory by its form; such a one alone goes in a header of its own."""
    return password.startswith("AKC") and password.isalnum()


def _tagged(rows: Iterable[dict[str, Any]] | None) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield image, tag and row of the manifests that have a tag; not those of an index, nor unfinished uploads."""
    for row in rows or ():
        image, _slash, tag = strict_json.text(row.get("path"), 1000).rpartition("/")
        if image and tag and not tag.startswith(_CHILD) and "_uploads" not in (tag, *image.split("/")):
            yield image, tag, row


def _not_listable(keys: list[str]) -> AccessDenied:
    if not keys:
        return AccessDenied(
            _("The account sees no repository of Docker or OCI images."),
            _("Give it the permission to read them, or use another account."),
        )
    named = ", ".join(keys[:5]) + (", …" if len(keys) > 5 else "")
    return AccessDenied(
        _("The account may not list the images of these repositories: %(keys)s.") % {"keys": named},
        _("Give it the permission to read them, or enter the images as a list."),
    )
