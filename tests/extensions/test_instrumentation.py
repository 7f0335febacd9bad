"""What subscribers are told of tasks, what it costs, and what they may do wrong."""

import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_tasks import checks, instrumentation
from django_tasks.beat.tick import tick
from django_tasks.instrumentation import Batch, Event, Outcome, TaskEvent
from django_tasks.management.serving import check_instrumentation
from django_tasks.testing import run_pending_tasks
from django_tasks.worker.reporting import batches
from tests import tasks
from tests.extensions import subscribers
from tests.schedules.steps import overdue

PATH = "tests.extensions.subscribers."
EMPTY = Batch(Event.CLAIMED, "default", [])

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def told():
    """The batches that were told, once something subscribes `subscribers.keep`."""
    subscribers.told.clear()
    instrumentation._logged.clear()
    return subscribers.told


@pytest.fixture
def subscribed(told):
    """Subscribe by code."""
    instrumentation.subscribe(subscribers.keep)
    yield told
    instrumentation.unsubscribe(subscribers.keep)


def ended(told):
    """Return the one task that has ended."""
    [event] = [event for batch in told if batch.event is Event.ENDED for event in batch.tasks]
    return event


def test_success_is_told_in_three_batches(subscribed):
    """Enqueued, claimed and ended, with what is known of it by then."""
    before = datetime.now(UTC)
    result = tasks.add.using(queue_name="mail", priority=7).enqueue(1, 2)
    run_pending_tasks()
    after = datetime.now(UTC)

    enqueued, claimed, end = subscribed
    assert [batch.event for batch in subscribed] == ["enqueued", "claimed", "ended"]
    assert (enqueued.backend, enqueued.worker_id) == ("default", None)
    assert claimed.worker_id == end.worker_id != None  # noqa: E711 - of both
    for [event] in (batch.tasks for batch in subscribed):
        assert event.id == UUID(result.id)
        assert event.task_path == "tests.tasks.add"
        assert (event.queue_name, event.priority) == ("mail", 7)
    assert [batch.tasks[0].attempt for batch in subscribed] == [0, 1, 1]
    [event] = end.tasks
    assert (event.outcome, event.exception, event.delay) == (Outcome.SUCCEEDED, None, 0)
    assert 0 < event.run_time < 60
    slack = timedelta(milliseconds=2)  # ids tell milliseconds
    assert before - slack <= event.enqueued_at <= event.claimed_at + slack
    assert event.claimed_at - slack <= event.started_at <= event.ended_at <= after + slack
    spent = (event.ended_at - event.started_at).total_seconds()
    assert spent == pytest.approx(event.run_time, abs=1e-5)
    assert claimed.tasks[0].claimed_at <= after


@pytest.mark.parametrize(
    ("task", "args", "outcome", "delay", "path"),
    [
        (tasks.fail, (), Outcome.RETRIED, 1, "builtins.ValueError"),
        (tasks.fail.using(max_attempts=1), (), Outcome.FAILED, 0, "builtins.ValueError"),
        (tasks.control, ("snooze", 30), Outcome.SNOOZED, 30, ""),
        (tasks.control, ("cancel",), Outcome.CANCELLED, 0, "django_tasks.exceptions.Cancel"),
    ],
)
def test_other_ends_are_told_with_their_outcome(subscribed, task, args, outcome, delay, path):
    """With the delay, and what was raised, for those who report errors."""
    task.enqueue(*args)
    try:
        run_pending_tasks()
    except ValueError:
        pass

    event = ended(subscribed)

    assert (event.outcome, event.delay, event.exception_path) == (outcome, delay, path)
    assert event.outcome.is_final == (outcome not in (Outcome.RETRIED, Outcome.SNOOZED))
    if path == "builtins.ValueError":
        assert str(event.exception) == "failed on purpose"


def test_rolled_back_enqueue_is_not_told(subscribed):
    """Nor is anything told before the commit."""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        tasks.add.enqueue(1, 2)
        raise ZeroDivisionError
    with transaction.atomic():
        tasks.add.enqueue_many([(1, 2), (3, 4)])
        assert subscribed == []

    [batch] = subscribed
    assert len(batch.tasks) == 2


def test_tasks_of_schedules_are_told(subscribed):
    """As those of a request."""
    overdue(task_path="tests.tasks.add", args="[1, 2]")

    tick("default")

    [batch] = subscribed
    [event] = batch.tasks
    assert (batch.event, event.task_path, event.attempt) == ("enqueued", "tests.tasks.add", 0)


def statements():
    """Return the statements of an enqueue and a run."""
    with CaptureQueriesContext(connection) as captured:
        tasks.add.enqueue(1, 2)
        tasks.add.enqueue_many([(1, 2)])
        run_pending_tasks()
    return [query["sql"].split(" ", 1)[0] for query in captured]


