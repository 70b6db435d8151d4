"""Single sign-on by OpenID Connect, carried by django-allauth. Off until TALLYMAN_OIDC_ISSUER is set.

Who signs in gets the role that the groups of the provider give, anew at each sign-in; who is in none of the named
groups is not let in. Accounts are known by the provider's subject alone: an equal name or e-mail address links nothing.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.models import SocialApp, SocialLogin
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.crypto import get_random_string
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST
from requests import RequestException

from console.accounts import outbound_http
from console.accounts.models import Team, User
from console.audit import trail

BACKEND = "django.contrib.auth.backends.ModelBackend"
SIGNATURE_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
ROLES_BY_RANK = (User.Role.ADMINISTRATOR, User.Role.OPERATOR, User.Role.VIEWER)
ANY_GROUP = "*"
GROUPS_REQUEST_ATTRIBUTE = (
    "_groups_of_sign_in"  # attribute of the request that holds them from the answer to the session
)


def is_enabled() -> bool:
    """Return whether single sign-on is configured."""
    return bool(settings.OIDC_ISSUER and settings.OIDC_CLIENT_ID)


def provider_id() -> str:
    """Return what accounts of this provider are known by: another issuer's subjects are other people."""
    return f"oidc-{hashlib.sha256(settings.OIDC_ISSUER.encode()).hexdigest()[:16]}"


def role_for_groups(groups: object) -> User.Role | None:
    """Return the highest role that ``groups`` give; None where they give none."""
    groups_given = parse_groups(groups)
    for role in ROLES_BY_RANK:
        named = settings.OIDC_GROUPS[role.value]
        if groups_given & set(named) or ANY_GROUP in named:
            return role
    return None


def parse_groups(claim: object) -> set[str]:
    """Return the groups in what a provider says of them."""
    given = [claim] if isinstance(claim, str) else claim if isinstance(claim, list | tuple) else []
    return {group for group in given if isinstance(group, str)}


