"""The tables: tasks, the attempts that did not succeed, and workers."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ..definitions.progress import Progress
from ..dep14.mixed_install import overwritten
from ..ids import uuid7
from ..statuses import FINAL_STATUSES, AttemptOutcome, Status
from .indexes import StatusIndex

if _problem := overwritten():
    raise ImproperlyConfigured(_problem)


class TaskRecord(models.Model):
    """
    One enqueued task.

    Only `store` writes to it: every change of `status` is guarded by the status and the claim
    that it expects. JSON columns hold ASCII text, see `serializers`.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    task_path = models.CharField(_("task"), max_length=255)
    queue_name = models.CharField(_("queue"), max_length=100)
    priority = models.SmallIntegerField(_("priority"), db_default=0)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices)
    backend = models.CharField(_("backend"), max_length=64)
    args = models.TextField(_("arguments"))
    kwargs = models.TextField(_("keyword arguments"))
    metadata = models.TextField(_("metadata"), null=True)
    max_attempts = models.IntegerField(_("most attempts"), null=True)
    #: What its code said when it was enqueued, see `store.tasks.policy`.
    #: Seconds for which it is kept when it has finished. None: as the settings of who prunes say.
    result_ttl = models.FloatField(null=True)
    #: What becomes of it when its worker is lost. None: "retry".
    on_lost = models.CharField(max_length=10, null=True)

    run_after = models.DateTimeField(_("run after"), null=True)
    expires_at = models.DateTimeField(_("expires"), null=True)
    enqueued_at = models.DateTimeField(_("enqueued"))
    started_at = models.DateTimeField(_("first started"), null=True)
    last_attempted_at = models.DateTimeField(_("last started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    #: From when on it may be deleted, if it has a result_ttl and has finished; else None.
    prune_after = models.DateTimeField(null=True)
    #: Seconds that the body ran in the last attempt.
    run_time = models.FloatField(_("run time"), null=True)

    #: Attempts that count against max_attempts; those lost or given back do not.
    attempts = models.IntegerField(_("attempts"), db_default=0)
    #: How often a worker took it: the fencing token. It only grows.
    claims = models.BigIntegerField(_("claims"), db_default=0)
    #: How often its worker was lost.
    lost = models.IntegerField(_("times lost"), db_default=0)
    #: The worker that owns it, or had it last. No foreign key: workers come and go.
    worker_id = models.UUIDField(_("worker"), null=True)
    #: Which process of that worker.
    process = models.IntegerField(_("process"), null=True)
    cancel_requested = models.BooleanField(_("cancel requested"), db_default=False)
    #: What is to happen with its start and its end, see `store.values.Hook`. 0: nothing more.
    hooks = models.SmallIntegerField(db_default=0)

    progress = models.TextField(_("progress"), null=True)
    custom_state = models.CharField(_("custom state"), max_length=64, null=True)
    meta = models.TextField(_("meta"), null=True)
    return_value = models.TextField(_("return value"), null=True)
    log = models.TextField(_("log"), null=True)

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        ordering = ("-id",)
        permissions = [
            ("requeue_taskrecord", "Can run tasks again"),
            ("cancel_taskrecord", "Can cancel tasks"),
            ("view_payload", "Can see arguments and results of tasks"),
        ]
        indexes = [
            # claim: the next ready tasks of a backend's queue
            StatusIndex(
                name="django_tasks_ready",
                fields=["backend", "queue_name", "-priority", "id"],
                statuses=[Status.READY],
            ),
            # promote: scheduled tasks that are due
            StatusIndex(
                name="django_tasks_scheduled", fields=["run_after"], statuses=[Status.SCHEDULED]
            ),
            # rescue: running tasks by owner
            StatusIndex(
                name="django_tasks_running",
                fields=["worker_id", "process"],
                statuses=[Status.RUNNING],
                only_set=True,
            ),
            # prune and count: what is kept as the settings say, and what as it says itself.
            # Whatever ends without a result_ttl has to be written into one of them, no more.
            StatusIndex(
                name="django_tasks_successful",
                fields=["finished_at"],
                statuses=[Status.SUCCESSFUL],
                nulls={"prune_after": True},
                whole=["status", "prune_after", "finished_at"],
            ),
            StatusIndex(
                name="django_tasks_unsuccessful",
                fields=["finished_at"],
                statuses=[Status.FAILED, Status.CANCELLED],
                nulls={"prune_after": True},
                whole=[],
            ),
            StatusIndex(name="django_tasks_prune", fields=["prune_after"], only_set=True, whole=[]),
            StatusIndex(
                name="django_tasks_finished",
                fields=["finished_at"],
                nulls={"prune_after": False},
                whole=["finished_at"],
            ),
            # expire: tasks that nobody started in time
            StatusIndex(
                name="django_tasks_expires",
                fields=["expires_at"],
                statuses=[Status.SCHEDULED, Status.READY],
                only_set=True,
            ),
            # the list of what waits for other tasks
            StatusIndex(
                name="django_tasks_waiting",
                fields=["id"],
                statuses=[Status.WAITING],
                whole=[],
            ),
            # the admin's list of what failed, the newest first
            StatusIndex(
                name="django_tasks_failed",
                fields=["id"],
                statuses=[Status.FAILED, Status.CANCELLED],
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="django_tasks_status_known", condition=Q(status__in=Status.values)
            ),
            models.CheckConstraint(
                name="django_tasks_finished_at_iff_final",
                condition=Q(status__in=FINAL_STATUSES, finished_at__isnull=False)
                | (~Q(status__in=FINAL_STATUSES) & Q(finished_at__isnull=True)),
            ),
            models.CheckConstraint(
                name="django_tasks_running_has_owner",
                condition=~Q(status=Status.RUNNING) | Q(worker_id__isnull=False),
            ),
            models.CheckConstraint(
                name="django_tasks_scheduled_has_time",
                condition=~Q(status=Status.SCHEDULED) | Q(run_after__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task_path} ({self.id})"

    @property
    def progress_value(self) -> Progress | None:
        """The progress as an object, or None."""
        return Progress.from_json(self.progress)

    @property
    def metadata_value(self) -> dict[str, Any]:
        """The metadata as a dict."""
        return json.loads(self.metadata) if self.metadata else {}


class TaskAttempt(models.Model):
    """
    One attempt that did not succeed, or a result that came too late.

    Successful attempts have no row: the task's own columns say it all.
    """

    id = models.BigAutoField(primary_key=True)
    # No constraint in the database: it would lock the task's row for each attempt written.
    task = models.ForeignKey(
        TaskRecord,
        on_delete=models.CASCADE,
        db_constraint=False,
        related_name="attempt_set",
        verbose_name=_("task"),
    )
    #: Which attempt this was, from 1 on; attempts given back share the number of the next.
    number = models.IntegerField(_("attempt"))
    #: The claim it belongs to.
    claim = models.BigIntegerField(_("claim"))
    outcome = models.CharField(_("outcome"), max_length=12, choices=AttemptOutcome.choices)
    worker_id = models.UUIDField(_("worker"), null=True)
    process = models.IntegerField(_("process"), null=True)
    host = models.CharField(_("host"), max_length=255, default="")
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"))
    run_time = models.FloatField(_("run time"), null=True)
    exception_path = models.CharField(_("exception"), max_length=255, default="")
    traceback = models.TextField(_("traceback"), default="")
    #: The signal that killed the process, and the exit code it had.
    signal = models.SmallIntegerField(_("signal"), null=True)
    exit_code = models.SmallIntegerField(_("exit code"), null=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.number}: {self.outcome}"


class WorkerRecord(models.Model):
    """
    One running worker: a supervisor and its processes.

    Alive while expires_at is ahead by the database's clock. The id is new at each start.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    host = models.CharField(_("host"), max_length=255)
    pid = models.IntegerField(_("process id"))
    backend = models.CharField(_("backend"), max_length=64)
    queues = models.CharField(_("queues"), max_length=1000)
    pool = models.CharField(_("pool"), max_length=20)
    #: Tasks that it runs at the same time.
    concurrency = models.IntegerField(_("slots"))
    started_at = models.DateTimeField(_("started"))
    heartbeat_at = models.DateTimeField(_("last heartbeat"))
    #: Seconds that a heartbeat is good for: this worker's own LEASE.
    lease = models.FloatField(_("lease"))
    expires_at = models.DateTimeField(_("lease ends"), db_index=True)
    is_stopping = models.BooleanField(_("stopping"), db_default=False)
    #: Most slots that it can be given while it runs. None: it keeps those that it has.
    max_concurrency = models.IntegerField(_("most slots"), null=True)
    #: The queues that all of its processes leave out because they are paused, between commas.
    #: None: not known yet.
    paused_queues = models.TextField(_("left out"), null=True)
    #: What it runs: the versions of this app, of Django and of Python.
    versions = models.CharField(_("versions"), max_length=100, db_default="")

    # Control requests: its keeper applies them, and says so in the columns above.

    #: When somebody asked it to stop gently. None: nobody did.
    stop_requested_at = models.DateTimeField(_("asked to stop"), null=True)
    stop_requested_by = models.CharField(_("asked to stop by"), max_length=255, db_default="")
    #: How many slots somebody wants it to have. None: as many as it has.
    wanted_concurrency = models.IntegerField(_("wanted slots"), null=True)
    wanted_by = models.CharField(_("wanted by"), max_length=255, db_default="")

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ("host", "started_at")
        permissions = [("manage_workers", "Can stop and scale workers")]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
