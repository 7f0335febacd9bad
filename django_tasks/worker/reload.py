"""
Restarting a worker when code changes, for development.

`python -m django_tasks.worker.reload PYTHONPATH COMMAND...` is what `runworker --reload` becomes.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import django
from django.utils import autoreload

#: Exit code for options that do not fit, as argparse has it: no change of code mends them.
USAGE = 2


def is_asked_for(argv: Sequence[str]) -> bool:
    """Tell whether a command line is `manage.py runworker --reload`, with nothing to refuse."""
    options = argv[2:]
    is_runworker = list(argv[1:2]) == ["runworker"] and "--reload" in options
    return is_runworker and not {"--burst", "--help", "-h"} & set(options)


def take_over() -> None:
    """
    Become a process that runs this command without --reload, again when a file changes.

    It never returns. Nothing of the project is needed for it, so code that cannot be imported stops
    neither it nor its beginning. Django's reloader runs its work in a thread, where a worker cannot
    handle signals; so the worker is a process of its own, stopped gently before each restart. There
    are three: Django's outer process starts an inner one, again after each change, and that starts
    the worker.
    """
    worker = [sys.executable, *_interpreter_options(), *sys.argv]
    worker = [part for part in worker if part != "--reload"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if "-u" in sys.orig_argv:
        environment["PYTHONUNBUFFERED"] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    own = [
        sys.executable,
        "-m",
        "django_tasks.worker.reload",
        os.environ.get("PYTHONPATH", ""),
        *worker,
    ]
    os.execve(sys.executable, own, environment)  # noqa: S606 - no shell


def main() -> None:
    """Be one of the two processes of Django's reloader."""
    python_path, *worker = sys.argv[1:]
    is_inner = os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true"
    # Ctrl+C reaches the outer process, too, which would kill the inner one a moment later.
    signal.signal(signal.SIGINT, signal.default_int_handler if is_inner else signal.SIG_IGN)
    if not is_inner:
        signal.signal(signal.SIGTERM, lambda *args: sys.exit(0))
        sys.exit(autoreload.restart_with_reloader())
    _watch(worker, python_path)


def _watch(worker: list[str], python_path: str) -> None:
    """Run the worker until a file changes; exit code 3 then has the outer process start another."""
    signal.signal(signal.SIGTERM, lambda *args: sys.exit(0))
    reloader = autoreload.get_reloader()
    if type(reloader) is autoreload.StatReloader:
        reloader = _Reloader()
    if not _can_import_project():
        worker = []  # until a file changes
    try:
        autoreload.start_django(reloader, _run, worker, python_path)
    except KeyboardInterrupt:
        pass


class _Reloader(autoreload.StatReloader):
    """Also notices what changes while the project is imported, before it is first looked at."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.time()
        self._seen: set[Path] = set()

    def snapshot_files(self) -> Iterator[tuple[Path, float]]:
        for file, mtime in super().snapshot_files():
            # Not what a wrong clock has dated ahead: it would be new again after each restart.
            is_new = file not in self._seen and self._began < mtime <= time.time()
            self._seen.add(file)
            yield file, self._began if is_new else mtime


def _can_import_project() -> bool:
    """Tell whether the project can be imported, and remember its files, which are watched."""
    try:
        autoreload.check_errors(django.setup)()
    except Exception:  # noqa: BLE001 - code that is being written may raise anything
        traceback.print_exc()
        _say("The code cannot be imported. The worker starts when a file has changed.")
        return False
    return True


def _run(command: list[str], python_path: str) -> None:
    if not command:
        return
    environment = os.environ | {"PYTHONPATH": python_path}
    del environment[autoreload.DJANGO_AUTORELOAD_ENV]
    worker = subprocess.Popen(
        command,
        env=environment,
        process_group=0,  # it stops when it is told to, not by the terminal's own Ctrl+C as well
        preexec_fn=_stopped_with_parent(),
    )
    atexit.register(_stop, worker)
    code = worker.wait()
    if code == USAGE:
        os._exit(code)
    if code > 0:
        _say(f"The worker has ended with code {code}. It starts again when a file has changed.")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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


if __name__ == "__main__":
    main()
