"""AsyncResult: what it says of tasks in every state."""

import pickle

import pytest

from django_tasks.celery import current_app, states
from django_tasks.celery.exceptions import TaskRevokedError, TimeoutError
from django_tasks.celery.result import AsyncResult, allow_join_result
from django_tasks.models import TaskRecord
from django_tasks.testing import run_pending_tasks
from tests.celery import tasks

pytestmark = pytest.mark.django_db


def run():
    run_pending_tasks(include_scheduled=True)


def test_unknown_ids_are_pending():
    result = AsyncResult("nobody-has-this")
    assert [result.state, result.result, result.ready()] == ["PENDING", None, False]


def test_ids_of_any_text():
    """They are known by that text: to the caller, to the body, and to whoever asks later."""
    result = tasks.about.apply_async(task_id="order-7")
    run()
    assert result.id == "order-7"
    assert AsyncResult("order-7").get()["id"] == "order-7"


def test_the_same_id_twice_is_one_task():
    tasks.add.apply_async((1,), task_id="once")
    tasks.add.apply_async((1,), task_id="once")
    assert TaskRecord.objects.count() == 1


def test_failure():
    result = tasks.hooked.delay(0, "now")
    run()
    assert (result.state, result.status) == ("FAILURE", "FAILURE")
    assert result.failed() and result.ready()
    assert repr(result.info) == "ValueError('no')"
    assert 'raise ValueError("no")' in result.traceback
    with pytest.raises(ValueError, match=r"^no$"):
        result.get()
    assert isinstance(result.get(propagate=False), ValueError)


def test_failure_after_progress():
    """What update_state() said does not hide why the task failed."""
    result = tasks.progresses.delay()
    run()
    assert result.state == states.FAILURE
    assert repr(result.result) == "Gone('after progress')"


def test_retry():
    result = tasks.patient.delay()
    run_pending_tasks()
    assert result.state == "RETRY"
    assert repr(result.result) == "Gone('still')"
    run()
    assert result.state == "FAILURE"
    assert result.retries == 3


def test_ignored():
    plain, told = tasks.ignores.delay(), tasks.ignores.delay("HIDDEN")
    run()
    assert [plain.state, plain.result, plain.ready(), plain.get()] == ["IGNORED", None, True, None]
    assert [told.state, told.info] == ["HIDDEN", {"why": "done elsewhere"}]


def test_rejected():
    result = tasks.rejects.delay()
    run()
    assert [result.state, result.ready()] == ["REJECTED", True]


def test_rejected_to_run_again():
    tasks.rejects.delay(requeue=True)
    assert len(run_pending_tasks(include_scheduled=True, limit=3)) == 1
    assert TaskRecord.objects.get().claims == 3


def test_revoke():
    result = tasks.add.delay(1)
    current_app.control.revoke(result.id)
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError):
        result.get()


def test_forget():
    result = tasks.add.delay(1)
    result.forget()
    assert result.exists()  # it has not finished
    run()
    result.forget()
    assert not result.exists()
    assert AsyncResult(result.id).state == "PENDING"


def test_pickle_and_text():
    result = tasks.add.delay(1)
    assert pickle.loads(pickle.dumps(result)) == result
    assert str(result) == result.id == result.task_id
    assert {result, AsyncResult(result.id)} == {result}


def test_parents():
    result = tasks.parent.delay()
    run()
    own, child, children = result.get()
    assert own == result.id
    assert children == [child]
    told = AsyncResult(child).get()
    assert [told["parent_id"], told["root_id"]] == [own, own]


@pytest.mark.django_db(transaction=True)
def test_timeout():
    result = tasks.add.delay(1)
    with pytest.raises(TimeoutError, match=r"timed out: task .* after 0.01 s.*worker"):
        result.get(timeout=0.01)


@tasks.shared_task
def waits(allowed):
    inner = tasks.add.delay(1)
    if not allowed:
        return inner.get(timeout=1)
    with allow_join_result():
        return inner.get(timeout=0)


def test_waiting_inside_of_a_task():
    refused, allowed = waits.delay(False), waits.delay(True)
    run()
    assert isinstance(refused.result, RuntimeError)
    assert "Never call result.get() within a task!" in str(refused.result)
    assert type(allowed.result).__name__ == "TimeoutError"
