"""All settings, read from the environment or a ``.env`` file; ``.env.example`` lists them with their meaning."""

import os
import sys
import warnings
from pathlib import Path

from corsheaders.defaults import default_headers
from django.core.exceptions import ImproperlyConfigured

from imagineer.env import Environment

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment(BASE_DIR / ".env")

DEBUG = env.flag("DJANGO_DEBUG")
SECRET_KEY = env.text("DJANGO_SECRET_KEY")
if not SECRET_KEY:
    if not DEBUG:
        raise ImproperlyConfigured(
            "DJANGO_SECRET_KEY is not set. Set it to a long random text (python -c 'import secrets; "
            "print(secrets.token_urlsafe(50))'), or set DJANGO_DEBUG=1 on a machine that only you reach."
        )
    SECRET_KEY = "insecure-key-of-a-development-machine-which-only-its-owner-reaches"  # noqa: S105
ALLOWED_HOSTS = env.words("DJANGO_ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]"))
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")
CORS_ALLOWED_ORIGINS = env.origins("CORS_ALLOWED_ORIGINS")
CORS_ALLOW_CREDENTIALS = True
CORS_ALLOW_HEADERS = (*default_headers, "idempotency-key")
CORS_URLS_REGEX = r"^/api/.*$"

# ---- Imagineer's own

DATA_DIR = Path(env.text("IMAGINEER_DATA_DIR") or BASE_DIR / "data").expanduser().absolute()
ADMIN_EMAILS = [address.lower() for address in env.words("IMAGINEER_ADMIN_EMAILS")]
SITE_URL = env.origin("IMAGINEER_SITE_URL")
if SITE_URL and SITE_URL not in CSRF_TRUSTED_ORIGINS:
    CSRF_TRUSTED_ORIGINS.append(SITE_URL)  # its own forms, whatever scheme a proxy asks us by
MODEL = env.text("IMAGINEER_MODEL", "starter")
MODELS_DIR = Path(env.text("IMAGINEER_MODELS_DIR") or DATA_DIR / "models").expanduser().absolute()
DEVICE = env.text("IMAGINEER_DEVICE", "auto")
THREADS = env.number("IMAGINEER_THREADS", None, least=1, most=512)
JOB_LEASE = env.number("IMAGINEER_JOB_LEASE", 90, least=1, most=3600)  # seconds
JOB_STALL = env.number("IMAGINEER_JOB_STALL", 900, least=2, most=86400)  # seconds
TICK_INTERVAL = min(60, JOB_LEASE)  # seconds between two ticks of a cluster
TRUSTED_PROXIES = env.number("IMAGINEER_TRUSTED_PROXIES", 0, least=0, most=16)
PUBLIC_GENERATION = env.flag("IMAGINEER_PUBLIC_GENERATION")
TRUSTED_SAFE_SOURCES = env.words("IMAGINEER_TRUSTED_SAFE_SOURCES", ("starter",))

# ---- Django

INSTALLED_APPS = [
    "imagineer.apps.ImagineerConfig",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "imagineer.accounts",  # after allauth, whose admin pages it takes away
    "imagineer.jobs",
    "gallery",
    "templates_app",
    "imagineer.apps.ImagineerAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "corsheaders",
    "csp",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_q",
]
MIDDLEWARE = [
    # headers first: whatever answers below this line, a refusal of another middleware too, is sent with them
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "imagineer.headers.permissions_policy",
    "imagineer.headers.for_nobody_else",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "imagineer.errors.OutageMiddleware",
]
ROOT_URLCONF = "imagineer.urls"
WSGI_APPLICATION = "imagineer.wsgi.application"
APPEND_SLASH = True
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# ---- Database: the choice of options is explained in docs/ARCHITECTURE.md, "SQLite"

DATABASES = {"default": env.database("DATABASE_URL", f"sqlite:///{DATA_DIR / 'imagineer.sqlite3'}")}
IS_SQLITE = DATABASES["default"]["ENGINE"].endswith("sqlite3")
SQLITE_SYNCHRONOUS = env.choice("IMAGINEER_SQLITE_SYNCHRONOUS", "NORMAL", ("NORMAL", "FULL"))
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": (
        f"PRAGMA journal_mode=WAL; PRAGMA synchronous={SQLITE_SYNCHRONOUS}; "
        "PRAGMA journal_size_limit=67108864; PRAGMA temp_store=MEMORY;"
    ),
}
if IS_SQLITE:
    DATABASES["default"]["OPTIONS"] = SQLITE_OPTIONS
