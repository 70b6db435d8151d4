"""Signing in to a registry: nothing, Basic, or Bearer with tokens (distribution docs/content/spec/auth)."""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

from console.i18n.message_codes import Message
from registries.oci import messages, strict_json
from registries.oci.endpoint import Origin
from registries.oci.errors import (
    AccessDenied,
    AddressInvalid,
    CredentialsRefused,
    MalformedResponse,
    NotARegistry,
    RedirectRefused,
    RegistryError,
    ServerError,
    TokenServiceElsewhere,
    TokensRefused,
)
from registries.oci.headers import Challenge, parse_challenges
from registries.oci.login_guard import LoginGuard, NoGuard
from registries.oci.responses import RegistryResponse, access_denied, require_registry
from registries.oci.transport import Transport

DEFAULT_TOKEN_SECONDS = 60
MAX_TOKEN_SECONDS = 24 * 60 * 60
MAX_TOKEN_RESPONSE_BYTES = 1024 * 1024
MAX_TOKEN_CHARACTERS = 64 * 1024
MAX_CACHED_TOKENS = 200
PROVE_AGAIN_SECONDS = 60  # between two proofs of a password after requests that were refused
MAX_TOKEN_TRIES = 2  # tokens that are asked for before the registry is said not to take any
# Registries whose token service lives at another host, by their makers' own documentation.
_KNOWN_TOKEN_HOSTS = {"registry-1.docker.io": "auth.docker.io", "registry.gitlab.com": "gitlab.com"}

AuthMethod = Literal["unknown", "open", "basic", "bearer", "static"]


@dataclass(frozen=True)
class _Token:
    value: str
    fresh_until: float  # time.monotonic()


class LoginProvider(Protocol):
    """Issues logins that are valid for some hours, as clouds do for their registries. Thread-safe."""

    remedy: Message  # which rights pulling needs, for who lacks one

    def login(self) -> tuple[str, str]:
        """Return a user name and a password that are good now. Raises RegistryError."""

    def renew(self) -> bool:
        """Let the next login be another one; False where that was done a moment ago and cannot help."""


