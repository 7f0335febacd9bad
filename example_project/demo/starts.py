"""
Start the demo's tasks. The page and `demo --once` both use these functions.

Each writes the row that a task will work on and enqueues the task in one transaction: either
both are there, or neither is.
"""

from __future__ import annotations

from datetime import timedelta

from django.core.files.base import File
from django.db import transaction
from django.utils import timezone

from django_tasks.models import Schedule
from django_tasks.schedules import Clocked, clocked
from django_tasks.store.schedules import edits

from . import tasks
from .models import CalendarImport, Mail, Picture, Run

KEPT_IMPORTS = 3
GREETING = "greeting"


@transaction.atomic
def thumbnail(file: File) -> Run:
    """Store an image and start the task that makes its thumbnail."""
    picture = Picture.objects.create(name=file.name, original=file)
    result = tasks.make_thumbnail.enqueue(picture.pk)
    return Run.objects.create(
        card="thumbnail", task_id=result.id, label=picture.name, picture=picture
    )


@transaction.atomic
def calendar_import(pause: float = 0.0) -> Run:
    """Start an import of calendar.csv that waits `pause` seconds after each chunk."""
    forget_old_imports()
    calendar_import = CalendarImport.objects.create()
    result = tasks.import_csv.enqueue(calendar_import.pk, pause=pause)
    return Run.objects.create(
        card="import",
        task_id=result.id,
        label=tasks.CALENDAR_CSV.name,
        calendar_import=calendar_import,
    )


@transaction.atomic
def mail(recipient: str) -> Run:
    """Start sending a message that the mail server will refuse twice."""
    mail = Mail.objects.create(recipient=recipient)
    result = tasks.send_welcome.enqueue(str(mail.pk))
    return Run.objects.create(card="mail", task_id=result.id, label=f"To {recipient}", mail=mail)


@transaction.atomic
def crash() -> Run:
    """Start a task that cannot succeed."""
    result = tasks.split_bill.enqueue(120, [])
    return Run.objects.create(card="crash", task_id=result.id, label="split_bill(120, [])")


def greeting(seconds: float) -> Schedule:
    """Plan the one-off schedule, so many seconds from now."""
    row = Schedule.objects.filter(name=GREETING).first() or Schedule(name=GREETING)
    moment = timezone.now() + timedelta(seconds=seconds)
    values = {"task_path": tasks.greet.module_path, "args": '["Ada"]', "kind": Clocked.kind}
    for column, value in {**values, **clocked(moment).columns()}.items():
        setattr(row, column, value)
    edits.save(row, using="default")
    return row


def forget_old_imports() -> None:
    """Delete finished imports, except for the newest few."""
    finished = CalendarImport.objects.filter(finished_at__isnull=False).order_by("-pk")
    kept = list(finished.values_list("pk", flat=True)[:KEPT_IMPORTS])
    finished.exclude(pk__in=kept).delete()
