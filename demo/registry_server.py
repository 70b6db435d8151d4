"""A small, real OCI distribution server: read over HTTP, filled from Python. Standard library only.

It speaks the pull half of distribution-spec 1.1 (manifests, blobs with Range, tags) and the catalog of Docker's
registry. ``make demo`` serves its sample images with it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from demo.registry_auth import Method, RegistryAuth
from demo.registry_store import CHUNK_BYTES, RegistryStore, StoredBlob

log = logging.getLogger(__name__)

MAX_PAGE_ITEMS = 1000  # as docker-registry's catalog.maxentries
DEFAULT_PAGE_ITEMS = 100
IDLE_SECONDS = 30
MAX_BODY_BYTES = 64 * 1024
JSON_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True)
class ServerRequest:
    """One request, as the routes see it. ``path`` is decoded and without the server's prefix."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Message
    body: bytes = b""  # of a POST, which this server itself does not take

    def first(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), None)


@dataclass
class ServerResponse:
    """One answer. The body is bytes, or ``length`` bytes of a blob from ``start``."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    blob: StoredBlob | None = None
    start: int = 0
    length: int = 0

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return self.length if self.blob else len(self.body)

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces."""
        if self.blob is None:
            yield self.body
            return
        with self.blob.open() as source:
            source.seek(self.start)
            left = self.length
            while left > 0 and (chunk := source.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk


class RegistryServer:
    """A distribution server on its own threads, from ``with`` to the end of the block (or ``start`` and ``stop``).

    ``port`` 0 takes a free one. With ``folder``, blobs lie on disk. ``method`` "basic" or "bearer" asks for one of
    ``users`` (name to password). ``prefix`` puts the whole server below a path, as behind a reverse proxy.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        folder: Path | None = None,
        method: Method = "none",
        users: Mapping[str, str] | None = None,
        token_seconds: int = 300,
        tls: ssl.SSLContext | None = None,
        prefix: str = "",
        max_connections: int = 64,
    ) -> None:
        self.store = RegistryStore(folder)
        self.sign_in = RegistryAuth(method, users or {}, token_seconds)
        self.prefix = prefix.rstrip("/")
        self.stopping = threading.Event()
        self._scheme = "https" if tls else "http"
        self._server = _HTTPServer((host, port), self, max_connections, tls)
        self._thread: threading.Thread | None = None

    @property
    def host(self) -> str:
        """``host:port``, as it stands in image names."""
        name, port = self._server.server_address[:2]
        name = str(name)
        return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"

    @property
    def url(self) -> str:
        """The address to give to a client, with the prefix and without a slash at its end."""
        return f"{self._scheme}://{self.host}{self.prefix}"

    def put_blob(self, data: bytes | Path) -> str:
        """Keep a blob; see :meth:`RegistryStore.put_blob`."""
        return self.store.put_blob(data)

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        """Keep a manifest; see :meth:`RegistryStore.put_manifest`."""
        return self.store.put_manifest(repository, reference, content, media_type)

    def start(self) -> None:
        """Begin to answer."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="registry", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End every connection and every thread. May be called twice."""
        self.stopping.set()
        if self._thread:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.hang_up()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- routes ---------------------------------------------------------------------------------------------------
    def answer(self, request: ServerRequest) -> ServerResponse:
        """What is said to ``request``."""
        if request.method not in {"GET", "HEAD"}:
            return error_response(405, "UNSUPPORTED", "this registry is only read")
        if request.path == "/token" and self.sign_in.method == "bearer":
            return self._token(request)
        if not request.path.startswith("/v2/"):
            return error_response(404, "NOT_FOUND", "no such page")
        for pattern, scope, route in _ROUTES:
            if found := pattern.fullmatch(request.path):
                refused = self._refuse(request, scope.format(**found.groupdict()))
                return refused or route(self, request, **found.groupdict())
        return error_response(404, "UNSUPPORTED", "no such operation")

    def send(self, handler: BaseHTTPRequestHandler, request: ServerRequest, answer: ServerResponse) -> None:
        """Write ``answer`` to the connection."""
        handler.send_response(answer.status)
        for name, value in {"Content-Length": str(answer.size), **answer.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if request.method != "HEAD" and answer.status != 304:
            for chunk in answer.chunks():
                handler.wfile.write(chunk)

    def _refuse(self, request: ServerRequest, scope: str) -> ServerResponse | None:
        authorization = request.headers.get("Authorization", "")
        if self.sign_in.method == "basic" and self.sign_in.check_basic(authorization) is None:
            challenge = 'Basic realm="Registry"'
        elif (
            self.sign_in.method == "bearer"
            and (problem := self.sign_in.refuse_bearer(authorization, scope)) is not None
        ):
            challenge = f'Bearer realm="{self.url}/token",service="{self.sign_in.service}"'
            challenge += f',scope="{scope}"' if scope else ""
            challenge += f',error="{problem}"' if problem else ""
        else:
            return None
        refusal = error_response(401, "UNAUTHORIZED", "authentication required")
        refusal.headers["WWW-Authenticate"] = challenge
        return refusal

    def _token(self, request: ServerRequest) -> ServerResponse:
        user = self.sign_in.check_basic(request.headers.get("Authorization", ""))
        if user is None:
            return error_response(401, "UNAUTHORIZED", "wrong user name or password")
        token = self.sign_in.issue(user, [value for key, value in request.query if key == "scope"])
        return json_response({"token": token, "access_token": token, "expires_in": self.sign_in.token_seconds})

    def _root(self, request: ServerRequest) -> ServerResponse:
        return json_response({})

    def _catalog(self, request: ServerRequest) -> ServerResponse:
        return _paged(request, self.store.repositories(), lambda names: {"repositories": names}, self.prefix)

    def _tags(self, request: ServerRequest, name: str) -> ServerResponse:
        tags = self.store.tags(name)
        if tags is None:
            return error_response(404, "NAME_UNKNOWN", "repository name not known to registry")
        return _paged(request, tags, lambda names: {"name": name, "tags": names}, self.prefix)

    def _manifest(self, request: ServerRequest, name: str, reference: str) -> ServerResponse:
        manifest = self.store.manifest(name, reference)
        accept = ",".join(request.headers.get_all("Accept", ["*/*"]))  # one line or, as skopeo does, many
        accepted = [part.split(";")[0].strip() for part in accept.split(",")]
        if manifest is None or not {manifest.media_type, "*/*"} & set(accepted):
            return error_response(404, "MANIFEST_UNKNOWN", "manifest unknown")
        headers = {"Docker-Content-Digest": manifest.digest, "ETag": f'"{manifest.digest}"'}
        if headers["ETag"] in request.headers.get("If-None-Match", ""):
            return ServerResponse(304, headers)
        return ServerResponse(200, {"Content-Type": manifest.media_type, **headers}, manifest.content)

    def _blob(self, request: ServerRequest, name: str, digest: str) -> ServerResponse:
        blob = self.store.blob(name, digest)
        if blob is None:
            return error_response(404, "BLOB_UNKNOWN", "blob unknown to registry")
        answer = ServerResponse(200, {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}, blob=blob)
        answer.headers |= {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        answer.length = blob.size
        if found := re.fullmatch(r"bytes=(\d{1,18})-(\d{0,18})", request.headers.get("Range", "")):
            first, last = int(found[1]), min(int(found[2] or blob.size), blob.size - 1)
            if first > last:
                return ServerResponse(416, {"Content-Range": f"bytes */{blob.size}"})
            answer.status, answer.start, answer.length = 206, first, last - first + 1
            answer.headers["Content-Range"] = f"bytes {first}-{last}/{blob.size}"
        return answer


# path, scope that a token needs, method of the server
_ROUTES: tuple[tuple[re.Pattern[str], str, Callable[..., ServerResponse]], ...] = (
    (re.compile(r"/v2/"), "", RegistryServer._root),
    (re.compile(r"/v2/_catalog"), "registry:catalog:*", RegistryServer._catalog),
    (re.compile(r"/v2/(?P<name>.+)/tags/list"), "repository:{name}:pull", RegistryServer._tags),
    (
        re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)"),
        "repository:{name}:pull",
        RegistryServer._manifest,
    ),
    (re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>[^/]+)"), "repository:{name}:pull", RegistryServer._blob),
)


def json_response(content: Any, status: int = 200) -> ServerResponse:
    """A JSON answer."""
    return ServerResponse(status, {"Content-Type": JSON_TYPE}, json.dumps(content).encode())


def error_response(status: int, code: str, message: str) -> ServerResponse:
    """An error in the form of the distribution API."""
    return json_response({"errors": [{"code": code, "message": message, "detail": None}]}, status)


def _paged(request: ServerRequest, names: list[str], body: Callable[[list[str]], Any], prefix: str) -> ServerResponse:
    """The page of ``names`` that ``n`` and ``last`` ask for, with a relative Link to the next one."""
    wanted = request.first("n")
    if wanted is not None and not (
        wanted.isascii() and wanted.isdigit() and len(wanted) < 10 and int(wanted) <= MAX_PAGE_ITEMS
    ):
        return error_response(400, "PAGINATION_NUMBER_INVALID", f"n must be a number up to {MAX_PAGE_ITEMS}")
    count, last = int(wanted or DEFAULT_PAGE_ITEMS), request.first("last") or ""
    left = [name for name in names if name > last]
    answer = json_response(body(left[:count]))
    if 0 < count < len(left):
        following = urlencode({"last": left[count - 1], "n": count})
        answer.headers["Link"] = f'<{prefix}{quote(request.path)}?{following}>; rel="next"'
    return answer


# --- the HTTP side ------------------------------------------------------------------------------------------------
class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "tallyman-demo-registry", ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    server: _HTTPServer

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        prefix = self.server.registry.prefix
        request = ServerRequest(
            self.command,
            unquote(parts.path).removeprefix(prefix) if parts.path.startswith(f"{prefix}/") else "",
            tuple(parse_qsl(parts.query, max_num_fields=20)),
            self.headers,
            self._body(),
        )
        self.server.registry.send(self, request, self.server.registry.answer(request))

    def _body(self) -> bytes:
        """The body of a small POST. Any other that nobody asked for is not read."""
        length = self.headers.get("Content-Length", "0")
        if self.command == "POST" and length.isdecimal() and int(length[:9]) <= MAX_BODY_BYTES:
            return self.rfile.read(int(length[:9]))
        if length != "0" or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
        return b""

    do_GET = do_HEAD = do_POST = _serve

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = False  # stop() waits for them
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], registry: RegistryServer, max_connections: int, tls: ssl.SSLContext | None
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.registry = registry
        self._places = threading.BoundedSemaphore(max_connections)
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)
        if tls:  # the handshake takes place in the connection's own thread, at its first read
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's would ask the DNS for the name of this machine

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        self._open.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("connection of %s ended early", client_address, exc_info=True)

    def hang_up(self) -> None:
        """End all open connections, so that their threads end too."""
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
