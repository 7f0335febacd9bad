"""Stopping, replacing and scaling processes."""

import os
import signal
import time

import pytest

from django_tasks import TaskResultStatus
from django_tasks.models import TaskAttempt, TaskRecord, WorkerRecord
from tests.worker import tasks
from tests.worker.ledger import PATIENCE, await_lines, lines, until
from tests.worker.processes import children_of, session_members

POOLS = ["prefork", "threads", "asyncio", "solo"]


@pytest.mark.parametrize("pool", POOLS)
def test_idle_worker_stops_at_once(start, pool):
    """SIGTERM to an idle worker: exit 0 without a grace period, its row gone, no process left."""
    worker = start("--pool", pool, "--grace", 10 * PATIENCE)
    tasks.add.enqueue(1, 2).wait(PATIENCE)

    assert worker.stop() == 0

    assert not WorkerRecord.objects.exists()
    assert session_members(worker.pid) == []


@pytest.mark.parametrize("pool", POOLS)
def test_running_task_may_finish(start, book, gate, pool):
    """SIGTERM: the running task ends by itself, waiting ones stay READY, exit 0."""
    worker = start("--pool", pool, "-c", 1)
    result = tasks.wait_for.enqueue(str(gate), book)
    await_lines(book, 1)

    worker.signal()
    waiting = tasks.add.enqueue(1, 2)
    worker.await_output("Stopping") if pool != "solo" else None
    gate.touch()

    assert worker.wait() == 0
    result.refresh()
    waiting.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL
    assert waiting.record_status == "READY"


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_grace_period_ends(start, book, gate, pool, kind):
    """After --grace the task is interrupted and given back without an attempt; exit 3."""
    worker = start("--pool", pool, "-c", 1, "--grace", 0.3)
    task = tasks.wait_for if kind == "plain" else tasks.wait_for_async
    result = task.enqueue(str(gate), book)
    await_lines(book, 1)

    worker.signal()

    assert worker.wait() == 3
    result.refresh()
    assert (result.record_status, result.attempts) == ("READY", 0)
    assert TaskAttempt.objects.get(task_id=result.id).outcome == "INTERRUPTED"


@pytest.mark.parametrize("pool", POOLS)
def test_cleaning_up_is_not_interrupted_again(start, book, pool):
    """A body has the time that is promised to clean up, whatever looks at it meanwhile."""
    worker = start("--pool", pool, "-c", 1, "--grace", 0.1)
    result = tasks.clean_up_for_long.enqueue(book, 1.0)
    await_lines(book, 1)

    worker.signal()

    assert worker.wait() == 3
    assert lines(book) == ["started", "TaskInterrupted", "cleaned up"]
    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL


def test_cleaning_up_of_a_coroutine_is_not_interrupted_again(start, book):
    """The same in the event loop of the asyncio pool."""
    worker = start("--pool", "asyncio", "-c", 1, "--grace", 0.1)
    tasks.clean_up_for_long_async.enqueue(book, 1.0)
    await_lines(book, 1)

    worker.signal()

    assert worker.wait() == 3
    assert lines(book) == ["started", "CancelledError", "cleaned up"]


def test_second_signal_stops_now(start, book, gate):
    """A second SIGTERM does not wait for the grace period."""
    worker = start("-c", 1, "--grace", 600)
    result = tasks.wait_for.enqueue(str(gate), book)
    await_lines(book, 1)

    worker.signal()
    worker.await_output("Stopping: waiting for 1 running task")
    time.sleep(0.3)  # signals within a moment are one: wrappers pass on what the group got anyway
    worker.signal()

    assert worker.wait() == 3
    result.refresh()
    assert (result.record_status, result.attempts) == ("READY", 0)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_stubborn_task_is_killed_after_the_grace_period(start, book, pool):
    """A body that swallows the interruption is killed, and given back all the same."""
    worker = start("--pool", pool, "-c", 1, "--grace", 0.1,
                   patches={"django_tasks.worker.supervisor.stopping.INTERRUPTION_TIME":
                            0.3})  # fmt: skip
    result = tasks.ignore_everything.enqueue(book)
    await_lines(book, 1)

    worker.signal()

    assert worker.wait() == 3
    result.refresh()
    assert result.record_status == "READY"
    assert session_members(worker.pid) == []


@pytest.mark.parametrize("pool", POOLS)
def test_ctrl_c_stops_everything(start, book, gate, pool):
    """SIGINT to the whole group, as the terminal sends it, lets the running task finish."""
    worker = start("--pool", pool, "-c", 1)
    result = tasks.wait_for.enqueue(str(gate), book)
    await_lines(book, 1)

    worker.interrupt_group()
    time.sleep(0.2)  # the task must still be running after a while: there is no event for that
    assert worker.popen.poll() is None
    gate.touch()

    assert worker.wait() == 0
    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL
    assert "KeyboardInterrupt" not in worker.output
    assert session_members(worker.pid) == []


def test_processes_end_after_n_tasks(start, tmp_path):
    """--max-tasks-per-child N: each process runs exactly N tasks, whatever a claim could bring."""
    worker = start("-c", 1, "--max-tasks-per-child", 3)
    results = tasks.process_id.enqueue_many([()] * 9)

    pids = [result.wait(PATIENCE) for result in results]

    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]
    assert worker.stop() == 0
    assert "died" not in worker.output


def test_process_that_grew_is_replaced(start):
    """--max-memory-per-child MB: replaced between tasks, without losing any."""
    worker = start("-c", 1, "--max-memory-per-child", 200)
    small = tasks.grow.enqueue(1).wait(PATIENCE)
    large = tasks.grow.enqueue(250).wait(PATIENCE)
    assert large == small

    worker.await_output("it is replaced after its running tasks")

    assert tasks.grow.enqueue(1).wait(PATIENCE) != large
    assert worker.stop() == 0


def test_autoscale_up_and_down(start, book, gate):
    """--autoscale: from the fewest to the most while tasks wait, and back when idle."""
    worker = start(
        "--autoscale", "3,1",
        patches={
            "django_tasks.worker.supervisor.scaling.SCALE_UP_AFTER": 0.2,
            "django_tasks.worker.supervisor.scaling.SCALE_DOWN_AFTER": 0.5,
        },
    )  # fmt: skip
    tasks.add.enqueue(1, 1).wait(PATIENCE)
    processes = len(children_of(worker.pid))  # with the keeper
    results = tasks.wait_for.enqueue_many([(str(gate), book)] * 4)

    await_lines(book, 3)
    assert len(children_of(worker.pid)) == processes + 2

    gate.touch()
    for result in results:
        result.wait(PATIENCE)
    until(lambda: len(children_of(worker.pid)) == processes, "the fewest processes")
    assert worker.stop() == 0
    assert len(set(lines(book))) == 3


def test_keeper_is_replaced(start):
    """A keeper that dies is started again, and the worker stays the same."""
    worker = start("-c", 1)
    tasks.add.enqueue(1, 1).wait(PATIENCE)
    before = WorkerRecord.objects.get()
    pool_pid = tasks.process_id.enqueue().wait(PATIENCE)
    [keeper] = [pid for pid in children_of(worker.pid) if pid != pool_pid]

    os.kill(keeper, signal.SIGKILL)
    worker.await_output("The keeper died")

    assert tasks.process_id.enqueue().wait(PATIENCE) == pool_pid
    assert worker.stop() == 0
    assert before.pid == worker.pid
    assert not TaskRecord.objects.exclude(status="SUCCESSFUL").exists()
