"""Workers' rows and the tasks of those that are gone."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_tasks.models import WorkerRecord
from django_tasks.statuses import AttemptOutcome, Status
from django_tasks.store import dialects
from django_tasks.store.dialects import DatabaseNow, mysql
from django_tasks.store.tasks import transitions
from django_tasks.store.workers import leases
from tests.conformance.steps import (
    DATABASE,
    FAR_AHEAD,
    IS_MYSQL,
    LONG_AGO,
    claimer,
    ending,
    make,
    settle,
    with_brokers,
)


def info(**changes):
    return leases.WorkerInfo(
        **{
            "id": uuid4(),
            "host": "one.example",
            "pid": 123,
            "backend": "default",
            "queues": "*",
            "pool": "prefork",
            "concurrency": 4,
            "lease": 20.0,
            **changes,
        }
    )


def registered(**changes):
    worker = info(**changes)
    leases.register(DATABASE, worker)
    return worker


def locked(lock_orphans, *whose):
    """Return what a keeper would rescue in its transaction."""
    with transaction.atomic():
        return lock_orphans(DATABASE, *whose)


def orphans():
    return locked(leases.lock_orphans_of_dead_workers)


def orphan_ids():
    return {orphan.claim.id for orphan in orphans()}


def die(worker, seconds_ago=1.0):
    rows = WorkerRecord.objects.filter(pk=worker.id)
    rows.update(expires_at=DatabaseNow(-seconds_ago))


def test_registering_starts_the_lease():
    """The row tells what the worker is; the lease ends that many seconds ahead."""
    worker = registered(lease=30.0)

    row = WorkerRecord.objects.get(pk=worker.id)
    assert (row.host, row.pid, row.queues, row.pool) == ("one.example", 123, "*", "prefork")
    assert (row.concurrency, row.lease, row.is_stopping) == (4, 30.0, False)
    assert row.expires_at - row.heartbeat_at == pytest.approx(
        timedelta(seconds=30), abs=timedelta(seconds=1)
    )
    assert abs(row.heartbeat_at - timezone.now()) < timedelta(seconds=30)


def test_renewing_extends_the_lease():
    """A heartbeat moves the end of the lease: one statement, on the worker's own row."""
    worker = registered()
    die(worker)

    with CaptureQueriesContext(connection) as captured:
        assert leases.renew(DATABASE, replace(worker, is_stopping=True))

    row = WorkerRecord.objects.get(pk=worker.id)
    assert row.expires_at > timezone.now() + timedelta(seconds=5)
    assert row.is_stopping
    assert len(captured) == 1


def test_renewing_fails_when_the_row_is_gone():
    """A worker that others took for dead learns it at its next heartbeat."""
    worker = registered()
    leases.unregister(DATABASE, worker.id)

    assert not leases.renew(DATABASE, worker)
    assert not WorkerRecord.objects.exists()


def test_orphans_are_running_tasks_without_a_live_worker():
    """Gone rows and leases that are over, by the database's clock; live ones keep their tasks."""
    alive, dead, stopping = registered(), registered(), registered()
    die(dead)
    leases.renew(DATABASE, replace(stopping, is_stopping=True))
    make(status=Status.RUNNING, worker_id=alive.id)
    make(status=Status.RUNNING, worker_id=stopping.id)
    expected = make(status=Status.RUNNING, worker_id=dead.id) + make(status=Status.RUNNING)
    for status in set(Status) - {Status.RUNNING}:
        make(status=status, worker_id=dead.id)

    assert orphan_ids() == set(expected)


def test_leases_are_compared_with_the_databases_clock(monkeypatch):
    """A process whose clock is wrong does not rescue the tasks of live workers."""
    worker = registered()
    make(status=Status.RUNNING, worker_id=worker.id)
    for moment in (FAR_AHEAD, LONG_AGO):
        monkeypatch.setattr(timezone, "now", lambda moment=moment: moment)
        monkeypatch.setattr("time.time", moment.timestamp)

        assert orphan_ids() == set()


