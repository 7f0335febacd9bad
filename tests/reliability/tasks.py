"""Bodies that write to the ledger, and bodies that no worker should have to live with."""

import contextlib
import ctypes
import math
import os
import resource
import signal
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path

from django.db import connection, connections, transaction
from django.dispatch import receiver

from django_tasks import Cancel, Snooze, task
from django_tasks.signals import task_finished
from tests.reliability import ledger


@contextlib.contextmanager
def noted(key):
    """Write the start, and the end if the body comes to it."""
    ledger.write("start", key)
    yield
    ledger.write("end", key)


@task
def work(key, seconds=0.0):
    with noted(key):
        if seconds:
            time.sleep(seconds)
    return key


@task(max_attempts=3, backoff=[0.1])
def retried(key, seconds=0.0):
    """Would have retries to spend, if a fault were taken for an error of its own."""
    with noted(key):
        time.sleep(seconds)


@task
def outlive(key, seconds):
    """Take long at the first run only."""
    with noted(key):
        if ledger.Ledger(os.environ[ledger.VARIABLE]).count("start", key) == 1:
            time.sleep(seconds)


@task(on_lost="fail")
def not_twice(key, seconds):
    with noted(key):
        time.sleep(seconds)


@task(atomic=True)
def atomic_note(key):
    """Write, and take long at the first run only."""
    with noted(key), connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO reliability_note VALUES ('{key}')")
        if ledger.Ledger(os.environ[ledger.VARIABLE]).count("start", key) == 1:
            time.sleep(60)


@task(atomic=True)
def transfer(key, seconds):
    """Write at once, and again after a while: two notes, or none."""
    with noted(key), connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO reliability_note VALUES ('{key}')")
        time.sleep(seconds)
        cursor.execute(f"INSERT INTO reliability_note VALUES ('{key}')")


@task
async def async_work(key, seconds=0.0):
    import asyncio

    with noted(key):
        await asyncio.sleep(seconds)


@task
def ask_database(key, seconds=0.0):
    """Use the connection as bodies do: a query, then a pause."""
    with noted(key):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        time.sleep(seconds)


@task
def enqueue_later(key, seconds):
    """Enqueue another task by this worker's clock."""
    with noted(key):
        work.using(run_after=timedelta(seconds=seconds)).enqueue(f"{key}-later")


@task
def tell_time(key):
    """Write what this process takes for the time."""
    ledger.write("time", key, time.time())


@task(max_attempts=3, backoff=[1.0, 1.0])
def fail_twice(key):
    """Fail at the first two runs."""
    ledger.write("start", key)
    if ledger.Ledger(os.environ[ledger.VARIABLE]).count("start", key) < 3:
        raise ValueError(key)
    ledger.write("end", key)


@task
def beat_until(key, seconds):
    """Write a line every 50 ms."""
    with noted(key):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ledger.write("beat", key)
            time.sleep(0.05)


def _wait_for(*paths):
    while not any(os.path.exists(path) for path in paths):
        time.sleep(0.02)


@task
def wait_for(key, path):
    """Run until a file is there."""
    with noted(key):
        _wait_for(path)


@task(time_limit=3.0)
def wait_for_in_time(key, path):
    """Run until a file is there, in time."""
    with noted(key):
        _wait_for(path)


@task
def beat_until_there(key, path):
    """Write a line every 50 ms until a file is there."""
    with noted(key):
        while not os.path.exists(path):
            ledger.write("beat", key)
            time.sleep(0.05)


@task(max_attempts=5, backoff=[0.1], give_up_on=(LookupError,))
def outlast(key, path):
    """Run until `path` is there, or for some `path`.zombies: these end in the way of their key."""
    ledger.write("start", key)
    zombies = f"{path}.zombies"
    while True:
        _wait_for(path, zombies)
        text = Path(path if os.path.exists(path) else zombies).read_text()
        if str(os.getpid()) in text.split():
            return _end_in_the_way_of(key)
        if os.path.exists(path):
            ledger.write("end", key)
            return "heir"
        time.sleep(0.02)


def _end_in_the_way_of(key):
    ledger.write("zombie", key)
    match key:
        case "fail":
            raise LookupError(key)
        case "retry":
            raise ValueError(key)
        case "snooze":
            raise Snooze(0)
        case "cancel":
            raise Cancel("by a zombie")
    return "zombie"


# --- bodies that die --------------------------------------------------------------------------


@task
def die(key, how):
    ledger.write("start", key)
    match how:
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "exit 0":
            os._exit(0)
        case "exit 3":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)


@task
def die_once(key):
    """Take the process along at the first run only."""
    ledger.write("start", key)
    if ledger.Ledger(os.environ[ledger.VARIABLE]).count("start", key) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    ledger.write("end", key)


@task
def leave(key, how):
    ledger.write("start", key)
    raise {"SystemExit": SystemExit(0), "KeyboardInterrupt": KeyboardInterrupt()}[how]


@task
def eat_memory(key):
    """Ask for more memory than the process may have."""
    with noted(key):
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), hard))
        try:
            return len(bytearray(1 << 30))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


# --- bodies that do not stop --------------------------------------------------------------------


@task(time_limit=1.0)
def loop_for_ever(key):
    ledger.write("start", key)
    while True:
        try:
            while True:
                time.sleep(0.01)
        except BaseException:  # noqa: BLE001 - what this test is about
            ledger.write("swallowed", key)


@task
def swallow_all(key, seconds):
    """Swallow every exception from outside."""
    ledger.write("start", key)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                time.sleep(0.01)
        except BaseException:  # noqa: BLE001 - what this test is about
            ledger.write("swallowed", key)
    ledger.write("end", key)