else:
    # runserver has a thread for each connection of a browser, and each would keep one of the server's
    DATABASES["default"] |= {"CONN_MAX_AGE": 0 if DEBUG else 60, "CONN_HEALTH_CHECKS": True}
    # Without these, whoever asks a server behind a broken network waits for a quarter of an hour, a beat too; what the
    # address says of them goes first.
    patience = {"connect_timeout": 10, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}
    patience["tcp_user_timeout"] = 30_000  # milliseconds; the others are seconds
    DATABASES["default"]["OPTIONS"] = patience | DATABASES["default"].get("OPTIONS", {})
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# ---- Jobs: rows are the truth, django-q2 only rings (imagineer.jobs)

# No timeout is meant: hour-long work is ended by our own watchdog, which knows whether it still moves.
warnings.filterwarnings("ignore", message="Retry and timeout are misconfigured", module="django_q.conf")
REDIS_URL = env.text("REDIS_URL")
if REDIS_URL and "socket_timeout=" not in REDIS_URL:
    # seconds; without them a Redis that takes connections and says nothing holds whoever asks it, pages too, for ever
    REDIS_URL += f"{'&' if '?' in REDIS_URL else '?'}socket_connect_timeout=3&socket_timeout=5"
Q_CLUSTER = {
    "name": "imagineer",
    **({"redis": REDIS_URL} if REDIS_URL else {"orm": "default"}),
    "workers": 2,
    "queue_limit": 2,
    "bulk": 1,
    "poll": 0.05,
    "guard_cycle": 0.5,
    "timeout": None,
    "retry": 10**8,  # seconds; a doorbell is never rung again by the broker, the tick does that
    "max_attempts": 1,
    "ack_failures": True,
    "save_limit": -1,
    "catch_up": False,
    "scheduler": False,
    "recycle": 10**9,
    "daemonize_workers": False,
    "cache": "process",  # its statistics are written twice a second; Worker rows serve ours
    "label": "Doorbell",
    "ALT_CLUSTERS": {"gpu": {"workers": 1, "queue_limit": 1}},
}

CACHES = {
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
        if REDIS_URL
        else {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "cache",
            "OPTIONS": {"MAX_ENTRIES": 20_000},  # at 300, Django's own, strangers could flush the limits
        }
    ),
    "process": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}

# ---- Files

STORAGES = {
    "default": {
        "BACKEND": "gallery.storage.LibraryStorage",
        "OPTIONS": {"location": DATA_DIR / "media"},
    },
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG or "pytest" in sys.modules
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        ),
    },
}
STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
WHITENOISE_ALLOW_ALL_ORIGINS = False
STATICFILES_DIRS = [BASE_DIR / "static"]
BUCKET = env.text("AWS_STORAGE_BUCKET_NAME")  # files lie there instead of in the data directory
BUCKET_ORIGINS = []  # where browsers are sent for pictures
if BUCKET:
    endpoint = next(iter(env.origins("AWS_S3_ENDPOINT_URL")), "")
    region = env.text("AWS_S3_REGION_NAME") or env.text("AWS_DEFAULT_REGION")
    STORAGES["default"] = {
        "BACKEND": "gallery.bucket.BucketStorage",
        "OPTIONS": {
            "bucket_name": BUCKET,
            "endpoint_url": endpoint or None,
            "region_name": region or None,
            "access_key": env.text("AWS_ACCESS_KEY_ID") or None,
            "secret_key": env.text("AWS_SECRET_ACCESS_KEY") or None,
            "addressing_style": env.choice("AWS_S3_ADDRESSING_STYLE", "auto", ("auto", "path", "virtual")),
            "location": env.text("AWS_LOCATION"),
        },
    }
    if endpoint:
        scheme, _, host = endpoint.partition("://")
        BUCKET_ORIGINS = [endpoint, f"{scheme}://{BUCKET}.{host}"]
    else:
        regional = [f"https://{BUCKET}.s3.{region}.amazonaws.com"] if region else []
        BUCKET_ORIGINS = [f"https://{BUCKET}.s3.amazonaws.com", *regional]
