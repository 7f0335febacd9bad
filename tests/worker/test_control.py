"""Workers that are paused, stopped and scaled from afar, through the database alone."""

import os
import signal

import pytest

from django_tasks.models import TaskRecord, WorkerRecord
from django_tasks.statuses import Status
from django_tasks.store.workers import queues, requests
from tests.worker import tasks
from tests.worker.control import DATABASE, pause, resume, row_of
from tests.worker.ledger import PATIENCE, await_lines, lines, until
from tests.worker.processes import children_of


def note(book, word, queue_name="mail"):
    return tasks.note.using(queue_name=queue_name).enqueue(book, word)


def run_beside(book, word):
    """Have a task run that was enqueued after all others, in a queue that runs."""
    note(book, word, "other").wait(PATIENCE)


# --- pausing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio", "gevent", "solo"])
def test_paused_queue_is_left_out_until_it_is_resumed(start, book, pool):
    """Enqueueing goes on, and so do other queues; what waited runs afterwards, in its order."""
    worker = start("--pool", pool)
    row_of(worker)

    pause("mail")
    waiting = [note(book, f"mail {number}") for number in range(3)]
    run_beside(book, "other")

    assert lines(book) == ["other"]
    resume("mail")
    for result in waiting:
        result.wait(PATIENCE)
    assert sorted(lines(book)) == ["mail 0", "mail 1", "mail 2", "other"]
    assert worker.stop() == 0
    assert "Traceback" not in worker.output


def test_running_task_of_a_paused_queue_ends(start, book, gate):
    """Pausing interrupts nothing: what runs goes on, what its process had claimed beside waits."""
    for _ in range(20):  # teach the process that tasks are fast, so that it claims many
        tasks.process_id.enqueue()
    worker = start("--concurrency", 1, settings={"DJANGO_TASKS": {"UNSTARTED_SECONDS": 600.0}})
    row_of(worker)
    until(lambda: not TaskRecord.objects.exclude(status=Status.SUCCESSFUL).exists(), "fast tasks")
    slow = tasks.wait_for.using(queue_name="mail").enqueue(str(gate), book)
    behind = [note(book, "behind") for _ in range(5)]
    await_lines(book, 1)

    pause("mail")
    gate.touch()

    slow.wait(PATIENCE)
    run_beside(book, "other")
    assert lines(book)[1:] == ["other"]
    for result in behind:
        result.refresh()
        assert (result.record_status, result.attempts) == (Status.READY, 0)


def test_pause_survives_restarts(start, book):
    """A worker that starts claims nothing before it knows what is paused."""
    pause("mail")
    note(book, "mail")

    for number in range(2):
        worker = start("--concurrency", 2)
        run_beside(book, f"other {number}")
        assert worker.stop() == 0

    assert lines(book) == ["other 0", "other 1"]
    resume("mail")
    start()
    assert await_lines(book, 3)[2] == "mail"


def test_keeper_that_replaces_another_tells_of_what_was_resumed(start, book):
    """The new one does not know what the old one had found; the processes still do."""
    worker = start("--concurrency", 1)
    row_of(worker)
    pause("mail")
    note(book, "mail")
    run_beside(book, "other")
    [keeper] = [pid for pid in children_of(worker.pid) if pid not in _body_pids(worker)]

    os.kill(keeper, signal.SIGSTOP)
    queues.resume(DATABASE, "default", "mail")
    os.kill(keeper, signal.SIGKILL)

    assert await_lines(book, 2) == ["other", "mail"]


def _body_pids(worker):
    """Return the processes of a worker with one process that runs bodies."""
    return {tasks.process_id.using(queue_name="other").enqueue().wait(PATIENCE)}


@pytest.mark.parametrize("selection", ["*", "mail", "mail,fax"])
def test_burst_ends_when_only_paused_queues_are_left(start, book, selection):
    """There is nothing that it may claim."""
    pause("mail")
    kept = note(book, "mail")

    worker = start("--burst", "--queues", selection)

    assert worker.wait() == 0
    kept.refresh()
    assert kept.record_status == Status.READY
    assert lines(book) == []


# --- stopping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_worker_that_is_asked_to_stop_ends_what_runs(start, book, gate, pool):
    """The same as SIGTERM: it claims no more, its running task ends, and it exits with 0."""
    worker = start("--pool", pool, "-c", 1)
    row = row_of(worker)
    slow = tasks.wait_for.enqueue(str(gate), book)
    await_lines(book, 1)

    assert requests.ask_to_stop(DATABASE, row.pk, "someone")
    until(WorkerRecord.objects.filter(pk=row.pk, is_stopping=True).exists, "that it is stopping")
    later = note(book, "later")
    gate.touch()

    assert worker.wait() == 0
    slow.refresh()
    later.refresh()
    assert (slow.record_status, later.record_status) == (Status.SUCCESSFUL, Status.READY)
    assert not WorkerRecord.objects.filter(pk=row.pk).exists()
    assert "Asked to stop by someone." in worker.output


