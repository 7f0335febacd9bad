"""The demo's tasks. The page shows this code as it is."""

from __future__ import annotations

import csv
import smtplib
import time
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

from django.core.files.base import ContentFile
from django.core.mail import EmailMessage
from django.utils import timezone
from PIL import Image, ImageOps

from django_tasks import Snooze, TaskContext, task
from django_tasks.schedules import crontab, every

from .models import CalendarImport, CalendarYear, Mail, Picture

CALENDAR_CSV = Path(__file__).parent / "data" / "calendar.csv"
CHUNK = 250
THUMBNAIL_SIZE = (320, 320)


@task
def make_thumbnail(picture_id: int) -> list[int]:
    """Write a picture's thumbnail; return its width and height."""
    picture = Picture.objects.get(pk=picture_id)
    with Image.open(picture.original) as original:
        original.thumbnail(THUMBNAIL_SIZE)
        upright = ImageOps.exif_transpose(original)
    name = Path(picture.original.name).stem
    picture.thumbnail.save(f"{name}.webp", webp_file(upright))
    return list(upright.size)


@task(takes_context=True, max_attempts=3)
def import_csv(context: TaskContext, import_id: int, pause: float) -> int:
    """Read calendar.csv into the database; return the number of rows."""
    calendar_import = CalendarImport.objects.get(pk=import_id)
    years = read_years(import_id)
    for start in range(0, len(years), CHUNK):
        chunk = years[start : start + CHUNK]
        CalendarYear.objects.bulk_create(chunk, ignore_conflicts=True)
        done = start + len(chunk)
        context.progress.set(done, len(years), f"year {chunk[-1].year}")
        time.sleep(pause)  # The page asks for it, so that you can watch.
    calendar_import.finished_at = timezone.now()
    calendar_import.save()
    return len(years)


@task(
    queue_name="mail",
    max_attempts=5,
    backoff=[2, 4, 8],
    retry_on=(smtplib.SMTPException,),
)
def send_welcome(mail_id: str) -> str:
    """Send a message; ask a busy server again after 2, 4, 8 seconds."""
    mail = Mail.objects.get(pk=mail_id)
    EmailMessage(
        subject="Welcome",
        body="This message was sent by a background task.\n",
        to=[mail.recipient],
        headers={"X-Demo-Mail": str(mail.pk)},
    ).send()
    mail.sent_at = timezone.now()
    mail.save()
    return mail.recipient


@task
def split_bill(total: int, guests: list[str]) -> int:
    """Return what each guest pays. Nobody thought of an empty table."""
    return share(total, len(guests))


@task
async def count_leap_years(import_id: int) -> int:
    """Count the leap years of an import as soon as it is complete: an async task."""
    if not await CalendarImport.objects.filter(pk=import_id, finished_at__isnull=False).aexists():
        raise Snooze(0.5)  # Runs again later; that costs none of its attempts.
    return await CalendarYear.objects.filter(calendar_import=import_id, is_leap=True).acount()


@task(schedule=every(seconds=30))
def take_stock() -> str:
    """Count what the demo has made so far."""
    pictures, years = Picture.objects.count(), CalendarYear.objects.count()
    mails = Mail.objects.filter(sent_at__isnull=False).count()
    return f"{pictures} pictures, {years:,} years of the calendar, {mails} mails sent"


@task(
    schedule={
        "schedule": crontab("* * * * *", timezone="Asia/Kathmandu"),
        "args": ["Asia/Kathmandu"],
        "catch_up": "none",
    }
)
def tell_the_time(zone: str) -> str:
    """Say what clocks show in a time zone."""
    return f"{datetime.now(ZoneInfo(zone)):%H:%M} in {zone}"


@task(schedulable=True)
def greet(name: str) -> str:
    """Greet somebody. The demo schedules it once; the admin may, too."""
    return f"Hello, {name}!"


@task
def factorise(number: int) -> list[int]:
    """Return the prime factors of a number, smallest first."""
    factors, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return [*factors, number] if number > 1 else factors


def webp_file(image: Image.Image) -> ContentFile:
    file = BytesIO()
    image.save(file, "WEBP")
    return ContentFile(file.getvalue())


def read_years(import_id: int) -> list[CalendarYear]:
    """Return the rows of calendar.csv as unsaved model instances."""
    with CALENDAR_CSV.open(newline="", encoding="ascii") as file:
        return [year_from_row(import_id, row) for row in csv.DictReader(file)]


def year_from_row(import_id: int, row: dict[str, str]) -> CalendarYear:
    return CalendarYear(
        calendar_import_id=import_id,
        year=int(row["year"]),
        is_leap=row["is_leap"] == "1",
        january_1=row["january_1"],
        iso_weeks=int(row["iso_weeks"]),
        friday_13ths=int(row["friday_13ths"]),
        golden_number=int(row["golden_number"]),
        easter=date.fromisoformat(row["easter"]),
        orthodox_easter=date.fromisoformat(row["orthodox_easter"]),
    )


def share(total: int, people: int) -> int:
    return total // people
