"""install(): in a process of its own, as it changes what imports mean."""

import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HAS_CELERY = PathFinder.find_spec("celery") is not None

SETUP = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
import django_tasks.celery
"""


def python(code):
    return subprocess.run(
        [sys.executable, "-c", SETUP + code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_imports_lead_here():
    done = python("""
django_tasks.celery.install(force=True)
import celery, celery.app.task, celery.app.control
from celery import Celery, shared_task, current_app, Task, states, signature
from celery.schedules import crontab
from celery.result import AsyncResult
from celery.utils.log import get_task_logger
from celery.exceptions import SoftTimeLimitExceeded as one
from billiard.exceptions import SoftTimeLimitExceeded as other
from billiard.einfo import ExceptionInfo
from kombu import Queue, Exchange
from kombu.exceptions import OperationalError
assert one is other
assert celery is django_tasks.celery
assert celery.app.task is django_tasks.celery.app.task
assert celery.result.AsyncResult is AsyncResult
from unittest import mock
with mock.patch("celery.app.task.Task.request", new_callable=mock.PropertyMock) as request:
    request.return_value.id = "of the test"
    assert Task().request.id == "of the test"
print("done")
""")
    assert done.stdout == "done\n", done.stderr


@pytest.mark.skipif(not HAS_CELERY, reason="Celery is not installed")
def test_refuses_where_celery_is_installed():
    done = python("django_tasks.celery.install()")
    assert done.returncode == 1
    assert "RuntimeError: Celery is installed" in done.stderr
    assert "install(force=True)" in done.stderr


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("celery.worker.request", "celery.worker is not offered"),
        ("celery.bootsteps", "--health-port"),
        ("celery.worker", "hooks of the Task class"),
        ("celery.contrib.abortable", "context.is_cancelled"),
        ("kombu.connection", "TaskRecord"),
        ("celery.nothing", "Coming from Celery"),
    ],
)
def test_refusals(module, reason):
    done = python(f"django_tasks.celery.install(force=True)\nimport {module}")
    assert "is not offered by django_tasks.celery: " in done.stderr
    assert reason in done.stderr


@pytest.mark.skipif(not HAS_CELERY, reason="Celery is not installed")
def test_every_offered_module_is_there_in_celery():
    """Names that are offered are Celery's own: what moves here can move back."""
    done = python("""
from importlib import import_module
from django_tasks.celery.installation import OFFERED
for name in OFFERED:
    if name != "celery.contrib.testing.worker":  # it wants a plugin of pytest
        import_module(name)
print("done")
""")
    assert done.stdout == "done\n", done.stderr
