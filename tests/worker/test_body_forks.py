"""Processes that bodies start: they inherit nothing of the worker's, and hold nothing up."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from django.contrib.auth.models import Group

from django_tasks.models import WorkerRecord
from tests.worker import tasks
from tests.worker.ledger import PATIENCE, await_lines, until
from tests.worker.processes import session_members

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

POOLS = ["prefork", "threads", "asyncio", "gevent", "solo"]
#: multiprocessing waits for its pipes in ways that gevent does not patch: all greenlets wait.
POOLS_WITH_MULTIPROCESSING = ["prefork", "threads", "asyncio", "solo"]
WORKERS = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGALRM,
           signal.SIGUSR1}  # fmt: skip


def signals(pid, field):
    """Return the signals of a process that are caught (SigCgt), ignored or blocked."""
    status = Path(f"/proc/{pid}/status").read_text()
    [mask] = [line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:")]
    return {number for number in WORKERS if int(mask, 16) >> (number - 1) & 1}


def channels(pid, kinds):
    """Return what a process has of these kinds, beside its standard input and output."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if link.name not in ("0", "1", "2"):
            with contextlib.suppress(FileNotFoundError):
                found.add(os.readlink(link))
    return {name for name in found if name.startswith(kinds)}


def channels_of_all(worker, kinds):
    return set().union(*(channels(member, kinds) for member in session_members(worker.pid)))


def await_connections(worker):
    """Wait until the worker has made its connections: one that is being made is known to nobody."""

    def have_been_made():
        found = channels_of_all(worker, ("socket:",))
        time.sleep(0.25)
        return channels_of_all(worker, ("socket:",)) == found

    until(have_been_made, "all connections")


@contextlib.contextmanager
def killed(pid):
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("pool", POOLS_WITH_MULTIPROCESSING)
def test_pools_of_processes_can_be_ended(start, pool):
    """Pool.terminate() sends SIGTERM, at times right after the fork: each process ends by it."""
    worker = start("--pool", pool, "-c", 1)

    assert tasks.use_process_pools.enqueue(20).wait(PATIENCE) == 20

    assert tasks.use_executor.enqueue().wait(PATIENCE) == [1, 2]
    assert worker.stop() == 0
    assert session_members(worker.pid) == []


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("kind", ["fork", "program"])
def test_child_inherits_nothing(start, gate, pool, kind):
    """No handler, no ignored or blocked signal, no pipe, no socket."""
    worker = start("--pool", pool, "-c", 1)
    task, args = (tasks.leave_daemon, [str(gate)]) if kind == "fork" else (tasks.leave_program, [])
    # An event loop wakes itself by two sockets, which nobody waits to see the end of.
    kinds = ("pipe:",) if (pool, kind) == ("asyncio", "fork") else ("pipe:", "socket:")

    assert tasks.add.enqueue(1, 2).wait(PATIENCE) == 3
    await_connections(worker)

    with killed(task.enqueue(*args).wait(PATIENCE)) as pid:
        of_worker = channels_of_all(worker, kinds)
        assert of_worker
        assert not channels(pid, kinds) & of_worker
        # What these tests were started with is ignored in all that they start, as under nohup.
        assert signals(pid, "SigIgn") <= signals(os.getpid(), "SigIgn")
        assert signals(pid, "SigBlk") == set()
        assert signals(pid, "SigCgt") <= {signal.SIGINT}  # Python's own: KeyboardInterrupt


@pytest.mark.parametrize("pool", POOLS)
def test_daemon_holds_no_stop_up(start, gate, pool):
    """A worker whose body left a process behind stops as always, and its row is gone."""
    worker = start("--pool", pool, "-c", 1, "--grace", 10 * PATIENCE)

    with killed(tasks.leave_daemon.enqueue(str(gate)).wait(PATIENCE)):
        assert worker.stop() == 0

        assert not WorkerRecord.objects.exists()


def test_fork_leaves_the_connections_of_other_bodies_alone(start, book, gate):
    """A driver that says goodbye in its destructor says it for the parent, too."""
    start("--pool", "threads", "-c", 2)
    other = tasks.query_twice.enqueue(book, str(gate))
    await_lines(book, 1)

    assert tasks.query_in_child.enqueue("by a child").wait(PATIENCE) == 7

    gate.touch()
    assert other.wait(PATIENCE) is True
    assert Group.objects.filter(name="by a child").exists()


@pytest.mark.parametrize("pool", POOLS)
def test_child_queries_on_its_own_connection(start, pool):
    """It connects anew, and its parent goes on with the connection that it had."""
    start("--pool", pool, "-c", 1)

    assert tasks.query_in_child.enqueue("by a child").wait(PATIENCE) == 7
    assert tasks.query_in_child.enqueue("by another").wait(PATIENCE) == 7

    assert Group.objects.count() == 2
