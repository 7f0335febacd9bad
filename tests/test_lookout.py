"""When a process looks for tasks: by time, when woken, with a write, when others committed."""

import time

import pytest
from django.db import connection

from django_tasks.brokers.database import DatabaseBroker
from django_tasks.runtime.wakeups import WakeUp
from django_tasks.store import dialects
from django_tasks.worker.engine.polling import GLANCE_INTERVAL, QUIET_GLANCE_INTERVAL, Lookout


class Marks:
    """A dialect whose mark of changes is set by hand."""

    def __init__(self, mark=None):
        self.mark, self.looks = mark, 0

    def change_marker(self, connection):
        self.looks += 1
        return self.mark


@pytest.fixture
def wake_up():
    wake_up = WakeUp()
    yield wake_up
    wake_up.close()


@pytest.fixture
def lookout(wake_up):
    lookout = Lookout(connection, wake_up)
    lookout.dialect = Marks()
    return lookout


def looked(lookout):
    """Let it have looked, and found all that was there."""
    lookout.begin(uses_broker=False)
    lookout.look_later(is_listening=False)
    return time.monotonic()


def test_wake_up_asks_for_one_look(lookout, wake_up):
    """Woken before its time, it looks, and tells that it was woken; then it waits again."""
    now = looked(lookout)
    assert not lookout.is_time(now, is_writing=False)

    wake_up.send()

    assert lookout.is_time(now, is_writing=False)
    assert lookout.take_woken()
    assert not lookout.is_time(looked(lookout), is_writing=False)


def test_due_look_uses_up_a_wake_up(lookout, wake_up):
    """A busy process leaves no wake-ups behind, which would cost claims of nothing later."""
    wake_up.send()
    lookout.look_at_once()

    assert lookout.is_time(time.monotonic(), is_writing=False)

    assert not lookout.take_woken()
    assert not lookout.is_time(looked(lookout), is_writing=False)


def test_look_joins_the_next_write(lookout):
    """A look that may wait goes with the write of outcomes, or by itself a little later."""
    now = looked(lookout)
    lookout.look_with_next_write()

    assert not lookout.is_time(now, is_writing=False)
    assert lookout.is_time(now, is_writing=True)
    assert lookout.is_time(now + 1, is_writing=False)


def test_glance_ends_the_wait(lookout, wake_up):
    """Where the database tells of commits, the sleep ends when there was one."""
    lookout.dialect = Marks(1)
    looked(lookout)
    lookout.dialect.mark = 2

    lookout.wait([wake_up], 60)

    assert lookout.is_time(0.0, is_writing=False)
    lookout.begin(uses_broker=False)
    assert not lookout.is_time(0.0, is_writing=False)


def test_no_glance_without_room(lookout, wake_up):
    """A process that can take nothing does not ask either."""
    lookout.dialect = Marks(1)
    looked(lookout)
    other = WakeUp()
    other.send()

    lookout.wait([other], 60)

    assert lookout.dialect.looks == 1
    other.close()


@pytest.mark.parametrize(
    ("has_found", "interval"), [(True, GLANCE_INTERVAL), (False, QUIET_GLANCE_INTERVAL)]
)
def test_glances_are_rarer_when_quiet(lookout, has_found, interval):
    """Often while there was work lately, seldom after that."""
    lookout.dialect = Marks(1)
    if has_found:
        lookout.found()
    now = looked(lookout) + 0.1
    lookout.is_time(now, is_writing=False)
    looks = lookout.dialect.looks

    lookout.is_time(now + interval * 0.9, is_writing=False)
    assert lookout.dialect.looks == looks
    lookout.is_time(now + interval * 1.1, is_writing=False)
    assert lookout.dialect.looks == looks + 1


@pytest.mark.django_db(transaction=True)
def test_notifications_that_come_during_a_ping_are_heard():
    """The answer to a ping may be read together with wake-ups; they are not lost."""
    listener = DatabaseBroker("default").listen(connection)
    if listener is None:
        assert not dialects.of(connection).has_notify
        return
    dialects.of(connection).notify(connection, "täglich")

    listener.ping()

    assert listener.read() == {"täglich"}
    assert listener.read() == set()
    listener.close()
