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
from urllib.parse import urlencode

from registries.oci import media_types, strict_json
from registries.oci.api import JsonApi, Scheme
from registries.oci.auth import Logins, SignIn
from registries.oci.blobs import CONTENT_RANGE, BlobReader
from registries.oci.endpoint import Endpoint
from registries.oci.errors import (
    AccessDenied,
    DigestMismatch,
    MalformedAnswer,
    NamesUnfit,
    NotFound,
    RegistryError,
    TooLarge,
)
from registries.oci.headers import next_query
from registries.oci.login_guard import LoginGuard, NoGuard
from registries.oci.manifests import Descriptor, ManifestHead, RawManifest, schema1_payload, sniff_media_type
from registries.oci.references import Digest, is_repository, is_tag, reference_path, repository_path
from registries.oci.responses import Answer, What, failure, no_access, no_registry, storage_refuses
from registries.oci.transport import Transport

MANIFEST_LIMIT = 4 * 1024 * 1024  # what registries must take (distribution-spec, "Pushing Manifests")
SCHEMA1_LIMIT = 8 * 1024 * 1024
PAGE_LIMIT = 16 * 1024 * 1024
PAGE_SIZE = 1000
PAGE_NAMES = 200_000  # of a registry that gives them all at once, whatever it is asked for
SMALLEST_PAGE = 5
CATALOG_SECONDS = 120.0  # a large catalog on object storage takes its time
MAX_NAMES = 10_000_000
MAX_EMPTY_PAGES = 1000
_REPOSITORY_GONE = frozenset({"NAME_UNKNOWN", "NOT_FOUND"})  # the specification's word, and Harbor's


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
        self._others: dict[Endpoint, Transport] = {}
        self._lock = threading.Lock()
        self._correct: Callable[[Endpoint], Endpoint] | None = None
        self._open(endpoint, check)

    def _open(self, endpoint: Endpoint, check: Callable[[], None]) -> None:
        self._endpoint = endpoint
        self._transport = Transport(endpoint, check)
        self._sign_in = SignIn(self._transport, guard=self._guard)
        self._base = f"{endpoint.base}/v2/"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        for transport in (self._transport, *self._others.values()):
            transport.close()

    def transport_to(self, endpoint: Endpoint) -> Transport:
        """Return a way to another server, such as the cloud's API, that ends with this client and by its ``check``."""
        if endpoint not in self._others:
            self._others[endpoint] = Transport(endpoint, self._transport.check)
        return self._others[endpoint]

    def sign_in_by(self, logins: Logins) -> None:
        """Take user names and passwords from ``logins``, not from the endpoint. Call it before anything is asked."""
        self._sign_in.sign_in_by(logins)

    def correct_by(self, correct: Callable[[Endpoint], Endpoint]) -> None:
        """Let ``correct`` say, before the first call, where the registry really is. That call raises what it raises."""
        self._correct = correct

    def _arrive(self) -> None:
        with self._lock:
            if self._correct is None:
                return
            endpoint, logins = self._correct(self._endpoint), self._sign_in.logins
            if endpoint != self._endpoint:
                self._others[self._endpoint] = self._transport
                self._open(endpoint, self._transport.check)
                if logins is not None:
                    self._sign_in.sign_in_by(logins)
            self._correct = None

    def api(self, root: str, *, scheme: Scheme = "basic") -> JsonApi:
        """Return the vendor's own API at ``root`` (such as ``/api/v1``) below the registry's address."""
        return JsonApi(self._transport, self._sign_in, base=f"{self._endpoint.base}{root}", scheme=scheme)

    def below(self, path: str) -> DistributionClient:
        """Return the registry at ``path`` (encoded) of this server. It has this one's credentials and connections."""
        other = copy.copy(self)
        base = f"{self._endpoint.base}{path}"
        other._base, other._sign_in, other._others = f"{base}/v2/", self._sign_in.below(base), {}
        return other

    def proving(self) -> AbstractContextManager[None]:
        """Return a block in which nobody else tries the same credentials: for a vendor's own way to prove them."""
        return self._sign_in.proving()

    def wait(self, seconds: float) -> None:
        """Wait, and raise what ``check`` raises meanwhile."""
        self._transport.wait(seconds)

    def ping(self) -> None:
        """Find out that a registry answers and takes the credentials."""
        self._arrive()
        self._sign_in.ping()

    def repositories(self) -> Iterator[str]:
        """Yield the names of the catalog, page by page. Many registries keep theirs closed: AccessDenied, NotFound."""
        try:
            yield from self._names("_catalog", "repositories", "registry:catalog:*", patience=CATALOG_SECONDS)
        except NotFound:
            raise NotFound("The registry has no catalog.", _FIXED_LIST) from None
        except AccessDenied as denied:
            raise AccessDenied(f"The registry's catalog is closed. {denied.reason}", _FIXED_LIST) from None

    def tags(self, repository: str) -> Iterator[str]:
        """Yield the tags of a repository; none for one that is gone (the registry says NAME_UNKNOWN)."""
        name = self._name(repository)
        yield from self._names(f"{repository_path(name)}/tags/list", "tags", _pull(name))

    def head_manifest(self, repository: str, reference: str | Digest) -> ManifestHead:
        """Return digest and type of a manifest by HEAD, which counts as no pull; by GET where the server needs that."""
        answer = self._manifest_answer("HEAD", repository, reference)
        if answer.status == 200:
            with contextlib.suppress(MalformedAnswer):
                digest = Digest.parse(answer.headers.get("Docker-Content-Digest"))
                length = answer.headers.get("Content-Length", "")
                size = int(length) if length.isdecimal() and len(length) < 20 else None
                if ":" not in str(reference) or str(reference) == str(digest):
                    return ManifestHead(digest, media_types.bare(answer.headers.get("Content-Type")), size)
        elif answer.status not in {400, 404, 405, 501}:
            raise self._failure(answer, "manifest", f"{repository}:{reference}")
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

        def fetch(start: int) -> Answer:
            path = f"{repository_path(name)}/blobs/{descriptor.digest}"
            answer = self._get(path, scope=_pull(name), headers={"Range": f"bytes={start}-"} if start else {})
            if answer.status in {200, 206, 416}:
                return answer
            raise self._failure(answer, "blob", f"{descriptor.digest} of {repository}")

        return io.BufferedReader(BlobReader(descriptor, fetch), 256 * 1024)

    def blob_part(self, repository: str, descriptor: Descriptor, *, start: int, length: int) -> bytes | None:
        """Return ``length`` bytes of a blob from byte ``start`` on, unverified; None where no such part is given."""
        name = self._name(repository)
        path = f"{repository_path(name)}/blobs/{descriptor.digest}"
        answer = self._get(path, scope=_pull(name), headers={"Range": f"bytes={start}-{start + length - 1}"})
        try:
            if answer.status in {200, 416}:
                return None  # it ignores Range, or holds a shorter blob
            if answer.status != 206:
                raise self._failure(answer, "blob", f"{descriptor.digest} of {repository}")
            found = CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
            part = b""
            while len(part) <= length and (more := answer.read(length + 1 - len(part))):
                part += more
            return part if found and int(found[1]) == start and len(part) == length else None
        finally:
            answer.close()

    def blob_bytes(self, repository: str, descriptor: Descriptor, *, limit: int) -> bytes:
        """Return a small blob whole and verified. One that does not fit its digest is asked for once more."""
        if descriptor.size > limit:
            raise TooLarge(
                f"A blob of {descriptor.size} bytes is larger than any honest one of its kind.",
                "Push the image again with a current tool.",
            )
        with contextlib.suppress(DigestMismatch), self.blob(repository, descriptor) as reader:
            return _read_small(reader, limit)
        with self.blob(repository, descriptor) as reader:
            return _read_small(reader, limit)

    def _manifest_once(self, repository: str, reference: str | Digest) -> RawManifest:
        answer = self._manifest_answer("GET", repository, reference)
        if answer.status != 200:
            raise self._failure(answer, "manifest", f"{repository}:{reference}")
        declared = media_types.bare(answer.headers.get("Content-Type"))
        if answer.is_page:
            raise no_registry(answer)
        if len(answer.content) > MANIFEST_LIMIT and declared not in media_types.SCHEMA1S:
            raise TooLarge(
                "The manifest is larger than 4 MiB.", "No honest manifest is that large: look at who pushed it."
            )
        media_type = sniff_media_type(declared, answer.content)
        return RawManifest(_digest(reference, answer, media_type), media_type, answer.content)

    def _manifest_answer(self, method: str, repository: str, reference: str | Digest) -> Answer:
        name = self._name(repository)
        path = f"{repository_path(name)}/manifests/{reference_path(reference)}"
        headers = {"Accept": media_types.ACCEPT_MANIFESTS}
        return self._get(path, scope=_pull(name), headers=headers, limit=SCHEMA1_LIMIT, method=method)

    def _names(self, path: str, key: str, scope: str, *, patience: float | None = None) -> Iterator[str]:
        """Yield the names of all pages. The Link tells what is next; without one, a full page is asked past its end."""
        fit = is_tag if key == "tags" else is_repository
        size, total, empty, unfit = PAGE_SIZE, 0, 0, 0
        query, asked, before = urlencode({"n": size}), set[str](), list[str]()
        while True:
            asked.add(query)
            answer = self._get(f"{path}?{query}", scope=scope, limit=PAGE_LIMIT, patience=patience)
            if answer.status in {400, 422} and len(asked) <= 10 and not total and size > SMALLEST_PAGE:
                size //= 2
                query = urlencode({"n": size})
                continue
            if answer.status == 404 and key == "tags" and answer.error_code() in _REPOSITORY_GONE:
                return
            if answer.status != 200:
                raise self._failure(answer, "repository", path.removesuffix("/tags/list"))
            names = _page(answer, key)
            if names == before and names:
                break  # the server ignores where to go on
            yield from (name for name in names if fit(name))
            unfit += sum(not fit(name) for name in names)
            total, empty, before = total + len(names), 0 if names else empty + 1, names
            following = next_query(answer.headers.get("Link", ""))
            if following is None and len(names) == size:
                following = urlencode({"n": size, "last": names[-1]})
            if following is None or following == query:
                break
            if not following or following in asked or total > MAX_NAMES or empty > MAX_EMPTY_PAGES:
                raise MalformedAnswer(
                    "The registry's list does not end: it leads to a page that was read already.",
                    "Enter the repositories as a fixed list, and tell the registry's makers.",
                )
            query = following
        if unfit:
            raise NamesUnfit(
                f"The registry lists {unfit} names that no request can hold; the others were read.",
                "Rename these repositories or tags in the registry.",
            )

    def _get(
        self,
        path: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        limit: int | None = None,
        method: str = "GET",
        patience: float | None = None,
    ) -> Answer:
        """One request with the right Authorization; after a 401 once more with a new one. Raises for a second 401."""
        self._arrive()
        for last in (False, True):
            authorization = self._sign_in.authorization(scope)
            sent = {**(headers or {}), **({"Authorization": authorization} if authorization else {})}
            login = self._sign_in.carries_login(authorization)
            with self._sign_in.sending(login=login):
                answer = self._transport.fetch(method, self._base + path, headers=sent, limit=limit, patience=patience)
                if login and answer.origin == self._transport.home:
                    if answer.status == 401 and not last:  # judged before anybody else sends the same
                        answer.close()
                        self._sign_in.renew(scope, answer, authorization)
                        continue
                    if answer.status < 400 or answer.status == 404:
                        self._sign_in.accept()
            if answer.origin != self._transport.home and answer.status in {400, 401, 403}:
                raise storage_refuses(answer)
            if answer.status == 403 and not last and self._sign_in.has_other_login(authorization):
                answer.close()  # what ECR says of an expired login; where the right is missing, it says so again
                continue
            if answer.status != 401:
                return answer
            answer.close()
            if not last:
                self._sign_in.renew(scope, answer, authorization)
        raise no_access(self._sign_in.has_login)

    def _failure(self, answer: Answer, what: What, subject: str) -> RegistryError:
        error = failure(answer, what, subject, self._sign_in.has_login)
        if isinstance(error, AccessDenied):
            error.remedy = self._sign_in.remedy or error.remedy
        return error

    def _name(self, repository: str) -> str:
        return f"library/{repository}" if self._endpoint.is_docker_hub and "/" not in repository else repository


