"""One Django project for every system that needs one; BENCH_SYSTEM says which."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

SYSTEM = os.environ["BENCH_SYSTEM"]
_url = urlsplit(os.environ["BENCH_DATABASE_URL"])

SECRET_KEY = "benchmarks"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _url.path.lstrip("/"),
        "USER": _url.username or "",
        "PASSWORD": _url.password or "",
        "HOST": _url.hostname or "",
        "PORT": _url.port or "",
    }
}

if SYSTEM.startswith("django-tasks-db"):
    INSTALLED_APPS += ["django_tasks_db"]
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
    DATABASES["default"]["CONN_MAX_AGE"] = None  # by default it connects anew for every task
elif SYSTEM.startswith("celery"):
    INSTALLED_APPS += ["django_celery_results"]
else:
    INSTALLED_APPS += ["django_tasks"]
    TASKS: dict[str, dict[str, Any]]
    TASKS = {"default": {"BACKEND": "django_tasks.backends.database.DatabaseBackend"}}
    DJANGO_TASKS = {"TASK_MODULES": ["benchmarks.project.django_tasks_tasks"]}
    if SYSTEM == "django-tasks-best":
        DATABASES["default"]["OPTIONS"] = {"server_side_binding": True, "prepare_threshold": 3}
    if SYSTEM == "django-tasks-redis":
        TASKS["default"]["OPTIONS"] = {"broker": "redis"}
        CACHES = {
            "default": {
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": os.environ["BENCH_REDIS_URL"] + "/11",
            }
        }
    if SYSTEM == "django-tasks-rabbitmq":
        url = os.environ["BENCH_RABBITMQ_URL"]
        broker = {"name": "kombu", "url": url, "prefix": "benchmarks"}
        TASKS["default"]["OPTIONS"] = {"broker": broker}
