"""Settings of the workers that these tests start: little beside the app, and short times."""

import json
import os

from tests import settings as base
from tests.database_urls import settings_for

SECRET_KEY = base.SECRET_KEY
USE_TZ = True
TIME_ZONE = base.TIME_ZONE
DEBUG = False
DEFAULT_AUTO_FIELD = base.DEFAULT_AUTO_FIELD
INSTALLED_APPS = ["django_tasks", "tests.reliability"]
DATABASES = {"default": settings_for(os.environ["RELIABILITY_DATABASE"])}
TASKS = base.TASKS
DJANGO_TASKS = {
    "LEASE": 3.0,
    "SWEEP_INTERVAL": 0.5,
    "POLL_INTERVAL": 0.5,
    "GRACE_PERIOD": 5.0,
    "UNKNOWN_TASK_DELAY": 1.0,
} | json.loads(os.environ.get("RELIABILITY_SETTINGS", "{}"))
globals().update(json.loads(os.environ.get("RELIABILITY_BROKER", "{}")))
