"""Celery's signals: who is told what, in which order."""

import pytest

from django_tasks.celery import notices, signals
from django_tasks.testing import run_pending_tasks
from tests.celery import tasks


@pytest.fixture
def heard():
    """Connect to all signals of tasks; what they say, in order."""
    told = []
    names = ["task_prerun", "task_postrun", "task_success", "task_retry", "task_failure"]

    def receiver_of(name):
        def receiver(sender, **kwargs):
            told.append((name, sender, kwargs))

        return receiver

    receivers = {name: receiver_of(name) for name in names}
    for name, receiver in receivers.items():
        getattr(signals, name).connect(receiver)
    yield told
    for name, receiver in receivers.items():
        assert getattr(signals, name).disconnect(receiver)


@pytest.mark.django_db
def test_order(heard):
    result = tasks.hooked.delay(1)
    run_pending_tasks(include_scheduled=True)
    assert [name for name, _, _ in heard] == [
        "task_prerun", "task_retry", "task_postrun", "task_prerun", "task_success", "task_postrun",
    ]  # fmt: skip
    assert {sender for _, sender, _ in heard} == {tasks.hooked}
    reason = heard[1][2]["reason"]
    assert repr(reason.exc) == "Gone('gone')"
    assert heard[1][2]["request"].id == result.id
    assert heard[-1][2]["state"] == "SUCCESS"
    assert heard[-1][2]["retval"] == 1


@pytest.mark.django_db
def test_failure(heard):
    result = tasks.hooked.delay(0, "now")
    run_pending_tasks()
    [told] = [kwargs for name, _, kwargs in heard if name == "task_failure"]
    assert told["task_id"] == result.id
    assert repr(told["exception"]) == repr(told["einfo"].exception) == "ValueError('no')"
    assert told["args"] == [0, "now"]
    assert "ValueError: no" in told["einfo"].traceback


@pytest.mark.django_db
def test_headers_of_receivers_arrive():
    @signals.before_task_publish.connect(sender="tests.celery.tasks.about", weak=False)
    def add_user(sender, headers, body, **kwargs):
        headers["user"] = "ada"
        assert body[0] == (1,)

    published = []

    @signals.after_task_publish.connect
    def remember(sender, headers, **kwargs):
        published.append((sender, headers["id"]))

    try:
        result = tasks.about.delay(1)
        other = tasks.echo.delay(1)
    finally:
        signals.before_task_publish.disconnect(add_user, sender="tests.celery.tasks.about")
        signals.after_task_publish.disconnect(remember)
    run_pending_tasks()
    assert result.get()["headers"] == {"user": "ada"}
    assert published == [
        ("tests.celery.tasks.about", result.id), ("tests.celery.tasks.echo", other.id)
    ]  # fmt: skip


@pytest.mark.django_db
def test_receivers_that_fail_are_logged(caplog):
    @signals.task_prerun.connect
    def fails(**kwargs):
        raise ValueError("in a receiver")

    try:
        result = tasks.add.delay(1)
        run_pending_tasks()
    finally:
        signals.task_prerun.disconnect(fails)
    assert result.get() == 2
    assert "in a receiver" in caplog.text


def test_weak_receivers_go(heard):
    def receiver(**kwargs):
        raise AssertionError

    signals.task_prerun.connect(receiver)
    del receiver
    assert len(signals.task_prerun.receivers) == 1
    tasks.add.apply((1,))


def test_what_is_never_sent_says_so(caplog):
    notices._said.clear()
    for _ in range(2):
        signals.task_received.connect(test_weak_receivers_go)
    assert [r.getMessage() for r in caplog.records] == [
        "celery.signals.task_received is never sent: no messages arrive here; workers claim rows."
    ]
