"""Workflows in the database: what is released when, what is cancelled, and what comes back."""

import json
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasks.exceptions import InvalidTask, TaskFailed, TaskResultDoesNotExist, WaitTimeout
from django_tasks.models import (
    TaskRecord,
    WorkflowEdge,
    WorkflowJoin,
    WorkflowRecord,
    WorkflowStep,
)
from django_tasks.statuses import Status
from django_tasks.store.tasks import deletions, ends, transitions
from django_tasks.store.tasks import pruning as plain_pruning
from django_tasks.store.values import Success
from django_tasks.store.workflows import joins, pruning
from django_tasks.store.workflows.handle import WorkflowResult
from django_tasks.testing import run_pending_tasks
from django_tasks.workflows.plan import FailedRef, JoinKind, JoinPlan, Ref
from tests import tasks
from tests.workflows.steps import (
    DATABASE,
    chain,
    chord,
    needs,
    open_joins,
    plan,
    reason,
    start,
    statuses,
    step,
    task_id,
)

pytestmark = pytest.mark.django_db(transaction=True)
NEVER = tasks.fail.using(max_attempts=1)


def test_a_chain_hands_its_values_on():
    handle = start(chain(4))
    assert statuses(handle) == {
        "step-0": "READY", "step-1": "WAITING", "step-2": "WAITING", "step-3": "WAITING",
    }  # fmt: skip
    run_pending_tasks(limit=1)
    assert [step.status for step in handle.steps()][:3] == ["SUCCESSFUL", "READY", "WAITING"]
    assert not WorkflowResult.load(DATABASE, handle.id).is_finished
    run_pending_tasks()
    assert handle.wait(0) == 5
    assert handle.status == Status.SUCCESSFUL
    assert handle.finished_at is not None
    assert open_joins() == 0


def test_a_join_waits_for_all_and_gets_their_values_in_order():
    handle = start(chord(5))
    run_pending_tasks(limit=4)
    assert statuses(handle)["total"] == "WAITING"
    run_pending_tasks(limit=1)
    assert statuses(handle)["total"] == "READY"
    assert run_pending_tasks()[0].args == [[0, 2, 4, 6, 8]] or handle.wait(0) == 20
    assert handle.wait(0) == 20
    assert str(handle.progress) == "6 of 6"


def test_a_failure_cancels_what_needs_it_and_says_why():
    handle = start(chain(4, first=tasks.broken))
    run_pending_tasks()
    handle.refresh()
    assert statuses(handle) == {
        "step-0": "FAILED", "step-1": "CANCELLED", "step-2": "CANCELLED", "step-3": "CANCELLED",
    }  # fmt: skip
    assert "Step 'step-0', which it needs, did not succeed." in reason(handle, "step-1")
    assert "Step 'step-0', which it needs, did not succeed." in reason(handle, "step-3")
    assert handle.status == Status.FAILED
    with pytest.raises(TaskFailed, match="step 'step-0' failed"):
        handle.wait(0)


@pytest.mark.parametrize(
    ("failing", "allowed", "value"),
    [({1}, 1, 12 - 2), ({1, 2}, 1, None), ({0, 1, 2, 3}, -1, 0), ({3}, -1, 6)],
)
def test_a_join_may_allow_failures(failing, allowed, value):
    handle = start(chord(4, failing, allow_failures=allowed))
    run_pending_tasks()
    handle.refresh()
    if value is None:
        assert (handle.status, statuses(handle)["total"]) == (Status.FAILED, "CANCELLED")
    else:
        assert (handle.status, handle.value) == (Status.SUCCESSFUL, value)


def with_callbacks(first):
    """A step, a clean-up in any case, and one that is told of a failure."""
    return plan(
        [
            step("work", first, "boom"),
            step("after", tasks.describe, Ref(0), waits_for=0),
            step("clean-up", tasks.echo, waits_for=1),
            step("told", tasks.describe, FailedRef(), waits_for=2),
        ],
        [
            needs(0),
            JoinPlan(JoinKind.ALWAYS, (0,)),
            JoinPlan(JoinKind.FAILURE, (0, 1)),
        ],
        {},
    )


def test_callbacks_are_told_of_the_failure_and_clean_up_runs():
    handle = start(with_callbacks(NEVER))
    run_pending_tasks()
    handle.refresh()
    assert statuses(handle) == {
        "work": "FAILED", "after": "CANCELLED", "clean-up": "SUCCESSFUL", "told": "SUCCESSFUL",
    }  # fmt: skip
    told = handle.results()["told"]["value"]
    assert told == {
        "id": str(task_id(handle, "work")),
        "name": "work",
        "task": "tests.tasks.fail",
        "exception": "builtins.ValueError",
        "message": "boom",
    }
    assert handle.status == Status.FAILED


