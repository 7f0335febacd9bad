"""Settings of the test suite.

Two environment variables choose the database:

TEST_DATABASE_URL
    `sqlite` (the default: a file in the temporary directory), `sqlite:////path/file`,
    `postgresql://user:password@host:port/name` or `mariadb://...`. Tests run in a database of their
    own beside it, `test_<name>_<process id>`.
TEST_DATABASE_NAME
    The exact name of an existing database on that server, to work in directly. tests/conftest.py
    sets it once the test database exists, so that the worker processes which tests start
    (`python -m django runworker --settings tests.settings`) use the same one.
"""

import os
import tempfile
from pathlib import Path

from tests.database_urls import settings_for

try:
    import MySQLdb  # noqa: F401
except ImportError:
    try:
        import pymysql
    except ImportError:
        pymysql = None  # Neither driver: only the MariaDB and MySQL legs need one.
    if pymysql:
        # Django wants mysqlclient 2.2.1 or newer; PyMySQL speaks the same interface.
        pymysql.version_info = max(pymysql.version_info, (2, 2, 1, "final", 1))
        pymysql.install_as_MySQLdb()

SECRET_KEY = "only for tests"
USE_TZ = True
TIME_ZONE = "UTC"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.urls"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

DATABASES = {"default": settings_for(os.environ.get("TEST_DATABASE_URL") or "sqlite")}
default = DATABASES["default"]
if name := os.environ.get("TEST_DATABASE_NAME"):
    default["NAME"] = name
elif default["ENGINE"].endswith("sqlite3"):
    default["NAME"] = default["NAME"] or str(Path(tempfile.gettempdir(), "django_tasks.sqlite3"))
    file = Path(default["NAME"])
    # A file, because Django's in-memory default cannot be shared with worker processes.
    default["TEST"] = {"NAME": str(file.with_name(f"test_{file.stem}_{os.getpid()}{file.suffix}"))}
else:
    default["TEST"] = {"NAME": f"test_{default['NAME']}_{os.getpid()}"}
    if default["ENGINE"].endswith("mysql"):
        default["TEST"]["CHARSET"] = "utf8mb4"  # older servers default to latin1

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_tasks",
    "tests",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
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

TASKS = {
    "default": {
        "BACKEND": "django_tasks.backends.database.DatabaseBackend",
        "QUEUES": [],  # any queue name
    },
}