def test_subscriber_costs_no_query(settings):
    """All that is told is known without asking."""
    settings.DJANGO_TASKS = {"NOTIFY": False}  # a process sends some per moment only
    statements()  # what is asked once per process
    alone = statements()
    instrumentation.subscribe(subscribers.keep)
    try:
        assert statements() == alone
    finally:
        instrumentation.unsubscribe(subscribers.keep)


def test_nothing_is_made_for_nobody(monkeypatch, told):
    """Without subscribers no event is put together."""

    def must_not(*arguments):
        raise AssertionError

    monkeypatch.setattr(batches, "_event", must_not)
    monkeypatch.setattr("django_tasks.backends.database._event", must_not)
    result = tasks.add.enqueue(1, 2)
    run_pending_tasks()
    result.refresh()

    assert result.return_value == 3
    assert told == []


# --- subscribers that fail ----------------------------------------------------------------------


def test_failing_subscriber_is_logged_once_a_minute(subscribed, caplog, monkeypatch):
    """Each place once; others are told; what the exception says stays out of the log."""
    clock = [1000.0]
    monkeypatch.setattr(instrumentation.time, "monotonic", lambda: clock[0])

    def fail(batch):
        if batch.event is Event.ENDED:
            raise KeyError("hunter2")
        raise ValueError("hunter2")

    instrumentation._registered.insert(0, instrumentation.subscribe(fail))
    try:
        for seconds in (0, 1, 61):
            clock[0] = 1000.0 + seconds
            for event in (Event.CLAIMED, Event.ENDED):
                instrumentation.tell(Batch(event, "default", []))
    finally:
        while fail in instrumentation._registered:
            instrumentation.unsubscribe(fail)

    said = [(r.levelno, "ValueError" in r.getMessage()) for r in caplog.records]
    assert said == [(logging.ERROR, True), (logging.ERROR, False)] * 2
    assert "test_instrumentation.py:" in caplog.messages[0]
    assert "hunter2" not in caplog.text
    assert len(subscribed) == 6


def test_task_ends_as_ever_though_a_subscriber_fails():
    """In the process that runs it, too."""

    def fail(batch):
        raise RuntimeError

    instrumentation.subscribe(fail)
    try:
        result = tasks.add.enqueue(1, 2)
        run_pending_tasks()
    finally:
        instrumentation.unsubscribe(fail)
    result.refresh()

    assert result.return_value == 3


# --- who listens --------------------------------------------------------------------------------


def test_settings_name_functions_and_classes(settings, told):
    """A class is made once; when the settings change, so do the subscribers."""
    settings.DJANGO_TASKS = {"INSTRUMENTATION": [f"{PATH}keep", f"{PATH}Counter"]}
    made = subscribers.Counter.made

    instrumentation.tell(EMPTY)
    instrumentation.tell(EMPTY)

    assert told == [EMPTY, 0, EMPTY, 0]
    assert subscribers.Counter.made == made + 1
    assert checks.check_instrumentation() == []
    settings.DJANGO_TASKS = {}
    assert instrumentation.subscribers() == ()


def test_subscribing_twice_is_once(told):
    """A module that is imported under two names does not count twice."""
    instrumentation.subscribe(subscribers.keep)
    assert instrumentation.subscribe(subscribers.keep) is subscribers.keep
    instrumentation.tell(EMPTY)
    instrumentation.unsubscribe(subscribers.keep)
    instrumentation.tell(EMPTY)

    assert told == [EMPTY]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nobody", "cannot be imported"),
        ("told", "is not callable"),
        ("NeedsSomething", "is made without arguments"),
    ],
)
def test_wrong_path_is_told(settings, name, said):
    """E014; enqueueing raises, and a worker refuses it."""
    settings.DJANGO_TASKS = {"INSTRUMENTATION": [PATH + name]}

    [error] = checks.check_instrumentation()

    assert error.id == "django_tasks.E014"
    assert error.msg.startswith(f"DJANGO_TASKS['INSTRUMENTATION']: '{PATH}{name}'")
    assert said in error.msg
    with pytest.raises(ImproperlyConfigured):
        tasks.add.enqueue(1, 2)
    with pytest.raises(CommandError, match="INSTRUMENTATION"):
        check_instrumentation()


def test_ids_that_tell_no_time():
    """Ids of callers may be of any kind."""
    assert instrumentation.enqueued_at(uuid4()) is None
    assert instrumentation.enqueued_at(UUID(int=(0xFFFF << 112) | (7 << 76) | (2 << 62))) is None


def test_every_end_has_an_outcome():
    """The words of the store and those of subscribers are as many."""
    from django_tasks.store.values import EndingKind

    assert set(batches.OUTCOMES) == set(EndingKind)
    assert {*batches.OUTCOMES.values(), Outcome.SUCCEEDED} == set(Outcome)
    assert TaskEvent(uuid4(), "a.b", "default", 0).outcome is None
