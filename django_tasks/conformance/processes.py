"""A forked process in which a pool runs as in a worker, and a thread that drives it."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from django.db import connections

from ..definitions.task import Task
from ..ids import uuid7
from ..runtime.forks import DONE, LOOK, accept_signals, fork
from ..runtime.wakeups import WakeUp
from ..serializers import dumps
from ..store.values import Claim
from ..worker.board import NEVER, Board
from ..worker.execution.jobs import Job, Outcome
from ..worker.execution.runner import Runner
from ..worker.pools.base import Pool
from ..worker.pools.choice import make_pool
from ..worker.process import patch_for_gevent
from . import bodies

#: Jobs that one test may submit.
MOST_JOBS = 64
#: Seconds in which what must not happen would have happened.
MOMENT = 0.3

#: What a test does with a driver. What it returns is called when `run()` has returned.
Scenario = Callable[["Driver"], Callable[[], None] | None]


class NoClerk:
    """Stands for the engine's connection: none of the bodies asks for it."""

    def ask(self, function: Callable[[], Any], *, wait: bool) -> Any:
        """Raise."""
        raise AssertionError("A pool has asked for the database by itself.")


class Driver:
    """Does with a pool what the engine, the keeper and the supervisor do."""

    def __init__(self, pool_name: str, slots: int, patience: float, directory: Path) -> None:
        self.patience = patience
        self.board = Board(1, MOST_JOBS)
        self.lane = self.board.lane(0)
        self.lane.open(1)
        self.book, self.gate = directory / "book", directory / "gate"
        self.posted: list[tuple[Job, Outcome]] = []
        #: How many were posted when `run()` returned.
        self.done = 0
        self._wake = WakeUp()
        runner = Runner("default", self.lane, NoClerk())
        self.pool: Pool = make_pool(pool_name, runner, self._post, self.board, slots)

    def _post(self, job: Job, outcome: Outcome) -> None:
        self.lane.end(job.entry)
        self.posted.append((job, outcome))
        self._wake.send()

    def job(self, body: Callable[..., Any], *args: Any, soft: float | None = None) -> Job:
        """Return a claimed task of this body."""
        task: Task[..., Any] = Task(func=body, soft_time_limit=soft)
        claim = Claim(
            uuid7(), task.module_path, dumps(list(args), "args", 10_000), "{}", "conformance",
            priority=0, attempts=1, max_attempts=1, lost=0, hooks=0, claims=1, is_expired=False,
        )  # fmt: skip
        return Job(claim, task, self.lane.reserve(claim.id, claim.claims))

    def submit(self, body: Callable[..., Any], *args: Any, soft: float | None = None) -> Job:
        """Have the pool run a body."""
        job = self.job(body, *args, soft=soft)
        self.pool.submit([job])
        return job

    def submit_waiting(self, body: Any, *, soft: float | None = None) -> Job:
        """Have it run a body that waits for the gate."""
        return self.submit(body, str(self.book), str(self.gate), soft=soft)

    def open_gate(self) -> None:
        """Let those that wait end."""
        self.gate.touch()

    def close_gate(self) -> None:
        """Let the next ones wait, with a new book."""
        self.gate.unlink()
        self.book.unlink()

    @property
    def begun(self) -> int:
        """How many of those that wait have begun."""
        return self._signs().count("+")

    @property
    def most_at_a_time(self) -> int:
        """How many of those that wait ran at the same time at most."""
        running = most = 0
        for sign in self._signs():
            running += 1 if sign == "+" else -1
            most = max(most, running)
        return most

    def _signs(self) -> str:
        return self.book.read_text() if self.book.exists() else ""

    def await_begun(self, count: int) -> None:
        """Wait until so many of those that wait have begun."""
        deadline = time.monotonic() + self.patience
        while self.begun < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.begun} bodies have begun, not {count}.")
            time.sleep(bodies.LOOK)

    def await_posted(self, count: int) -> list[Outcome]:
        """Wait until so many outcomes are there; return them all in the order of their jobs."""
        deadline = time.monotonic() + self.patience
        while len(self.posted) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._wake], [], [], left)[0]:
                raise AssertionError(f"{len(self.posted)} of {count} jobs were posted.")
            self._wake.take(1000)
        posted = sorted(self.posted, key=lambda pair: pair[0].entry)
        if len({job.entry for job, _ in posted}) < len(posted):
            raise AssertionError("A job was posted twice.")
        return [outcome for _, outcome in posted]

    def wait_a_moment(self) -> None:
        """Let happen what must not."""
        time.sleep(MOMENT)

    def cancel(self, job: Job) -> None:
        """Do what the keeper does when a running task is cancelled."""
        self.board.cancel(self.board.entry(job.entry), NEVER)
        self.look()

    def interrupt(self) -> None:
        """Do what the supervisor does at the end of the grace period."""
        self.board.interrupt()
        self.look()

    def look(self) -> None:
        """Send the signal that has a pool look at its flags."""
        os.kill(os.getpid(), LOOK)


def run(pool_name: str, slots: int, patience: float, scenario: Scenario) -> str:
    """
    Run a scenario in a process of its own; return what went wrong, empty if nothing.

    `patience`: seconds for each wait, and for the process to end after the last one.
    """
    said, saying = Pipe(duplex=False)
    with TemporaryDirectory(prefix="conformance-") as directory:
        work = partial(_work, pool_name, slots, patience, scenario, Path(directory), saying)
        pid = fork(work)
        saying.close()
        try:
            return _heard(said, patience)
        finally:
            said.close()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _heard(said: Connection, patience: float) -> str:
    """Return what went wrong: in the scenario, or until its process ended."""
    for what, longest in (("The test", 10 * patience), ("run(), after stop(),", patience)):
        if not said.poll(longest):
            return f"{what} has not ended within {longest:g} s."
        try:
            if wrong := str(said.recv()):
                return wrong
        except EOFError:
            return f"The process ended before {what} had."
    return ""


def _work(
    pool_name: str,
    slots: int,
    patience: float,
    scenario: Scenario,
    directory: Path,
    saying: Connection,
) -> int:
    # Kept, as closing them would end those of the test, which are on the same sockets.
    kept = [connection.connection for connection in connections.all(initialized_only=True)]
    for connection in connections.all(initialized_only=True):
        connection.connection = None
    if pool_name == "gevent":
        with warnings.catch_warnings(action="ignore"):  # tests have imported much that it patches
            patch_for_gevent()
    driver = Driver(pool_name, slots, patience, directory)

    def on_look(number: int, frame: FrameType | None) -> None:
        driver.pool.look()

    signal.signal(LOOK, on_look)
    accept_signals()
    afterwards: list[Callable[[], None]] = []

    def drive() -> None:
        said = _tried(lambda: afterwards.extend(filter(None, [scenario(driver)])))
        saying.send(said)
        driver.pool.stop()

    thread = threading.Thread(target=drive, name="engine", daemon=True)
    thread.start()
    said = _tried(driver.pool.run)
    driver.done = len(driver.posted)
    thread.join()
    for check in afterwards:
        said = said or _tried(check)
    saying.send(said)
    del kept
    return DONE


def _tried(action: Callable[[], Any]) -> str:
    """Return what an action raised, empty if nothing."""
    try:
        action()
    except BaseException as error:  # noqa: BLE001 - told by the process that waits
        if isinstance(error, AssertionError):
            return str(error) or "an assertion failed"
        return "".join(traceback.format_exception(error))[-8000:]
    return ""
