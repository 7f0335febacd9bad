"""Tasks that lost their worker before, beside rows that somebody else has locked."""

import contextlib
import threading

import pytest
from django.db import connection, connections, transaction

from django_tasks.models import TaskRecord
from django_tasks.statuses import Status
from tests.worker import tasks
from tests.worker.ledger import await_lines, until
from tests.worker.test_quarantine import enqueue_quarantined, occupy_quarantine

pytestmark = pytest.mark.skipif(connection.vendor == "sqlite", reason="no locks on rows")
THREADS = ("--pool", "threads", "-c", 4)
SET_ASIDE = "is locked by another transaction"


@contextlib.contextmanager
def locked(*results):
    """Lock the rows of tasks in a transaction of somebody else's."""
    has_them, may_end = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            rows = TaskRecord.objects.filter(pk__in=[result.id for result in results])
            list(rows.select_for_update().order_by("pk"))
            has_them.set()
            may_end.wait()
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    has_them.wait()
    try:
        yield
    finally:
        may_end.set()
        thread.join()


def status_of(result):
    return TaskRecord.objects.values_list("status", flat=True).get(pk=result.id)


def succeeded(results):
    ids = [result.id for result in results]
    return TaskRecord.objects.filter(pk__in=ids, status=Status.SUCCESSFUL).count()


def test_a_locked_offer_stops_nobody(start, book, gate):
    """It is due to be taken back all the time, and cannot be."""
    start(*THREADS, patches={"django_tasks.worker.quarantine.QUARANTINE_WAIT": 0.3})
    occupy_quarantine(book, gate)
    enqueue_quarantined(tasks.add, 1, 2, lost=2)
    claimed = enqueue_quarantined(tasks.add, 3, 4, lost=1)
    until(lambda: status_of(claimed) == Status.RUNNING, "it is claimed")

    with locked(claimed):
        others = [tasks.add.enqueue(1, number) for number in range(20)]
        until(lambda: succeeded(others) == 20, "the others")

    until(lambda: succeeded([claimed]), "it is taken back")
    gate.touch()


def test_quarantine_passes_over_a_locked_offer(start, book, gate):
    start(*THREADS)
    occupy_quarantine(book, gate)
    lost = [enqueue_quarantined(tasks.add, 1, number, lost=2) for number in range(3)]
    until(lambda: all(status_of(s) == Status.RUNNING for s in lost), "they are offered")

    with locked(lost[0]):
        gate.touch()
        until(lambda: succeeded(lost[1:]) == 2, "those behind it")

    until(lambda: succeeded(lost) == 3, "all")


def test_quarantined_tasks_that_are_taken_back_start(start, book, gate):
    """They waited for longer than what else has not started may, and are not given back for it."""
    start(*THREADS, patches={"django_tasks.worker.quarantine.QUARANTINE_WAIT": 1.5})
    occupy_quarantine(book, gate)
    lost = [enqueue_quarantined(tasks.add, 1, number, lost=1) for number in range(10)]

    until(lambda: succeeded(lost) == 10, "all")

    rows = TaskRecord.objects.filter(pk__in=[task.id for task in lost])
    assert set(rows.values_list("claims", flat=True)) == {2}
    gate.touch()


def test_outcome_that_was_locked_is_written_while_others_fail(start, book, gate):
    """What is set aside later does not put off what waits."""
    worker = start(*THREADS)
    result = tasks.wait_for.enqueue(str(gate), book)
    await_lines(book, 1)
    with locked(result):
        gate.touch()
        until(lambda: SET_ASIDE in worker.output, "it is set aside")

    def is_written():
        tasks.fail.enqueue("again")
        return status_of(result) == Status.SUCCESSFUL

    until(is_written, "the outcome")


def test_a_quarantined_task_beside_a_locked_row_stops_no_process_of_one_slot(start, book, gate):
    """It leaves for a while: that row may be locked for as long as somebody likes."""
    worker = start("-c", 1)
    first = tasks.wait_for.enqueue(str(gate), book)
    await_lines(book, 1)
    with locked(first):
        gate.touch()
        until(lambda: SET_ASIDE in worker.output, "it is set aside")
        enqueue_quarantined(tasks.add, 0, 0, lost=1)
        others = [tasks.add.enqueue(1, number) for number in range(10)]
        until(lambda: succeeded(others) == 10, "the others")


def test_more_locked_rows_than_the_board_has_room_for(start, book, tmp_path):
    """The process claims no more than it can note, and goes on when they are free."""
    worker = start("-c", 1, settings={"DJANGO_TASKS": {"BATCH_SIZE": 1}})
    results = []
    with contextlib.ExitStack() as locks:
        for number in range(6):
            gate = tmp_path / f"gate {number}"
            results.append(tasks.wait_for.enqueue(str(gate), book))
            await_lines(book, number + 1)
            locks.enter_context(locked(results[-1]))
            gate.touch()
        results += [tasks.add.enqueue(1, number) for number in range(5)]
    until(lambda: succeeded(results) == len(results), "all")
    assert "failed" not in worker.output
