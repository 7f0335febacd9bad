"""Settings of the demo: SQLite by default, another database when DATABASE_URL names one.

REDIS_URL names a Redis that hands out the tasks.
"""

import os
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import django

BASE_DIR = Path(__file__).resolve().parent.parent

#: Everything the demo writes: the SQLite database, uploaded files, sent mail.
VAR_DIR = Path(os.environ.get("DEMO_VAR") or BASE_DIR / "example_project" / "var").absolute()
VAR_DIR.mkdir(parents=True, exist_ok=True)

SECRET_KEY = "for the demo only: never use it anywhere else"
DEBUG = os.environ.get("DEBUG", "1") not in {"", "0", "false", "no"}
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]", "testserver"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_tasks",
    "example_project.demo",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

if django.VERSION >= (6, 0):
    MIDDLEWARE.append("django.middleware.csp.ContentSecurityPolicyMiddleware")
    SECURE_CSP = {"default-src": ["'self'"], "form-action": ["'self'"], "base-uri": ["'none'"]}

ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
ASGI_APPLICATION = "example_project.asgi.application"

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

DATABASE_ENGINES = {
    "postgres": "django.db.backends.postgresql",
    "postgresql": "django.db.backends.postgresql",
    "mysql": "django.db.backends.mysql",
    "mariadb": "django.db.backends.mysql",
}


def database_from_url(url: str) -> dict:
    """Return the DATABASES entry of postgresql://user:password@host:port/name (or mysql://)."""
    parts = urlsplit(url)
    if parts.scheme not in DATABASE_ENGINES:
        allowed = ", ".join(DATABASE_ENGINES)
        raise ValueError(f"DATABASE_URL has the scheme {parts.scheme!r}; use one of: {allowed}.")
    if DATABASE_ENGINES[parts.scheme].endswith("mysql"):
        use_pymysql()
    return {
        "ENGINE": DATABASE_ENGINES[parts.scheme],
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
    }


def use_pymysql() -> None:
    """Let PyMySQL stand in for mysqlclient where only the former is installed."""
    if find_spec("MySQLdb") is None and find_spec("pymysql") is not None:
        import pymysql

        pymysql.version_info = (2, 2, 1, "final", 0)  # The mysqlclient that Django asks for.
        pymysql.install_as_MySQLdb()


SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": VAR_DIR / "demo.sqlite3",
    "OPTIONS": {
        # A web process and several workers write to this file: WAL lets readers go on while one
        # writes, and IMMEDIATE makes writers queue for `timeout` seconds where they would fail.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
    },
}

DATABASE_URL = os.environ.get("DATABASE_URL", "")
DATABASES = {"default": database_from_url(DATABASE_URL) if DATABASE_URL else SQLITE}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TASKS = {
    "default": {
        "BACKEND": "django_tasks.backends.database.DatabaseBackend",
        "QUEUES": ["default", "mail"],
    },
}
if REDIS_URL := os.environ.get("REDIS_URL"):
    CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "tasks": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": REDIS_URL},
    }
    TASKS["default"]["OPTIONS"] = {"broker": {"name": "redis", "cache": "tasks"}}

# Mail goes to files in VAR_DIR / "mail", through a server that refuses some messages at first.
MAILBOX = "example_project.demo.mailbox.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": MAILBOX, "OPTIONS": {"file_path": VAR_DIR / "mail"}}}
else:
    EMAIL_BACKEND = MAILBOX
    EMAIL_FILE_PATH = VAR_DIR / "mail"
DEFAULT_FROM_EMAIL = "demo@example.org"

STATIC_URL = "static/"
MEDIA_URL = "media/"
MEDIA_ROOT = VAR_DIR / "media"
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        # A task that runs a second time writes its file again under the same name.
        "OPTIONS": {"allow_overwrite": True},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "hide_polls": {"()": "example_project.demo.logs.HidePolls"},
        "hide_batch": {"()": "example_project.demo.logs.HideBatch"},
    },
    "loggers": {
        "django.server": {"filters": ["hide_polls"]},
        "django_tasks.worker": {"filters": ["hide_batch"]},
    },
}