def sync_teams(request: HttpRequest, user: User, groups: set[str]) -> None:
    """Make ``user`` a member of the teams that name any of ``groups``, and of no other that names groups.

    That limits whoever is no administrator, and stays so when the last of these groups is left: then nothing is seen.
    Where ``settings.OIDC_LIMITED`` is set, everybody else is limited from the start.
    """
    named = [team for team in Team.objects.exclude(groups="") if team.group_names]
    matching = {team for team in named if team.group_names & groups}
    before = set(user.teams.all())
    after = (before - set(named)) | matching
    limited = user.limited or ((bool(matching) or settings.OIDC_LIMITED) and not user.may_administer)
    if (before, user.limited) == (after, limited):
        return
    was = {"limited": user.limited, "teams": ", ".join(sorted(map(str, before)))}
    user.limited = limited
    user.save(update_fields=["limited"])
    user.teams.set(after)
    now = {"limited": limited, "teams": ", ".join(sorted(map(str, after)))}
    trail.record(request, "user.edit", user, {"by": settings.OIDC_NAME}, before=was, after=now)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Signs people in as the console does. Nobody makes an account by oneself but through the provider."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody registers."""
        return False

    def get_login_stages(self) -> list[str]:
        """The provider has asked for whatever factors it wants."""
        return []

    def login(self, request: HttpRequest, user: Any) -> None:
        """Begin the session."""
        user.backend = BACKEND
        sync_teams(request, user, getattr(request, GROUPS_REQUEST_ATTRIBUTE, set()))
        super().login(request, user)
        trail.record(request, "sign-in", detail={"by": settings.OIDC_NAME})

    def post_login(self, request: HttpRequest, user: Any, *, redirect_url: str | None = None, **_kwargs: Any) -> Any:
        """Lead on."""
        return redirect(redirect_url or "console:home")

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Say nothing: the page that follows says enough."""

    def is_safe_url(self, url: str | None) -> bool:
        """Whether ``url`` stays here."""
        host = self.request.get_host()
        return url_has_allowed_host_and_scheme(url, {host}, require_https=self.request.is_secure())


class OidcAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """The one provider of the settings, its groups, and the door its questions go through."""

    def list_apps(self, request: HttpRequest, provider: str | None = None, client_id: str | None = None) -> Any:
        """Return the provider as django-allauth describes one. It lives in the settings, never in the database."""
        if not is_enabled():
            return []
        return [
            SocialApp(
                provider="openid_connect",
                provider_id=provider_id(),
                name=settings.OIDC_NAME,
                client_id=settings.OIDC_CLIENT_ID,
                secret=settings.OIDC_CLIENT_SECRET,
                settings={
                    "server_url": settings.OIDC_ISSUER,
                    "oauth_pkce_enabled": True,
                    "scope": settings.OIDC_SCOPES,
                },
            )
        ]

    def get_provider(self, request: HttpRequest, provider: str, client_id: str | None = None) -> Any:
        """Return the provider that checks all there is to check."""
        return _Provider(request, app=self.get_app(request, provider=provider, client_id=client_id))

    def get_requests_session(self) -> Any:
        """Return what asks the provider."""
        return outbound_http.session()

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Who has a role may come in, the first time too."""
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Give the role of the groups; send away who has none."""
        sociallogin.email_addresses = []  # they link nothing and are not kept apart from the account
        claims = sociallogin.account.extra_data
        groups = next(
            (
                part[settings.OIDC_GROUPS_CLAIM]
                for part in (claims.get("id_token", {}), claims.get("userinfo", {}))
                if settings.OIDC_GROUPS_CLAIM in part
            ),
            (),
        )
        user, role = sociallogin.user, role_for_groups(groups)
        setattr(request, GROUPS_REQUEST_ATTRIBUTE, parse_groups(groups))
        sociallogin.account.extra_data = {}
        exists = user.pk is not None
        if role is None or (exists and not user.is_active):
            trail.record(request, "sign-in.refused", user.get_username(), {"by": settings.OIDC_NAME})
            raise ImmediateHttpResponse(
                refused_page(
                    request,
                    _("Your account has no role in this console."),
                    _("Ask an administrator of the console to add one of your groups to its settings."),
                )
            )
        facts = ("role", "is_staff", "is_superuser")
        before = trail.facts(user, facts) if exists else {}
        user.role = role
        user.is_staff = user.is_superuser = role == User.Role.ADMINISTRATOR
        if before != trail.facts(user, facts):
            if exists:
                user.save(update_fields=[*facts])
            action = "user.edit" if exists else "user.add"
            trail.record(
                request, action, user, {"by": settings.OIDC_NAME}, before=before, after=trail.facts(user, facts)
            )

    def on_authentication_error(self, request: HttpRequest, provider: Any, **details: Any) -> None:
        """Say in plain words that it did not work; what the provider said goes into the log, not on the page."""
        trail.record(request, "sign-in.refused", "", {"by": settings.OIDC_NAME, "why": _error_summary(details)})
        raise ImmediateHttpResponse(
            refused_page(
                request,
                _("The sign-in service did not confirm who you are."),
                _("Try again. If it keeps happening, administrators find the cause in the audit trail."),
            )
        )


class _OpenIdConnect(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """Checks all that OpenID Connect lets a client leave out: signature, nonce, and that both answers are about one."""

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        return f"{settings.URL}{reverse('console:sso-callback')}"

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> SocialLogin:
        if not kwargs["response"].get("id_token"):
            raise OAuth2Error("The answer has no ID token")
        self.nonce = request.session.pop("oidc-nonce", None)
        login = super().complete_login(request, app, token, **kwargs)
        found = login.account.extra_data
        if found.get("userinfo") and found["userinfo"].get("sub") != found["id_token"].get("sub"):
            raise OAuth2Error("ID token and user info are about different people")
        return login

    def _decode_id_token(self, app: Any, id_token: str) -> dict[str, Any]:
        algorithm = jwtkit.jwt.get_unverified_header(id_token).get("alg")
        if algorithm not in SIGNATURE_ALGORITHMS:
            raise OAuth2Error("The ID token is not signed by a key of the provider")
        claims: dict[str, Any] = jwtkit.verify_and_decode(
            credential=id_token,
            keys_url=self.openid_config["jwks_uri"],
            issuer=self.openid_config["issuer"],
            audience=app.client_id,
            lookup_kid=jwtkit.lookup_kid_jwk,
            verify_signature=True,
        )
        if self.openid_config["issuer"].rstrip("/") != settings.OIDC_ISSUER:
            raise OAuth2Error("The provider calls itself by another name than TALLYMAN_OIDC_ISSUER")
        if not self.nonce or claims.get("nonce") != self.nonce:
            raise OAuth2Error("The ID token was made for another sign-in")
        return claims


class _Provider(OpenIDConnectProvider):  # type: ignore[misc]
    oauth2_adapter_class = _OpenIdConnect


@login_not_required
@require_POST
def start_sign_in(request: HttpRequest) -> HttpResponse:
    """Send somebody to the provider. A POST, so that no other site can begin it."""
    if not is_enabled():
        raise Http404
    nonce = request.session["oidc-nonce"] = get_random_string(43)
    try:
        provider = _OpenIdConnect(request, provider_id()).get_provider()
        following = request.POST.get("next", "")
        safe = url_has_allowed_host_and_scheme(following, {request.get_host()}, require_https=request.is_secure())
        answer = provider.redirect(
            request, process="login", next_url=following if safe else None, auth_params={"nonce": nonce}
        )
        # Not a redirect: the policy of our pages lets no form lead away from here.
        return render(request, "console/sso_redirect.html", {"url": answer.headers["Location"]})
    except ImmediateHttpResponse as error:
        return cast(HttpResponse, error.response)
    except (OAuth2Error, RequestException, LookupError, TypeError, ValueError, AttributeError) as error:
        trail.record(
            request, "sign-in.refused", "", {"by": settings.OIDC_NAME, "why": _error_summary({"exception": error})}
        )
        return refused_page(
            request,
            _("The sign-in service cannot be reached."),
            _("Try again later, or sign in with a password of the console."),
            status=502,
        )


@login_not_required
@require_GET
def callback(request: HttpRequest) -> HttpResponse:
    """Take up who comes back from the provider."""
    if not is_enabled():
        raise Http404
    if request.GET.get("error") == "access_denied":
        return HttpResponseRedirect(reverse("console:sign-in"))
    answer: HttpResponse = OAuth2CallbackView.adapter_view(_OpenIdConnect(request, provider_id()))(request)
    return answer


def refused_page(request: HttpRequest, reason: str, remedy: str, *, status: int = 403) -> HttpResponse:
    """Return the page that says why somebody is not let in."""
    return render(request, "console/sign_in_refused.html", {"reason": reason, "remedy": remedy}, status=status)


def _error_summary(details: dict[str, Any]) -> str:
    """Return what is known of a failure, short, without what the provider sent."""
    error = details.get("exception")
    if isinstance(error, OAuth2Error):
        return str(error).partition(":")[0][:120]
    return type(error).__name__ if error else str(details.get("error", ""))[:60]
