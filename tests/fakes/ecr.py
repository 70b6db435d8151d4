"""AWS as far as its private registry goes: moto's server behind a gate that checks what AWS does, and ECR's /v2.

moto keeps repositories, images and roles, and checks next to nothing. The gate verifies the signature (SigV4), scope,
session token and clock of each call, the rights of the key, and page sizes; it cuts answers into pages, and hands out
logins that the distribution side takes, until they expire. ``Ecr`` is a target to put images into.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import json
import logging
import re
import secrets
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer

from demo.registry_server import RegistryServer, ServerRequest, ServerResponse, error_response
from tests.fakes.registry import FakeRegistry, blobs

ACCOUNT = "123456789012"  # moto's
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
RIGHTS = frozenset({"sts:AssumeRole"} | {f"ecr:{name}" for name in ("GetAuthorizationToken", "BatchGetImage")})
RIGHTS |= {"ecr:DescribeRepositories", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer"}
RULES = "pullThroughCacheRules"
MAX_RESULTS = 1000
CLOCK_SECONDS = 300
TARGET = "AmazonEC2ContainerRegistry_V20150921."
EXPIRED = "Your authorization token has expired. Reauthenticate and try again."


@contextlib.contextmanager
def moto_server() -> Iterator[ThreadedMotoServer]:
    """moto on a free port of loopback."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@functools.cache
def _session() -> Any:
    return boto3.Session(KEY, SECRET)


@dataclass
class SigningSession:
    """Who may sign: a user's key, or that of a role till its end."""

    secret: str
    token: str = ""
    ends_at: float = float("inf")


@dataclass(frozen=True)
class RecordedCall:
    """One call that was let in or refused."""

    operation: str
    parameters: dict[str, Any]
    key: str
    headers: dict[str, str]


@dataclass
class Refusal(Exception):
    """What AWS answers in place of a result."""

    code: str
    message: str = ""
    status: int = 400


