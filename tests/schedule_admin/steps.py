"""The steps that tests of the schedules' admin are made of."""

import re
from html import unescape
from uuid import uuid4

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from django_tasks import task
from django_tasks.models import Schedule
from django_tasks.store.schedules import edits

LIST = "/admin/django_tasks/schedule/"
DATABASE = "default"


@task(schedulable=True)
def send_report(month: int, to: str = "all"):
    """Mail the numbers of a month."""


@task(schedulable=True, sensitive=("iban",))
def pay(amount: int, iban: str, note: str = ""):
    """Pay an amount."""


@task
def internal(month: int):
    """Not for schedules."""


def saved(**columns):
    """Save an hourly schedule, and return it."""
    values = {
        "name": f"schedule {uuid4().hex[:8]}",
        "task_path": send_report.module_path,
        "args": "[1]",
        "kind": "INTERVAL",
        "every": 3600.0,
    }
    row = Schedule(**values | columns)
    edits.save(row, using=DATABASE)
    return row


def set_columns(row, **columns):
    """Change a row behind the store's back, as time, beats and other versions do."""
    Schedule.objects.filter(pk=row.pk).update(**columns)
    row.refresh_from_db()
    return row


def client_of(user):
    client = Client()
    client.force_login(user)
    return client


def client_with(*permissions):
    """Return a client of a staff user who has just these permissions."""
    user = User.objects.create_user(f"user-{uuid4().hex[:8]}", is_staff=True)
    for codename in permissions:
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label="django_tasks", codename=codename)
        )
    return client_of(user)


def change(row):
    return f"{LIST}{row.pk}/change/"


def filled_in(**fields):
    """Return the form as a browser sends it: hourly, the fields of other kinds empty."""
    values = {
        "name": "Report",
        "task_path": send_report.module_path,
        "args": "[1]",
        "kwargs": "{}",
        "description": "",
        "enabled": "on",
        "kind": "INTERVAL",
        "every": "1",
        "every_unit": "3600",
        "crontab": "",
        "day_match": "ANY",
        "solar_event": "",
        "latitude": "",
        "longitude": "",
        "timezone": "",
        "max_runs": "",
        "jitter": "0",
        "jitter_unit": "1",
        "expires": "",
        "expires_unit": "60",
        "overlap": "ALLOW",
        "catch_up": "LATEST",
        "catch_up_limit": "",
        "catch_up_deadline": "",
        "catch_up_deadline_unit": "60",
        "queue_name": "",
        "priority": "",
        "backend": "",
    }
    moments = ("anchor_at", "clocked_at", "start_at", "end_at")
    values |= {f"{name}_{part}": "" for name in moments for part in (0, 1)}
    return values | fields


def cron(expression, **fields):
    return filled_in(kind="CRONTAB", crontab=expression, every="", **fields)


def errors_of(response):
    """Return the messages of a refused form by field; fail when it was not refused."""
    assert response.status_code == 200, response
    return {name: list(texts) for name, texts in response.context["adminform"].errors.items()}


def press(client, row, deed, **fields):
    return client.post(f"{LIST}{row.pk}/do/", {"deed": deed} | fields, follow=True)


def act(client, action, *rows, **fields):
    ids = [str(row.pk) for row in rows]
    return client.post(LIST, {"action": action, "_selected_action": ids} | fields, follow=True)


def messages_of(response):
    return " ".join(str(message) for message in response.context["messages"])


def text_of(response):
    """Return what a page says, without its markup."""
    assert response.status_code == 200, response
    return unescape(re.sub(r"(<[^>]+>|\s)+", " ", response.content.decode()))


def history_of(row):
    entries = LogEntry.objects.filter(content_type__model="schedule", object_id=str(row.pk))
    return [entry.change_message for entry in entries.order_by("pk")]
