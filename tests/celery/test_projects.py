"""Celery's own Django project, with its imports changed, and unchanged with install()."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

FILES = {
    "proj/__init__.py": """
{install}
from .celery import app as celery_app

__all__ = ("celery_app",)
""",
    "proj/celery.py": """
import os

from {celery} import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proj.settings")

app = Celery("proj")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(["demoapp"], related_name="jobs")


@app.on_after_finalize.connect
def setup_periodic_tasks(sender, **kwargs):
    from demoapp.tasks import add

    sender.add_periodic_task(10.0, add.s(2, 2), name="add every 10")


@app.task(bind=True, ignore_result=True)
def debug_task(self):
    print(f"Request: {{self.request!r}}")
""",
    "proj/settings.py": """
from {celery}.schedules import crontab

SECRET_KEY = "x"
USE_TZ = True
INSTALLED_APPS = ["django_tasks", "demoapp"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "proj.sqlite3"}}}}
CELERY_BROKER_URL = "redis://nobody:1"
CELERY_TASK_DEFAULT_QUEUE = "celery"
CELERY_TASK_ROUTES = {{"demoapp.tasks.count_*": {{"queue": "counts"}}}}
CELERY_BEAT_SCHEDULE = {{
    "mornings": {{
        "task": "demoapp.tasks.add",
        "schedule": crontab(hour=7, minute=30, day_of_week=1),
        "args": (16, 16),
    }},
}}
""",
    "demoapp/__init__.py": "",
    "demoapp/tasks.py": """
from {celery} import shared_task


@shared_task
def add(x, y):
    return x + y


@shared_task
def count_widgets():
    return 3
""",
    "demoapp/jobs.py": """
from {celery} import shared_task


@shared_task(name="job")
def job():
    return "from another module"
""",
}

SCRIPT = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from demoapp.tasks import add, count_widgets
from demoapp import jobs
from proj.celery import app, debug_task
from django_tasks.models import Schedule, TaskRecord
from django_tasks.testing import run_pending_tasks
results = [add.delay(1, y=2), count_widgets.delay(), app.send_task("job"), debug_task.delay()]
print([r.task_path + " " + r.queue_name for r in TaskRecord.objects.order_by("pk")])
run_pending_tasks()
print([r.get() for r in results])
print(sorted(Schedule.objects.values_list("name", "task_path")))
print(add(4, 4), sorted(name for name in app.tasks))
"""


@pytest.mark.parametrize("is_installed", [False, True], ids=["imports changed", "install()"])
def test_first_steps_with_django(tmp_path, is_installed):
    words = {
        "celery": "celery" if is_installed else "django_tasks.celery",
        "install": "import django_tasks.celery\n\ndjango_tasks.celery.install(force=True)"
        if is_installed
        else "",
    }
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.format(**words))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env=os.environ
        | {"DJANGO_SETTINGS_MODULE": "proj.settings", "PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    enqueued, values, schedules, names = [
        line for line in done.stdout.splitlines() if not line.startswith("Request: ")
    ]
    assert enqueued == str(
        [
            "demoapp.tasks.add celery",
            "demoapp.tasks.count_widgets counts",
            "job celery",
            "proj.celery.debug_task celery",
        ]
    )
    assert values == "[3, 3, 'from another module', None]"
    assert schedules == str(
        [("add every 10", "demoapp.tasks.add"), ("mornings", "demoapp.tasks.add")]
    )
    assert (
        names
        == "8 ['demoapp.tasks.add', 'demoapp.tasks.count_widgets', 'job', 'proj.celery.debug_task']"
    )
    assert "broker_url has no effect here" in done.stderr
