"""What the demo's tasks work on, and which task works on what."""

from __future__ import annotations

import uuid
from pathlib import PurePath

from django.db import models


def original_path(picture: Picture, filename: str) -> str:
    """Return a path of its own for each upload: two people may both send photo.jpg."""
    return f"originals/{uuid.uuid4().hex}{PurePath(filename).suffix.lower()}"


class Picture(models.Model):
    """An uploaded image. A task makes its thumbnail."""

    name = models.CharField(max_length=200)
    original = models.ImageField(upload_to=original_path)
    thumbnail = models.ImageField(upload_to="thumbnails", blank=True)

    def __str__(self) -> str:
        return self.name


class CalendarImport(models.Model):
    """One import of calendar.csv. A task fills it."""

    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"Import {self.pk}"


class CalendarYear(models.Model):
    """One row of calendar.csv."""

    calendar_import = models.ForeignKey(CalendarImport, models.CASCADE, related_name="years")
    year = models.PositiveSmallIntegerField()
    is_leap = models.BooleanField()
    january_1 = models.CharField("weekday of 1 January", max_length=3)
    iso_weeks = models.PositiveSmallIntegerField("ISO weeks")
    friday_13ths = models.PositiveSmallIntegerField("Fridays the 13th")
    golden_number = models.PositiveSmallIntegerField()
    easter = models.DateField()
    orthodox_easter = models.DateField()

    class Meta:
        constraints = [
            # An import that runs a second time skips the rows it has already written.
            models.UniqueConstraint(fields=["calendar_import", "year"], name="demo_year_once"),
        ]

    def __str__(self) -> str:
        return str(self.year)


class Mail(models.Model):
    """A message to send. The mail server refuses it `refusals` times first."""

    # Names the message in its file, so it differs from those of other databases.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    recipient = models.EmailField()
    refusals = models.PositiveSmallIntegerField(default=2)
    sent_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"Mail to {self.recipient}"


class Delivery(models.Model):
    """One answer of the mail server to one attempt to deliver a message."""

    mail = models.ForeignKey(Mail, models.CASCADE, related_name="deliveries")
    at = models.DateTimeField(auto_now_add=True)
    reply = models.CharField(max_length=200)

    class Meta:
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return self.reply


class Run(models.Model):
    """A task that was started from the page (or by `demo --once`), and what it works on."""

    card = models.CharField(max_length=20)
    task_id = models.CharField(max_length=64)
    label = models.CharField(max_length=200)
    picture = models.ForeignKey(Picture, models.CASCADE, null=True, blank=True)
    calendar_import = models.ForeignKey(CalendarImport, models.CASCADE, null=True, blank=True)
    mail = models.ForeignKey(Mail, models.CASCADE, null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["card", "-id"], name="demo_newest_runs")]

    def __str__(self) -> str:
        return self.label
