"""A real distribution server that misbehaves on command and remembers what it was asked.

    with FakeRegistry() as registry:
        images.image({"etc/os-release": b"…"}).put(registry, "team/app", "1.0")
        registry.fail(blobs, Truncate(0.5), times=1)

``fail`` takes a route (one of the predicates below, or any function of a Request), a fault, and how often it shows.
"""

from __future__ import annotations

import gzip
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from demo.registry_server import RegistryServer, ServerRequest, ServerResponse, error_response

Route = Callable[[ServerRequest], bool]
RealAnswer = Callable[[], ServerResponse]


def anything(request: ServerRequest) -> bool:
    return True


def root(request: ServerRequest) -> bool:
    return request.path == "/v2/"


def catalog(request: ServerRequest) -> bool:
    return request.path == "/v2/_catalog"


def tags(request: ServerRequest) -> bool:
    return request.path.endswith("/tags/list")


def manifests(request: ServerRequest) -> bool:
    return "/manifests/" in request.path


def blobs(request: ServerRequest) -> bool:
    return "/blobs/" in request.path


def tokens(request: ServerRequest) -> bool:
    return request.path == "/token"


def blob(digest: str) -> Route:
    """The route of one blob."""
    return lambda request: request.path.endswith(f"/blobs/{digest}")


@dataclass
class Scripted(ServerResponse):
    """An answer that is written to the connection in a way of its own."""

    write: Callable[[RegistryServer, BaseHTTPRequestHandler, ServerRequest, ServerResponse], None] | None = None


class Fault(Protocol):
    """What happens to a request: ``real`` gives the answer that the server would have given."""

    def __call__(self, request: ServerRequest, real: RealAnswer) -> ServerResponse: ...


# --- faults of the answer -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Status:
    """Answer with a bare status, as load balancers and registries do."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    code: str = "UNKNOWN"
    body: bytes | None = None

    def __call__(self, request: ServerRequest, real: RealAnswer) -> ServerResponse:
        answer = (
            error_response(self.status, self.code, "scripted")
            if self.body is None
            else ServerResponse(self.status, {}, self.body)
        )
        answer.headers |= self.headers
        return answer


def rate_limited(retry_after: str | None = None) -> Status:
    """429, with Retry-After in seconds, as a date, or without it."""
    return Status(429, {"Retry-After": retry_after} if retry_after is not None else {}, code="TOOMANYREQUESTS")


def retry_date(seconds: float) -> str:
    """The HTTP date ``seconds`` from now."""
    return formatdate(time.time() + seconds, usegmt=True)


HTML = Status(200, {"Content-Type": "text/html"}, body=b"<!doctype html><title>Sign in</title>")
GATEWAY = Status(503, {"Content-Type": "text/html"}, body=b"<h1>503 Service Unavailable</h1>")


@dataclass(frozen=True)
class Headers:
    """The real answer with headers changed; None takes one away."""

    changes: dict[str, str | None]

    def __call__(self, request: ServerRequest, real: RealAnswer) -> ServerResponse:
        answer = real()
        kept = {name: value for name, value in answer.headers.items() if name not in self.changes}
        answer.headers = kept | {name: value for name, value in self.changes.items() if value is not None}
        return answer


NO_DIGEST = Headers({"Docker-Content-Digest": None, "ETag": None})
WRONG_DIGEST = Headers({"Docker-Content-Digest": "sha256:" + "0" * 64})


def no_head(request: ServerRequest, real: RealAnswer) -> ServerResponse:
    """HEAD is not there; all else works."""
    return error_response(405, "UNSUPPORTED", "method not allowed") if request.method == "HEAD" else real()


def no_range(request: ServerRequest, real: RealAnswer) -> ServerResponse:
    """The whole blob with 200, whatever Range was asked for."""
    answer = real()
    if answer.blob and answer.status == 206:
        answer.status, answer.start, answer.length = 200, 0, answer.blob.size
        answer.headers.pop("Content-Range")
    return answer


@dataclass(frozen=True)
class Body:
    """The real answer with another body (and status 200)."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, request: ServerRequest, real: RealAnswer) -> ServerResponse:
        answer = real()
        return ServerResponse(200, answer.headers | self.headers, self.body)


