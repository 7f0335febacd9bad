"""Run manage.py commands as labelled processes of one terminal, and stop them together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings

MANAGE_PY = Path(settings.BASE_DIR) / "manage.py"

#: Seconds that a process has to stop by itself.
STOP_SECONDS = 10.0
POLL_SECONDS = 0.1

#: Lines come as they are written; runserver does not warn of itself.
ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "DJANGO_RUNSERVER_HIDE_WARNING": "true"}

Write = Callable[[str, str], None]


class Process:
    """
    A manage.py command whose output goes, line by line, to ``write(label, line)``.

    It leads a process group of its own: Ctrl+C reaches this program alone, which then stops the
    others in order, and nothing that a command started is left when it is gone.
    """

    def __init__(self, label: str, arguments: list[str], write: Write) -> None:
        self.label = label
        self._write = write
        self._popen = subprocess.Popen(
            [sys.executable, str(MANAGE_PY), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ENVIRONMENT},
            text=True,
            encoding="utf-8",
            errors="replace",
            **own_group(),
        )
        self._reader = threading.Thread(target=self._copy_output, daemon=True)
        self._reader.start()

    def _copy_output(self) -> None:
        for line in self._popen.stdout:
            self._write(self.label, line.rstrip())

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def ask_to_stop(self) -> None:
        if self.exit_code is None:
            self._popen.terminate()

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; return whether it has."""
        try:
            self._popen.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """Kill what is left of it and of the processes that it started."""
        if os.name == "posix":
            kill_group(self._popen.pid)
        else:
            self._popen.kill()
        self._popen.wait()
        self._reader.join(timeout=2)


def own_group() -> dict:
    """Return the arguments that make Popen start a process group."""
    if os.name == "posix":
        return {"process_group": 0}
    return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}


def kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass  # Nothing is left of it: the usual end.


class Processes:
    """Processes that live and end together. A context manager: at its end all are stopped."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._running: list[Process] = []
        self._signals = 0

    def start(self, label: str, *arguments: str) -> Process:
        process = Process(label, list(arguments), self._write)
        self._running.append(process)
        return process

    def ended(self) -> Process | None:
        """Return a process that has ended, None while all run."""
        return next((process for process in self._running if process.exit_code is not None), None)

    def run(self) -> Process | None:
        """Wait for a signal (return None) or for the end of a process (return it)."""
        while not self._signals:
            if ended := self.ended():
                return ended
            time.sleep(POLL_SECONDS)
        return None

    @property
    def is_asked_to_stop(self) -> bool:
        return self._signals > 0

    def __enter__(self) -> Processes:
        self._old = {number: signal.signal(number, self._on_signal) for number in stop_signals()}
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._stop()
        finally:
            for number, handler in self._old.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals += 1

    def _stop(self) -> None:
        signals = self._signals
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._running:
            process.ask_to_stop()
        while not all(process.wait(POLL_SECONDS) for process in self._running):
            if time.monotonic() > deadline or self._signals > signals:
                break
        for process in self._running:
            if process.exit_code is None:
                self._write(process.label, "did not stop in time: killed")
            process.kill()


def stop_signals() -> list[signal.Signals]:
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]
