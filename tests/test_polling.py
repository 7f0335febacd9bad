"""When a process looks for tasks: by time, when woken, with a write, when others committed."""

import time

import pytest
from django.db import connection

from django_tasks.brokers.database import DatabaseBroker
from django_tasks.runtime.wakeups import WakeUp
from django_tasks.store import dialects
from django_tasks.worker.engine.polling import CHECK_INTERVAL, QUIET_CHECK_INTERVAL, Polling


class ChangeMarker:
    """A dialect whose marker of changes is set by hand."""

    def __init__(self, marker=None):
        self.marker, self.looks = marker, 0

    def change_marker(self, connection):
        self.looks += 1
        return self.marker


@pytest.fixture
def wake_up():
    wake_up = WakeUp()
    yield wake_up
    wake_up.close()


@pytest.fixture
def polling(wake_up):
    polling = Polling(connection, wake_up)
    polling.dialect = ChangeMarker()
    return polling


def looked(polling):
    """Let it have looked, and found all that was there."""
    polling.begin(uses_broker=False)
    polling.look_later(is_listening=False)
    return time.monotonic()


def test_wake_up_asks_for_one_look(polling, wake_up):
    """Woken before its time, it looks, and tells that it was woken; then it waits again."""
    now = looked(polling)
    assert not polling.is_time(now, is_writing=False)

    wake_up.send()

    assert polling.is_time(now, is_writing=False)
    assert polling.take_woken()
    assert not polling.is_time(looked(polling), is_writing=False)


def test_due_look_uses_up_a_wake_up(polling, wake_up):
    """A busy process leaves no wake-ups behind, which would cost claims of nothing later."""
    wake_up.send()
    polling.look_at_once()

    assert polling.is_time(time.monotonic(), is_writing=False)

    assert not polling.take_woken()
    assert not polling.is_time(looked(polling), is_writing=False)


def test_look_joins_the_next_write(polling):
    """A look that may wait goes with the write of outcomes, or by itself a little later."""
    now = looked(polling)
    polling.look_with_next_write()

    assert not polling.is_time(now, is_writing=False)
    assert polling.is_time(now, is_writing=True)
    assert polling.is_time(now + 1, is_writing=False)


def test_change_ends_the_wait(polling, wake_up):
    """Where the database tells of commits, the sleep ends when there was one."""
    polling.dialect = ChangeMarker(1)
    looked(polling)
    polling.dialect.marker = 2

    polling.wait([wake_up], 60)

    assert polling.is_time(0.0, is_writing=False)
    polling.begin(uses_broker=False)
    assert not polling.is_time(0.0, is_writing=False)


def test_no_check_without_room(polling, wake_up):
    """A process that can take nothing does not ask either."""
    polling.dialect = ChangeMarker(1)
    looked(polling)
    other = WakeUp()
    other.send()

    polling.wait([other], 60)

    assert polling.dialect.looks == 1
    other.close()


@pytest.mark.parametrize(
    ("has_found", "interval"), [(True, CHECK_INTERVAL), (False, QUIET_CHECK_INTERVAL)]
)
def test_checks_are_rarer_when_quiet(polling, has_found, interval):
    """Often while there was work lately, seldom after that."""
    polling.dialect = ChangeMarker(1)
    if has_found:
        polling.found()
    now = looked(polling) + 0.1
    polling.is_time(now, is_writing=False)
    looks = polling.dialect.looks

    polling.is_time(now + interval * 0.9, is_writing=False)
    assert polling.dialect.looks == looks
    polling.is_time(now + interval * 1.1, is_writing=False)
    assert polling.dialect.looks == looks + 1


@pytest.mark.django_db(transaction=True)
def test_notifications_that_come_during_a_ping_are_heard():
    """The answer to a ping may be read together with wake-ups; they are not lost."""
    listener = DatabaseBroker("default").listen(
        lambda: dialects.dialect_for(connection).listener(connection)
    )
    if listener is None:
        assert not dialects.dialect_for(connection).has_notify
        return
    dialects.dialect_for(connection).notify(connection, "täglich")

    listener.ping()

    assert listener.read() == {"täglich"}
    assert listener.read() == set()
    listener.close()
