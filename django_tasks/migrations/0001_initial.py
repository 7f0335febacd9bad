from typing import Any

import django.db.models.deletion
from django.db import migrations, models

import django_tasks.ids
import django_tasks.models.indexes


def vacuum_early(apps: Any, schema_editor: Any) -> None:
    """
    Make PostgreSQL vacuum the task table by rows changed, not by share of the table.

    Each task leaves two dead rows behind; waiting for a fifth of a large table would let claims
    slow down first.
    """
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "ALTER TABLE django_tasks_taskrecord SET ("
            "autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,"
            " autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05)"
        )


def tell_names_apart(apps: Any, schema_editor: Any) -> None:
    """Make MySQL and MariaDB compare names byte by byte: queue "Mail" is not queue "mail"."""
    if schema_editor.connection.vendor == "mysql":
        binary = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
        # By a cursor: the schema editor refuses DDL in RunPython's transaction, which MySQL
        # commits implicitly.
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE django_tasks_taskrecord"
                f" MODIFY queue_name varchar(100) {binary}, MODIFY task_path varchar(255) {binary}"
            )


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="WorkerRecord",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("host", models.CharField(max_length=255, verbose_name="host")),
                ("pid", models.IntegerField(verbose_name="process id")),
                ("backend", models.CharField(max_length=64, verbose_name="backend")),
                ("queues", models.CharField(max_length=1000, verbose_name="queues")),
                ("pool", models.CharField(max_length=20, verbose_name="pool")),
                ("concurrency", models.IntegerField(verbose_name="slots")),
                ("started_at", models.DateTimeField(verbose_name="started")),
                ("heartbeat_at", models.DateTimeField(verbose_name="last heartbeat")),
                ("lease", models.FloatField(verbose_name="lease")),
                ("expires_at", models.DateTimeField(db_index=True, verbose_name="lease ends")),
                ("is_stopping", models.BooleanField(db_default=False, verbose_name="stopping")),
            ],
            options={
                "verbose_name": "worker",
                "verbose_name_plural": "workers",
                "ordering": ("host", "started_at"),
            },
        ),
        migrations.CreateModel(
            name="TaskRecord",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=django_tasks.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("task_path", models.CharField(max_length=255, verbose_name="task")),
                ("queue_name", models.CharField(max_length=100, verbose_name="queue")),
                ("priority", models.SmallIntegerField(db_default=0, verbose_name="priority")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("WAITING", "Waiting"),
                            ("SCHEDULED", "Scheduled"),
                            ("READY", "Ready"),
                            ("RUNNING", "Running"),
                            ("SUCCESSFUL", "Successful"),
                            ("FAILED", "Failed"),
                            ("CANCELLED", "Cancelled"),
                        ],
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("backend", models.CharField(max_length=64, verbose_name="backend")),
                ("args", models.TextField(verbose_name="arguments")),
                ("kwargs", models.TextField(verbose_name="keyword arguments")),
                ("metadata", models.TextField(null=True, verbose_name="metadata")),
                ("max_attempts", models.IntegerField(null=True, verbose_name="most attempts")),
                ("run_after", models.DateTimeField(null=True, verbose_name="run after")),
                ("expires_at", models.DateTimeField(null=True, verbose_name="expires")),
                ("enqueued_at", models.DateTimeField(verbose_name="enqueued")),
                ("started_at", models.DateTimeField(null=True, verbose_name="first started")),
                ("last_attempted_at", models.DateTimeField(null=True, verbose_name="last started")),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished")),
                ("run_time", models.FloatField(null=True, verbose_name="run time")),
                ("attempts", models.IntegerField(db_default=0, verbose_name="attempts")),
                ("claims", models.BigIntegerField(db_default=0, verbose_name="claims")),
                ("lost", models.IntegerField(db_default=0, verbose_name="times lost")),
                ("worker_id", models.UUIDField(null=True, verbose_name="worker")),
                ("process", models.IntegerField(null=True, verbose_name="process")),
                (
                    "cancel_requested",
                    models.BooleanField(db_default=False, verbose_name="cancel requested"),
                ),
                ("progress", models.TextField(null=True, verbose_name="progress")),
                (
                    "custom_state",
                    models.CharField(max_length=64, null=True, verbose_name="custom state"),
                ),
                ("meta", models.TextField(null=True, verbose_name="meta")),
                ("return_value", models.TextField(null=True, verbose_name="return value")),
                ("log", models.TextField(null=True, verbose_name="log")),
            ],
            options={
                "verbose_name": "task",
                "verbose_name_plural": "tasks",
                "ordering": ("-id",),
                "permissions": [
                    ("requeue_taskrecord", "Can run tasks again"),
                    ("cancel_taskrecord", "Can cancel tasks"),
                    ("view_payload", "Can see arguments and results of tasks"),
                ],
                "indexes": [
                    django_tasks.models.indexes.StatusIndex(
                        fields=["backend", "queue_name", "-priority", "id"],
                        name="django_tasks_ready",
                        statuses=["READY"],
                        only_set=False,
                    ),
                    django_tasks.models.indexes.StatusIndex(
                        fields=["run_after"],
                        name="django_tasks_scheduled",
                        statuses=["SCHEDULED"],
                        only_set=False,
                    ),
                    django_tasks.models.indexes.StatusIndex(
                        fields=["worker_id", "process"],
                        name="django_tasks_running",
                        statuses=["RUNNING"],
                        only_set=True,
                    ),
                    django_tasks.models.indexes.StatusIndex(
                        fields=["finished_at"],
                        name="django_tasks_finished",
                        statuses=[],
                        only_set=True,
                    ),
                    django_tasks.models.indexes.StatusIndex(
                        fields=["expires_at"],
                        name="django_tasks_expires",
                        statuses=["SCHEDULED", "READY"],
                        only_set=True,
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                [
                                    "WAITING",
                                    "SCHEDULED",
                                    "READY",
                                    "RUNNING",
                                    "SUCCESSFUL",
                                    "FAILED",
                                    "CANCELLED",
                                ],
                            )
                        ),
                        name="django_tasks_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("finished_at__isnull", False),
                                ("status__in", ("SUCCESSFUL", "FAILED", "CANCELLED")),
                            ),
                            models.Q(
                                models.Q(
                                    ("status__in", ("SUCCESSFUL", "FAILED", "CANCELLED")),
                                    _negated=True,
                                ),
                                ("finished_at__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="django_tasks_finished_at_iff_final",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "RUNNING"), _negated=True),
                            ("worker_id__isnull", False),
                            _connector="OR",
                        ),
                        name="django_tasks_running_has_owner",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "SCHEDULED"), _negated=True),
                            ("run_after__isnull", False),
                            _connector="OR",
                        ),
                        name="django_tasks_scheduled_has_time",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TaskAttempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField(verbose_name="attempt")),
                ("claim", models.BigIntegerField(verbose_name="claim")),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("ERROR", "Error"),
                            ("TIMEOUT", "Timeout"),
                            ("LOST", "Worker lost"),
                            ("INTERRUPTED", "Interrupted"),
                            ("CANCELLED", "Cancelled"),
                            ("EXPIRED", "Expired"),
                            ("LATE", "Late result refused"),
                        ],
                        max_length=12,
                        verbose_name="outcome",
                    ),
                ),
                ("worker_id", models.UUIDField(null=True, verbose_name="worker")),
                ("process", models.IntegerField(null=True, verbose_name="process")),
                ("host", models.CharField(default="", max_length=255, verbose_name="host")),
                ("started_at", models.DateTimeField(null=True, verbose_name="started")),
                ("finished_at", models.DateTimeField(verbose_name="finished")),
                ("run_time", models.FloatField(null=True, verbose_name="run time")),
                (
                    "exception_path",
                    models.CharField(default="", max_length=255, verbose_name="exception"),
                ),
                ("traceback", models.TextField(default="", verbose_name="traceback")),
                ("signal", models.SmallIntegerField(null=True, verbose_name="signal")),
                ("exit_code", models.SmallIntegerField(null=True, verbose_name="exit code")),
                (
                    "task",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="attempt_set",
                        to="django_tasks.taskrecord",
                        verbose_name="task",
                    ),
                ),
            ],
            options={
                "verbose_name": "attempt",
                "verbose_name_plural": "attempts",
                "ordering": ("id",),
            },
        ),
        migrations.RunPython(vacuum_early, migrations.RunPython.noop, elidable=False),
        migrations.RunPython(tell_names_apart, migrations.RunPython.noop, elidable=False),
    ]
