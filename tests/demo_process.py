"""Start `manage.py demo` as a real process, and watch what it prints and starts."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY = "Ctrl+C stops everything."


def environment(var, **variables):
    """Return an environment in which the demo keeps its files in the folder `var`."""
    ignored = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "DEBUG"}
    kept = {name: value for name, value in os.environ.items() if name not in ignored}
    return {**kept, "DEMO_VAR": str(var), "PYTHONIOENCODING": "utf-8", **variables}


def run(*arguments, var, **variables):
    """Run `manage.py <arguments>` to its end; return the completed process."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(var, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=180,
        check=False,
    )


class Demo:
    """A running `manage.py demo`. It leads a process group, as a terminal's foreground job does."""

    def __init__(self, var, port, **variables):
        self.lines = []
        self._is_new_line = threading.Condition()
        self.popen = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--port", str(port)],
            cwd=ROOT,
            env=environment(var, **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.popen.stdout:
            with self._is_new_line:
                self.lines.append(line.rstrip())
                self._is_new_line.notify_all()

    @property
    def output(self):
        return "\n".join(self.lines)

    def wait_for_line(self, text, seconds=60):
        """Return the first line that contains `text`. Raise AssertionError if none comes."""
        with self._is_new_line:
            found = self._is_new_line.wait_for(lambda: self._line_with(text), timeout=seconds)
        assert found, f"No line with {text!r} in:\n{self.output}"
        return found

    def _line_with(self, text):
        return next((line for line in self.lines if text in line), None)

    def wait_for_process(self, command, seconds=60):
        """Return the id of the first process below it that runs `command`."""
        # A process that has just been started shows no arguments for a moment.
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for pid in descendants(self.popen.pid):
                if command in ps("args=", "-ww", "-p", str(pid)):
                    return pid
            time.sleep(0.05)
        raise AssertionError(f"No process {command!r} in:\n{ps('pid=,ppid=,args=')}\n{self.output}")

    def wait_for_exit(self, seconds=60):
        """Wait for the end; return the exit code."""
        code = self.popen.wait(seconds)
        self._reader.join(5)
        return code

    def kill(self):
        """Kill everything that is left. For the end of a test that failed."""
        for pid in [*descendants(self.popen.pid), self.popen.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.popen.wait()


def descendants(pid):
    """Return the ids of all processes that `pid` started, and of those that they started."""
    lines = ps("pid=,ppid=").splitlines()
    parents = {int(child): int(parent) for child, parent in map(str.split, lines)}
    found, generation = [], [pid]
    while generation:
        generation = [child for child, parent in parents.items() if parent in generation]
        found += generation
    return found


def is_running(pid):
    """Return whether the process is there and is not a zombie."""
    state = ps("stat=", "-p", str(pid)).strip()
    return bool(state) and not state.startswith("Z")


def ps(columns, *arguments):
    command = ["ps", "-o", columns, *(arguments or ["-A"])]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout


def still_running(pids, seconds=60):
    """Wait until none of the processes runs; return those that still do."""
    end = time.monotonic() + seconds
    while (left := [pid for pid in pids if is_running(pid)]) and time.monotonic() < end:
        time.sleep(0.05)
    return left
