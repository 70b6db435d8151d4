"""The pull half of the OCI distribution API (distribution-spec 1.1), for registries nobody vouches for."""

from __future__ import annotations

import contextlib
import copy
import io
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, BinaryIO

from console.i18n.message_codes import Message, sentences
from registries.oci import media_types, messages, strict_json
from registries.oci.auth import LoginProvider, RegistryAuthenticator
from registries.oci.blobs import CONTENT_RANGE, BlobReader
from registries.oci.endpoint import Endpoint
from registries.oci.errors import (
    AccessDenied,
    DigestMismatch,
    MalformedResponse,
    NotARegistry,
    NotFound,
    RegistryError,
    TooLarge,
)
from registries.oci.headers import next_query
from registries.oci.login_guard import LoginGuard, NoGuard
from registries.oci.manifests import Descriptor, ManifestHead, RawManifest, schema1_payload, sniff_media_type
from registries.oci.name_lists import REPOSITORY_GONE_CODES, NameList, PagingHabits, read_page
from registries.oci.references import Digest, reference_path, repository_path
from registries.oci.responses import (
    ContentKind,
    RegistryResponse,
    access_denied,
    not_a_registry,
    response_error,
    storage_denied,
)
from registries.oci.transport import Transport
from registries.oci.vendor_api import JsonApi, Scheme

MAX_MANIFEST_BYTES = 4 * 1024 * 1024  # what registries must take (distribution-spec, "Pushing Manifests")
MAX_SCHEMA1_BYTES = 8 * 1024 * 1024
MAX_PAGE_BYTES = 16 * 1024 * 1024
CATALOG_SECONDS = 120.0  # a large catalog on object storage takes its time
# What registries and proxies before them say to a HEAD that they do not allow or stumble over: a GET may do.
_HEAD_REFUSED = frozenset({400, 403, 404, 405, 500, 501})