def json_body(value: Any) -> Body:
    """A JSON body in place of the real one, e.g. ``json_body({"tags": None})``."""
    return Body(json.dumps(value).encode())


@dataclass(frozen=True)
class FlippedBit:
    """The real body with one bit changed."""

    at: int = -1

    def __call__(self, request: ServerRequest, real: RealAnswer) -> ServerResponse:
        answer = real()
        body = bytearray(b"".join(answer.chunks()))
        body[self.at] ^= 1
        return ServerResponse(answer.status, answer.headers, bytes(body))


def gzip_by_proxy(request: ServerRequest, real: RealAnswer) -> ServerResponse:
    """The body compressed on its way, as proxies do that ignore Accept-Encoding."""
    answer = real()
    headers = {**answer.headers, "Content-Encoding": "gzip"}
    return ServerResponse(answer.status, headers, gzip.compress(b"".join(answer.chunks())))


@dataclass(frozen=True)
class DecompressionBomb:
    """A JSON body that is small on the wire and ``size`` bytes (in steps of 16 MiB) large when unpacked."""

    size: int

    def __call__(self, request: ServerRequest, real: RealAnswer) -> ServerResponse:
        step = 1 << 24
        piece = gzip.compress(b"a" * step)
        packed = gzip.compress(b'{"repositories":["') + piece * (self.size // step) + gzip.compress(b'"]}')
        return ServerResponse(200, {"Content-Type": "application/json", "Content-Encoding": "gzip"}, packed)


@dataclass(frozen=True)
class Redirect:
    """Send the client elsewhere. ``{path}`` in the location stands for the path asked for."""

    location: str
    status: int = 307

    def __call__(self, request: ServerRequest, real: RealAnswer) -> ServerResponse:
        return ServerResponse(self.status, {"Location": self.location.replace("{path}", request.path)})


@dataclass(frozen=True)
class Challenge:
    """401 with a challenge of one's own."""

    challenge: str

    def __call__(self, request: ServerRequest, real: RealAnswer) -> ServerResponse:
        answer = error_response(401, "UNAUTHORIZED", "authentication required")
        answer.headers["WWW-Authenticate"] = self.challenge
        return answer


# --- faults of the connection -------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Truncate:
    """Close the connection after this share of the body, of which Content-Length promises all."""

    share: float = 0.5

    def __call__(self, request: ServerRequest, real: RealAnswer) -> ServerResponse:
        return _scripted(real(), self._write)

    def _write(
        self, server: RegistryServer, handler: BaseHTTPRequestHandler, request: ServerRequest, answer: ServerResponse
    ) -> None:
        body = b"".join(answer.chunks())
        _head(handler, answer, len(body))
        handler.wfile.write(body[: int(len(body) * self.share)])
        handler.close_connection = True


@dataclass(frozen=True)
class SlowBody:
    """One byte each ``pause`` seconds: of the head where ``head`` is true, else of the body."""

    pause: float = 1.0
    head: bool = False

    def __call__(self, request: ServerRequest, real: RealAnswer) -> ServerResponse:
        return _scripted(real(), self._write)

    def _write(
        self, server: RegistryServer, handler: BaseHTTPRequestHandler, request: ServerRequest, answer: ServerResponse
    ) -> None:
        body = b"".join(answer.chunks())
        if self.head:
            body = b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 4000 + b"\r\n\r\n"
        else:
            _head(handler, answer, len(body))
        handler.close_connection = True
        for byte in body:
            if server.stopping.wait(self.pause):
                return
            handler.wfile.write(bytes([byte]))


def silence(request: ServerRequest, real: RealAnswer) -> ServerResponse:
    """Nothing is ever answered."""
    return _scripted(ServerResponse(200), lambda server, handler, request, answer: _wait(server, handler))


def reset(request: ServerRequest, real: RealAnswer) -> ServerResponse:
    """The connection is reset (RST) before any answer."""

    def write(
        server: RegistryServer, handler: BaseHTTPRequestHandler, request: ServerRequest, answer: ServerResponse
    ) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True

    return _scripted(ServerResponse(200), write)


@dataclass(frozen=True)
class EndlessBody:
    """A body without Content-Length that goes on until the client hangs up. ``sent`` counts its bytes."""

    piece: bytes = b" " * 65536
    sent: list[int] = field(default_factory=list)

    def __call__(self, request: ServerRequest, real: RealAnswer) -> ServerResponse:
        return _scripted(ServerResponse(200, {"Content-Type": "application/json"}), self._write)

    def _write(
        self, server: RegistryServer, handler: BaseHTTPRequestHandler, request: ServerRequest, answer: ServerResponse
    ) -> None:
        handler.close_connection = True
        _head(handler, answer, None)
        while not server.stopping.is_set():
            handler.wfile.write(self.piece)
            self.sent.append(len(self.piece))


def _wait(server: RegistryServer, handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    server.stopping.wait()


def _scripted(answer: ServerResponse, write: Callable[..., None]) -> Scripted:
    return Scripted(answer.status, answer.headers, answer.body, answer.blob, answer.start, answer.length, write)


def _head(handler: BaseHTTPRequestHandler, answer: ServerResponse, length: int | None) -> None:
    handler.send_response(answer.status)
    for name, value in answer.headers.items():
        handler.send_header(name, value)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()


# --- the registry -------------------------------------------------------------------------------------------------
@dataclass
class _Rule:
    route: Route
    fault: Fault
    times: int | None
    chance: float


@dataclass(frozen=True)
class RecordedRequest:
    """One request that has arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    at: float  # time.monotonic()


class FakeRegistry(RegistryServer):
    """A RegistryServer with faults on command. ``seen`` holds all requests in the order they came.

    With ``poison_cookies`` every answer sets a cookie, and a request that brings it back is refused.
    """

    def __init__(self, *, poison_cookies: bool = False, seed: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[RecordedRequest] = []
        self._poison_cookies = poison_cookies
        self._rules: list[_Rule] = []
        self._random = random.Random(seed)
        self._rules_lock = threading.Lock()

    def fail(self, route: Route, fault: Fault, *, times: int | None = None, chance: float = 1.0) -> None:
        """Let ``fault`` show on ``route``, ``times`` times or for ever, at each request with a (seeded) ``chance``.

        Faults on one route show in the order they were asked for, each until it is used up.
        """
        with self._rules_lock:
            self._rules.append(_Rule(route, fault, times, chance))

    def heal(self) -> None:
        """Forget all faults."""
        with self._rules_lock:
            self._rules.clear()

    def requests(self, route: Route = anything, *, method: str | None = None) -> Sequence[RecordedRequest]:
        """The requests seen on ``route``."""
        return [
            each
            for each in tuple(self.seen)
            if method in (None, each.method) and route(ServerRequest(each.method, each.path, (), {}))  # type: ignore[arg-type]
        ]

    def answer(self, request: ServerRequest) -> ServerResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(RecordedRequest(request.method, request.path, dict(request.query), headers, time.monotonic()))
        if self._poison_cookies and "cookie" in headers:
            return error_response(403, "DENIED", "CSRF token invalid")
        fault = self._fault(request)
        answer = fault(request, lambda: super(FakeRegistry, self).answer(request)) if fault else super().answer(request)
        if self._poison_cookies:
            answer.headers["Set-Cookie"] = "sid=poisoned; Path=/"
        return answer

    def send(self, handler: BaseHTTPRequestHandler, request: ServerRequest, answer: ServerResponse) -> None:
        if isinstance(answer, Scripted) and answer.write:
            answer.write(self, handler, request, answer)
        else:
            super().send(handler, request, answer)

    def _fault(self, request: ServerRequest) -> Fault | None:
        with self._rules_lock:
            for rule in self._rules:
                if rule.times != 0 and rule.route(request) and self._random.random() < rule.chance:
                    if rule.times is not None:
                        rule.times -= 1
                    return rule.fault
        return None


class DecoyServer(FakeRegistry):
    """Another origin that should hear nothing secret, or nothing at all. It answers everything with ``body``."""

    def __init__(self, body: bytes = b"", status: int = 200, **options: Any) -> None:
        super().__init__(**options)
        self._answer = (status, body)

    def answer(self, request: ServerRequest) -> ServerResponse:
        super().answer(request)
        status, body = self._answer
        return ServerResponse(status, {"Content-Type": "application/octet-stream"}, body)