def test_only_the_worker_that_is_named_stops(start, book):
    stopped, other = start("-c", 1), start("-c", 1)
    row_of(other)

    requests.ask_to_stop(DATABASE, row_of(stopped).pk)

    assert stopped.wait() == 0
    note(book, "still").wait(PATIENCE)
    assert other.popen.poll() is None


# --- scaling -------------------------------------------------------------------------------------


def scale(worker, concurrency):
    """Ask for so many slots, and wait until the worker says that it has them."""
    row = row_of(worker)
    assert requests.ask_for_concurrency(DATABASE, row.pk, concurrency, "someone")
    until(WorkerRecord.objects.filter(pk=row.pk, concurrency=concurrency).exists, "the slots")


def await_children(worker, count):
    """Wait until the worker has so many processes that run bodies, beside its keeper."""
    until(lambda: len(children_of(worker.pid)) == count + 1, f"{count} processes")


def test_prefork_gets_more_and_fewer_processes(start, tmp_path):
    """As the kernel counts them; and they are of use."""
    worker = start("--concurrency", 1)
    row_of(worker)
    await_children(worker, 1)

    scale(worker, 3)
    await_children(worker, 3)
    together = [tasks.meet.enqueue(str(tmp_path), 3) for _ in range(3)]
    assert [result.wait(PATIENCE) for result in together] == [3, 3, 3]

    scale(worker, 1)
    await_children(worker, 1)
    assert tasks.add.enqueue(1, 2).wait(PATIENCE) == 3
    assert worker.stop() == 0
    assert "Asked for 3 slots by someone." in worker.output


def test_process_that_is_too_many_ends_its_task(start, book, gate):
    """Scaling down interrupts nothing, and takes those that run nothing first."""
    worker = start("--concurrency", 2)
    row_of(worker)
    slow = tasks.wait_for.enqueue(str(gate), book)
    [started] = await_lines(book, 1)

    scale(worker, 1)
    await_children(worker, 1)

    assert int(started.split()[1]) in children_of(worker.pid)
    gate.touch()
    slow.wait(PATIENCE)


def most_at_once(directory):
    """Return how many of six bodies run at the same time."""
    results = [tasks.count_neighbours.enqueue(str(directory)) for _ in range(6)]
    return max(result.wait(PATIENCE) for result in results)


@pytest.mark.parametrize("pool", ["threads", "asyncio", "gevent"])
def test_pools_get_more_and_fewer_slots(start, tmp_path, pool):
    """So many bodies at a time, in the same process, and no more of them afterwards."""
    worker = start("--pool", pool, "--concurrency", 1)
    row_of(worker)
    plain, coroutines, last = (tmp_path / name for name in ("plain", "coroutines", "last"))
    for directory in (plain, coroutines, last):
        directory.mkdir()

    scale(worker, 3)
    results = [tasks.meet.enqueue(str(plain), 3) for _ in range(3)]
    assert [result.wait(PATIENCE) for result in results] == [3, 3, 3]
    results = [tasks.meet_async.enqueue(str(coroutines), 3) for _ in range(3)]
    assert [result.wait(PATIENCE) for result in results] == [3, 3, 3]

    scale(worker, 1)
    until(lambda: most_at_once(last) == 1, "one body at a time")
    assert worker.stop() == 0
    assert "Traceback" not in worker.output


def test_slots_are_shared_among_the_processes(start, tmp_path):
    """Five slots on two processes are three and two."""
    worker = start("--pool", "threads", "--processes", 2, "--concurrency", 1)
    row_of(worker)

    scale(worker, 5)

    results = [tasks.meet.enqueue(str(tmp_path), 5) for _ in range(5)]
    assert [result.wait(PATIENCE) for result in results] == [5] * 5
    scale(worker, 1)
    await_children(worker, 1)


def test_worker_says_how_far_it_can_be_scaled(start):
    """Those that cannot be say so in their row: the request is then refused at once."""
    workers = [start("-c", 2), start("--pool", "solo"), start("--autoscale", "3,1")]

    assert [row_of(worker).max_concurrency for worker in workers] == [32, None, None]
