"""Settings. Whatever differs between installations comes from the environment or from a file .env.

A variable with a wrong value stops the start with its name and the reason.
"""

import sys
import tomllib
from hashlib import sha256
from pathlib import Path

from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy
from environs import Env, validate

BASE_DIR = Path(__file__).resolve().parent.parent
# What this installation writes: database, uploads. Nothing of it belongs to the source.
VAR_DIR = BASE_DIR / "var"
VAR_DIR.mkdir(exist_ok=True)
VERSION = tomllib.loads((BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

env = Env()
env.read_env(str(BASE_DIR / ".env"), recurse=False)

TESTING = "pytest" in sys.modules

DEBUG = env.bool("DEBUG", False)
# No default outlives DEBUG: without it a missing key stops the start.
SECRET_KEY = env.str("SECRET_KEY", "insecure-key-for-debugging-only") if DEBUG or TESTING else env.str("SECRET_KEY")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])
# On behind TLS: cookies only over https, and http turned away.
HTTPS = env.bool("HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
# Whether all names below this one speak HTTPS, only whoever owns them knows.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("HSTS_SUBDOMAINS", False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# No other site of the same domain can set cookies of these names.
COOKIE_PREFIX = "__Host-" if HTTPS else ""
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}sessionid", f"{COOKIE_PREFIX}csrftoken"
LANGUAGE_COOKIE_NAME = f"{COOKIE_PREFIX}language"
# How many proxies of ours stand before the web server: each adds to X-Forwarded-For whom it saw.
PROXIES = env.int("PROXIES", 1 if HTTPS else 0, validate=validate.Range(min=0, max=10))
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None

# Nothing is loaded from elsewhere, and nothing runs that stands inside a page: no script, no style.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

INSTALLED_APPS = [
    # Before labelling, which keeps their tables out of the back office.
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "labelling",
    "red_project.apps.BackOfficeConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "django_q",
    "import_export",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # Tokens against forged requests are masked anew on each page, and Django pads what it compresses (BREACH).
    "django.middleware.gzip.GZipMiddleware",
    "labelling.views.middleware.NothingKept",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "labelling.views.middleware.Acting",
    "labelling.views.middleware.Idle",
    "labelling.views.access.LoginRequired",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "red_project.urls"
WSGI_APPLICATION = "red_project.wsgi.application"

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
                "labelling.context_processors.worker",
                "labelling.context_processors.bell",
                "labelling.context_processors.simulated_judge",
            ],
        },
    },
]

# SQLite by default; for teams DATABASE_URL=postgres://user:password@host/name
DATABASES = {
    "default": env.dj_db_url(
        "DATABASE_URL", f"sqlite:///{VAR_DIR / 'db.sqlite3'}", conn_max_age=60, conn_health_checks=True
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # Take the write lock when a transaction begins: one that upgrades midway fails at once under load.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    # A file, not memory: the tests open several connections, as web and worker do.
    DATABASES["default"]["TEST"] = {"NAME": VAR_DIR / "test.sqlite3"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "CommonPasswordValidator")
] + [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    }
]
SESSION_ENGINE = "labelling.services.sessions"
SESSION_COOKIE_AGE = env.int("SESSION_DAYS", 14, validate=validate.Range(min=1)) * 24 * 3600
# 0: off, as somebody may think about a text for long; for machines that people share.
SESSION_IDLE_MINUTES = env.int("SESSION_IDLE_MINUTES", 0, validate=validate.Range(min=0))
# What allauth would do by itself and something here does: waits after failures, mails, accounts for whoever comes by.
ACCOUNT_ADAPTER = "labelling.views.adapters.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_RATE_LIMITS = False
MFA_ADAPTER = "labelling.views.adapters.SecondFactorAdapter"
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
# A code holds half a minute longer than its app shows it: people type it at its end, and clocks differ.
MFA_TOTP_TOLERANCE = 1

# Single sign-on by one provider of OpenID Connect.
OIDC_SERVER_URL = env.str("OIDC_SERVER_URL", "")
OIDC_NAME = env.str("OIDC_NAME", "") or gettext_lazy("single sign-on")
OIDC_MAKES_ACCOUNTS = env.bool("OIDC_MAKES_ACCOUNTS", False)
# Whoever is called the same at another provider is somebody else.
OIDC_ID = f"oidc-{sha256(OIDC_SERVER_URL.encode()).hexdigest()[:12]}"
OIDC_APPS = (
    [
        {
            "provider_id": OIDC_ID,
            "name": OIDC_NAME,
            "client_id": env.str("OIDC_CLIENT_ID"),
            "secret": env.str("OIDC_CLIENT_SECRET"),
            "settings": {"server_url": OIDC_SERVER_URL},
        }
    ]
    if OIDC_SERVER_URL
    else []
)
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": OIDC_APPS}}
SOCIALACCOUNT_ADAPTER = "labelling.views.adapters.SignOnAdapter"
# By a link: the Content-Security-Policy lets no form lead to another site. To link an account asks for the password.
SOCIALACCOUNT_LOGIN_ON_GET = True

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "project_list"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = HTTPS
TIME_ZONE = env.str("TIME_ZONE", "UTC")
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles"
MEDIA_ROOT = env.path("MEDIA_ROOT", VAR_DIR / "media")
# Where the process that holds the models answers; a path of this machine.
MODEL_SOCKET = env.path("MODEL_SOCKET", MEDIA_ROOT / "models" / "socket")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or TESTING
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Where mail goes out; without it nobody resets a password alone. smtp+tls://user:password@host:587
EMAIL_URL = env.str("EMAIL_URL", "")
if EMAIL_URL:
    vars().update(env.dj_email_url("EMAIL_URL"))
    DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", "red@localhost")
