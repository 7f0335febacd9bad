"""The cards of the page: one per kind of work."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.safestring import SafeString

from django_tasks import Task

from . import tasks
from .highlight import source_html


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """`shown_runs`: how many of the newest runs the card lists."""

    slug: str
    title: str
    summary: str
    task: Task
    shown_runs: int = 2

    @property
    def source(self) -> SafeString:
        return source_html(self.task.func)

    @property
    def form_template(self) -> str:
        return f"demo/forms/{self.slug}.html"

    @property
    def run_template(self) -> str:
        return f"demo/runs/{self.slug}.html"


CARDS = (
    Card(
        slug="thumbnail",
        title="Thumbnails",
        summary="Upload pictures. A worker makes the thumbnails, and the page shows each "
        "as soon as it is there.",
        task=tasks.make_thumbnail,
        shown_runs=6,
    ),
    Card(
        slug="import",
        title="CSV import",
        summary="5,000 years of the calendar, read into the database in chunks of 250 rows. "
        "The task says how far it is.",
        task=tasks.import_csv,
    ),
    Card(
        slug="mail",
        title="Flaky e-mail",
        summary="The mail server is busy and refuses a message twice. "
        "Each attempt waits longer than the one before.",
        task=tasks.send_welcome,
    ),
    Card(
        slug="crash",
        title="Crash",
        summary="A bill divided among nobody. The error and its traceback are kept with the task.",
        task=tasks.split_bill,
    ),
)
