"""What a running body says of itself, on its way to the database."""

import json
import logging
from uuid import uuid4

import pytest
from django.db import DataError, OperationalError

from django_tasks.signals import task_started
from django_tasks.store.tasks import transitions
from django_tasks.store.values import Claim, Success
from django_tasks.worker.board import Board
from django_tasks.worker.execution.context_io import JobRun
from django_tasks.worker.execution.jobs import Job
from django_tasks.worker.execution.runner import Runner, SyncCaller
from tests.worker import tasks


class LateProxy:
    """Does what it is asked when told to, as the engine's thread may be busy."""

    def __init__(self):
        self.calls = []

    def ask(self, function, *, wait):
        if wait:
            return function()
        self.calls.append(function)

    def work(self):
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class AbsentProxy:
    """Has no database."""

    def ask(self, function, *, wait):
        raise TimeoutError("no answer for the time of a lease")


def job_of(lane, task, *args):
    claim = Claim(
        id=uuid4(), task_path=task.module_path, args=json.dumps(args), kwargs="{}",
        queue_name="default", priority=0, attempts=1, max_attempts=None, lost=0, hooks=0, claims=1,
        is_expired=False,
    )  # fmt: skip
    return Job(claim, task, lane.reserve(claim.id, claim.claims))


@pytest.fixture
def lane():
    lane = Board(1, 4).lane(0)
    lane.open(1)
    return lane


@pytest.fixture
def written(monkeypatch):
    """What reached the store."""
    written = []
    monkeypatch.setattr(
        transitions, "save_fields", lambda *args, **kwargs: written.append(args[3]) or True
    )
    return written


@pytest.fixture
def proxy():
    return LateProxy()


@pytest.fixture
def run(lane, proxy):
    return JobRun(job_of(lane, tasks.add), "default", lane, proxy)


def test_newest_values_are_written_once(run, proxy, written):
    """However often a body reports while the engine is busy, one write waits for it."""
    for number in range(1000):
        run.save({"progress": str(number)}, wait=False)
    run.save({"custom_state": "HALF"}, wait=False)

    assert len(proxy.calls) == 1
    proxy.work()
    assert written == [{"progress": "999", "custom_state": "HALF"}]

    run.save({"progress": "1000"}, wait=False)
    proxy.work()
    assert written[1:] == [{"progress": "1000"}]


def test_waiting_write_brings_older_values_along(run, proxy, written):
    """What was reported before is not written over what was reported after."""
    run.save({"progress": "1"}, wait=False)
    run.save({"progress": "2", "metadata": "{}"}, wait=True)
    proxy.work()

    assert written == [{"progress": "2", "metadata": "{}"}]


def test_refused_value_is_logged(run, proxy, monkeypatch, caplog):
    """Nobody waits for the answer: the log has it, with the task's id."""

    def refuse(*args, **kwargs):
        raise DataError("no such character")

    monkeypatch.setattr(transitions, "save_fields", refuse)
    run.save({"progress": "1"}, wait=False)
    with caplog.at_level(logging.ERROR, "django_tasks.worker"):
        proxy.work()

    [record] = caplog.records
    assert str(run._job.claim.id) in record.getMessage()
    assert record.exc_info[0].__qualname__ == "DataError"
    assert "DataError: (text not logged: " in caplog.text


def test_value_that_mysql_refuses_is_no_outage(run, monkeypatch):
    """Its driver files it under lost connections: the same write would be tried for ever."""

    def refuse(*args, **kwargs):
        raise OperationalError(1366, "Incorrect string value")

    monkeypatch.setattr(transitions, "save_fields", refuse)

    with pytest.raises(ValueError, match="refused progress"):
        run.save({"progress": "1"}, wait=True)


def test_outage_keeps_the_values(run, proxy, written, monkeypatch):
    """The engine asks again when the database is back; newer values come first."""
    store = transitions.save_fields

    def cut_off(*args, **kwargs):
        raise OperationalError("server closed the connection")

    run.save({"progress": "1", "custom_state": "A"}, wait=False)
    [call] = proxy.calls
    monkeypatch.setattr(transitions, "save_fields", cut_off)
    with pytest.raises(OperationalError):
        call()
    run.save({"progress": "2"}, wait=False)
    monkeypatch.setattr(transitions, "save_fields", store)
    call()

    assert written == [{"progress": "2", "custom_state": "A"}]
    assert proxy.calls == [call]


@pytest.mark.parametrize("name", ["", "x" * 65, "a\0b", "line\nbreak", "\ud800", 7])
def test_state_that_no_database_stores_is_refused(name):
    """At the call, where the body can see it."""
    from django_tasks.definitions.context import DetachedRun, TaskContext

    context = TaskContext(DetachedRun(type("Result", (), {"attempts": 1})()))

    with pytest.raises(ValueError, match="printable"):
        context.set_state(name)


def test_start_that_cannot_be_told_spends_no_attempt(lane, book, caplog):
    """The body runs all the same; the log says that receivers were not told."""
    told = []

    def receiver(**kwargs):
        told.append(kwargs)

    job = job_of(lane, tasks.process_id, book)
    job.sends_started = True
    task_started.connect(receiver)
    try:
        outcome = Runner("default", lane, AbsentProxy()).run(job, SyncCaller())
    finally:
        task_started.disconnect(receiver)

    assert isinstance(outcome, Success)
    assert told == []
    assert "No task_started was sent" in caplog.text
