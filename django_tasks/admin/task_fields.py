"""The columns of the list of tasks and the fields of a task's page."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import masking, registry
from ..aliases import database_backends
from ..inspection import readable_progress
from ..models import TaskRecord, WorkerRecord
from ..statuses import Status
from . import formats
from .base import ReadOnlyAdmin


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
        most = _most_attempts(record)
        return f"{record.attempts}" if most is None else f"{record.attempts} / {most}"

    @admin.display(description=gettext_lazy("age"), ordering="-id")
    def age(self, record: TaskRecord) -> str:
        seconds = (timezone.now() - record.enqueued_at).total_seconds()
        return formats.timestamp(record.enqueued_at, formats.duration(max(0.0, seconds)))

    @admin.display(description=gettext_lazy("enqueued"))
    def enqueued(self, record: TaskRecord) -> str:
        return formats.timestamp(record.enqueued_at)

    @admin.display(description=gettext_lazy("runs after"))
    def due(self, record: TaskRecord) -> str:
        return formats.timestamp(record.run_after)

    @admin.display(description=gettext_lazy("expires"))
    def expires(self, record: TaskRecord) -> str:
        return formats.timestamp(record.expires_at)

    @admin.display(description=gettext_lazy("last started"))
    def started(self, record: TaskRecord) -> str:
        return formats.timestamp(record.last_attempted_at)

    @admin.display(description=gettext_lazy("finished"))
    def finished(self, record: TaskRecord) -> str:
        return formats.timestamp(record.finished_at)

    @admin.display(description=gettext_lazy("duration"))
    def took(self, record: TaskRecord) -> str:
        if record.status == Status.RUNNING and record.last_attempted_at:
            seconds = (timezone.now() - record.last_attempted_at).total_seconds()
            return _("%(duration)s so far") % {"duration": formats.duration(max(0.0, seconds))}
        return formats.duration(record.run_time)

    @admin.display(description=gettext_lazy("progress"))
    def how_far(self, record: TaskRecord) -> str:
        progress = readable_progress(record)
        if progress is None:
            return formats.NOTHING
        message = formats.shortened(str(progress.message))
        if progress.percent is None:
            return formats.join(str(progress.done), message)
        bar = format_html(
            '<progress class="task-progress" max="100" value="{0}">{0} %</progress>',
            f"{progress.percent:g}",
        )
        numbers = f"{progress.done:g} / {progress.total:g} ({progress.percent:g} %)"
        return format_html("{} {}", bar, formats.join(numbers, message))

    @admin.display(description=gettext_lazy("arguments"))
    def no_payload(self, record: TaskRecord) -> str:
        return format_html(
            '<span class="task-hidden">{}</span>',
            _(
                "Hidden. Seeing arguments, results and metadata needs the permission “Can see"
                " arguments and results of tasks”."
            ),
        )

    @admin.display(description=gettext_lazy("arguments"))
    def arguments(self, record: TaskRecord) -> str:
        block = formats.json_block(_masked(record).args)
        has_none = (record.args, record.kwargs) == ("[]", "{}")
        if has_none or registry.find(record.task_path) is not None:
            return block
        note = _(
            "This process does not know the task, so it cannot tell which values are secret: all"
            " are hidden."
        )
        return format_html('{}<p class="task-hidden">{}</p>', block, note)

    @admin.display(description=gettext_lazy("keyword arguments"))
    def keyword_arguments(self, record: TaskRecord) -> str:
        return formats.json_block(_masked(record).kwargs)

    @admin.display(description=gettext_lazy("return value"))
    def result(self, record: TaskRecord) -> str:
        return _json_or_nothing(record, record.return_value)

    @admin.display(description=gettext_lazy("state’s data"))
    def own_state(self, record: TaskRecord) -> str:
        return _json_or_nothing(record, record.meta)

    @admin.display(description=gettext_lazy("metadata"))
    def task_metadata(self, record: TaskRecord) -> str:
        return _json_or_nothing(record, record.metadata)

    @admin.display(description=gettext_lazy("log"))
    def log_lines(self, record: TaskRecord) -> str:
        return formats.text_block(record.log) if record.log else formats.NOTHING

    @admin.display(description=gettext_lazy("worker"))
    def worker(self, record: TaskRecord) -> str:
        if record.worker_id is None:
            return formats.NOTHING
        workers = WorkerRecord.objects.using(record._state.db)
        worker = workers.filter(pk=record.worker_id).first()
        process = "" if record.process is None else _("process %d") % record.process
        if worker is None:
            return formats.join(_("%s (no longer running)") % record.worker_id, process)
        return formats.join(self._link_to(worker), process)

    def _link_to(self, worker: WorkerRecord) -> str:
        if not self.admin_site.is_registered(WorkerRecord):
            return str(worker)
        url = reverse(
            "admin:django_tasks_workerrecord_change",
            args=[worker.pk],
            current_app=self.admin_site.name,
        )
        return format_html('<a href="{}">{}</a>', url, worker)


def _masked(record: TaskRecord) -> masking.MaskedCall:
    return masking.mask(record.args, record.kwargs, registry.find(record.task_path))


def _json_or_nothing(record: TaskRecord, text: str | None) -> str:
    if text is None:
        return formats.NOTHING
    return formats.json_block(masking.mask_value(text, registry.find(record.task_path)))


def _most_attempts(record: TaskRecord) -> int | None:
    """Return how many attempts the task has in all, None when its code is not known here."""
    if record.max_attempts is not None:
        return record.max_attempts
    known = registry.find(record.task_path)
    if known is None:
        return None
    backend = database_backends().get(record.backend)
    return known.max_attempts or (backend.max_attempts if backend else None)