@task(time_limit=1.0)
def loop_deaf(key):
    """Ignore and block every signal that can be."""
    ledger.write("start", key)
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        time.sleep(1)


@task
def hold_interpreter(key, seconds):
    """Let no other thread of this process run: sleep in C without letting the interpreter go."""
    with noted(key):
        ctypes.PyDLL(None).sleep(math.ceil(seconds))


@task(soft_time_limit=0.5, time_limit=20)
def softly_limited(key, seconds):
    with noted(key):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.01)


# --- bodies that leave a mess -----------------------------------------------------------------


@task
def fork_and_return(key):
    """Fork; both processes return from the body into the worker's code."""
    ledger.write("start", key)
    pid = os.fork()
    ledger.write("child" if pid == 0 else "end", key, os.getpid())
    return pid


@task
def fork_and_raise(key):
    ledger.write("start", key)
    if os.fork() == 0:
        ledger.write("child", key, os.getpid())
        raise RuntimeError("in the fork")
    ledger.write("end", key)


@task(time_limit=1.0)
def start_process(key):
    ledger.write("start", key)
    process = subprocess.Popen(["sleep", "600"])
    ledger.write("child", key, process.pid)
    process.wait()


@task
def mess_with_signals(key, seconds=0.0):
    """Replace handlers, block signals, and let an alarm fall due after the body."""
    with noted(key):
        for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1})
        time.sleep(seconds)


@task
def block_signals(key):
    with noted(key):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1})


@task
def leave_alarm(key, seconds):
    with noted(key):
        signal.setitimer(signal.ITIMER_REAL, seconds)


@task
def swallow_term(key, seconds):
    with noted(key):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.02)


@task
def close_connections(key):
    with noted(key):
        connection.ensure_connection()
        connections.close_all()


@task
def break_connection(key):
    """Cut the connection under Django, and keep its wrapper as if nothing had happened."""
    with noted(key):
        connection.ensure_connection()
        os.close(connection.connection.fileno())


@task
def leave_transaction(key, how):
    """Leave a transaction open that holds a lock and a row nobody asked to keep."""
    with noted(key), connection.cursor() as cursor:
        if how == "autocommit":
            connection.set_autocommit(False)
        elif how == "atomic":
            from django.db import transaction

            transaction.atomic().__enter__()
        elif how == "aborted":
            cursor.execute("BEGIN")
            with contextlib.suppress(Exception):
                cursor.execute("SELECT 1/0")
            return
        else:
            cursor.execute("BEGIN")
        cursor.execute(f"INSERT INTO reliability_note VALUES ('{key}')")


@task
def write_note(key):
    with noted(key), connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO reliability_note VALUES ('{key}')")


@task
def close_once(key, first):
    """Close all descriptors from `first` on, at the first run only."""
    ledger.write("start", key)
    if ledger.Ledger(os.environ[ledger.VARIABLE]).count("start", key) == 1:
        os.closerange(first, 512)
    ledger.write("end", key)


@task
def close_standard_streams(key):
    ledger.write("start", key)
    os.closerange(0, 3)
    ledger.write("end", key)


@task
def wander(key):
    """Change what a process has one of."""
    with noted(key):
        os.chdir("/")
        os.umask(0o077)
        os.environ.pop("PATH", None)
        os.environ["TZ"] = "Pacific/Kiritimati"
        time.tzset()


@task
def leave_thread(key):
    with noted(key):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


@task
def spill(key):
    """Write bytes to the log that are no text."""
    with noted(key):
        os.write(1, b"\xff\xfe\0" * 100_000)


class Hostile(Exception):
    """An exception that cannot be shown."""

    def __str__(self):
        raise RuntimeError("no text for you")

    __repr__ = __str__


@task
def raise_hostile(key, how):
    ledger.write("start", key)
    if how == "str":
        raise Hostile
    if how == "huge":
        raise ValueError("x" * (20 << 20))
    if how == "recursion":
        return raise_hostile.func(key, how) if False else _deeper()
    if how == "nul":
        raise ValueError("nul \0 and surrogate \ud800")
    error = None
    for number in range(10_000):
        link = ValueError(number)
        link.__cause__, error = error, link
    raise error


def _deeper():
    return _deeper()


@task(takes_context=True)
def save_in_transaction(context, key, path):
    """Save metadata and report progress inside of a transaction that stays open."""
    with noted(key), transaction.atomic():
        context.metadata["key"] = key
        context.save_metadata()
        context.progress.set(1, 2, "half")
        ledger.write("saved", key)
        _wait_for(path)


@task
def fail_when_there(key, path):
    """Wait for a file, and fail."""
    with noted(key):
        _wait_for(path)
        raise ValueError(key)


@task(takes_context=True)
def report_when_there(context, key, path):
    """Wait for a file, and say something at the end."""
    with noted(key):
        _wait_for(path)
        context.progress.set(2, 2, "last")


if "RELIABILITY_TELL" in os.environ:

    @receiver(task_finished)
    def note_the_end(sender, task_result, **kwargs):
        ledger.write("told", task_result.id)


@task(max_attempts=4, backoff=[0.1])
def fail_first(key, seconds=0.0):
    """Fail at the first run, and only then."""
    with noted(key):
        time.sleep(seconds)
        if ledger.Ledger(os.environ[ledger.VARIABLE]).count("start", key) == 1:
            raise RuntimeError("the first run fails")
    return key


@task(max_attempts=1)
def always_fail(key):
    with noted(key):
        raise RuntimeError("every run fails")


@task
def gather(values, key):
    with noted(key):
        return values