def test_what_runs_in_any_case_gets_none_for_a_step_that_failed():
    join = JoinPlan(JoinKind.ALWAYS, (0,))
    always = step("always", tasks.describe, Ref(0, ("value",)), waits_for=0)
    handle = start(plan([step("work", NEVER, "boom"), always], [join], {}))
    run_pending_tasks()
    assert handle.results()["always"] == {"value": None, "items": [None, None]}


def test_without_a_failure_its_callback_is_skipped_and_the_whole_succeeds():
    handle = start(with_callbacks(tasks.describe))
    run_pending_tasks()
    handle.refresh()
    assert statuses(handle) == {
        "work": "SUCCESSFUL", "after": "SUCCESSFUL", "clean-up": "SUCCESSFUL", "told": "CANCELLED",
    }  # fmt: skip
    assert "Nothing failed that this step is for." in reason(handle, "told")
    assert handle.status == Status.SUCCESSFUL


def test_paths_lead_into_values_and_say_when_they_do_not():
    made = plan(
        [
            step("work", tasks.describe, 7),
            step("good", tasks.add, Ref(0, ("items", 1)), b=Ref(0, ("value",)), waits_for=0),
            step("bad", tasks.describe, [{"deep": Ref(0, ("nothing",))}], waits_for=0),
        ],
        [needs(0)],
        {"good": Ref(1)},
    )
    handle = start(made)
    run_pending_tasks()
    handle.refresh()
    assert handle.results()["good"] == 14
    assert statuses(handle)["bad"] == "FAILED"
    assert "The result of step 'work' has no ['nothing']." in reason(handle, "bad")


def test_steps_with_atomic_release_what_waits():
    handle = start(chain(2, first=tasks.add_atomically))
    run_pending_tasks()
    assert handle.wait(0) == 3


def test_a_retried_step_runs_before_what_waits_for_it():
    failing = tasks.fail.using(max_attempts=2)
    handle = start(plan([step("a", failing), step("b", tasks.echo, waits_for=0)], [needs(0)]))
    run_pending_tasks(limit=1)
    assert statuses(handle) == {"a": "SCHEDULED", "b": "WAITING"}
    run_pending_tasks(include_scheduled=True)
    assert statuses(handle) == {"a": "FAILED", "b": "CANCELLED"}


def test_retry_runs_what_failed_again_and_what_it_cancelled(monkeypatch):
    handle = start(chain(3, first=tasks.subtract))
    first = task_id(handle, "step-0")
    TaskRecord.objects.filter(pk=first).update(args='["no", 1]')
    run_pending_tasks()
    handle.refresh()
    assert (handle.status, handle.progress.by_status) == (
        Status.FAILED,
        {"FAILED": 1, "CANCELLED": 2},
    )
    TaskRecord.objects.filter(pk=first).update(args="[5, 1]")
    assert handle.retry() == 1
    assert statuses(handle) == {"step-0": "READY", "step-1": "WAITING", "step-2": "WAITING"}
    assert handle.status == Status.RUNNING
    run_pending_tasks()
    assert handle.wait(0) == 6
    assert open_joins() == 0


def test_a_member_that_is_run_again_counts_once():
    """One of two fails, is run again before the other ends, and succeeds."""
    handle = start(chord(2, failing={0}))
    run_pending_tasks(limit=1)
    failed = task_id(handle, "member-0")
    TaskRecord.objects.filter(pk=failed).update(task_path="tests.tasks.add", args="[20, 1]")
    assert transitions.requeue(DATABASE, [failed]) == 1
    run_pending_tasks()
    assert handle.wait(0) == 23
    join = WorkflowJoin.objects.get(workflow=handle.id, kind=JoinKind.SUCCESS)
    assert (join.done, join.failed, join.failed_step) == (2, 0, None)


def test_cancel_ends_all_and_retry_goes_on():
    handle = start(chain(3))
    run_pending_tasks(limit=1)
    assert handle.cancel() == 2
    assert handle.status == Status.CANCELLED
    with pytest.raises(TaskFailed, match="was cancelled"):
        handle.wait(0)
    assert handle.retry() == 1
    run_pending_tasks()
    assert handle.wait(0) == 4


def test_deleting_a_step_that_has_not_run_cancels_what_needs_it():
    handle = start(chain(2))
    assert deletions.purge(DATABASE, "default", "default") == (1, True)
    handle.refresh()
    assert handle.status == Status.FAILED
    assert [str(each.status) for each in handle.steps()][1] == "CANCELLED"


