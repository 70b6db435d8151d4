"""Settings of the console, all from environment variables; the README has the table.

A value may also stand in a file: ``NAME_FILE=/run/secrets/name`` is read in place of ``NAME``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from environs import FileAwareEnv

from console import secret_keys
from console.server import reverse_proxies

env = FileAwareEnv()

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG: bool = env.bool("TALLYMAN_DEBUG", False)

# --- the one folder that holds everything that must last ---------------------------------------------------------
DATA_DIR: Path = Path(env.str("TALLYMAN_DATA", str(BASE_DIR / "data"))).resolve()
DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)

SECRET_KEY = env.str("TALLYMAN_SECRET_KEY", "") or secret_keys.read_or_make(DATA_DIR / "keys" / "secret_key")
if len(SECRET_KEY) < 50:
    raise ImproperlyConfigured(
        "TALLYMAN_SECRET_KEY has fewer than 50 characters. Leave it out to have one made and kept in the data folder."
    )

# --- where people reach the console ------------------------------------------------------------------------------
URL: str = env.str("TALLYMAN_URL", "http://127.0.0.1:8000").rstrip("/")
_url = urlsplit(URL)
if _url.scheme not in {"http", "https"} or not _url.hostname:
    raise ImproperlyConfigured("TALLYMAN_URL must be an address such as https://tallyman.example.com")
HTTPS = _url.scheme == "https"
ALLOWED_HOSTS: list[str] = env.list("TALLYMAN_HOSTS", []) or [
    _url.hostname,
    *(["127.0.0.1", "localhost", "[::1]"] if _url.hostname in {"127.0.0.1", "localhost", "::1"} else []),
]
CSRF_TRUSTED_ORIGINS = [URL]
LISTEN: str = env.str("TALLYMAN_LISTEN", "127.0.0.1:8000")
WEB_WORKERS: int = env.int("TALLYMAN_WEB_WORKERS", 2)
# Networks (CIDR) of reverse proxies that are believed who their client is and whether it came by HTTPS; "unix": whoever
# connects to the socket that is a file. TALLYMAN_BEHIND_PROXY is short for those of this machine.
TRUSTED_PROXIES: list[str] = env.list("TALLYMAN_TRUSTED_PROXIES", []) or (
    ["127.0.0.0/8", "::1/128", reverse_proxies.UNIX_SOCKET] if env.bool("TALLYMAN_BEHIND_PROXY", False) else []
)
try:
    reverse_proxies.parse_networks(TRUSTED_PROXIES)
except ValueError as error:
    raise ImproperlyConfigured(
        'TALLYMAN_TRUSTED_PROXIES must be networks such as 10.0.0.0/8, or "unix", separated by commas.'
    ) from error
SERVES: bool = env.bool("TALLYMAN_SERVES", False)  # whether this machine serves pages; ``manage.py serve`` sets it

INSTALLED_APPS = [
    "django_q",
    "console.apps.ConsoleConfig",
    "registries.apps.RegistriesConfig",
    "inventory.apps.InventoryConfig",
    "scanning.apps.ScanningConfig",
    "console.apps.SupportConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_filters",
    "csp",
    "axes",
    "template_partials",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
]

MIDDLEWARE = [
    "console.server.reverse_proxies.ProxyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "console.middleware.NoStoreMiddleware",
    "console.middleware.NullByteMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "console.accounts.sessions.SessionTimeoutMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "console.middleware.ScopeMiddleware",
    "console.middleware.PreferencesMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "console.middleware.ToastMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "console.db.statement_timeout.StatementTimeoutMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "console.urls"
WSGI_APPLICATION = "console.wsgi.application"

TEMPLATE_LOADERS = ["console.pages.template_loader.Loader", "django.template.loaders.app_directories.Loader"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "loaders": [
                ("template_partials.loader.Loader", [("django.template.loaders.cached.Loader", TEMPLATE_LOADERS)])
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.pages.navigation.context",
            ],
        },
    }
]

# --- database and queue ------------------------------------------------------------------------------------------
DATABASES = {
    "default": dj_database_url.parse(
        env.str("DATABASE_URL", "") or f"sqlite:///{DATA_DIR / 'tallyman.sqlite3'}",
        conn_max_age=60,
        conn_health_checks=True,
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # quality.md section 1: without these four, 1,000 small tasks end in 436 "database is locked" lines; with them in 0.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    }
else:
    # The queries of pages touch few rows; compiling one that may touch many has taken ten times as long as running it.
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("options", "-c jit=off")
# How long PostgreSQL may work on one statement of a page; see console.db.statement_timeout.
STATEMENT_SECONDS: int = env.int("TALLYMAN_STATEMENT_SECONDS", 5)
if STATEMENT_SECONDS < 1:
    raise ImproperlyConfigured("TALLYMAN_STATEMENT_SECONDS must be 1 or more.")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL: str = env.str("REDIS_URL", "")

# --- jobs --------------------------------------------------------------------------------------------------------
SCAN_WORKERS: int = env.int("TALLYMAN_SCAN_WORKERS", 2)
SCANS_PER_WORKER: int = env.int("TALLYMAN_SCANS_PER_WORKER", 5)
QUICK_WORKERS: int = env.int("TALLYMAN_QUICK_WORKERS", 2)

# --- people ------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "console.User"
LOGIN_URL = "console:sign-in"
LOGIN_REDIRECT_URL = "console:home"
LOGOUT_REDIRECT_URL = "console:sign-in"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "console.server.reverse_proxies.client_address"
AXES_HANDLER = "axes.handlers.database.AxesDatabaseHandler"
AXES_LOCKOUT_CALLABLE = "console.accounts.sign_in.locked_out"
AXES_VERBOSE = False

SESSION_IDLE_MINUTES: int = env.int("TALLYMAN_IDLE_MINUTES", 30)
SESSION_HOURS: int = env.int("TALLYMAN_SESSION_HOURS", 12)

# Single sign-on by OpenID Connect: off until an issuer is named. Groups of the provider give the role.
OIDC_ISSUER: str = env.str("TALLYMAN_OIDC_ISSUER", "").rstrip("/")
OIDC_CLIENT_ID: str = env.str("TALLYMAN_OIDC_CLIENT_ID", "")
OIDC_CLIENT_SECRET: str = env.str("TALLYMAN_OIDC_CLIENT_SECRET", "")
OIDC_NAME: str = env.str("TALLYMAN_OIDC_NAME", "single sign-on")
OIDC_SCOPES: list[str] = env.list("TALLYMAN_OIDC_SCOPES", ["openid", "profile", "email"])
OIDC_GROUPS_CLAIM: str = env.str("TALLYMAN_OIDC_GROUPS_CLAIM", "groups")
OIDC_GROUPS: dict[str, list[str]] = {
    "administrator": env.list("TALLYMAN_OIDC_ADMINISTRATORS", []),
    "operator": env.list("TALLYMAN_OIDC_OPERATORS", []),
    "viewer": env.list("TALLYMAN_OIDC_VIEWERS", []),
}
# Whoever comes by single sign-on and is no administrator sees the registries of the own teams alone.
OIDC_LIMITED: bool = env.bool("TALLYMAN_OIDC_LIMITED", False)
SOCIALACCOUNT_ADAPTER = "console.accounts.sso.OidcAdapter"
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_ADAPTER = "console.accounts.sso.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
MFA_ADAPTER = "console.accounts.mfa.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Tallyman"
MFA_TOTP_TOLERANCE = 1  # steps of 30 seconds that clocks may differ

# Days that events of the audit trail are kept; 0 keeps them for ever.
AUDIT_DAYS: int = env.int("TALLYMAN_AUDIT_DAYS", 365)

# Counts of pages that took so many seconds are kept for a while: see console.db.cached_counts.
KEPT_FROM_SECONDS = 0.02

# --- security of the pages ---------------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = SESSION_HOURS * 60 * 60
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "console.pages.errors.csrf_failure"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
if HTTPS:
    SESSION_COOKIE_NAME = "__Host-session"
    CSRF_COOKIE_NAME = "__Host-csrf"
    # Subdomains and the browsers' preload list are for the owner of the domain to decide, not for one console in it.
    SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
    SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60
    SECURE_SSL_REDIRECT = env.bool("TALLYMAN_SSL_REDIRECT", True)
    SECURE_PROXY_SSL_HEADER = (reverse_proxies.FORWARDED_PROTO, "https") if TRUSTED_PROXIES else None

# --- language and time -------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]  # each in its own words
USE_I18N = True
USE_TZ = True
TIME_ZONE: str = env.str("TALLYMAN_TIME_ZONE", "UTC")
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["console.i18n.formats"]

# --- static files ------------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = Path(env.str("TALLYMAN_STATIC", str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "console.server.static_files.Storage"
    },
}

# --- what may be reached from here -------------------------------------------------------------------------------
# Networks (CIDR) that registries may live in although they are loopback, link-local or reserved for metadata services.
ALLOWED_NETWORKS: list[str] = env.list("TALLYMAN_ALLOWED_NETWORKS", [])
# Hosts (host or host:port) that may be spoken to without TLS.
PLAIN_HTTP_HOSTS: list[str] = env.list("TALLYMAN_PLAIN_HTTP_HOSTS", [])
OUTBOUND_PROXY: str = env.str("TALLYMAN_PROXY", "")
# Hosts, domains (.example.com) and networks that are reached without that proxy.
NO_PROXY: list[str] = env.list("TALLYMAN_NO_PROXY", [])
# A file of certificates (PEM) of authorities of one's own, trusted beside the public ones by all connections.
CA_BUNDLE: str = env.str("TALLYMAN_CA_BUNDLE", "")

# --- scanning ----------------------------------------------------------------------------------------------------
# An executable to use in place of the pinned one; its version and SHA-256 are shown on the page.
TRIVY: str = env.str("TALLYMAN_TRIVY", "")
TRIVY_DATABASE_REPOSITORY: str = env.str("TALLYMAN_TRIVY_DATABASE", "mirror.gcr.io/aquasec/trivy-db:2")
TRIVY_DATABASE_PLAIN_HTTP: bool = env.bool("TALLYMAN_TRIVY_DATABASE_PLAIN_HTTP", False)
# When the vulnerability database is updated by itself every day, in the console's time zone; "off": never.
TRIVY_DATABASE_AT: str = env.str("TALLYMAN_TRIVY_DATABASE_AT", "04:00")
if TRIVY_DATABASE_AT != "off" and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", TRIVY_DATABASE_AT):
    raise ImproperlyConfigured('TALLYMAN_TRIVY_DATABASE_AT must be a time of day such as 04:00, or "off".')
# The team's own YARA rules, all *.yar and *.yara below it.
RULES: str = env.str("TALLYMAN_RULES", str(DATA_DIR / "rules"))
# clamd of ClamAV: the path of its socket, or host:port; empty: scan without ClamAV.
CLAMD: str = env.str("TALLYMAN_CLAMD", "")
CLAMD_MAX_BYTES: int = env.int("TALLYMAN_CLAMD_MAX_BYTES", 100 * 1024**2)
SCAN_STALL_SECONDS = 10.0  # a pull to which nothing comes for so long stands still: its registry is slow
SCAN_SHARE_SECONDS = 30.0  # a scan that pulls for longer leaves its place to a registry that has fewer
SCAN_TIMEOUT_SECONDS: int = env.int("TALLYMAN_SCAN_TIMEOUT", 1800)
if not 60 <= SCAN_TIMEOUT_SECONDS <= 3600:  # the queue breaks off what takes much longer
    raise ImproperlyConfigured("TALLYMAN_SCAN_TIMEOUT must be 60 to 3600 seconds.")
LAYER_STORE_BYTES: int = env.int("TALLYMAN_LAYER_STORE_BYTES", 20 * 1024**3)

# --- logs --------------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("TALLYMAN_LOG_LEVEL", "INFO")},
    "loggers": {
        "django-q": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
        "waitress": {"level": "WARNING"},
        "waitress.queue": {"level": "ERROR"},  # it warns of each request that finds no thread free
    },
}

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

from console.jobs.configuration import JobTimes, q_cluster_settings  # noqa: E402

JOB_TIMES = JobTimes()
Q_CLUSTER = q_cluster_settings(redis_url=REDIS_URL)
