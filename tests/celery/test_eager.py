"""Running in place: direct calls, apply(), and eager mode."""

from unittest import mock

import pytest

from django_tasks.celery import Celery, Task, current_app, current_task, states
from django_tasks.celery.exceptions import MaxRetriesExceededError, Retry
from django_tasks.celery.result import EagerResult
from tests.celery import tasks

app = Celery("eager", set_as_current=False)


@app.task(bind=True, name="eager.whoami")
def whoami(self):
    return [self.request.id, self.request.called_directly, current_task.name]


@pytest.fixture
def always_eager():
    app.conf.task_always_eager = True
    yield
    del app.conf.task_always_eager


def test_direct_calls():
    assert tasks.add(1, 2) == 3
    assert whoami() == [None, True, "eager.whoami"]
    assert not current_task


def test_eager(always_eager):
    result = whoami.delay()
    assert isinstance(result, EagerResult)
    assert result.get() == [result.id, False, "eager.whoami"]
    assert result.state == states.SUCCESS


def test_apply_retries_in_place():
    tasks.Hooked.calls.clear()
    assert tasks.hooked.apply((2,)).get() == 2
    failed = tasks.hooked.apply((9,))
    assert failed.state == states.FAILURE
    assert isinstance(failed.result, tasks.Gone)
    assert "Gone: gone" in failed.traceback
    with pytest.raises(tasks.Gone):
        failed.get()
    assert failed.get(propagate=False) is failed.result


def test_throw():
    with pytest.raises(ValueError, match="no"):
        tasks.hooked.apply((0, "now"), throw=True)
    with pytest.raises(Retry):
        tasks.hooked.apply((1,), throw=True)


def test_propagation(always_eager):
    @app.task(name="eager.fails")
    def fails():
        raise ValueError("here")

    assert fails.delay().state == states.FAILURE
    app.conf.task_eager_propagates = True
    try:
        with pytest.raises(ValueError, match="here"):
            fails.delay()
    finally:
        del app.conf.task_eager_propagates


def test_eager_arguments_pass_json(always_eager):
    @app.task(name="eager.echo")
    def echo(value):
        return value

    assert echo.delay((1, 2)).get() == [1, 2]
    with pytest.raises(TypeError, match="args"):
        echo.delay(object())


def test_retry_of_a_direct_call_raises_the_error():
    with pytest.raises(tasks.Gone):
        tasks.hooked(1)

    @app.task(bind=True, name="eager.no_reason")
    def no_reason(self):
        self.retry()

    with pytest.raises(Retry, match="Task can be retried"):
        no_reason()


def test_no_retries_left_without_a_reason():
    @app.task(bind=True, name="eager.spent", max_retries=0)
    def spent(self):
        raise self.retry()

    assert isinstance(spent.apply().result, MaxRetriesExceededError)


class Counting(Task):
    """Overrides __call__ and apply_async, as projects do."""

    calls = []

    def __call__(self, *args, **kwargs):
        self.calls.append("call")
        return super().__call__(*args, **kwargs)

    def apply_async(self, *args, **kwargs):
        self.calls.append("apply_async")
        return super().apply_async(*args, **kwargs)


@app.task(base=Counting, bind=True, name="eager.counted")
def counted(self):
    return [self.request.id, len(self.request_stack)]


def test_overridden_call(always_eager):
    Counting.calls.clear()
    result = counted.delay()
    assert result.get() == [result.id, 1]  # one request, not one more by super().__call__()
    assert Counting.calls == ["apply_async", "call"]
    assert counted() == [None, 1]


class Classy(Counting):
    """A class-based task, two levels deep."""

    name = "eager.classy"
    max_retries = 1

    def run(self, x):
        return self.double(x)

    def double(self, x):
        return 2 * x


classy = app.register_task(Classy())


def test_class_based_tasks(always_eager):
    assert classy.delay(2).get() == 4
    assert classy(3) == 6
    assert app.tasks["eager.classy"] is classy
    with pytest.raises(TypeError, match="cannot be called"):
        classy.delay()


def test_patching():
    with mock.patch.object(tasks.add, "delay") as delay:
        tasks.add.delay(1)
    delay.assert_called_once_with(1)
    with mock.patch("tests.celery.tasks.add.apply_async") as apply_async:
        tasks.add.delay(1, y=2)
        tasks.renamed.apply((1,))
    apply_async.assert_called_once_with((1,), {"y": 2})
    patched = mock.patch("django_tasks.celery.app.task.Task.retry", side_effect=Retry)
    with patched as retry, pytest.raises(Retry):
        tasks.hooked.run(1)
    retry.assert_called_once()
    assert "delay" not in vars(tasks.add)
    with mock.patch("django_tasks.celery.app.task.Task.request") as request:
        request.retries = 5
        assert tasks.hooked.run(1) == 5


def test_requests_for_tests_of_bodies():
    tasks.hooked.push_request(retries=4, id="x")
    try:
        assert tasks.hooked.run(1) == 4
    finally:
        tasks.hooked.pop_request()
    assert tasks.hooked.request.id is None


def test_current_app():
    assert current_app._get_current_object() is tasks.add.app._get_current_object()
    assert "tests.celery.tasks.add" in current_app.tasks
