"""Enqueue and transactions, and what is open while bodies run."""

import contextlib

import psycopg
from django.db import connections, transaction

from tests.reliability import audit, tasks
from tests.reliability.faults import Repeating
from tests.reliability.harness import ALIAS, LEASE, wait_until


class Undo(Exception):
    pass


def roll_back(*keys, enqueue, savepoint=False):
    """Enqueue in a transaction, or a part of one, that is rolled back."""
    outer = transaction.atomic(using=ALIAS) if savepoint else contextlib.nullcontext()
    with outer, contextlib.suppress(Undo), transaction.atomic(using=ALIAS):
        enqueue(keys)
        raise Undo


def test_rolled_back_enqueue_never_runs(project):
    """In a transaction or a savepoint, one by one or many: what is rolled back was never there."""
    worker = project.worker("--concurrency", 2)
    never, acknowledged = [], {}

    def one_by_one(keys):
        for key in keys:
            project.enqueue_one(tasks.work, key)

    def many(keys):
        project.enqueue(tasks.work, keys)

    for number in range(20):
        for savepoint in (False, True):
            for enqueue in (one_by_one, many):
                keys = [f"never-{len(never) + i}" for i in range(3)]
                never += keys
                roll_back(*keys, enqueue=enqueue, savepoint=savepoint)
        acknowledged |= project.enqueue(tasks.work, [number])
    project.drain()

    assert worker.stop() == 0
    report = audit.check(project, acknowledged, never)
    assert not report.mistakes, report.figures()
    assert project.records.count() == 20


def test_task_does_not_start_before_its_commit(project):
    """While the transaction is open nobody sees the task; soon after the commit it runs."""
    project.worker("--concurrency", 1)
    with transaction.atomic(using=ALIAS):
        project.enqueue_one(tasks.work, "late")
        before = project.ledger.count("start")
        with psycopg.connect(project.url, autocommit=True) as other:
            other.execute("SELECT pg_sleep(1.2)")  # longer than any poll
        assert project.ledger.count("start") == before == 0

    wait_until(lambda: project.ledger.count("end") == 1, "it runs", timeout=2)


def test_committed_enqueue_survives_a_crash(project, server):
    """Each id that was returned outside a transaction is in the table after a crash."""
    acknowledged = {str(n): project.enqueue_one(tasks.work, str(n)) for n in range(200)}
    connections[ALIAS].close()

    server.restart("immediate")

    assert set(project.records.values_list("pk", flat=True)) == set(acknowledged.values())


def test_no_transaction_is_open_while_bodies_run(project):
    """pg_stat_activity shows no session in a transaction, or with a lock, while bodies run."""
    worker = project.worker("--concurrency", 2)
    threads = project.worker("--pool", "threads", "--concurrency", 2)
    coroutines = project.worker("--pool", "asyncio", "--concurrency", 2)
    acknowledged = project.enqueue(tasks.ask_database, range(6), 2.5)
    acknowledged |= project.enqueue(tasks.async_work, range(6, 8), 2.5)
    wait_until(lambda: project.ledger.count("start") >= 4, "bodies run")
    seen = []
    sessions = (
        "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - interval '0.2 s'"
    )

    with psycopg.connect(project.url, autocommit=True) as connection:

        def look():
            seen.extend(connection.execute(sessions).fetchall())

        with Repeating(look, 0.05) as repeating:
            wait_until(lambda: project.ledger.count("end") >= 4, "bodies end")

    assert repeating.rounds > 10
    assert not seen
    project.drain()
    assert not audit.check(project, acknowledged).mistakes
    assert [w.stop() for w in (worker, threads, coroutines)] == [0, 0, 0]


def test_atomic_task_runs_once_or_leaves_nothing(project):
    """atomic=True: the writes of a lost run are not there; those of the winner are, once."""
    worker = project.worker("--concurrency", 1)
    task_id = project.enqueue_one(tasks.atomic_note, "note")
    wait_until(lambda: project.ledger.count("start") == 1, "it runs")

    worker.send_all(9)
    worker.wait()
    project.worker("--concurrency", 1)
    project.drain(LEASE + 30)

    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT name FROM reliability_note")
        assert cursor.fetchall() == [("note",)]
    assert project.outcomes(task_id) == ["LOST"]
