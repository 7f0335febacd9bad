"""
Run a task by django_tasks.testing where there is nothing that Windows has not.

`python -m tests.worker.as_on_windows`: no worker runs on Windows, but the tests of projects do.
"""

import os
import signal
import sys
import time

import django
from django.conf import settings
from django.core.management import call_command
from django.db.backends.sqlite3 import base as sqlite  # noqa: F401 - the driver before the blocks

ABSENT_MODULES = ["fcntl", "grp", "pwd", "resource", "termios"]
ABSENT_NAMES = {
    signal: [
        "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGHUP", "SIGQUIT", "SIGCHLD", "setitimer",
        "ITIMER_REAL", "pthread_sigmask", "SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK",
    ],
    os: ["fork", "register_at_fork", "setpgid", "killpg", "O_PATH", "sched_getaffinity"],
    time: ["CLOCK_BOOTTIME"],
}  # fmt: skip


def double(number):
    return 2 * number


def main():
    for name in ABSENT_MODULES:
        sys.modules[name] = None
    for module, names in ABSENT_NAMES.items():
        for name in names:
            delattr(module, name)
    settings.configure(
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_tasks"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        TASKS={"default": {"BACKEND": "django_tasks.backends.database.DatabaseBackend"}},
        USE_TZ=True,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from django_tasks import task
    from django_tasks.testing import run_pending_tasks

    global double
    double = task(double)
    double.enqueue(21)
    [result] = run_pending_tasks()
    print(result.return_value)


if __name__ == "__main__":
    sys.modules["tests.worker.as_on_windows"] = sys.modules["__main__"]
    double.__module__ = "tests.worker.as_on_windows"
    main()