def test_much_that_is_decided_is_carried_out_by_keepers(monkeypatch):
    monkeypatch.setattr(joins, "CHUNK", 3)
    monkeypatch.setattr(joins, "WAVES", 2)
    fan_out = [step("first", tasks.add, 1, 1)]
    fan_out += [step(f"next-{n}", tasks.add, Ref(0), n, waits_for=0) for n in range(8)]
    handle = start(plan(fan_out, [needs(0)], Ref(0)))
    run_pending_tasks(limit=1)
    assert handle.progress.by_status == {"SUCCESSFUL": 1, "READY": 3, "WAITING": 5}
    assert not ends.finish_decided(DATABASE)
    assert handle.progress.by_status == {"SUCCESSFUL": 1, "READY": 8}
    run_pending_tasks()
    assert handle.wait(0) == 2


def test_a_long_chain_whose_head_fails_is_cancelled_to_its_end(monkeypatch):
    handle = start(chain(40, first=tasks.broken))
    run_pending_tasks(limit=1)
    while ends.finish_decided(DATABASE):
        pass
    assert handle.progress.by_status == {"FAILED": 1, "CANCELLED": 39}
    handle.refresh()
    assert handle.status == Status.FAILED


def test_an_empty_workflow_is_finished_at_once():
    handle = start(plan([], value=[]))
    assert handle.wait(0) == []


def test_mistakes_name_the_step_and_store_nothing():
    for made, kind, said in [
        (plan([step("a", tasks.add, 1, object())]), TypeError, "Step 'a': "),
        (plan([step("b", tasks.add, {"$django_tasks": 1}, 1)]), ValueError, "Step 'b': "),
        (plan([step("c", tasks.add, 1)]), TypeError, "Step 'c': "),
        (plan([step("d", tasks.count_to, 1), step("e", tasks.describe, Ref(0), waits_for=0)],
              [needs(0)]), ValueError, "Step 'e': .*step 'd'"),
    ]:  # fmt: skip
        with pytest.raises(kind, match=said):
            start(made)
    assert not TaskRecord.objects.exists()
    assert not WorkflowRecord.objects.exists()


def test_a_backend_without_rows_is_refused(settings):
    settings.TASKS = {
        "default": {"BACKEND": "django_tasks.backends.dummy.DummyBackend"},
    }
    with pytest.raises(InvalidTask, match="stores no tasks in the database"):
        start(plan([], value=[]))


def test_pruning_takes_whole_workflows_and_no_step_before():
    done, open_ = start(chain(3)), start(chain(3))
    TaskRecord.objects.filter(workflow_step__workflow=open_.id, status=Status.READY).update(
        queue_name="elsewhere"
    )
    run_pending_tasks(queues="default")
    assert pruning.prune_due(DATABASE).number == 0
    assert transitions.requeue(DATABASE, []) == 0
    assert plain_pruning.prune_due(DATABASE, late=-1e8).number == 0
    assert pruning.prune_due(DATABASE, late=-1e8).number == 3
    with pytest.raises(TaskResultDoesNotExist):
        done.refresh()
    for model, number in ((TaskRecord, 3), (WorkflowStep, 3), (WorkflowJoin, 3), (WorkflowEdge, 5)):
        assert model.objects.count() == number, model
    run_pending_tasks()
    assert open_.wait(0) == 4


def test_storage_is_linear():
    """A thousand that are needed by a thousand share one join."""
    many = 200
    steps = [step(f"a-{n}", tasks.add, n, n) for n in range(many)]
    steps += [step(f"b-{n}", tasks.add, n, n, waits_for=0) for n in range(many)]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        handle = start(plan(steps, [needs(*range(many))], []))
    assert WorkflowJoin.objects.count() == 2
    assert WorkflowEdge.objects.count() == 3 * many
    assert len(queries) < 25
    run_pending_tasks()
    assert handle.wait(0) == []


def test_plain_tasks_ask_nothing_of_workflows():
    tasks.add.enqueue(1, 2)
    NEVER.enqueue()
    with CaptureQueriesContext(connection) as queries:
        run_pending_tasks()
    asked = [each["sql"] for each in queries if "django_tasks_workflow" in each["sql"]]
    assert all("workflowjoin" in sql and "SELECT" in sql for sql in asked)  # the keeper's look


def test_waiting_says_how_far_it_came():
    handle = start(chain(2))
    with pytest.raises(WaitTimeout, match="0 of 2 steps"):
        handle.wait(0)
    assert json.loads(WorkflowRecord.objects.get().value) == {
        "$django_tasks": ["value", str(task_id(handle, "step-1")), []]
    }


# --- what could go wrong --------------------------------------------------------------------------