def test_orphans_bring_what_a_rescue_needs():
    """The claim number fences the rescue; counts decide between another try and poison."""
    worker_id = uuid4()
    [task_id] = make(
        status=Status.RUNNING, worker_id=worker_id, process=7, claims=9, attempts=2, lost=1
    )

    [orphan] = orphans()

    assert (orphan.worker_id, orphan.process) == (worker_id, 7)
    claim = orphan.claim
    assert (claim.id, claim.task_path, claim.args) == (task_id, "tests.tasks.add", "[1,2]")
    assert (claim.claims, claim.attempts, claim.lost) == (9, 2, 1)


def test_orphans_of_processes_that_are_gone():
    """Within a live worker: tasks of its processes that do not run any more."""
    worker = registered()
    made = {n: make(status=Status.RUNNING, worker_id=worker.id, process=n)[0] for n in (1, 2, 3)}
    make(status=Status.RUNNING, process=1)

    def found(live):
        return {o.claim.id for o in locked(leases.lock_orphans_of_process, worker.id, live)}

    assert found([1, 3]) == {made[2]}
    assert found([]) == set(made.values())
    assert found([1, 2, 3]) == set()


def test_a_sweep_is_bounded():
    """A sweep takes a chunk; what is left comes with the next one."""
    total = leases.SWEEP_CHUNK + 20
    make(total, status=Status.RUNNING)
    rescued = 0
    for size in (leases.SWEEP_CHUNK, 20, 0):
        found = orphans()
        assert len(found) == size
        settle(*[ending(orphan.claim, "lose", outcome=AttemptOutcome.LOST) for orphan in found])
        rescued += len(found)

    assert rescued == total


@with_brokers
def test_rescued_tasks_are_claimed_again():
    """From a dead worker to the next one: LOST is written, the attempt is given back."""
    dead = registered()
    make()
    [first] = claimer(worker_id=dead.id).claim(1)
    die(dead)
    [orphan] = orphans()
    settle(ending(orphan.claim, "lose", outcome=AttemptOutcome.LOST))

    [second] = claimer().claim(1)

    assert second.id == first.id
    assert (second.attempts, second.claims, second.lost) == (1, 2, 1)


def test_forgetting_dead_workers_that_own_nothing():
    """A dead worker's row stays until its tasks are rescued; live rows stay."""
    alive, owning, empty = registered(), registered(), registered()
    die(owning)
    die(empty)
    make(status=Status.RUNNING, worker_id=owning.id)
    make(status=Status.SUCCESSFUL, worker_id=empty.id)

    assert leases.forget_dead(DATABASE) == 1

    assert set(WorkerRecord.objects.values_list("pk", flat=True)) == {alive.id, owning.id}


@with_brokers
def test_cancelled_tasks_of_a_worker():
    """The keeper asks for its own running tasks that somebody cancelled."""
    worker_id = uuid4()
    make(3)
    mine, _other = claimer(worker_id=worker_id).claim(2)
    [theirs] = claimer().claim(1)
    transitions.cancel(DATABASE, [mine.id, theirs.id])

    assert leases.cancelled_tasks(DATABASE, worker_id) == [(mine.id, mine.claims)]


@pytest.mark.skipif(not IS_MYSQL, reason="others find a dead line out by the kernel's means")
def test_silent_server_is_given_up(monkeypatch, settings):
    """The worker's own connection does not wait for ever; the project's options come first."""
    monkeypatch.setattr(mysql, "CONNECT_TIMEOUT", 1)
    settings.DJANGO_TASKS = {"LEASE": 1.0}
    own = connection.copy()
    own.settings_dict["OPTIONS"] = {**own.settings_dict["OPTIONS"], "write_timeout": 7}

    dialects.dialect_for(own).prepare_worker_connection(own)

    with closing(own), pytest.raises(OperationalError), own.cursor() as cursor:
        cursor.execute("SELECT SLEEP(5)")
    options = own.settings_dict["OPTIONS"]
    assert (options["read_timeout"], options["write_timeout"]) == (1, 7)
