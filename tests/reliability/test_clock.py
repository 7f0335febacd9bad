"""Workers whose wall clocks are wrong, or jump: the database's clock decides."""

import shutil
import subprocess
import sys
import time
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from tests.reliability import audit, tasks
from tests.reliability.harness import LEASE, wait_until
from tests.report import UNAVAILABLE

HOURS = 3600
SHIFTS = [2 * HOURS, -2 * HOURS]
_numbers = count(1)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The shared library that shifts a process's clock."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip(f"{UNAVAILABLE}workers with wrong clocks: no C compiler, or not Linux")
    path = tmp_path_factory.mktemp("clock") / "clock_shift.so"
    source = Path(__file__).with_name("clock_shift.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", path, source, "-ldl"]
    subprocess.run(list(map(str, command)), check=True)
    return path


class Clock:
    """A wrong clock, to be set while processes read it."""

    def __init__(self, library, directory, seconds):
        self.path = directory / f"clock-{next(_numbers)}"
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(self.path)}
        self.set(seconds)

    def set(self, seconds):
        mode = "r+b" if self.path.exists() else "wb"  # the same file: processes have it in memory
        with self.path.open(mode) as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))


def assert_wrong(project, key, seconds):
    """The shim works: a body takes the wrong time for the right one."""
    project.enqueue_one(tasks.tell_time.using(queue_name=key), key)
    [event] = wait_until(lambda: project.ledger.events("time", key), "it tells the time")
    assert abs(float(event.note) - time.time() - seconds) < 5


def wrong_worker(project, library, seconds, *options):
    clock = Clock(library, project.directory, seconds)
    return project.worker("--concurrency", 2, *options, environment=clock.environment), clock


def delays(project, enqueued_at, keys):
    return [project.ledger.times("start")[key][0] - enqueued_at for key in keys]


@pytest.mark.parametrize("seconds", SHIFTS)
def test_due_times_are_the_databases(project, library, seconds):
    """A worker two hours off runs nothing early or late, and retries after the right delay."""
    worker, _ = wrong_worker(project, library, seconds)
    assert_wrong(project, "shim", seconds)
    enqueued_at = time.monotonic()
    keys = [str(number) for number in range(5)]
    acknowledged = project.enqueue(tasks.work.using(run_after=timedelta(seconds=2)), keys)
    acknowledged |= project.enqueue(tasks.work.using(expires=60), ["fresh"])
    acknowledged |= project.enqueue(tasks.fail_twice, ["retry"])

    project.drain()

    assert all(1.9 < delay < 4 for delay in delays(project, enqueued_at, keys))
    first, second, third = project.ledger.times("start")["retry"]
    assert 0.9 < second - first < 3 and 0.9 < third - second < 3
    report = audit.check(project, acknowledged)
    assert not report.mistakes, report.figures()
    assert report.statuses == {"SUCCESSFUL": 7}
    assert report.outcomes == {"ERROR": 2}
    assert worker.stop() == 0


@pytest.mark.parametrize("seconds", SHIFTS)
def test_delays_of_a_wrong_caller_are_right(project, library, seconds):
    """A body on a worker two hours off enqueues with a delay: the delay is what counts."""
    wrong_worker(project, library, seconds)
    assert_wrong(project, "shim", seconds)
    enqueued_at = time.monotonic()

    project.enqueue_one(tasks.enqueue_later, "a", 2.0)
    wait_until(lambda: project.ledger.count("end", "a"), "it enqueues")
    project.drain(8)

    assert 1.9 < delays(project, enqueued_at, ["a-later"])[0] < 4.5


def test_wrong_clocks_rescue_nobody(project, library):
    """Workers two hours ahead, behind and right, one of them jumping: no lease ends early."""
    ahead, clock = wrong_worker(project, library, 2 * HOURS)
    behind, _ = wrong_worker(project, library, -2 * HOURS)
    right = project.worker("--concurrency", 2)
    acknowledged = project.enqueue(tasks.work, range(6), LEASE + 2)
    wait_until(lambda: project.ledger.count("start") == 6, "all run")
    acknowledged |= project.enqueue(tasks.work, range(6, 200), 0.03)

    for jump in (-24 * HOURS, 24 * HOURS, 0):
        clock.set(jump)
        before = project.ledger.count("end")
        wait_until(lambda: project.ledger.count("end") > before + 2, "work goes on")  # noqa: B023
    project.drain()

    report = audit.check(project, acknowledged)
    assert not report.mistakes and not report.outcomes, report.figures()
    assert report.duplicates == 0
    assert [worker.stop() for worker in (ahead, behind, right)] == [0, 0, 0]