def test_many_that_wait_hide_no_join(monkeypatch):
    """What waits at one join is more than a chunk; another that is decided with it is not lost."""
    monkeypatch.setattr(joins, "CHUNK", 4)
    steps = [step("first", tasks.add, 1, 1)]
    steps += [step(f"next-{n}", tasks.add, n, n, waits_for=0) for n in range(9)]
    steps += [step("always", tasks.echo, waits_for=1)]
    handle = start(plan(steps, [needs(0), JoinPlan(JoinKind.ALWAYS, (0,))], Ref(0)))
    run_pending_tasks()
    assert handle.wait(0) == 2
    assert open_joins() == 0


def test_running_a_member_again_twice_takes_its_end_back_once():
    handle = start(chord(3, failing={0, 1}))
    run_pending_tasks(limit=2)
    failed = [task_id(handle, f"member-{n}") for n in range(2)]
    assert [transitions.requeue(DATABASE, failed[:1]) for _ in range(2)] == [1, 0]
    TaskRecord.objects.filter(pk=failed[0]).update(task_path="tests.tasks.add", args="[1, 1]")
    run_pending_tasks()
    handle.refresh()
    assert (handle.status, open_joins()) == (Status.FAILED, 0)


def test_a_callback_of_several_steps_is_skipped_as_a_whole():
    callback = [
        step("work", tasks.add, 1, 1),
        step("told", tasks.describe, FailedRef(), waits_for=0),
        step("then", tasks.describe, Ref(1), waits_for=1),
    ]
    handle = start(plan(callback, [JoinPlan(JoinKind.FAILURE, (0,)), needs(1)], Ref(0)))
    run_pending_tasks()
    assert handle.wait(0) == 2
    assert statuses(handle) == {"work": "SUCCESSFUL", "told": "CANCELLED", "then": "CANCELLED"}


def test_results_that_are_too_large_together_fail_their_step_alone(monkeypatch):
    handle = start(chord(3))
    other = tasks.add.enqueue(1, 2)
    monkeypatch.setattr("django_tasks.store.workflows.references.MOST_BYTES", 5)
    run_pending_tasks()
    other.refresh()
    assert other.return_value == 3
    assert "With the results of other steps, args is" in reason(handle, "total")


def test_retry_after_cancel_runs_what_was_to_run_in_its_turn():
    handle = start(with_callbacks(tasks.describe))
    handle.cancel()
    assert statuses(handle) == dict.fromkeys(["work", "after", "clean-up", "told"], "CANCELLED")
    assert handle.retry() == 1
    assert statuses(handle) == {
        "work": "READY", "after": "WAITING", "clean-up": "WAITING", "told": "WAITING",
    }  # fmt: skip
    run_pending_tasks()
    handle.refresh()
    assert handle.status == Status.SUCCESSFUL
    assert statuses(handle)["clean-up"] == "SUCCESSFUL"
    assert "Nothing failed" in reason(handle, "told")


def test_a_workflow_is_finished_when_nothing_of_it_runs():
    handle = start(chain(2))
    first = task_id(handle, "step-0")
    TaskRecord.objects.filter(pk=first).update(status="RUNNING", claims=1, worker_id=first)
    transitions.cancel(DATABASE, [task_id(handle, "step-1")])
    handle.refresh()
    assert (statuses(handle)["step-1"], handle.status) == ("CANCELLED", Status.RUNNING)
    transitions.succeed_steps(DATABASE, [Success(first, 1, "2", 0.1)])
    handle.refresh()
    assert handle.status == Status.FAILED


def test_an_allowed_failure_is_not_retried_and_run_again_it_opens_the_workflow():
    handle = start(chord(3, failing={0}, allow_failures=1))
    run_pending_tasks()
    handle.refresh()
    assert (handle.status, handle.retry()) == (Status.SUCCESSFUL, 0)
    transitions.requeue(DATABASE, [task_id(handle, "member-0")])
    handle.refresh()
    assert handle.status == Status.RUNNING
    assert pruning.prune_due(DATABASE, late=-1e8).number == 0
    run_pending_tasks()
    handle.refresh()
    assert (handle.status, handle.value) == (Status.SUCCESSFUL, 6)


def test_results_that_others_need_are_not_deleted():
    handle = start(chain(2))
    run_pending_tasks(limit=1)
    first = task_id(handle, "step-0")
    assert deletions.delete_finished(DATABASE, [first]) == 0
    assert plain_pruning.prune_older(DATABASE, [Status.SUCCESSFUL], -1e8) == 0
    run_pending_tasks()
    assert handle.wait(0) == 3
    assert deletions.delete_finished(DATABASE, [first]) == 1


def test_steps_have_ids_of_their_own():
    mine = tasks.add.using(task_id=uuid4())
    with pytest.raises(InvalidTask, match="Step 'a': task_id is of one task"):
        start(plan([step("a", mine, 1, 1)]))
