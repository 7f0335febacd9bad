"""
A snapshot that somebody holds open keeps what was claimed in the indexes: it is not read each time.

PostgreSQL's matter: SQLite takes an entry out of an index at once, and what MySQL and MariaDB do
claims cannot help: see docs/explanation/design.md.
"""

import contextlib
from datetime import timedelta

import pytest
from django.db import connection, connections

from django_tasks.models import TaskRecord
from django_tasks.runtime.time_share import SHARE
from django_tasks.statuses import Status
from django_tasks.store import dialects, locking
from django_tasks.store.tasks import claims, transitions
from django_tasks.store.tasks.cursors import RESCAN_INTERVAL
from tests.conformance.steps import (
    DATABASE,
    IS_POSTGRESQL,
    LONG_AGO,
    claimer,
    ids_of,
    store,
    success,
)
from tests.rows_read import rows_read
from tests.worker.conftest import tables  # noqa: F401

pytestmark = pytest.mark.skipif(not IS_POSTGRESQL, reason="what PostgreSQL keeps for snapshots")

#: Seconds per row of the index of ready tasks, by the clock of these tests.
PER_ROW = 1e-3
#: Tasks per queue and priority, and how many are claimed at a time.
MANY, BATCH = 200, 10
#: Seconds after which a look at a queue in which everything was claimed keeps to its share.
COSTLY = 2 * MANY * 3 * PER_ROW / SHARE
QUEUES, PRIORITIES = ("a", "b"), (5, 0, -5)


@pytest.fixture(scope="module")
def own_line(tables):  # noqa: F811
    """A connection that is set up as that of a process which claims: one, as Clock goes by it."""
    line = connections["default"].copy()
    dialects.dialect_for(line).prepare_claiming_connection(line)
    yield line
    line.close()


@pytest.fixture(autouse=True)
def claiming_line(clean, own_line):
    """Stand that connection in for this thread's."""
    before, connections["default"] = connections["default"], own_line
    yield
    connections["default"] = before


@pytest.fixture
def held_snapshot(claiming_line):
    """Hold a snapshot of the table by another connection."""
    other = connection.copy()
    with contextlib.closing(other), other.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1 FROM django_tasks_taskrecord LIMIT 1")
        yield


class Clock:
    """Goes by what is read of the index of ready tasks, so that no processor decides a test."""

    ahead = 0.0

    def monotonic(self):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_stat_clear_snapshot(),"
                " pg_stat_get_tuples_returned(i) + pg_stat_get_xact_tuples_returned(i)"
                " FROM CAST('django_tasks_ready'::regclass AS oid) AS i"
            )
            return self.ahead + cursor.fetchone()[1] * PER_ROW


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(claims, "time", found)
    return found


@pytest.fixture
def backlog(held_snapshot):
    """Ready tasks of several priorities in each queue; return their ids, the first ones first."""
    return [
        task_id
        for priority in PRIORITIES
        for queue_name in QUEUES
        for task_id in store(MANY, queue_name=queue_name, priority=priority)
    ]


def drain(serving, clock, most=None):
    """Claim and finish up to `most` tasks, a batch each tenth of a second; return their ids."""
    taken, finished = [], []
    while most is None or len(taken) < most:
        accepted, claimed = serving.finish_and_claim(finished, BATCH)
        assert accepted == len(finished)
        if not claimed:
            return taken
        taken += ids_of(claimed)
        finished = [success(claim) for claim in claimed]
        clock.ahead += 0.1
    serving.finish(finished)
    return taken


def look_at_all(serving, clock):
    """Claim when a whole look is due, so that the next one is not."""
    clock.ahead += COSTLY
    assert serving.claim(BATCH)


def come_back(task_id):
    """Make a finished task ready again, with the id that it has."""
    TaskRecord.objects.filter(pk=task_id).update(
        status=Status.READY, finished_at=None, prune_after=None
    )


@pytest.mark.parametrize("queues", ["*", "a,b"])
def test_a_drain_reads_what_it_claims(backlog, clock, queues):
    """A few rows per task, however many were claimed before: whole looks keep to their share."""
    with rows_read() as read:
        taken = drain(claimer(queues), clock)

    assert sorted(taken) == sorted(backlog)
    assert read.rows < 40 * len(taken)


def test_newcomers_are_found_behind_what_was_claimed(backlog, clock):
    """Of a priority that was drained, and of one that was not seen: by a look that reads little."""
    serving = claimer("a")
    drain(serving, clock, most=2 * MANY)
    look_at_all(serving, clock)
    newcomers = [*store(queue_name="a", priority=9), *store(queue_name="a", priority=5)]
    clock.ahead += RESCAN_INTERVAL

    with rows_read() as read:
        found = ids_of(serving.claim(BATCH))

    assert found[:2] == newcomers
    assert read.rows < 40 * BATCH


def test_what_comes_back_is_found_by_a_whole_look(backlog, clock):
    """A task with an old id lies before the cursor. It waits while a look costs too much."""
    serving = claimer("a")
    drain(serving, clock, most=2 * MANY)
    look_at_all(serving, clock)
    come_back(backlog[0])
    clock.ahead += RESCAN_INTERVAL

    before = ids_of(serving.claim(BATCH))
    clock.ahead += COSTLY
    after = ids_of(serving.claim(BATCH))

    assert backlog[0] not in before
    assert after[0] == backlog[0]


@pytest.mark.parametrize("queues", ["a", "*", "a,b"])
def test_what_comes_back_is_found_at_once_when_nothing_else_is_ready(backlog, clock, queues):
    """Whatever it costs: there is nothing to do meanwhile."""
    serving = claimer(queues)
    drain(serving, clock)
    come_back(backlog[0])

    assert ids_of(serving.claim(BATCH)) == backlog[:1]


@pytest.mark.parametrize(
    ("column", "work"), [("run_after", transitions.promote), ("expires_at", transitions.expire)]
)
def test_what_is_due_is_read_once(held_snapshot, column, work, monkeypatch):
    """Each chunk begins where the last one ended, not at the front: by one chunk, and by many."""

    def read_by(chunk):
        monkeypatch.setattr(locking, "CHUNK", chunk)
        for second in range(MANY):
            due = {column: LONG_AGO + timedelta(seconds=second)}
            store(status=Status.SCHEDULED, **due)
        with rows_read() as read:
            assert work(DATABASE)
        assert not TaskRecord.objects.filter(status=Status.SCHEDULED).exists()
        TaskRecord.objects.all().delete()
        return read.rows

    one, many = read_by(10 * MANY), read_by(BATCH)

    assert many < 2 * one + MANY
