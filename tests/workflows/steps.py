"""Plans that tests of the store are made of."""

from django_tasks.models import TaskAttempt, TaskRecord, WorkflowJoin, WorkflowStep
from django_tasks.statuses import Status
from django_tasks.store.workflows.create import enqueue_plan
from django_tasks.workflows.plan import Gather, JoinKind, JoinPlan, Plan, Ref, StepPlan
from django_tasks.workflows.starting import backend_of
from tests import tasks

DATABASE = "default"


def plan(steps, joins=(), value=None, name="test", **metadata):
    return Plan(name, metadata, tuple(steps), tuple(joins), value)


def step(name, task, *args, waits_for=None, **kwargs):
    return StepPlan(name, task, args, kwargs, waits_for)


def needs(*after, allow_failures=0):
    return JoinPlan(JoinKind.SUCCESS, after, allow_failures)


def chain(length=3, first=tasks.add):
    """1 + 1, and 1 more with each link."""
    steps = [step("step-0", first, 1, 1)]
    steps += [
        step(f"step-{n}", tasks.add, Ref(n - 1), 1, waits_for=n - 1) for n in range(1, length)
    ]
    return plan(steps, [needs(n) for n in range(length - 1)], Ref(length - 1))


def chord(members=3, failing=(), allow_failures=0):
    """Add n + n for each n, but for those that fail; then the total."""
    steps = [
        step(f"member-{n}", tasks.fail.using(max_attempts=1))
        if n in failing
        else step(f"member-{n}", tasks.add, n, n)
        for n in range(members)
    ]
    refs = Gather(tuple(map(Ref, range(members))), skip_failed=allow_failures != 0)
    steps.append(step("total", tasks.total, refs, waits_for=0))
    join = needs(*range(members), allow_failures=allow_failures)
    return plan(steps, [join], Ref(members))


def start(workflow):
    return enqueue_plan(workflow, backend_of(workflow))


def statuses(handle):
    return {step.name: str(step.status) for step in handle.steps()}


def task_id(handle, name):
    return WorkflowStep.objects.get(workflow=handle.id, name=name).pk


def reason(handle, name):
    """Return what the last attempt of a step says."""
    attempt = TaskAttempt.objects.filter(task=task_id(handle, name)).order_by("pk").last()
    return attempt.traceback


def open_joins():
    return WorkflowJoin.objects.filter(state__lt=4).count()


def running():
    return TaskRecord.objects.exclude(
        status__in=(Status.SUCCESSFUL, Status.FAILED, Status.CANCELLED)
    ).count()
