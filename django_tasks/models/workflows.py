"""Workflows: their steps, which are tasks, and the joins at which steps wait for others."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..ids import uuid7
from ..statuses import Status


class JoinKind(models.IntegerChoices):
    """What a join makes of the ends that it counts."""

    #: Releases when all have ended and no more than `allow_failures` of them badly.
    SUCCESS = 1, pgettext_lazy("join of a workflow", "All succeed")
    #: Releases when all have ended, however they did.
    ALWAYS = 2, pgettext_lazy("join of a workflow", "All end")
    #: Releases as soon as one has failed.
    FAILURE = 3, pgettext_lazy("join of a workflow", "One fails")
    #: Ends the workflow when all have ended.
    END = 4, pgettext_lazy("join of a workflow", "End of the workflow")


class JoinState(models.IntegerChoices):
    """How far a join is. What is decided is carried out at once, or by a keeper if it is much."""

    OPEN = 0, pgettext_lazy("join of a workflow", "Waiting")
    #: Decided, and not carried out for all steps that wait here.
    RELEASING = 1, pgettext_lazy("join of a workflow", "Releasing")
    CANCELLING = 2, pgettext_lazy("join of a workflow", "Cancelling")
    SKIPPING = 3, pgettext_lazy("join of a workflow", "Skipping")
    #: Carried out.
    RELEASED = 4, pgettext_lazy("join of a workflow", "Released")
    CANCELLED = 5, pgettext_lazy("join of a workflow", "Cancelled")
    #: Its steps were for a failure that there was not.
    SKIPPED = 6, pgettext_lazy("join of a workflow", "Skipped")


class WorkflowRecord(models.Model):
    """One enqueued workflow."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(_("workflow"), max_length=255)
    backend = models.CharField(_("backend"), max_length=64)
    #: RUNNING until every step has ended.
    status = models.CharField(_("status"), max_length=10, choices=Status.choices)
    metadata = models.TextField(_("metadata"), null=True)
    #: JSON: where the value of the whole is found, see `store.workflows.references`.
    value = models.TextField(null=True)
    #: How many steps there are.
    size = models.IntegerField(_("steps"))
    enqueued_at = models.DateTimeField(_("enqueued"))
    finished_at = models.DateTimeField(_("finished"), null=True)
    #: When somebody asked that no more of it be done. None: nobody did.
    cancelled_at = models.DateTimeField(_("cancelled"), null=True)

    class Meta:
        verbose_name = _("workflow")
        verbose_name_plural = _("workflows")
        ordering = ("-id",)
        indexes = [
            # prune: those that have ended, the first to end first
            models.Index(name="django_tasks_wf_finished", fields=["status", "finished_at"])
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class WorkflowJoin(models.Model):
    """Where steps wait until others have ended."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workflow = models.ForeignKey(
        WorkflowRecord, on_delete=models.CASCADE, db_constraint=False, related_name="joins"
    )
    kind = models.SmallIntegerField(choices=JoinKind.choices)
    state = models.SmallIntegerField(choices=JoinState.choices, db_default=0)
    #: How many ends it counts, and has counted: good and bad ones.
    needed = models.IntegerField()
    done = models.IntegerField(db_default=0)
    failed = models.IntegerField(db_default=0)
    #: How many of them may end badly; -1: all.
    allow_failures = models.IntegerField(db_default=0)
    #: JSON: a list of results that several steps get which wait here. None: there is none.
    shared = models.TextField(null=True)
    #: The first step that ended badly.
    failed_step = models.UUIDField(null=True)

    class Meta:
        indexes = [
            # what is decided and not carried out
            models.Index(name="django_tasks_wf_join_state", fields=["state"])
        ]

    def __str__(self) -> str:
        return f"{self.done} + {self.failed} of {self.needed}"


class WorkflowStep(models.Model):
    """What makes a task a step."""

    # No constraints in the database: they would lock the rows of tasks.
    task = models.OneToOneField(
        "django_tasks.TaskRecord",
        on_delete=models.CASCADE,
        db_constraint=False,
        primary_key=True,
        related_name="workflow_step",
    )
    workflow = models.ForeignKey(
        WorkflowRecord,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="steps",
    )
    name = models.CharField(_("step"), max_length=255)
    #: Its place in the workflow, from 0 on.
    position = models.IntegerField()
    #: Where it waits. None: it was ready at once.
    waits_for = models.ForeignKey(
        WorkflowJoin,
        on_delete=models.CASCADE,
        db_constraint=False,
        null=True,
        related_name="waiting",
    )
    #: Whether the workflow fails when it does: no other step answers for it.
    is_required = models.BooleanField(db_default=True)
    #: Seconds between its release and its start. None: none.
    delay = models.FloatField(null=True)

    class Meta:
        ordering = ("workflow", "position")
        constraints = [
            models.UniqueConstraint(
                name="django_tasks_wf_position", fields=["workflow", "position"]
            )
        ]

    def __str__(self) -> str:
        return self.name


class WorkflowEdge(models.Model):
    """That a join counts the end of a step."""

    id = models.BigAutoField(primary_key=True)
    step = models.ForeignKey(
        WorkflowStep,
        on_delete=models.CASCADE,
        db_constraint=False,
        db_index=False,
        related_name="edges",
    )
    join = models.ForeignKey(
        WorkflowJoin, on_delete=models.CASCADE, db_constraint=False, related_name="edges"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(name="django_tasks_wf_edge", fields=["step", "join"])
        ]

    def __str__(self) -> str:
        return f"{self.step_id} -> {self.join_id}"
