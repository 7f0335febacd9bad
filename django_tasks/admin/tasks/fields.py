"""The columns of the list of tasks and the fields of a task's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ...definitions import registry
from ...models import TaskRecord, WorkerRecord
from ...monitoring.reading import most_attempts, readable_progress
from ...monitoring.workflows.arguments import readable
from ...redaction import arguments
from ...statuses import Status
from .. import formats
from ..base import ReadOnlyAdmin

Workers = Mapping[Any, WorkerRecord]


class TaskFields(ReadOnlyAdmin):
    """Says how each part of a task is shown."""

    @admin.display(description=gettext_lazy("task"))
    def task(self, record: TaskRecord) -> str:
        module, _dot, name = record.task_path.rpartition(".")
        return format_html('{}<span class="task-module">{}</span>', name, module)

    @admin.display(description=gettext_lazy("status"))
    def state(self, record: TaskRecord) -> str:
        badge = formats.status_badge(record.status)
        if record.status != Status.RUNNING:
            return badge
        told = _("told to stop") if record.cancel_requested else ""
        notes = formats.join(record.custom_state or "", told)
        return format_html('{} <span class="task-note">{}</span>', badge, notes)

    @admin.display(description=gettext_lazy("attempts"))
    def tries(self, record: TaskRecord) -> str:
        most = most_attempts(record)
        return f"{record.attempts}" if most is None else f"{record.attempts} / {most}"

    @admin.display(description=gettext_lazy("age"), ordering="-id")
    def age(self, record: TaskRecord) -> str:
        seconds = (timezone.now() - record.enqueued_at).total_seconds()
        return formats.timestamp(record.enqueued_at, formats.duration(max(0.0, seconds)))

    @admin.display(description=gettext_lazy("duration"))
    def took(self, record: TaskRecord) -> str:
        if record.status == Status.RUNNING and record.last_attempted_at:
            seconds = (timezone.now() - record.last_attempted_at).total_seconds()
            return _("%(duration)s so far") % {"duration": formats.duration(max(0.0, seconds))}
        return formats.duration(record.run_time)

    def progress_bar(self, record: TaskRecord, *, with_message: bool) -> str:
        """Return how far it is, in numbers and as a bar; empty when it does not say."""
        progress = readable_progress(record)
        if progress is None:
            return ""
        message = formats.shortened(str(progress.message)) if with_message else ""
        if progress.percent is None:
            return formats.join(f"{progress.done:g}", message)
        bar = format_html(
            '<progress class="task-progress" max="100" value="{0}" aria-label="{1}">{0} %'
            "</progress>",
            f"{progress.percent:g}",
            _("progress"),
        )
        numbers = f"{progress.done:g} / {progress.total:g} ({progress.percent:g} %)"
        return format_html("{} {}", bar, formats.join(numbers, message))

    # --- payload, for those who may see it --------------------------------------------------------

    def payload(self, record: TaskRecord) -> list[tuple[str, str]]:
        """Return titles and blocks of the task's data, masked; those that say nothing left out."""
        known = registry.find(record.task_path)
        call = arguments.mask(record.args, record.kwargs, known)
        args, kwargs = readable(record, call.args, call.kwargs)
        blocks = []
        has_none = (record.args, record.kwargs) == ("[]", "{}")
        if record.args != "[]" or has_none:
            blocks.append((_("arguments"), formats.json_block(args)))
        if record.kwargs != "{}":
            blocks.append((_("keyword arguments"), formats.json_block(kwargs)))
        further = (
            (_("return value"), record.return_value),
            (_("metadata"), record.metadata),
            (_("state’s data"), record.meta),
        )
        for title, text in further:
            if text is not None:
                blocks.append((title, formats.json_block(arguments.mask_value(text, known))))
        return blocks

    def hides_arguments(self, record: TaskRecord) -> bool:
        """Tell whether arguments and results are masked, as this process does not know the task."""
        given = (record.args != "[]", record.kwargs != "{}")
        further = (record.return_value, record.metadata, record.meta)
        has_none = not any(given) and all(text is None for text in further)
        return not has_none and registry.find(record.task_path) is None

    # --- links ------------------------------------------------------------------------------------

    def place(self, worker_id: Any, process: int | None, host: str, workers: Workers) -> str:
        """Return where an attempt ran: its worker (linked while it has a row) and its process."""
        if worker_id is None and not host:
            return ""
        part = "" if process is None else _("process %d") % process
        worker = workers.get(worker_id)
        if worker is not None:
            return formats.join(self.link(worker, str(worker)), part)
        name = _("%s (no longer running)") % str(worker_id) if worker_id else ""
        return formats.join(host, part, name)
