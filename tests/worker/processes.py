"""Starting and stopping real workers."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.worker.ledger import PATIENCE, until
from tests.worker.template import Fork, Template

ROOT = Path(__file__).parent.parent.parent
LIVE = "queues "  # a word of the banner
DJANGO = [sys.executable, "-m", "django"]
RUNWORKER = [*DJANGO, "runworker"]


def start(command, *, cwd, env, output):
    """Start `command` in a session of its own; from the template where that makes no difference."""
    # Gevent patches what has not been imported, and a reloader begins its process anew.
    if command[:3] == DJANGO and not {"gevent", "--reload"}.intersection(command):
        return Fork(template(), command[3:], cwd=cwd, env=env, stdout=output)
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@cache
def template():
    return Template()


class WorkerProcess:
    """`manage.py runworker` with `options`, in a session of its own."""

    def __init__(self, *options, settings=None, patches=None, env=None, cwd=ROOT, command=None):
        self._file = tempfile.NamedTemporaryFile("w+", prefix="worker-", suffix=".log")  # noqa: SIM115
        variables = {
            "DJANGO_SETTINGS_MODULE": "tests.worker.settings",
            "WORKER_SETTINGS": json.dumps(settings or {}),
            "WORKER_PATCHES": json.dumps(patches or {}),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }
        command = [*(command or RUNWORKER), *map(str, options)]
        self.popen = start(
            command, cwd=cwd, env={**os.environ, **variables, **(env or {})}, output=self._file
        )

    @property
    def pid(self):
        return self.popen.pid

    @property
    def output(self):
        return Path(self._file.name).read_text(errors="replace")

    def await_output(self, text, timeout=PATIENCE):
        """Wait for `text` in what the worker printed."""
        until(lambda: text in self.output or self.popen.poll() is not None, repr(text), timeout)
        assert text in self.output, f"{text!r} is not in:\n{self.output}"

    def signal(self, number=signal.SIGTERM):
        self.popen.send_signal(number)

    def interrupt_group(self):
        """Do what Ctrl+C does in a terminal."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self, timeout=PATIENCE):
        """Return the exit code."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not end:\n{self.output}") from None

    def stop(self):
        """Stop gently; return the exit code."""
        if self.popen.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()

    def close(self):
        """Make sure that nothing is left, whatever the test did."""
        if self.popen.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(5)
        for pid in session_members(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.popen.wait(10)
        self.popen.stdin.close()
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is not None:
            print(self.output)
        self.close()


def session_members(session):
    """Return the ids of the processes of a session, as the kernel tells (Linux)."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                members.append(int(stat.parent.name))
    return members


def children_of(pid):
    """Return the ids of a process' children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def cpu_seconds(pids):
    """Return the processor time that these processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
