"""
A project whose tasks are in a database of their own. Run it with a directory for the files.

It makes, copies, runs, pauses and deletes schedules in the admin, and looks where the rows are.
"""

import sys
from pathlib import Path

import django
from django.conf import settings

from tests import settings as common


def configure(directory):
    values = {name: getattr(common, name) for name in dir(common) if name.isupper()}
    engine = "django.db.backends.sqlite3"
    values["DATABASES"] = {
        alias: {"ENGINE": engine, "NAME": str(Path(directory, alias))}
        for alias in ("default", "tasks")
    }
    values["TASKS"] = {"default": common.TASKS["default"] | {"OPTIONS": {"database": "tasks"}}}
    settings.configure(**values)
    django.setup()


def main():
    from django.contrib.admin.models import LogEntry
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    from django_tasks.models import Schedule, TaskRecord
    from tests.schedule_admin import steps

    setup_test_environment()
    for alias in settings.DATABASES:
        call_command("migrate", database=alias, verbosity=0)
    root = steps.client_of(User.objects.create_superuser("root"))

    assert root.post(f"{steps.LIST}add/", steps.filled_in()).status_code == 302
    refused = root.post(f"{steps.LIST}add/", steps.filled_in())
    assert set(steps.errors_of(refused)) == {"name"}
    row = Schedule.objects.using("tasks").get()
    copy = root.post(f"{steps.LIST}add/?copy={row.pk}", steps.filled_in(name="Copy"))
    assert copy.status_code == 302
    assert root.post(steps.change(row), steps.filled_in(every="2")).status_code == 302
    steps.press(root, row, "run_now", confirmed="yes")
    steps.press(root, row, "pause", confirmed="yes", until_0="2126-01-01", until_1="12:00")
    steps.act(root, "disable", row)
    page = steps.text_of(root.get(steps.change(row)))
    assert "Disabled" in page and "Ready" in page
    assert "Run by hand" in steps.text_of(root.get(f"{steps.LIST}{row.pk}/runs/"))
    assert row.name in steps.text_of(root.get(steps.LIST))
    overview = steps.text_of(root.get("/admin/django_tasks/overview/"))
    assert "Copy" in overview and "nobody serves the queue default" in overview
    row.refresh_from_db()
    assert (row.every, row.enabled, row.paused_until.year) == (7200.0, False, 2126)
    steps.act(root, "delete_selected", row, post="yes")

    names = [
        list(Schedule.objects.using(alias).values_list("name", flat=True)) for alias in ALIASES
    ]
    assert names == [[], ["Copy"]]
    assert [TaskRecord.objects.using(alias).count() for alias in ALIASES] == [0, 1]
    # Added twice, changed, run, paused, disabled and deleted: the history is the admin's.
    assert [LogEntry.objects.using(alias).count() for alias in ALIASES] == [7, 0]


ALIASES = ("default", "tasks")

if __name__ == "__main__":
    configure(sys.argv[1])
    main()
