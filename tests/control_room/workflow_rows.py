"""Workflows for tests of pages, in any state."""

from django.utils import timezone

from django_tasks.models import TaskRecord, WorkflowStep
from django_tasks.statuses import FINAL_STATUSES, Status
from tests import tasks
from tests.workflows.steps import plan, start, step


def set_statuses(handle, status, first, last):
    """Write the status of the tasks of steps at these places, behind the store's back."""
    steps = WorkflowStep.objects.filter(workflow=handle.id, position__range=(first, last))
    values = {"status": status, "finished_at": None}
    if status in FINAL_STATUSES:
        values |= {"finished_at": timezone.now(), "run_time": 0.25, "attempts": 1}
    TaskRecord.objects.filter(pk__in=list(steps.values_list("pk", flat=True))).update(**values)


def half_failed():
    """Store a workflow of two steps, of which one failed and one is ready."""
    handle = start(plan([step("bad", tasks.add, 1, 1), step("open", tasks.add, 1, 1)]))
    set_statuses(handle, Status.FAILED, 0, 0)
    return handle
