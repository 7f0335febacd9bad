"""Restart a worker when code changes, for development."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from django.utils import autoreload


def run_with_reload() -> None:
    """
    Run this command without --reload in a process that is replaced when a file changes.

    Django's reloader runs its work in a thread, where a worker cannot handle signals; so the
    worker is a process of its own, stopped gently before each restart. There are three: Django's
    outer process starts an inner one, again after each change, and that starts the worker.
    """
    is_inner = os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true"
    # Ctrl+C reaches the outer process, too, which would kill the inner one a moment later.
    signal.signal(signal.SIGINT, signal.default_int_handler if is_inner else signal.SIG_IGN)
    autoreload.run_with_reloader(_run)


def _run() -> None:
    command = [sys.executable, *_interpreter_options(), *sys.argv]
    command = [part for part in command if part != "--reload"]
    environment = {k: v for k, v in os.environ.items() if k != autoreload.DJANGO_AUTORELOAD_ENV}
    worker = subprocess.Popen(
        command,
        env=environment,
        process_group=0,  # it stops when it is told to, not by the terminal's own Ctrl+C as well
        preexec_fn=_stopped_with_parent(),
    )
    atexit.register(_stop, worker)
    worker.wait()


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """Stop the worker gently; a second Ctrl+C, here, is passed on and means now."""
    while worker.poll() is None:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait()
        except KeyboardInterrupt:
            continue


def _stopped_with_parent() -> Callable[[], object] | None:
    """Have the kernel stop the worker when the reloader is killed (Linux)."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    pr_set_pdeathsig = 1
    return lambda: prctl(pr_set_pdeathsig, int(signal.SIGTERM), 0, 0, 0)


def _interpreter_options() -> list[str]:
    main = sys.modules["__main__"].__spec__
    if main is None:
        return []
    # `python -m django runworker`: sys.argv[0] is the module's file
    name = main.parent if main.name.endswith("__main__") else main.name
    sys.argv[0:1] = []
    return ["-m", str(name)]
