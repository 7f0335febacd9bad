"""
Settings of the worker processes that these tests start.

Environment variables change them for one process: WORKER_SETTINGS is a JSON dict of settings,
WORKER_PATCHES one of dotted paths and values (see tests.worker.apps).
"""

import json
import os

from tests.settings import *  # noqa: F403

# No admin, nor what it needs: importing its pages is a third of a start, and no worker shows them.
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django_tasks",
    "tests",
    "tests.worker.apps.WorkerTestsConfig",
]
MIDDLEWARE = []
ROOT_URLCONF = None
TEMPLATES = []
# Quick to see what changes, and no second of this suite waits for a pause made for production.
DJANGO_TASKS = {"POLL_INTERVAL": 0.3, "UNKNOWN_TASK_DELAY": 0.2}

for _name, _value in json.loads(os.environ.get("WORKER_SETTINGS", "{}")).items():
    if isinstance(_value, dict) and isinstance(globals().get(_name), dict):
        _value = globals()[_name] | _value
    globals()[_name] = _value