class EcrRegistry(FakeRegistry):
    """``/v2`` of ECR: takes the logins handed out, until they expire, and keeps its blobs elsewhere."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.logins: dict[str, bool] = {}  # password → whether it still holds
        self.denied: set[str] = set()  # repositories
        self.storage = BlobStorage(self)

    def issue(self) -> str:
        """A new password."""
        password = secrets.token_urlsafe(60)
        self.logins[password] = True
        return password

    def expire(self) -> None:
        """Let all logins so far come to their end."""
        self.logins = dict.fromkeys(self.logins, False)

    def answer(self, request: ServerRequest) -> ServerResponse:
        answer = super().answer(request)
        if answer.status in {200, 206} and blobs(request):
            return ServerResponse(307, {"Location": f"{self.storage.url}{request.path}?X-Amz-Signature=abc"})
        return answer

    def _refuse(self, request: ServerRequest, scope: str) -> ServerResponse | None:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(value).decode().partition(":")
        if scheme != "Basic" or user != "AWS" or password not in self.logins:
            answer = error_response(401, "UNAUTHORIZED", "Not Authorized")
            answer.headers["WWW-Authenticate"] = f'Basic realm="{self.url}/",service="ecr.amazonaws.com"'
            return answer
        if not self.logins[password]:
            return error_response(403, "DENIED", EXPIRED)
        if any(f"repository:{name}:" in scope for name in self.denied):
            return error_response(403, "DENIED", "User is not authorized to perform: ecr:BatchGetImage")
        return None

    def start(self) -> None:
        super().start()
        self.storage.start()

    def stop(self) -> None:
        self.storage.stop()
        super().stop()


class BlobStorage(FakeRegistry):
    """S3 behind ECR: gives blobs for signed addresses, and refuses who authorizes himself in a second way."""

    def __init__(self, docker: RegistryServer) -> None:
        super().__init__()
        self.store = docker.store

    def answer(self, request: ServerRequest) -> ServerResponse:
        if "Authorization" in request.headers:
            return ServerResponse(400, {}, b"<Error><Code>InvalidArgument</Code></Error>")
        if request.first("X-Amz-Signature") != "abc":
            return ServerResponse(403, {}, b"<Error><Code>AccessDenied</Code></Error>")
        return super().answer(request)


@dataclass
class Fault:
    """One answer in place of the real one."""

    refusal: Refusal | bytes
    times: int


class Ecr:
    """The gate, with ``docker`` beside it. ``url`` is the endpoint of ECR and STS alike.

    ``page`` is the most that one page holds, however much is asked for. Logins say that they live ``login_seconds``;
    without, as moto's, that they ended in 2015.
    """

    def __init__(
        self,
        moto: ThreadedMotoServer,
        *,
        region: str = "eu-central-1",
        page: int = MAX_RESULTS,
        login_seconds: float | None = 12 * 3600,
        docker: EcrRegistry | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.region, self.page, self.login_seconds = region, page, login_seconds
        self.docker = docker or EcrRegistry()
        self.sessions = {KEY: SigningSession(SECRET)}
        self.cache_prefixes: list[str] = []
        self.rights = set(RIGHTS)
        self.role_seconds = 3600.0
        self.skew = 0.0  # of the clock here
        self.untagged = False  # whether the filter is ignored, as by moto
        self.details: dict[str, dict[str, Any]] = {}  # digest → fields that the listing shows otherwise
        self.calls: list[RecordedCall] = []
        self._faults: dict[str, list[Fault]] = {}
        self._tokens: dict[str, int] = {}
        self._lock = threading.Lock()
        self._moto = "{}:{}".format(*moto.get_host_and_port())
        self._http("POST", "/moto-api/reset", {}, b"")
        self._client = _session().client("ecr", endpoint_url=f"http://{self._moto}", region_name=region)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.ecr = self
        self.port = self._server.server_address[1]
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.docker.start()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.docker.stop()

    # --- filled from Python -------------------------------------------------------------------------------------------
    def put_blob(self, data: bytes) -> str:
        return self.docker.put_blob(data)

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        self.create(repository)
        digest = self.docker.put_manifest(repository, reference, content, media_type)
        self._client.put_image(
            repositoryName=repository,
            imageManifest=content.decode(),
            imageManifestMediaType=media_type,
            imageDigest=digest,
            **({} if ":" in reference else {"imageTag": reference}),
        )
        return digest

    def create(self, repository: str) -> None:
        """An empty repository, unless it is there."""
        with contextlib.suppress(self._client.exceptions.RepositoryAlreadyExistsException):
            self._client.create_repository(repositoryName=repository)

    def delete(self, repository: str) -> None:
        self._client.delete_repository(repositoryName=repository, force=True)

    def untag(self, repository: str, tag: str) -> None:
        self._client.batch_delete_image(repositoryName=repository, imageIds=[{"imageTag": tag}])

    def fail(self, operation: str, refusal: Refusal | bytes, *, times: int = 1) -> None:
        """Answer the next calls to ``operation`` with ``refusal``, or with bytes and status 200."""
        self._faults.setdefault(operation, []).append(Fault(refusal, times))

    def end_sessions(self) -> None:
        """Let the credentials of all roles expire."""
        for session in self.sessions.values():
            session.ends_at = min(session.ends_at, 0.0 if session.token else session.ends_at)

    def asked(self) -> Counter[str]:
        """How often each operation was called."""
        return Counter(call.operation for call in self.calls)

    # --- the gate -----------------------------------------------------------------------------------------------------
    def answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """What AWS says to a POST; header names are in lower case."""
        target = headers.get("x-amz-target", "")
        if target.startswith(TARGET):
            operation, parameters = target.removeprefix(TARGET), json.loads(body)
            service = "ecr"
        else:
            parameters = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            operation, service = parameters.pop("Action", ""), "sts"
        key = re.search(r"Credential=([^/]*)", headers.get("authorization", ""))
        with self._lock:
            self.calls.append(RecordedCall(operation, parameters, key[1] if key else "", headers))
            fault = next((each for each in self._faults.get(operation, ()) if each.times > 0), None)
            if fault:
                fault.times -= 1
        try:
            self._verify(service, path, headers, body)
            if f"{service}:{operation}" not in self.rights:
                raise Refusal(
                    "AccessDeniedException" if service == "ecr" else "AccessDenied",
                    f"User: arn:aws:iam::{ACCOUNT}:user/x is not authorized to perform: {service}:{operation} on "
                    "resource: * because no identity-based policy allows it",
                    400 if service == "ecr" else 403,
                )
            if operation == "DescribePullThroughCacheRules":  # which moto does not know
                rules = [{"ecrRepositoryPrefix": each} for each in self.cache_prefixes]
                return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({RULES: rules}).encode()
            if fault and isinstance(fault.refusal, bytes):
                return 200, {"Content-Type": "text/html"}, fault.refusal
            if fault:
                raise fault.refusal
            return self._forward(service, operation, parameters, path, headers, body)
        except Refusal as refusal:
            return _refuse(service, refusal)

    def _verify(self, service: str, path: str, headers: dict[str, str], body: bytes) -> None:
        found = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
            r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
            headers.get("authorization", ""),
        )
        if found is None:
            raise Refusal("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        key, _day, region, scope, signed, signature = found.groups()
        session = self.sessions.get(key)
        if session is None or headers.get("x-amz-security-token", "") != session.token:
            code = "UnrecognizedClientException" if service == "ecr" else "InvalidClientTokenId"
            raise Refusal(code, "The security token included in the request is invalid.", 403)
        if (region, scope) != (self.region, service):
            raise Refusal("InvalidSignatureException", f"Credential should be scoped to a valid region: {region}", 403)
        if not {"host", "x-amz-date"} <= set(signed.split(";")):
            raise Refusal("InvalidSignatureException", "'Host' and 'X-Amz-Date' must be signed", 403)
        request = AWSRequest(
            "POST",
            f"{self._scheme}://{headers['host']}{path}",
            headers={name: headers[name] for name in signed.split(";")},
            data=body,
        )
        request.context["timestamp"] = headers["x-amz-date"]
        auth = SigV4Auth(Credentials(key, session.secret), scope, region)
        if auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request) != signature:
            raise Refusal("InvalidSignatureException", "The request signature we calculated does not match", 403)
        made = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if abs(made - time.time() - self.skew) > CLOCK_SECONDS:
            raise Refusal("InvalidSignatureException", "Signature expired: 1 is now earlier than 2", 403)
        if session.ends_at < time.time():
            raise Refusal("ExpiredTokenException", "The security token included in the request is expired")

    def _forward(
        self, service: str, operation: str, parameters: dict[str, Any], path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if (wanted := parameters.get("maxResults")) is not None and not 1 <= int(wanted) <= MAX_RESULTS:
            raise Refusal("InvalidParameterException", "Invalid parameter at 'maxResults'")
        status, answered = self._http("POST", path, headers, body)
        if status != 200:
            return status, {"Content-Type": "application/x-amz-json-1.1"}, answered
        if service == "sts":
            return 200, {"Content-Type": "text/xml"}, self._register_role(answered)
        answer = json.loads(answered)
        if operation == "GetAuthorizationToken":
            given = answer["authorizationData"][0]
            given["authorizationToken"] = base64.b64encode(f"AWS:{self.docker.issue()}".encode()).decode()
            if self.login_seconds is not None:
                given["expiresAt"] = time.time() + self.login_seconds
        elif operation == "DescribeImages":
            tagged = not self.untagged and parameters.get("filter", {}).get("tagStatus") == "TAGGED"
            images = [each | self._facts(parameters["repositoryName"], each) for each in answer["imageDetails"]]
            answer = self._cut(
                "imageDetails", [each for each in images if not tagged or "imageTags" in each], parameters
            )
        elif operation == "DescribeRepositories":
            answer = self._cut("repositories", answer["repositories"], parameters)
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(answer).encode()

    def _facts(self, repository: str, image: dict[str, Any]) -> dict[str, Any]:
        """What the listing of ECR shows of an image and that of moto does not, or shows wrong."""
        manifest = json.loads(self.docker.store.manifest(repository, image["imageDigest"]).content)
        facts: dict[str, Any] = {"imageStatus": "ACTIVE", "imageSizeInBytes": 1}
        if "config" in manifest:
            facts["artifactMediaType"] = manifest.get("artifactType") or manifest["config"]["mediaType"]
            facts["imageSizeInBytes"] = sum(each["size"] for each in [manifest["config"], *manifest["layers"]])
        if "subject" in manifest:
            facts["subjectManifestDigest"] = manifest["subject"]["digest"]
        return facts | self.details.get(image["imageDigest"], {})

    def _cut(self, name: str, rows: list[Any], parameters: dict[str, Any]) -> dict[str, Any]:
        token = parameters.get("nextToken")
        if token is not None and token not in self._tokens:
            raise Refusal("InvalidParameterException", "Invalid parameter at 'nextToken'")
        start = self._tokens.get(token or "", 0)
        end = start + min(int(parameters.get("maxResults", 100)), self.page)
        answer: dict[str, Any] = {name: rows[start:end]}
        if end < len(rows):
            answer["nextToken"] = secrets.token_urlsafe(200) + "=="
            self._tokens[answer["nextToken"]] = end
        return answer

    def _register_role(self, answered: bytes) -> bytes:
        text = answered.decode()
        ends = datetime.now(UTC) + timedelta(seconds=self.role_seconds)
        text = re.sub(r"(<Expiration>)[^<]*", rf"\g<1>{ends:%Y-%m-%dT%H:%M:%SZ}", text)
        values = [re.search(f"<{name}>([^<]+)<", text) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
        key, secret, token = (str(value[1]) for value in values if value)
        self.sessions[key] = SigningSession(secret, token, ends.timestamp())
        return text.encode()

    def _http(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._moto, timeout=30)
        try:
            kept = {name: value for name, value in headers.items() if name not in {"accept-encoding", "connection"}}
            connection.request(method, path, body, kept)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _refuse(service: str, refusal: Refusal) -> tuple[int, dict[str, str], bytes]:
    if service == "ecr":
        body = json.dumps({"__type": refusal.code, "message": refusal.message}).encode()
        return refusal.status, {"Content-Type": "application/x-amz-json-1.1"}, body
    text = f"<Error><Type>Sender</Type><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>"
    return refusal.status, {"Content-Type": "text/xml"}, f"<ErrorResponse>{text}</ErrorResponse>".encode()


class _Server(ThreadingHTTPServer):
    ecr: Ecr
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no event."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, sent, content = self.server.ecr.answer(self.path, headers, body)
        self.send_response(status)
        for name, value in {
            **sent,
            "Set-Cookie": "session=poisoned; Path=/",
            "Content-Length": str(len(content)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: Any) -> None:
        """Be silent."""
