"""What the keeper does by itself, without the processes around it."""

import os
import time
from contextlib import closing
from functools import partial
from unittest import mock

import pytest
from django.db import OperationalError, connection

from django_tasks.conf import app_settings
from django_tasks.routing import QueueSelection
from django_tasks.runtime import duties
from django_tasks.runtime.duties import LOCK_PAUSE
from django_tasks.runtime.time_share import SHARE
from django_tasks.runtime.wakeups import WakeUp
from django_tasks.statuses import Status
from django_tasks.store.dialects import CONTROL_REQUEST, dialect_for
from django_tasks.store.tasks import transitions
from django_tasks.store.workers import leases, queues
from django_tasks.worker.board import Board
from django_tasks.worker.config import WorkerConfig
from django_tasks.worker.keeper import lost_tasks
from django_tasks.worker.keeper.keeper import Keeper
from tests.conformance.steps import LONG_AGO, statuses, store


class SilentBroker:
    """A broker that only polls, or whose listener never hears anything."""

    publishes = False

    def __init__(self, listener=None):
        self.listener = listener

    def listen(self, to_database):
        return self.listener


@pytest.fixture
def wake_up():
    with closing(WakeUp()) as wake_up:
        yield wake_up


@pytest.fixture
def ends():
    """The ends of the pipe with the supervisor's reports."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def keep(wake_up, ends):
    """Return a function that makes a keeper of two processes; nothing of it runs by itself."""
    config = WorkerConfig(
        backend="default", database="default", queues=QueueSelection(), pool="prefork",
        processes=2, slots=1, grace=1.0, host="tests.example",
    )  # fmt: skip

    def keep(broker):
        # This thread's connection is that of the tests: it stays as it is.
        with mock.patch.object(type(dialect_for(connection)), "prepare_worker_connection"):
            return Keeper(config, Board(2, 4), wake_up, ends[0], broker)

    return keep


def test_report_that_was_cut_short_is_skipped(keep, ends):
    """The keeper before this one died in the middle of it; those that follow are read."""
    keeper = keep(SilentBroker())
    told = lost_tasks.report(3, 4711, [], signal_number=9, exit_code=None)
    os.write(ends[1], lost_tasks.to_line(told)[20:] + lost_tasks.to_line(told))

    keeper._read_reports()

    assert keeper._dead == [told]
    assert not keeper.is_stopping


def test_keeper_is_told_of_the_last_report(keep, ends):
    """It does not wait for the end of the pipe, which a stranger may hold open."""
    keeper = keep(SilentBroker())
    told = lost_tasks.report(3, 4711, [], signal_number=9, exit_code=None)
    os.write(ends[1], lost_tasks.to_line(told) + lost_tasks.to_line(lost_tasks.LAST))

    keeper._read_reports()

    assert keeper._dead == [told]
    assert keeper.is_stopping


def test_polling_worker_is_not_woken_for_nothing(keep, wake_up):
    """Without wake-ups from the database, processes look when their own pace says so."""
    keeper = keep(SilentBroker())

    keeper._listen()
    keeper._listen()

    assert wake_up.take(10) == 0
    assert not keeper.board.is_listening


def test_processes_look_once_when_listening_begins(keep, wake_up):
    """What was enqueued before the keeper listened is found at once; a ping wakes nobody."""
    keeper = keep(SilentBroker(mock.Mock(read=set)))

    keeper._listen()
    assert wake_up.take(10) == 2
    keeper._listen()

    assert wake_up.take(10) == 0
    assert keeper.board.is_listening


def test_request_has_the_keeper_look_at_once(keep, wake_up):
    """What people ask of workers arrives beside the names of queues, and wakes no process."""
    keeper = keep(SilentBroker(mock.Mock(read=lambda: {CONTROL_REQUEST})))
    keeper._listen()
    wake_up.take(10)
    look = keeper._duties.of(keeper._apply_requests)
    look.next_in(60.0)

    keeper._pass_wake_ups_on()

    assert look.is_due(time.monotonic())
    assert wake_up.take(10) == 0


class NoisyListener:
    """A listener that always has something: what `words` say, then the last of them for ever."""

    def __init__(self, words):
        self.words = list(words)
        self.until = time.monotonic() + 10.0
        self.pipe = WakeUp()
        self.pipe.send()

    def fileno(self):
        return self.pipe.fileno()

    def read(self):
        assert time.monotonic() < self.until, "the keeper does nothing else any more"
        return {self.words.pop(0) if len(self.words) > 1 else self.words[0]}

    def close(self):
        self.pipe.close()


def sleep(keeper, words, *, duty_in):
    """Let the keeper sleep, with one duty, beside a noisy listener; return that duty."""
    keeper._duties._duties = [keeper._duties.of(keeper._apply_requests)]
    [duty] = keeper._duties._duties
    duty.next_in(duty_in)
    with closing(NoisyListener(words)) as keeper._listener:
        keeper._sleep()
    return duty


def test_wake_ups_are_passed_on_while_the_keeper_sleeps(keep, wake_up):
    """Each at once and without a round; a request ends the sleep."""
    keeper = keep(SilentBroker())

    duty = sleep(keeper, ["default", "mail", "default", CONTROL_REQUEST], duty_in=0.9)

    assert wake_up.take(10) == 3
    assert duty.is_due(time.monotonic())


def test_wake_ups_do_not_keep_the_keeper_from_its_duties(keep, wake_up):
    keeper = keep(SilentBroker())

    duty = sleep(keeper, ["default"], duty_in=0.05)

    assert duty.is_due(time.monotonic())
    assert wake_up.take(1) == 1


def test_keeper_that_is_not_told_looks_at_each_poll(keep):
    """With a listener it looks at each heartbeat only, in case that a request was lost."""
    waits = []
    for listener in (None, mock.Mock(read=set)):
        keeper = keep(SilentBroker(listener))
        keeper._listen()
        look = keeper._duties.of(keeper._apply_requests)
        look.next_in(60.0)
        look.do(time.monotonic())
        waits.append(look.seconds_left(time.monotonic()))

    assert waits[0] <= app_settings.POLL_INTERVAL < waits[1]


def test_sweep_that_sees_no_request_is_as_good_as_a_look(keep):
    """The look is put off, unless queues are paused, or were at the last look."""
    keeper = keep(SilentBroker(mock.Mock(read=set)))
    keeper._listen(), keeper._renew(), keeper._apply_requests()
    look = keeper._duties.of(keeper._apply_requests)

    def is_put_off():
        look.make_due()
        keeper._sweep()
        return not look.is_due(time.monotonic())

    found = [is_put_off()]
    queues.pause("default", "default", "mail")
    found.append(is_put_off())
    keeper._apply_requests()
    queues.resume("default", "default", "mail")
    found.append(is_put_off())
    keeper._apply_requests()
    found.append(is_put_off())

    assert found == [True, False, False, True]


@pytest.mark.parametrize("name", ["_promote_and_expire", "_sweep", "_pass_cancellations_on"])
def test_looks_rest_in_proportion_to_what_they_cost(keep, name, monkeypatch):
    """Each walks over what a held snapshot keeps in the indexes: the dearer, the rarer."""
    clock = mock.Mock(monotonic=mock.Mock(return_value=time.monotonic()))
    monkeypatch.setattr(duties, "time", clock)
    keeper = keep(SilentBroker())
    duty = keeper._duties.of(getattr(keeper, name))

    def look():
        clock.monotonic.return_value += 60.0

    monkeypatch.setattr(duty, "action", look)
    duty.do(clock.monotonic())

    assert duty.seconds_left(clock.monotonic()) == pytest.approx(60.0 / SHARE)


@pytest.mark.parametrize("had", [{"mail"}, set()])
def test_due_tasks_that_somebody_holds_are_waited_for(keep, had, monkeypatch):
    """They are asked for now and then, not without end; what can be had, at once."""
    store(status=Status.SCHEDULED, run_after=LONG_AGO)
    monkeypatch.setattr(transitions, "promote", lambda *args, **options: had)
    keeper = keep(SilentBroker())
    duty = keeper._duties.of(keeper._promote_and_expire)
    now = time.monotonic()

    duty.do(now)

    assert duty.is_due(now) is bool(had)
    assert duty.is_due(time.monotonic() + LOCK_PAUSE)


def test_row_that_mysql_refuses_leaves_the_others_their_rescue(keep, monkeypatch, caplog):
    """Its drivers file what one row met under lost connections."""
    odd, *others = store(3, status=Status.RUNNING)
    settle = transitions.settle

    def refuse_odd(database, endings, *args, **kwargs):
        if odd in [ending.id for ending in endings]:
            raise OperationalError(1366, "Incorrect string value")
        return settle(database, endings, *args, **kwargs)

    monkeypatch.setattr(transitions, "settle", refuse_odd)
    keep(SilentBroker())._rescue(partial(leases.lock_orphans_of_dead_workers, "default"))

    assert statuses([odd, *others]) == [Status.RUNNING, Status.READY, Status.READY]
    assert f"The end of task {odd} cannot be written." in caplog.text


def test_report_that_mysql_refuses_stops_no_other(keep, monkeypatch, caplog):
    """The sweep settles what it was about."""
    refused = OperationalError(1366, "Incorrect string value")
    seen = mock.Mock(side_effect=[refused, []])
    monkeypatch.setattr(lost_tasks, "of_process", seen)
    keeper = keep(SilentBroker())
    keeper._dead = [{"process": 1}, {"process": 2}]

    assert keeper._record_lost()  # there is more
    assert not keeper._record_lost()

    assert seen.call_count == 2
    assert not keeper._dead
    assert "A dead process' report fails" in caplog.text