class RegistryAuthenticator:
    """What to send as Authorization, per scope. A login that was refused is never tried again. Thread-safe."""

    def __init__(
        self,
        transport: Transport,
        *,
        base: str = "",
        of: RegistryAuthenticator | None = None,
        guard: LoginGuard | None = None,
    ) -> None:
        """``base`` is where ``/v2/`` lies, if not at the address of ``transport``; see :meth:`below`."""
        self._guard: LoginGuard = guard or (of._guard if of else NoGuard())
        self._transport, self._endpoint = transport, transport.endpoint
        self._root = f"{base or transport.endpoint.base}/v2/"
        self._plainly = of is not None
        # One for all of a server, and always taken before the guard: else who holds the guard could wait for who waits
        # for the guard.
        self._lock: threading.RLock = of._lock if of else threading.RLock()
        self._method: AuthMethod = "unknown"
        self._realm, self._service = "", ""
        self._tokens: dict[str, _Token] = {}
        self._refusals: list[CredentialsRefused] = of._refusals if of else []  # what one has learnt, all know
        self._has_login = bool(transport.endpoint.username or transport.endpoint.password)
        self._is_known = self._has_login or bool(transport.endpoint.headers)
        self._logins: LoginProvider | None = None
        self._prove_again_at = 0.0  # time.monotonic()

    def use_login_provider(self, logins: LoginProvider) -> None:
        """Take user names and passwords from ``logins``, not from the endpoint."""
        self._logins, self._has_login, self._is_known = logins, True, True

    def at_path(self, base: str) -> RegistryAuthenticator:
        """Return the sign-in to another registry of this server, at ``base``, which knows the same refusals.

        It sends the credentials as they are where that is taken, which spares a token for each repository.
        """
        other = RegistryAuthenticator(self._transport, base=base, of=self)
        if self._logins is not None:
            other.use_login_provider(self._logins)
        return other

    @property
    def logins(self) -> LoginProvider | None:
        """The source of the logins; None where those of the endpoint are used."""
        return self._logins

    @property
    def remedy(self) -> str:
        """What to do where the rights do not suffice; "" where only the registry knows."""
        return self._logins.remedy if self._logins is not None else ""

    @property
    def has_login(self) -> bool:
        """Whether there are credentials to send."""
        return self._has_login

    def ping(self) -> None:
        """Find out that a registry answers and that it takes the credentials. Raises RegistryError."""
        with self._lock:
            self._method = "unknown"
            self._tokens.clear()
            if self._prepare() == "bearer" and "" in self._tokens:
                self._try_tokens()

    def _try_tokens(self) -> None:
        """Find out that the registry takes the tokens of its token service, which has taken the password.

        One may be refused behind load balancers whose clocks differ (docker/hub-feedback#647): another one is tried.
        """
        for remaining in reversed(range(MAX_TOKEN_TRIES)):
            response = self._get_root(f"Bearer {self._tokens[''].value}")
            if response.status != 401:
                require_registry(response)
                return
            if remaining:
                self._cache_token("", self._fetch_token(""))
        del self._tokens[""]
        raise tokens_refused()

    def authorization(self, scope: str) -> str:
        """The value of the Authorization header for ``scope``, "" for none. Raises RegistryError."""
        with self._lock:
            match self._prepare():
                case "basic":
                    return self._basic()
                case "static":
                    return f"Bearer {self._endpoint.password}"
                case "bearer":
                    token = self._tokens.get(scope)
                    if token is None or time.monotonic() >= token.fresh_until:
                        token = self._cache_token(scope, self._fetch_token(scope))
                    return f"Bearer {token.value}"
                case _:
                    return ""

    def renew(self, scope: str, response: RegistryResponse, sent: str) -> None:
        """Prepare a second try after a 401. Raises AccessDenied or CredentialsRefused where none makes sense."""
        with self._lock:
            challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
            bearer = next((each for each in challenges if each.scheme == "bearer"), None)
            if self._method == "open" or (self._method == "basic" and bearer):
                self._adopt(challenges)
            elif self._method == "bearer":
                cached = self._tokens.get(scope)
                if cached and sent != f"Bearer {cached.value}":
                    return  # another thread has renewed it
                self._tokens.pop(scope, None)
                requested = bearer.get("scope") if bearer else ""
                if bearer and bearer.get("error").lower() == "insufficient_scope" and requested not in {"", scope}:
                    self._cache_token(scope, self._fetch_token(requested))
            elif not self.has_other_login(sent):
                self._prove_again(sent)
                raise access_denied(self._has_login)

    def _prove_again(self, sent: str) -> None:
        """See after a 401 whether the password in ``sent`` still holds, or a right is missing.

        Raises CredentialsRefused. Proven once more a moment ago, it is not sent again.
        """
        if self._refusals:
            raise self._refusals[0]
        stored = self._has_login and self._logins is None and self._method in {"basic", "static"}
        if not stored or time.monotonic() < self._prove_again_at:
            return
        self._prove_again_at = time.monotonic() + PROVE_AGAIN_SECONDS
        with contextlib.suppress(NotARegistry, AccessDenied, ServerError):  # what these say is nothing of the password
            self._prove(self._method, sent, {})

    def carries_credentials(self, authorization: str) -> bool:
        """Whether a request to the registry with this Authorization header carries the stored credentials, no token."""
        stored = bool(authorization) and self._logins is None and self._method in {"basic", "static"}
        return stored or bool(self._endpoint.headers)

    @contextlib.contextmanager
    def sending(self, *, login: bool) -> Iterator[None]:
        """The block of one request, and of what is made of its answer; ``login``: it carries the stored credentials.

        Raises CredentialsRefused, and what waiting for others raises.
        """
        login = login or bool(self._endpoint.headers)
        if login and not self._guard.proven:
            with self._lock, self._guard.exclusive():
                yield
        else:
            if login:
                self._guard.raise_if_refused()
            yield

    @contextlib.contextmanager
    def proving(self) -> Iterator[None]:
        """Return a block in which nobody else tries the same credentials, to find out whether they are right."""
        if not self._is_known or self._logins is not None:
            yield
            return
        with self._lock, self._guard.exclusive():
            yield

    def accept(self) -> None:
        """Note that a vendor's own API has taken the credentials."""
        self._guard.accepted()

    def has_other_login(self, sent: str) -> bool:
        """Whether another login than the refused one in ``sent`` can be had: one handed out since, or one now."""
        with self._lock:
            if self._logins is None or self._method != "basic":
                return False
            return self._basic() != sent or (self._logins.renew() and self._basic() != sent)

    def _prepare(self) -> AuthMethod:
        if self._refusals:
            raise self._refusals[0]
        if self._method == "unknown" and self._plainly and self._has_login:
            self._adopt((Challenge("basic" if self._endpoint.username else "bearer", ()),))
        elif self._method == "unknown":
            response = self._get_root("")
            if response.status == 401:
                self._adopt(parse_challenges(response.headers.get("WWW-Authenticate", "")))
            else:
                require_registry(response)
                if self._has_login:  # who is let in without a login gets anybody's view: sign in all the same
                    by_name = self._endpoint.username or self._logins
                    self._adopt((Challenge("basic" if by_name else "bearer", ()),))
                else:
                    self._method = "open"
        return self._method

    def _adopt(self, challenges: tuple[Challenge, ...]) -> None:
        """Sign in by the best of ``challenges``, proving the credentials before anything else is asked with them."""
        offered = {each.scheme: each for each in reversed(challenges)}
        if "bearer" in offered and self._has_login and not self._endpoint.username and not self._logins:
            self._prove("static", f"Bearer {self._endpoint.password}", offered)
        elif "bearer" in offered:
            self._adopt_bearer(offered["bearer"])
        elif "basic" in offered:
            if not self._has_login:
                raise access_denied(has_login=False)
            self._prove("basic", self._basic(), offered)
        else:
            raise AccessDenied(
                messages.SIGN_IN_UNKNOWN(),
                messages.USE_BASIC_OR_BEARER(),
            )

    def _prove(self, method: AuthMethod, authorization: str, offered: dict[str, Challenge]) -> None:
        if self._logins is not None:
            self._prove_with(method, authorization, offered)
            return
        with self._guard.exclusive():
            self._prove_with(method, authorization, offered)

    def _prove_with(self, method: AuthMethod, authorization: str, offered: dict[str, Challenge]) -> None:
        response = self._get_root(authorization)
        if self._logins is not None and response.status in {401, 403}:
            raise self._rejected()
        if response.status == 401:
            challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
            bearer = next((each for each in challenges if each.scheme == "bearer" and each.get("realm")), None)
            if method == "basic" and bearer and "bearer" not in offered:
                self._adopt_bearer(bearer)  # open at its root, and tokens behind it
                return
            raise self._rejected()
        require_registry(response)
        self._guard.accepted()
        self._method = method

    def _adopt_bearer(self, challenge: Challenge) -> None:
        self._realm = self._permitted_realm(challenge.get("realm"))
        self._service = challenge.get("service")
        self._method = "bearer"
        if self._has_login:
            try:
                self._cache_token("", self._fetch_token(""))
            except MalformedResponse:
                pass  # some token services give none without a scope
            except BaseException:
                self._method = "unknown"
                raise

    def _permitted_realm(self, realm: str) -> str:
        """Where tokens are had. The password goes to the registry's own host, known pairs and allowed hosts only."""
        if self._endpoint.token_path:
            return self._endpoint.base + self._endpoint.token_path
        home = self._transport.home
        try:
            url = urljoin(self._root, realm) if realm else ""
            origin = Origin.of(url)
        except (AddressInvalid, ValueError):
            raise MalformedResponse(messages.TOKEN_SERVICE_NO_ADDRESS(), _REALM_REMEDY) from None
        if origin.scheme != home.scheme == "https":
            if origin.host != home.host or origin.port not in {80, home.port}:  # else it stands behind a proxy for TLS
                raise RedirectRefused(messages.TOKEN_SERVICE_WITHOUT_TLS(), _REALM_REMEDY)
            url = urlunsplit(urlsplit(url)._replace(scheme="https", netloc=str(home).partition("://")[2]))
        known = {home.host, _KNOWN_TOKEN_HOSTS.get(home.host), *self._endpoint.token_hosts}
        if self._has_login and origin.host not in known:
            raise TokenServiceElsewhere(
                messages.TOKEN_SERVICE_ELSEWHERE(host=origin.host),
                messages.ENTER_TOKEN_SERVICE(),
                host=origin.host,
            )
        return url

    def _fetch_token(self, scope: str) -> _Token:
        """Ask for a token. Raises CredentialsRefused, AccessDenied, MalformedResponse and what the transport raises."""
        if not self._has_login or self._logins is not None:
            return self._request_token(scope)
        with self._guard.exclusive():
            token = self._request_token(scope)
            self._guard.accepted()
            return token

    def _request_token(self, scope: str) -> _Token:
        query = [("service", self._service)] if self._service else []
        query += [("scope", scope)] if scope else []
        url = self._realm + (("&" if "?" in self._realm else "?") + urlencode(query) if query else "")
        response = self._get_token_response(url)
        if response.status == 401 and self._logins is not None and self._logins.renew():
            response = self._get_token_response(url)
        if response.status == 200:
            return _parse_token(response.content)
        if response.status == 401 or (response.status == 403 and not scope):
            raise self._rejected() if self._has_login else access_denied(has_login=False)
        if response.status == 403:
            raise access_denied(self._has_login)
        if response.status == 400 and scope.startswith("registry:"):
            return self._request_token("")  # Quay refuses the catalog's scope and lists with a token that has none
        if response.status >= 500:
            raise ServerError(messages.TOKEN_SERVICE_FAILED(status=response.status), messages.CHECK_REGISTRY_LOGS())
        raise MalformedResponse(messages.TOKEN_SERVICE_STATUS(status=response.status), _REALM_REMEDY)

    def _get_token_response(self, url: str) -> RegistryResponse:
        headers = {"Accept": "application/json"} | ({"Authorization": self._basic()} if self._has_login else {})
        return self._transport.fetch("GET", url, headers=headers, limit=MAX_TOKEN_RESPONSE_BYTES)

    def _cache_token(self, scope: str, token: _Token) -> _Token:
        self._tokens.pop(scope, None)
        while len(self._tokens) >= MAX_CACHED_TOKENS:
            self._tokens.pop(next(iter(self._tokens)))
        self._tokens[scope] = token
        return token

    def _get_root(self, authorization: str) -> RegistryResponse:
        headers = {"Authorization": authorization} if authorization else {}
        with self.sending(login=False):
            response = self._transport.fetch("GET", self._root, headers=headers, limit=1024 * 1024)
        if response.origin != self._transport.home and (response.status == 401 or self._is_known):
            raise RedirectRefused(
                messages.PASSWORD_REDIRECTED(origin=response.origin),
                messages.ENTER_ITS_ADDRESS(),
            )
        return response

    def _basic(self) -> str:
        username, password = self._endpoint.username, self._endpoint.password
        if self._logins is not None:
            username, password = self._logins.login()
        if ":" in username:
            raise CredentialsRefused(messages.USERNAME_HAS_COLON(), messages.CORRECT_USERNAME())
        login = f"{username}:{password}".encode()
        return f"Basic {base64.b64encode(login).decode()}"

    def api_authorization(self, scheme: Literal["none", "basic", "bearer"]) -> str:
        """The value of the Authorization header for a vendor's own API, "" for none. Raises an earlier refusal."""
        if self._refusals:
            raise self._refusals[0]
        if not self._has_login or scheme == "none":
            return ""
        return self._basic() if scheme == "basic" else f"Bearer {self._endpoint.password}"

    def api_credentials(self) -> tuple[str, str]:
        """User name and password, for the sign-in of a vendor's own API. Raises an earlier refusal."""
        if self._refusals:
            raise self._refusals[0]
        return self._endpoint.username, self._endpoint.password

    def _rejected(self) -> RegistryError:
        if self._logins is None:
            return self.refuse()
        return AccessDenied(
            messages.CLOUD_LOGIN_REFUSED(),
            messages.CHECK_CLOUD_ACCOUNT(),
        )

    def refuse(self) -> CredentialsRefused:
        """Remember that the credentials are wrong: a second try could lock the account (Harbor, Quay)."""
        self._refusals[:] = [
            CredentialsRefused(
                messages.CREDENTIALS_REFUSED(),
                messages.CORRECT_CREDENTIALS(),
            )
        ]
        self._guard.refused(self._refusals[0])
        return self._refusals[0]


def tokens_refused() -> TokensRefused:
    """The error for a registry that refuses what its token service has given for a right password."""
    return TokensRefused(
        messages.TOKENS_REFUSED(),
        messages.CHECK_CLOCKS_AND_TRUST(),
    )


def _parse_token(content: bytes) -> _Token:
    body: dict[str, Any] = strict_json.load_object(content, messages.TOKEN_RESPONSE())
    value = next((body[key] for key in ("token", "access_token") if body.get(key)), None)
    if (
        not isinstance(value, str)
        or len(value) > MAX_TOKEN_CHARACTERS
        or not value.isascii()
        or not value.isprintable()
    ):
        raise MalformedResponse(messages.NO_TOKEN(), _REALM_REMEDY)
    life = body.get("expires_in")
    seconds: float = DEFAULT_TOKEN_SECONDS
    if isinstance(life, (int, float)) and not isinstance(life, bool) and life > 0:
        seconds = min(life, MAX_TOKEN_SECONDS)
    return _Token(value, time.monotonic() + seconds - max(30.0, seconds / 10))


_REALM_REMEDY = messages.CHECK_EXTERNAL_URL()