class DistributionClient(AbstractContextManager["DistributionClient"]):
    """Reads one registry. May be used by several threads.

    ``check`` is called between chunks and several times a second while waiting; what it raises ends the call.
    Every method raises RegistryError with a reason and a remedy.
    """

    def __init__(
        self, endpoint: Endpoint, *, check: Callable[[], None] = lambda: None, guard: LoginGuard | None = None
    ) -> None:
        """``guard`` is asked before the credentials of ``endpoint`` are sent."""
        self._guard: LoginGuard = guard or NoGuard()
        self._other_transports: dict[Endpoint, Transport] = {}
        self._lock = threading.Lock()
        self._habits = {"tags": PagingHabits(), "repositories": PagingHabits()}
        self._label = ""  # what stands before the names of repositories in messages
        self._endpoint_resolver: Callable[[Endpoint], Endpoint] | None = None
        self._open(endpoint, check)

    def _open(self, endpoint: Endpoint, check: Callable[[], None]) -> None:
        self._endpoint = endpoint
        self._transport = Transport(endpoint, check)
        self._auth = RegistryAuthenticator(self._transport, guard=self._guard)
        self._base = f"{endpoint.base}/v2/"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        for transport in (self._transport, *self._other_transports.values()):
            transport.close()

    def transport_to(self, endpoint: Endpoint) -> Transport:
        """Return a way to another server, such as the cloud's API, that ends with this client and by its ``check``."""
        if endpoint not in self._other_transports:
            self._other_transports[endpoint] = Transport(endpoint, self._transport.check)
        return self._other_transports[endpoint]

    def use_login_provider(self, logins: LoginProvider) -> None:
        """Take user names and passwords from ``logins``, not from the endpoint. Call it before anything is asked."""
        self._auth.use_login_provider(logins)

    def use_endpoint_resolver(self, resolver: Callable[[Endpoint], Endpoint]) -> None:
        """Let ``resolver`` say, before the first call, where the registry really is, and raise what it raises."""
        self._endpoint_resolver = resolver

    def _resolve_endpoint(self) -> None:
        with self._lock:
            if self._endpoint_resolver is None:
                return
            endpoint, logins = self._endpoint_resolver(self._endpoint), self._auth.logins
            if endpoint != self._endpoint:
                self._other_transports[self._endpoint] = self._transport
                self._open(endpoint, self._transport.check)
                if logins is not None:
                    self._auth.use_login_provider(logins)
            self._endpoint_resolver = None

    def api(self, root: str, *, scheme: Scheme = "basic") -> JsonApi:
        """Return the vendor's own API at ``root`` (such as ``/api/v1``) below the registry's address."""
        return JsonApi(self._transport, self._auth, base=f"{self._endpoint.base}{root}", scheme=scheme)

    def api_at(self, endpoint: Endpoint, *, scheme: Scheme) -> JsonApi:
        """Return the vendor's own API at another server; it is sent this registry's credentials as ``scheme`` says."""
        return JsonApi(self.transport_to(endpoint), self._auth, base=endpoint.base, scheme=scheme)

    def at_path(self, path: str, *, label: str = "") -> DistributionClient:
        """Return the registry at ``path`` (encoded) of this server. It has this one's credentials and connections.

        Its messages write ``label`` before the names of repositories, where people know them by longer ones.
        """
        other = copy.copy(self)
        other._label, other._habits = label, {"tags": PagingHabits(), "repositories": PagingHabits()}
        base = f"{self._endpoint.base}{path}"
        other._base, other._auth, other._other_transports = f"{base}/v2/", self._auth.at_path(base), {}
        return other

    def proving(self) -> AbstractContextManager[None]:
        """Return a block in which nobody else tries the same credentials: for a vendor's own way to prove them."""
        return self._auth.proving()

    def wait(self, seconds: float) -> None:
        """Wait, and raise what ``check`` raises meanwhile."""
        self._transport.wait(seconds)

    def ping(self) -> None:
        """Find out that a registry answers and takes the credentials."""
        self._resolve_endpoint()
        self._auth.ping()

    def repositories(self) -> Iterator[str]:
        """Yield the names of the catalog, page by page. Many registries keep theirs closed: AccessDenied, NotFound."""
        try:
            scope, subject = "registry:catalog:*", messages.CATALOG()
            yield from self._names("_catalog", "repositories", scope, subject, head_seconds=CATALOG_SECONDS)
        except NotARegistry as error:
            raise NotARegistry(error.reason, sentences(error.remedy, _FIXED_LIST_REMEDY)) from None
        except NotFound:
            raise NotFound(messages.NO_CATALOG(), _FIXED_LIST_REMEDY) from None
        except AccessDenied as denied:
            raise AccessDenied(messages.CATALOG_CLOSED(reason=denied.reason), _FIXED_LIST_REMEDY) from None

    def tags(self, repository: str) -> Iterator[str]:
        """Yield the tags of a repository; none for one that is gone (the registry says NAME_UNKNOWN)."""
        name = self._name(repository)
        path, subject = f"{repository_path(name)}/tags/list", f"{self._label}{repository}"
        yield from self._names(path, "tags", _pull_scope(name), subject)

    def tags_document(self, repository: str) -> tuple[dict[str, Any], bool]:
        """Return the first page of the list of tags as it is, for vendors that say more in it than names, and whether
        there are more pages.

        An empty object for a repository that is gone.
        """
        name = self._name(repository)
        response = self._get(f"{repository_path(name)}/tags/list", scope=_pull_scope(name), limit=MAX_PAGE_BYTES)
        if response.status == 404 and response.error_code() in REPOSITORY_GONE_CODES:
            return {}, False
        if response.status != 200:
            raise self._failure(response, "repository", f"{self._label}{repository}")
        read_page(response, "tags")
        more = next_query(response.headers.get("Link", "")) is not None
        return strict_json.load_object(response.content, messages.LIST()), more

    def head_manifest(self, repository: str, reference: str | Digest) -> ManifestHead:
        """Return digest and type of a manifest by HEAD, which counts as no pull; by GET where the server needs that."""
        response = self._manifest_answer("HEAD", repository, reference)
        if response.status == 200:
            with contextlib.suppress(MalformedResponse):
                digest = Digest.parse(response.headers.get("Docker-Content-Digest"))
                length = response.headers.get("Content-Length", "")
                size = int(length) if length.isdecimal() and len(length) < 20 else None
                if ":" not in str(reference) or str(reference) == str(digest):
                    return ManifestHead(digest, media_types.bare(response.headers.get("Content-Type")), size)
        elif response.status not in _HEAD_REFUSED:
            raise self._failure(response, "manifest", f"{self._label}{repository}:{reference}")
        raw = self.manifest(repository, reference)
        return ManifestHead(raw.digest, raw.media_type, len(raw.content))

    def manifest(self, repository: str, reference: str | Digest) -> RawManifest:
        """Return a manifest with its verified digest; 4 MiB at most (8 for schema 1)."""
        with contextlib.suppress(DigestMismatch):
            return self._manifest_once(repository, reference)
        return self._manifest_once(repository, reference)

    def blob(self, repository: str, descriptor: Descriptor) -> AbstractContextManager[BinaryIO]:
        """Open a blob for reading once, from its start. See BlobReader for what is verified, and when."""
        if (
            descriptor.data is not None
            and len(descriptor.data) == descriptor.size
            and descriptor.digest.fits(descriptor.data)
        ):
            return io.BytesIO(descriptor.data)
        name = self._name(repository)

        def fetch(start: int) -> RegistryResponse:
            path = f"{repository_path(name)}/blobs/{descriptor.digest}"
            response = self._get(path, scope=_pull_scope(name), headers={"Range": f"bytes={start}-"} if start else {})
            if response.status in {200, 206, 416}:
                return response
            raise self._failure(response, "blob", self._blob_of(repository, descriptor))

        return io.BufferedReader(BlobReader(descriptor, fetch), 256 * 1024)

    def blob_part(self, repository: str, descriptor: Descriptor, *, start: int, length: int) -> bytes | None:
        """Return ``length`` bytes of a blob from byte ``start`` on, unverified; None where no such part is given."""
        name = self._name(repository)
        path = f"{repository_path(name)}/blobs/{descriptor.digest}"
        response = self._get(path, scope=_pull_scope(name), headers={"Range": f"bytes={start}-{start + length - 1}"})
        try:
            if response.status in {200, 416}:
                return None  # it ignores Range, or holds a shorter blob
            if response.status != 206:
                raise self._failure(response, "blob", self._blob_of(repository, descriptor))
            found = CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            part = b""
            while len(part) <= length and (more := response.read(length + 1 - len(part))):
                part += more
            return part if found and int(found[1]) == start and len(part) == length else None
        finally:
            response.close()

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Return how many bytes a blob has by HEAD, for what names none; None where that is not told."""
        name = self._name(repository)
        response = self._get(f"{repository_path(name)}/blobs/{digest}", scope=_pull_scope(name), method="HEAD")
        length = response.headers.get("Content-Length", "")
        return int(length) if response.status == 200 and length.isdecimal() and len(length) < 15 else None

    def blob_bytes(self, repository: str, descriptor: Descriptor, *, limit: int) -> bytes:
        """Return a small blob whole and verified. One that does not fit its digest is asked for once more."""
        if descriptor.size > limit:
            raise TooLarge(
                messages.BLOB_TOO_LARGE(size=descriptor.size),
                messages.PUSH_WITH_CURRENT_TOOL(),
            )
        with contextlib.suppress(DigestMismatch), self.blob(repository, descriptor) as reader:
            return _read_bounded(reader, limit)
        with self.blob(repository, descriptor) as reader:
            return _read_bounded(reader, limit)

    def _manifest_once(self, repository: str, reference: str | Digest) -> RawManifest:
        response = self._manifest_answer("GET", repository, reference)
        if response.status != 200:
            raise self._failure(response, "manifest", f"{self._label}{repository}:{reference}")
        declared = media_types.bare(response.headers.get("Content-Type"))
        if response.is_web_page:
            raise not_a_registry(response)
        if len(response.content) > MAX_MANIFEST_BYTES and declared not in media_types.SCHEMA1S:
            raise TooLarge(messages.MANIFEST_TOO_LARGE(), messages.FIND_WHO_PUSHED())
        media_type = sniff_media_type(declared, response.content)
        return RawManifest(_digest(reference, response, media_type), media_type, response.content)

    def _manifest_answer(self, method: str, repository: str, reference: str | Digest) -> RegistryResponse:
        name = self._name(repository)
        path = f"{repository_path(name)}/manifests/{reference_path(reference)}"
        headers = {"Accept": media_types.ACCEPT_MANIFESTS}
        return self._get(path, scope=_pull_scope(name), headers=headers, limit=MAX_SCHEMA1_BYTES, method=method)

    def _names(
        self, path: str, key: str, scope: str, subject: str, *, head_seconds: float | None = None
    ) -> Iterator[str]:
        """Yield the names of all pages; ``subject`` is what the list is of, for messages."""

        def get(query: str) -> RegistryResponse:
            return self._get(f"{path}?{query}", scope=scope, limit=MAX_PAGE_BYTES, head_seconds=head_seconds)

        def fail(response: RegistryResponse) -> RegistryError:
            return self._failure(response, "repository", subject)

        yield from NameList(key, self._habits[key], get=get, fail=fail).names()

    def _get(
        self,
        path: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        limit: int | None = None,
        method: str = "GET",
        head_seconds: float | None = None,
    ) -> RegistryResponse:
        """One request with the right Authorization; after a 401 once more with a new one. Raises for a second 401."""
        self._resolve_endpoint()
        for last in (False, True):
            authorization = self._auth.authorization(scope)
            sent = {**(headers or {}), **({"Authorization": authorization} if authorization else {})}
            login = self._auth.carries_credentials(authorization)
            with self._auth.sending(login=login):
                response = self._transport.fetch(
                    method, self._base + path, headers=sent, limit=limit, head_seconds=head_seconds
                )
                if login and response.origin == self._transport.home:
                    if response.status == 401 and not last:  # judged before anybody else sends the same
                        response.close()
                        self._auth.renew(scope, response, authorization)
                        continue
                    if response.status < 400 or response.status == 404:
                        self._auth.accept()
            if response.origin != self._transport.home and response.status in {400, 401, 403}:
                raise storage_denied(response)
            if response.status == 403 and not last and self._auth.has_other_login(authorization):
                response.close()  # what ECR says of an expired login; where the right is missing, it says so again
                continue
            if response.status != 401:
                return response
            response.close()
            if not last:
                self._auth.renew(scope, response, authorization)
        raise access_denied(self._auth.has_login)

    def _failure(self, response: RegistryResponse, what: ContentKind, subject: str) -> RegistryError:
        error = response_error(response, what, subject, self._auth.has_login)
        if isinstance(error, AccessDenied):
            error.remedy = Message(self._auth.remedy) or error.remedy
        return error

    def _blob_of(self, repository: str, descriptor: Descriptor) -> Message:
        return messages.BLOB_OF(digest=descriptor.digest, repository=f"{self._label}{repository}")

    def _name(self, repository: str) -> str:
        return f"library/{repository}" if self._endpoint.is_docker_hub and "/" not in repository else repository


def _digest(reference: str | Digest, response: RegistryResponse, media_type: str) -> Digest:
    """The digest of a manifest, found to be what was asked for and what the registry says. Raises DigestMismatch."""
    stated = response.headers.get("Docker-Content-Digest")
    expected = None
    if ":" in str(reference):
        expected = Digest.parse(str(reference))
    elif stated:
        with contextlib.suppress(MalformedResponse):
            expected = Digest.parse(stated)
    algorithm = expected.algorithm if expected else "sha256"
    found = Digest.of(response.content, algorithm)
    if media_type in media_types.SCHEMA1S and found != expected:
        found = Digest.of(schema1_payload(response.content), algorithm)
    if expected and found != expected:
        raise DigestMismatch(
            messages.MANIFEST_DIGEST_MISMATCH(),
            messages.DAMAGED_ON_THE_WAY(),
        )
    return found


def _read_bounded(reader: BinaryIO, limit: int) -> bytes:
    content = reader.read(limit + 1)
    if len(content) > limit:
        raise TooLarge(messages.BLOB_LARGER_THAN_ITS_KIND(), messages.PUSH_WITH_CURRENT_TOOL())
    return content


def _pull_scope(name: str) -> str:
    return f"repository:{name}:pull"


_FIXED_LIST_REMEDY = messages.ENTER_FIXED_LIST()