X_ACCEL = "" if BUCKET else env.address_prefix("IMAGINEER_X_ACCEL")  # an internal location of the proxy
MEDIA_URL = None  # nothing is served past the gate
DATA_UPLOAD_MAX_MEMORY_SIZE = 200 * 2**20  # bytes a request
FILE_UPLOAD_TEMP_DIR = None

# ---- People and sessions

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "imagineer.accounts.authentication.GoogleBackend",
]
GOOGLE_CLIENT_ID = env.text("GOOGLE_CLIENT_ID")
GOOGLE_CLIENT_SECRET = env.text("GOOGLE_CLIENT_SECRET")
HAS_GOOGLE = bool(GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET)
ACCOUNT_ADAPTER = "imagineer.accounts.adapters.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "imagineer.accounts.adapters.SocialAccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]  # for allauth's checks; nobody signs up
ACCOUNT_EMAIL_VERIFICATION = "none"  # we send no mails; Google says whether an address is verified
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_RATE_LIMITS = {"login": "30/m/ip", "login_failed": "10/m/ip,5/5m/key"}  # kept in the shared cache
CSRF_FAILURE_VIEW = "imagineer.errors.csrf_failure"
LOGIN_URL = "/auth/login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
SESSION_ENGINE = "imagineer.accounts.sessions"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

# ---- Transport and headers

FORCE_HTTPS = env.flag("IMAGINEER_FORCE_HTTPS")
SECURE_SSL_REDIRECT = FORCE_HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if FORCE_HTTPS else 0
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = FORCE_HTTPS or SITE_URL.startswith("https://")
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:", *BUCKET_ORIGINS],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        # browsers hold the redirects of a form's answer to it, and Google's sign-in begins with a form
        "form-action": ["'self'", *(["https://accounts.google.com"] if HAS_GOOGLE else [])],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}

# ---- API

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "imagineer.accounts.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["imagineer.api.IsAdmin"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "imagineer.api.NewestFirstPagination",
    "DEFAULT_PARSER_CLASSES": [
        "imagineer.api.BoundedJSONParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_FILTER_BACKENDS": ["imagineer.api.StrictFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "imagineer.api_schema.ErrorsToldSchema",
    "DEFAULT_THROTTLE_RATES": {"generate": "10/minute"},
    "EXCEPTION_HANDLER": "imagineer.api.handle_exception",
    "NUM_PROXIES": TRUSTED_PROXIES,
    "COERCE_DECIMAL_TO_STRING": False,
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%SZ",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Imagineer",
    "DESCRIPTION": "A self-hosted image studio: pictures, albums, batch templates and their runs.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_PUBLIC": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "JobStatus": "imagineer.jobs.models.JobStatus",
        "SessionStatus": "templates_app.models.SessionStatus",
    },
}

# ---- Logs: one line an event (imagineer.logs)

LOG_LEVEL = env.choice("IMAGINEER_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FILE = env.text("IMAGINEER_LOG_FILE")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "imagineer.logs.LineFormatter"}},
    "handlers": {
        "out": (
            {
                "class": "logging.handlers.RotatingFileHandler",
                "filename": LOG_FILE,
                "maxBytes": 10 * 2**20,
                "backupCount": 5,
                "delay": True,
                "formatter": "line",
            }
            if LOG_FILE
            else {"class": "logging.StreamHandler", "formatter": "line"}
        ),
    },
    "root": {"handlers": ["out"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": LOG_LEVEL if LOG_LEVEL != "DEBUG" else "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        "django-q": {"handlers": [], "level": "WARNING", "propagate": True},
        "PIL": {"level": "INFO"},
    },
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

os.environ.setdefault(
    "HF_HUB_OFFLINE", "1"
)  # models are folders; a mistyped path is never looked up in a hub
SETTINGS_PROBLEMS = env.problems
