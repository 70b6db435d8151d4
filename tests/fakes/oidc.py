"""An OpenID Connect provider that really signs, and really checks: client, redirect address, PKCE, single use of codes.

What it says in its ID tokens can be made false, to see that a client notices.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "tallyman", "planted-client-secret"


@dataclass
class OidcProvider:
    """One provider. ``person`` is who signs in next; ``lies`` replace claims, ``forge`` signs in another way."""

    redirect_uri: str
    person: dict[str, Any] = field(default_factory=dict)
    lies: dict[str, Any] = field(default_factory=dict)
    userinfo_lies: dict[str, Any] = field(default_factory=dict)
    discovery_lies: dict[str, Any] = field(default_factory=dict)
    forge: str = ""  # "other key", "none", "secret as key", "no token"
    issuer: str = ""
    asked: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        } | self.discovery_lies

    def keys(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [public | {"kid": "one", "alg": "RS256", "use": "sig"}]}

    def authorize(self, url: str) -> str:
        """Do what the browser and the person do there: return the address that leads back, or raise ValueError."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        wanted = {"client_id": CLIENT_ID, "redirect_uri": self.redirect_uri, "response_type": "code"}
        if any(query.get(name) != value for name, value in wanted.items()):
            raise ValueError(f"the provider refuses {query}")
        if query.get("code_challenge_method") != "S256" or not query.get("state") or not query.get("nonce"):
            raise ValueError("no PKCE, state or nonce")
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{self.redirect_uri}?{urlencode({'code': code, 'state': query['state']})}"

    def exchange(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        query = self.codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        right = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "redirect_uri": self.redirect_uri}
        if query is None or challenge != query["code_challenge"] or any(form.get(k) != v for k, v in right.items()):
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "nonce": query["nonce"]}
        token = secrets.token_urlsafe(16)
        self.tokens[token] = self.person
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": 300}
        if self.forge != "no token":
            answer["id_token"] = self.sign(claims | self.person | self.lies)
        return 200, answer

    def sign(self, claims: dict[str, Any]) -> str:
        headers = {"kid": "one"}
        match self.forge:
            case "other key":
                return jwt.encode(claims, rsa.generate_private_key(65537, 2048), algorithm="RS256", headers=headers)
            case "none":
                return jwt.encode(claims, "", algorithm="none", headers=headers)
            case "secret as key":
                return jwt.encode(claims, CLIENT_SECRET * 2, algorithm="HS256", headers=headers)
            case _:
                return jwt.encode(claims, self.key, algorithm="RS256", headers=headers)


@contextmanager
def serve(redirect_uri: str) -> Iterator[OidcProvider]:
    """Serve a provider on a port of its own for the time of the block."""
    provider = OidcProvider(redirect_uri)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            """Say nothing."""

        def answer(self, status: int, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            provider.asked.append(self.path)
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            match self.path:
                case "/.well-known/openid-configuration":
                    self.answer(200, provider.discovery())
                case "/keys":
                    self.answer(200, provider.keys())
                case "/userinfo" if token in provider.tokens:
                    self.answer(200, provider.tokens[token] | provider.userinfo_lies)
                case _:
                    self.answer(401, {"error": "invalid_token"})

        def do_POST(self) -> None:
            provider.asked.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.answer(*provider.exchange({name: values[0] for name, values in parse_qs(body).items()}))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
