"""A database with the tables, workers on it, and what the bodies wrote."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from uuid import UUID

from django.db import connections
from django.test import override_settings

from django_tasks.models import TaskAttempt, TaskRecord, WorkerRecord
from django_tasks.statuses import FINAL_STATUSES
from tests.database_urls import settings_for
from tests.reliability.ledger import VARIABLE, Ledger

ROOT = Path(__file__).resolve().parents[2]
ALIAS = "reliability"
LEASE, SWEEP_INTERVAL = 3.0, 0.5
#: Seconds a loaded machine may take for what should be immediate.
PATIENCE = 60.0
BACKEND = {
    "BACKEND": "django_tasks.backends.database.DatabaseBackend",
    "QUEUES": [],
    "OPTIONS": {"database": ALIAS},
}
_numbers = count(1)


def wait_until(condition, what, timeout=PATIENCE):
    """Wait until `condition()` is true and return its value. Raise AssertionError in the end."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.02)
    return value


class Project:
    """A database of its own. `directory` holds the ledger and the logs."""

    alias = ALIAS

    def __init__(self, url, directory):
        self.url = url
        self.directory = Path(directory)
        self.ledger = Ledger(self.directory / "ledger.tsv")
        self.workers = []

    def environment(self, url=None, options=None):
        return os.environ | {
            "RELIABILITY_DATABASE": url or self.url,
            "RELIABILITY_SETTINGS": json.dumps(options or {}),
            VARIABLE: str(self.ledger.path),
            "DJANGO_SETTINGS_MODULE": "tests.reliability.settings",
            "PYTHONUNBUFFERED": "1",
        }

    @contextlib.contextmanager
    def connected(self):
        """Let this process enqueue and look."""
        defaults = {"default": connections.databases["default"]}
        both = connections.configure_settings(defaults | {ALIAS: settings_for(self.url)})
        connections.databases[ALIAS] = both[ALIAS]
        try:
            with override_settings(TASKS={"default": BACKEND}):
                yield self
        finally:
            connections[ALIAS].close()
            del connections[ALIAS], connections.databases[ALIAS]

    @contextlib.contextmanager
    def through(self, proxy):
        """Let this process talk to the database through a proxy."""
        settings = connections[ALIAS].settings_dict
        connections[ALIAS].close()
        port, settings["PORT"] = settings["PORT"], str(proxy.port)
        try:
            yield
        finally:
            connections[ALIAS].close()
            settings["PORT"] = port

    @property
    def records(self):
        return TaskRecord.objects.using(ALIAS)

    @property
    def attempts(self):
        return TaskAttempt.objects.using(ALIAS)

    def outcomes(self, task_id):
        """Return the outcomes of a task's attempts, in order."""
        rows = self.attempts.filter(task_id=task_id).order_by("id")
        return list(rows.values_list("outcome", flat=True))

    def outcomes_of(self, acknowledged):
        """Return {key: outcomes} of {key: id}."""
        return {key: self.outcomes(task_id) for key, task_id in acknowledged.items()}

    def status(self, task_id):
        return self.records.values_list("status", flat=True).get(pk=task_id)

    @property
    def unfinished(self):
        return self.records.exclude(status__in=FINAL_STATUSES).count()

    def drain(self, timeout=PATIENCE):
        """Wait until every task is at its end."""
        wait_until(lambda: not self.unfinished, f"{self.unfinished} tasks left", timeout)

    def worker(self, *options, url=None, settings=None, environment=None, ready=True):
        """Start a worker. It is killed with the test, if it still runs then."""
        worker = Worker(self, options, self.environment(url, settings) | (environment or {}))
        self.workers.append(worker)
        if ready:
            worker.wait_until_ready()
        return worker

    def beat(self, *options, url=None, settings=None, environment=None, ready=True):
        """Start a beat, as worker() starts a worker."""
        beat = Beat(self, options, self.environment(url, settings) | (environment or {}))
        self.workers.append(beat)
        if ready:
            beat.wait_until_ready()
        return beat

    def run_python(self, code):
        """Run a script as a process of the project; return what it printed."""
        command = [sys.executable, "-c", f"import django; django.setup()\n{code}"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, check=True
        )
        return done.stdout

    def enqueue(self, task, keys, *args, **kwargs):
        """Enqueue a task per key; return {key: id}, written down after the commit."""
        keys = [str(key) for key in keys]
        results = task.enqueue_many([((key, *args), kwargs) for key in keys])
        return dict(zip(keys, map(UUID, results.ids), strict=True))

    def enqueue_one(self, task, *args, **kwargs):
        return UUID(task.enqueue(*args, **kwargs).id)

    def close(self):
        for worker in self.workers:
            worker.destroy()