EMAIL_TIMEOUT = 10
# Where the site is, for links in mails and to programs: the worker sees no request that would tell.
SITE_URL = env.str("SITE_URL", CSRF_TRUSTED_ORIGINS[0] if CSRF_TRUSTED_ORIGINS else "http://127.0.0.1:8000").rstrip("/")
# Whether webhooks may lead into the machine's own network.
WEBHOOKS_INSIDE = env.bool("WEBHOOKS_INSIDE", False)
PASSWORD_RESET_TIMEOUT = 24 * 3600

REDIS_URL = env.str("REDIS_URL", "")
JOB_TIMEOUT_SECONDS = env.int("JOB_TIMEOUT_SECONDS", 6 * 3600, validate=validate.Range(min=60))
Q_CLUSTER = {
    "name": "red",
    "workers": env.int("WORKERS", 2, validate=validate.Range(min=1)),
    # A fresh process for each job: torch and the vectors of the last one are given back.
    "recycle": 1,
    "timeout": JOB_TIMEOUT_SECONDS,
    # The retry clock starts when a message is fetched. A lost job is found sooner, by its lease (jobs/lease.py).
    "retry": JOB_TIMEOUT_SECONDS + 600,
    "queue_limit": 1,
    "bulk": 1,
    "max_attempts": 1,
    "ack_failures": True,
    "catch_up": False,
    "scheduler": False,
    "poll": 0.5,
    "save_limit": 100,
    **({"redis": REDIS_URL} if REDIS_URL else {"orm": "default"}),
}
# A Dask cluster for what is heavy in a round, as in tcp://10.0.0.5:8786; without one it is done in the worker.
DASK_SCHEDULER = env.str("DASK_SCHEDULER", "")

IMPORT_EXPORT_USE_TRANSACTIONS = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"labelling": {"level": "INFO"}},
}

# What the product itself can be told
ENCODER = env.str("ENCODER", "all-MiniLM-L6-v2")
# Others that a project may have. Nobody else names one: its weights are loaded, and may be fetched, by the worker.
ENCODERS: list[str] = env.list("ENCODERS", [])
# Languages that ENCODER has learnt, as in "en,de"; empty: what is known of it. Other texts are told of on import.
ENCODER_LANGUAGES: list[str] = env.list("ENCODER_LANGUAGES", [])
# Whether the settings page has to say that there is none; the key itself is read by the SDK alone.
HAS_JUDGE_KEY = any(env.str(name, "") for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"))
JUDGE_MODEL = env.str("JUDGE_MODEL", "claude-haiku-4-5")
# Drafts definitions; a larger model than the judge pays here, as a label is defined once.
DEFINITION_MODEL = env.str("DEFINITION_MODEL", "claude-opus-4-5")
JUDGE_BASE_URL = env.str("JUDGE_BASE_URL", "") or None
JUDGE_BASE_URLS: list[str] = env.list("JUDGE_BASE_URLS", [])
# The share of answers in which the judge is right, where it is the stand-in that knows the demo's true labels; each
# page says so. 0: it is none.
SIMULATED_JUDGE = env.float("SIMULATED_JUDGE", 0.0, validate=validate.Range(min=0, max=1))
JUDGE_TIMEOUT_SECONDS = env.float("JUDGE_TIMEOUT_SECONDS", 60.0, validate=validate.Range(min=0.1))
JUDGE_BATCH_POLL_SECONDS = env.float("JUDGE_BATCH_POLL_SECONDS", 30.0, validate=validate.Range(min=0.1))
JUDGE_CONCURRENCY = env.int("JUDGE_CONCURRENCY", 4, validate=validate.Range(min=1, max=64))
# Who reads /metrics/; empty: programs on this machine.
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
MAX_UPLOAD_MB = env.int("MAX_UPLOAD_MB", 200, validate=validate.Range(min=1))
# A thousand texts in one request to the API; files come in parts, and have a limit of their own.
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024
# Requests of one token to the API, counted in each process of the web server.
API_RATE = env.str("API_RATE", "600/min")
# How long `manage.py trim_diary` keeps what the diary says; 0: it has to be told.
DIARY_DAYS = env.int("DIARY_DAYS", 0, validate=validate.Range(min=0))
MAX_TEXT_CHARS = env.int("MAX_TEXT_CHARS", 20_000, validate=validate.Range(min=1))