def _page(answer: Answer, key: str) -> list[str]:
    if answer.is_page:
        raise no_registry(answer)
    if answer.content.count(b",") > PAGE_NAMES:  # in memory they would take many times the space of the answer
        raise TooLarge(
            f"The registry lists more than {PAGE_NAMES} names in one answer.",
            "No honest answer is that large. Check what answers at this address.",
        )
    body: Any = strict_json.load(answer.content, "list")
    names = (body or {}).get(key) or [] if isinstance(body, (dict, type(None))) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise MalformedAnswer(
            "The registry's list holds something that is no name.", "Check the type of this registry."
        )
    return names


def _digest(reference: str | Digest, answer: Answer, media_type: str) -> Digest:
    """The digest of a manifest, found to be what was asked for and what the registry says. Raises DigestMismatch."""
    told = answer.headers.get("Docker-Content-Digest")
    expected = None
    if ":" in str(reference):
        expected = Digest.parse(str(reference))
    elif told:
        with contextlib.suppress(MalformedAnswer):
            expected = Digest.parse(told)
    algorithm = expected.algorithm if expected else "sha256"
    found = Digest.of(answer.content, algorithm)
    if media_type in media_types.SCHEMA1S and found != expected:
        found = Digest.of(schema1_payload(answer.content), algorithm)
    if expected and found != expected:
        raise DigestMismatch(
            "The manifest is not what its digest says.",
            "It is damaged in the registry or on the way. If this goes on, push the image again.",
        )
    return found


def _read_small(reader: BinaryIO, limit: int) -> bytes:
    content = reader.read(limit + 1)
    if len(content) > limit:
        raise TooLarge("A blob is larger than any honest one of its kind.", "Push the image again with a current tool.")
    return content


def _pull(name: str) -> str:
    return f"repository:{name}:pull"


_FIXED_LIST = "Enter the repositories of this registry as a fixed list, or use an account that may read the catalog."
