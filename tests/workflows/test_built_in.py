"""The tasks that come along: known to whoever asks, and to nobody else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_tasks.testing import run_pending_tasks
from django_tasks.workflows import starmap
from django_tasks.workflows.starting import plan_of

from .tasks import add, add_async, attempt, fail

ROOT = Path(__file__).parents[2]
#: Asks for the lists of tasks before and after one of ours is needed.
SCRIPT = """
import json, sys
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django_tasks"], TASKS=json.loads(sys.argv[1]), SECRET_KEY="x", USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django_tasks.definitions import declared_schedules, registry

before = [task.module_path for task in registry.known_tasks()]
found = registry.find("django_tasks.definitions.built_in.collect")
nothing = registry.find("django_tasks.definitions.built_in.nothing")
print(json.dumps([before, found.backend, found.queue_name, nothing,
                  len(declared_schedules.schedulable_tasks())]))
"""


def call_of(signature):
    [step] = plan_of(signature).steps
    return step.task.enqueue(*step.args, **step.kwargs)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("task", "items", "value"),
    [(add, [(1, 2), (3, 4)], [3, 7]), (add_async, [(1, 2)], [3]), (attempt, [[5], [6]], [8, 9])],
)
def test_a_worker_runs_a_starmap(task, items, value):
    result = call_of(starmap(task, items))
    run_pending_tasks()
    result.refresh()

    assert result.return_value == value


@pytest.mark.django_db
def test_a_starmap_fails_and_is_retried_as_a_whole():
    result = call_of(starmap(fail.using(max_attempts=2), [[], []]))
    run_pending_tasks(include_scheduled=True)
    result.refresh()

    assert result.attempts == 2
    assert "failed on purpose" in result.errors[-1].traceback


@pytest.mark.parametrize(
    ("alias", "queues", "queue"),
    [("default", [], "default"), ("jobs", ["default", "a"], "default"), ("jobs", ["b", "a"], "a")],
)
def test_they_are_imported_when_needed_in_any_project(alias, queues, queue):
    tasks = {alias: {"BACKEND": "django_tasks.backends.database.DatabaseBackend", "QUEUES": queues}}
    left_out = ("DJANGO_SETTINGS_MODULE", "TEST_DATABASE_URL")
    environment = {k: v for k, v in os.environ.items() if k not in left_out}
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(tasks)],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert json.loads(found.stdout or "null") == [[], alias, queue, None, 0], found.stderr
