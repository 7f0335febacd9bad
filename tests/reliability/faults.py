"""Faults by plan: what is done to whom, when, written down in faults.jsonl as it happens."""

import contextlib
import json
import os
import random
import signal
import threading
import time

from tests.reliability.harness import PATIENCE, state_of, wait_until

CHILD, PARENT, GROUP = "child", "parent", "group"


class Killer:
    """
    Kills at random, `interval` seconds apart, and starts anew what died.

    The seed gives the plan: what kind of victim at each step. Which pid that is depends on what
    lives then; faults.jsonl has both.
    """

    def __init__(self, project, start, count, seed, interval=1.0, weights=(80, 15, 5)):
        self.project = project
        self.start = start
        self.random = random.Random(seed)
        self.interval = interval
        self.weights = weights
        self.workers = [start() for _ in range(count)]
        self.faults = []
        self.path = project.directory / "faults.jsonl"

    def run(self, seconds):
        """Kill for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            next_at = time.monotonic() + self.interval
            self.kill_one()
            self.replace_dead()
            time.sleep(max(0.0, next_at - time.monotonic()))

    def kill_one(self):
        kind = self.random.choices((CHILD, PARENT, GROUP), self.weights)[0]
        worker = self.random.choice(self.workers)
        victims = self._victims(kind, worker)
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended this very moment
        self.note(kind, victims)

    def _victims(self, kind, worker):
        if kind == CHILD:
            # sorted: the kernel's order is that of their birth, which differs between runs
            return [self.random.choice(sorted(worker.children) or [worker.pid])]
        return [worker.pid] if kind == PARENT else [worker.pid, *worker.children]

    def replace_dead(self):
        for index, worker in enumerate(self.workers):
            if not worker.is_alive:
                self.workers[index] = self.start()

    def note(self, kind, victims):
        fault = {"at": round(time.monotonic(), 3), "kind": kind, "pids": victims}
        self.faults.append(fault)
        with self.path.open("a") as file:
            file.write(json.dumps(fault) + "\n")

    def stop(self):
        """Stop all gently; return their exit codes."""
        for worker in self.workers:
            worker.send(signal.SIGTERM)
        return [worker.wait(PATIENCE) for worker in self.workers]


class Repeating(threading.Thread):
    """Does something every `interval` seconds while the `with` lasts; raises what it raised."""

    def __init__(self, action, interval):
        super().__init__(daemon=True)
        self.action = action
        self.interval = interval
        self.rounds = 0
        self.error = None
        self._is_over = threading.Event()

    def run(self):
        try:
            while not self._is_over.wait(self.interval):
                self.action()
                self.rounds += 1
        except Exception as error:  # noqa: BLE001 - raised in the test's own thread, on exit
            self.error = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self._is_over.set()
        self.join()
        if self.error is not None:
            raise self.error


def freeze(pids):
    """SIGSTOP processes, and wait until they stand still."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(state_of(pid) in ("T", None) for pid in pids), "frozen")


def thaw(pids):
    """SIGCONT processes that may have been killed meanwhile."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