class Worker:
    """A `runworker` process in a session of its own, and its children."""

    command = "runworker"

    def __init__(self, project, options, environment):
        self.project = project
        self.log_path = project.directory / f"worker-{next(_numbers)}.log"
        command = [sys.executable, "-m", "django", self.command, *map(str, options)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self.process.pid
        self.known_pids = {self.pid}

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def row(self):
        rows = WorkerRecord.objects.using(ALIAS).filter(pid=self.pid)
        return rows.order_by("-started_at").first()

    def wait_until_ready(self):
        """Wait until it is registered and its processes listen to signals."""
        wait_until(lambda: not self.is_alive or self.row, "the worker registers")
        wait_until(lambda: not self.is_alive or self.task_pids, "the worker has processes")
        assert self.is_alive, f"the worker ended with {self.process.returncode}:\n{self.log}"

    @property
    def is_alive(self):
        return self.process.poll() is None

    @property
    def children(self):
        """Return the pids of the keeper and of the processes that run tasks."""
        found = children_of(self.pid)
        self.known_pids.update(found)
        return found

    @property
    def keeper_pid(self):
        """Return the keeper's pid, or None: the only child that ignores SIGTERM."""
        return next((pid for pid in self.children if signal.SIGTERM in ignored_by(pid)), None)

    @property
    def task_pids(self):
        """Return the pids of processes that are ready to run tasks: they catch SIGTERM."""
        return [pid for pid in self.children if signal.SIGTERM in caught_by(pid)]

    def send(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM, timeout=PATIENCE):
        """Stop it and return the exit code."""
        self.send(number)
        return self.wait(timeout)

    def wait(self, timeout=PATIENCE):
        """Wait for its end and return the exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout:g} s:\n{self.log}") from None

    def send_all(self, number):
        """Signal the supervisor and all of its children."""
        for pid in [self.pid, *self.children]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def destroy(self):
        """Kill whatever is left of it."""
        self.send_all(signal.SIGKILL)
        for pid in self.known_pids - {self.pid}:
            if is_ours(pid, self.project.ledger.path):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()


class Beat(Worker):
    """A `runbeat` process in a session of its own."""

    command = "runbeat"

    def wait_until_ready(self):
        """Wait until it is registered."""
        wait_until(lambda: not self.is_alive or self.row, "the beat registers")
        assert self.is_alive, f"the beat ended with {self.process.returncode}:\n{self.log}"


def children_of(pid):
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in text.split()]


def is_ours(pid, ledger_path):
    """Tell whether a process belongs to this test: a pid may have been given to another since."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return f"{VARIABLE}={ledger_path}".encode() in environment.split(b"\0")


def processes_of(project):
    """Return every living process that this test's workers have started, however indirectly."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if is_ours(pid, project.ledger.path) and state_of(pid) != "Z"]


def state_of(pid):
    """Return the state letter of a process, None when there is no such process."""
    return (_status_line(pid, "State:") or [None])[0]


def _status_line(pid, name):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next(line.split()[1:] for line in lines if line.startswith(name))


def _signals_in(pid, name):
    mask = int((_status_line(pid, name) or ["0"])[0], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def ignored_by(pid):
    return _signals_in(pid, "SigIgn:")


def caught_by(pid):
    return _signals_in(pid, "SigCgt:")


def cpu_seconds(pid):
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
