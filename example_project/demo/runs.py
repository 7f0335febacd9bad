"""What the page shows of a run: the state of its task, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, Sum
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from django_tasks import TaskResult, TaskResultDoesNotExist
from django_tasks.models import WorkerRecord

from . import easter
from .cards import CARDS, Card
from .models import Run

#: Celery's word for a state: the word on the chip, the chip's colour.
CHIPS = {
    "PENDING": ("Waiting", "waiting"),
    "STARTED": ("Running", "running"),
    "RETRY": ("Retrying", "retrying"),
    "SUCCESS": ("Done", "done"),
    "FAILURE": ("Failed", "failed"),
    "REVOKED": ("Cancelled", "cancelled"),
}
GONE = ("Deleted", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A run with the result of its task; `result` is None when the record was deleted."""

    run: Run
    result: TaskResult | None

    @property
    def word(self) -> str:
        return self._chip[0]

    @property
    def colour(self) -> str:
        return self._chip[1]

    @property
    def _chip(self) -> tuple[str, str]:
        if self.result is None:
            return GONE
        return CHIPS.get(self.result.state, (self.result.state, "running"))

    @property
    def is_finished(self) -> bool:
        return self.result is None or self.result.is_finished

    @property
    def next_attempt_at(self) -> datetime | None:
        """When the task runs again; None unless it waits after an attempt that failed."""
        if self.result is None or self.result.state != "RETRY":
            return None
        return self.result.run_after

    @property
    def seconds(self) -> float | None:
        """How long the task took, from its enqueue to its end."""
        if self.result is None or not self.result.finished_at:
            return None
        return (self.result.finished_at - self.result.enqueued_at).total_seconds()

    @property
    def easter_chart(self) -> easter.Chart | None:
        """What the rows that an import has written so far say about Easter."""
        return easter.chart(self.run.calendar_import)

    @property
    def admin_url(self) -> str:
        return reverse("admin:django_tasks_taskrecord_change", args=[self.run.task_id])


def newest(card: Card) -> list[Shown]:
    """Return a card's newest runs, the newest first."""
    runs = Run.objects.filter(card=card.slug).order_by("-pk")
    runs = runs.select_related("picture", "calendar_import", "mail")
    return [shown(card, run) for run in runs[: card.shown_runs]]


def shown(card: Card, run: Run) -> Shown:
    try:
        result = card.task.get_result(run.task_id)
    except TaskResultDoesNotExist:
        result = None
    return Shown(run=run, result=result)


def as_json() -> dict:
    """Return every card's runs as HTML, and whether any of them is unfinished."""
    shown_by_card = [(card, newest(card)) for card in CARDS]
    return {
        "cards": {
            card.slug: [{"id": shown.run.pk, "html": html(card, shown)} for shown in runs]
            for card, runs in shown_by_card
        },
        "busy": any(not shown.is_finished for _, runs in shown_by_card for shown in runs),
        "worker": render_to_string("demo/worker.html", workers()),
    }


def workers() -> dict[str, int]:
    """Return how many workers and beats are alive, and how many tasks run at a time."""
    alive = WorkerRecord.objects.filter(expires_at__gt=timezone.now())
    is_beat = Q(pool="beat")
    return alive.aggregate(
        workers=Count("pk", filter=~is_beat),
        beats=Count("pk", filter=is_beat),
        slots=Sum("concurrency", default=0),
    )


def html(card: Card, shown: Shown) -> str:
    return render_to_string(card.run_template, {"card": card, "shown": shown, "run": shown.run})
