"""When the tasks of a project are imported: in django.setup(), after all apps are ready."""

import os
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
APPS = {
    # What its tasks need is filled in by the ready() of another app.
    "shop/tasks.py": """
from django_tasks import task
from django_tasks.schedules import every
from pricing import prices

PRICE = prices["apple"]

@task(schedule={"schedule": every(minutes=1)})
def sell():
    return PRICE
""",
    "pricing/__init__.py": "prices = {}",
    "pricing/apps.py": """
from django.apps import AppConfig

class PricingConfig(AppConfig):
    name = "pricing"

    def ready(self):
        from pricing import prices
        prices["apple"] = 3
""",
    "extra_tasks.py": """
from django_tasks import task
from pricing import prices

PRICE = prices["apple"]

@task
def count():
    return PRICE
""",
    "shop/__init__.py": "",
}
SCRIPT = """
import sys
import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=sys.argv[1].split(","),
    DJANGO_TASKS={"TASK_MODULES": ["extra_tasks"]},
    SECRET_KEY="x",
    USE_TZ=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django.core.checks import run_checks
from django_tasks.definitions import declared_schedules, registry

print([task.module_path for task in registry.known_tasks()])
print(list(declared_schedules.collect().declarations))
print([message.id for message in run_checks() if message.is_serious()])
"""


@pytest.fixture
def project(tmp_path):
    """Return what sets Django up, in a process of its own, with apps in the order given."""
    for name, text in APPS.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def set_up(*apps):
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, ",".join(apps)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    set_up.path = tmp_path
    return set_up


@pytest.mark.parametrize("apps", [*permutations(["django_tasks", "shop", "pricing"])])
def test_tasks_find_what_any_app_prepared(project, apps):
    """Whatever the order of INSTALLED_APPS; checks and schedules know the tasks."""
    done = project(*apps)

    assert done.stdout.splitlines() == [
        "['extra_tasks.count', 'shop.tasks.sell']",
        "['shop.tasks.sell']",
        "[]",
    ], done.stderr


@pytest.mark.parametrize("apps", [["django_tasks", "shop"], ["shop", "django_tasks"]])
def test_tasks_that_cannot_be_imported_stop_the_start(project, apps):
    """In django.setup(), not in the request that needs the first task."""
    done = project(*apps)

    assert done.returncode == 1 and "KeyError: 'apple'" in done.stderr
    assert ", in setup\n" in done.stderr
