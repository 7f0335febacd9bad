"""Tasks that these tests run. Paths of ledgers and of files to wait for are arguments."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextvars import ContextVar
from pathlib import Path

from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.db.models import F

from django_tasks import (
    Cancel,
    Retry,
    Snooze,
    SoftTimeLimitExceeded,
    TaskContext,
    control,
    task,
)
from django_tasks.definitions.current import current_task_id
from django_tasks.exceptions import TaskCancelRequested, TaskInterruption
from django_tasks.models import TaskRecord
from tests.worker import ledger

STEP = 0.01


@task
def add(a, b):
    return a + b


@task
async def add_async(a, b):
    await asyncio.sleep(0)
    return a + b


@task
def fail(message):
    raise ValueError(message)


@task
async def fail_async(message):
    await asyncio.sleep(0)
    raise ValueError(message)


@task
def pause_queue(name):
    control.pause_queue(name)


@task
def exit_in_body():
    raise SystemExit(3)


# --- at the same time ---------------------------------------------------------------------------


def _has_met(directory, count):
    return len(list(Path(directory).iterdir())) >= count


@task
def meet(directory, count):
    """Return how many are here, once `count` bodies are running at the same time."""
    Path(directory, str(current_task_id.get())).touch()
    ledger.until(lambda: _has_met(directory, count), f"{count} bodies in {directory}")
    return count


@task
def meet_on_pooled_connection(directory, count):
    """Return the ids of this process and of the server's, while `count` bodies query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [server_pid] = cursor.fetchone()
        Path(directory, str(current_task_id.get())).touch()
        ledger.until(lambda: _has_met(directory, count), f"{count} bodies in {directory}")
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() == (server_pid,)
    assert connection.pool is not None
    return [os.getpid(), server_pid]


@task
def count_neighbours(directory):
    """Stay for a moment; return how many bodies were in `directory`."""
    own = Path(directory, str(current_task_id.get()))
    own.touch()
    time.sleep(0.05)
    count = len(list(Path(directory).iterdir()))
    own.unlink()
    return count


@task
async def meet_async(directory, count):
    Path(directory, str(current_task_id.get())).touch()
    async with asyncio.timeout(ledger.PATIENCE):
        while not _has_met(directory, count):
            await asyncio.sleep(STEP)
    return count


@task
async def linger_async(directory, count):
    """Meet, and leave the event loop time to run what else is in it."""
    await meet_async.func(directory, count)
    await asyncio.sleep(0.2)


@task
def wait_for(path, ledger_path=None):
    """Run until `path` exists; return the process id."""
    if ledger_path:
        ledger.write(ledger_path, f"started {os.getpid()}")
    while not os.path.exists(path):
        time.sleep(STEP)
    return os.getpid()


@task
async def wait_for_async(path, ledger_path):
    ledger.write(ledger_path, f"started {os.getpid()}")
    while not os.path.exists(path):
        await asyncio.sleep(STEP)
    return os.getpid()


@task
def process_id(ledger_path=None, word=""):
    if ledger_path:
        ledger.write(ledger_path, f"{word} {os.getpid()}".strip())
    return os.getpid()


@task(queue_name="mail")
def note(ledger_path, word):
    ledger.write(ledger_path, word)


# --- again, later, never ------------------------------------------------------------------------


@task(max_attempts=4, backoff=[0, 0.05, 0])
def flaky(ledger_path, failures):
    ledger.write(ledger_path, "ran")
    if len(ledger.lines(ledger_path)) <= failures:
        raise ConnectionError("not yet")
    return "done"


@task(max_attempts=3, takes_context=True, backoff=60)
def ask_for_retry(context: TaskContext):
    if context.attempt < 3:
        raise Retry(0.05)
    return context.attempt


@task(takes_context=True)
def snooze(context: TaskContext, ledger_path, times):
    ledger.write(ledger_path, f"attempt {context.attempt}")
    if len(ledger.lines(ledger_path)) <= times:
        raise Snooze(0.05)
    return context.attempt


@task(max_attempts=5)
def cancel_itself():
    raise Cancel("nothing to do")


@task(max_attempts=5, backoff=60, takes_context=True)
def fail_after_being_cancelled(context: TaskContext):
    context.task_result.cancel()
    raise ConnectionError("would be tried again")


# --- limits -------------------------------------------------------------------------------------


@task(soft_time_limit=0.2)
def overrun(seconds):
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            time.sleep(STEP)
    except SoftTimeLimitExceeded as limit:
        return f"cleaned up: {limit}"
    return "never limited"


@task(soft_time_limit=0.2)
def overrun_uncaught(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(STEP)


@task(soft_time_limit=0.2)
async def overrun_async(seconds):
    await asyncio.sleep(seconds)


@task(time_limit=0.4)
def overrun_stubbornly(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(STEP)
        except BaseException:  # noqa: BLE001 - what the hard limit is for
            continue


# --- context ------------------------------------------------------------------------------------


@task(takes_context=True)
def report(context: TaskContext, ledger_path, release):
    context.progress.set(3, 10, "three of ten")
    context.set_state("CRUNCHING", {"part": 3})
    context.log("a line")
    context.metadata["seen"] = True
    context.save_metadata()
    stored = TaskRecord.objects.get(pk=context.task_result.id).metadata_value
    ledger.write(ledger_path, f"stored {stored}")
    while not os.path.exists(release):
        time.sleep(STEP)
    context.progress.set(9, 10)
    context.log("last line")
    return context.attempt


@task(takes_context=True)
async def report_async(context: TaskContext):
    context.progress.set(1, 2)
    context.metadata["seen"] = "async"
    await context.asave_metadata()
    return str(current_task_id.get())


@task(takes_context=True)
def until_cancelled(context: TaskContext, ledger_path):
    ledger.write(ledger_path, f"started, cancelled: {context.is_cancelled}")
    try:
        while True:
            time.sleep(STEP)
    except TaskCancelRequested:
        ledger.write(ledger_path, f"cleaned up, cancelled: {context.is_cancelled}")
        raise


@task
def clean_up_for_long(ledger_path, seconds):
    """Run until stopped, then clean up for a while and say how often that was interrupted."""
    ledger.write(ledger_path, "started")
    end = None
    while end is None or time.monotonic() < end:
        try:
            time.sleep(STEP)
        except TaskInterruption as interruption:
            ledger.write(ledger_path, type(interruption).__name__)
            end = end or time.monotonic() + seconds
    ledger.write(ledger_path, "cleaned up")


@task
async def clean_up_for_long_async(ledger_path, seconds):
    ledger.write(ledger_path, "started")
    end = None
    while end is None or time.monotonic() < end:
        try:
            await asyncio.sleep(STEP)
        except (asyncio.CancelledError, TaskInterruption) as interruption:
            ledger.write(ledger_path, type(interruption).__name__)
            end = end or time.monotonic() + seconds
    ledger.write(ledger_path, "cleaned up")


@task
async def until_cancelled_async(ledger_path):
    ledger.write(ledger_path, "started")
    try:
        await asyncio.sleep(600)
    finally:
        ledger.write(ledger_path, "cleaned up")


@task
async def tick_for_ever(ledger_path):
    while True:
        ledger.write(ledger_path, "tick")
        await asyncio.sleep(STEP)


@task
def ignore_everything(ledger_path):
    ledger.write(ledger_path, f"started {os.getpid()}")
    while True:
        try:
            time.sleep(STEP)
        except BaseException:  # noqa: BLE001 - a body as bad as they come
            continue


_marker = ContextVar("marker", default=0)


@task
def leak_context():
    """Return what an earlier task left in a context variable: nothing, when they are isolated."""
    found = _marker.get()
    _marker.set(found + 1)
    return found


@task
async def leak_context_async():
    found = _marker.get()
    _marker.set(found + 1)
    await asyncio.sleep(0)
    return found


@task
def own_id():
    return str(current_task_id.get())


@task
async def own_id_async():
    await asyncio.sleep(0)
    return str(current_task_id.get())


# --- database -----------------------------------------------------------------------------------


@task(atomic=True)
def write_atomically(name, message=None):
    Group.objects.create(name=name)
    if message:
        raise ValueError(message)
    return name


@task(atomic=True, takes_context=True)
def write_atomically_but_lose(context: TaskContext, name):
    """Take the claim away from itself: the guard in the body's own transaction must see it."""
    Group.objects.create(name=name)
    TaskRecord.objects.filter(pk=context.task_result.id).update(claims=F("claims") + 1)


@task
def write_group(name):
    Group.objects.create(name=name)


@task
async def write_group_async(name):
    await Group.objects.acreate(name=name)


@task
def leave_transaction_open(name):
    transaction.set_autocommit(False)
    Group.objects.create(name=name)


@task
def break_connection():
    """Leave a connection that the server has closed, as a restart of it does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.connection.close()


@task
async def count_groups_async():
    return await Group.objects.acount()


# --- results ------------------------------------------------------------------------------------


@task(ignore_result=True)
def ignored():
    return "nobody wants it"


@task(max_attempts=3, backoff=0)
def too_large(ledger_path):
    ledger.write(ledger_path, "ran")
    return "x" * (1 << 20)


@task(max_attempts=3, backoff=0)
def not_serialisable(ledger_path):
    ledger.write(ledger_path, "ran")
    return object()


@task(on_lost="fail")
def die(ledger_path):
    ledger.write(ledger_path, "ran")
    os._exit(9)


# --- the process --------------------------------------------------------------------------------


@task
def enqueue_more(ledger_path, generations):
    ledger.write(ledger_path, str(generations))
    if generations:
        enqueue_more.enqueue(ledger_path, generations - 1)


@task
def read_input():
    return sys.stdin.read()


_ballast = []


@task
def grow(megabytes):
    _ballast.append(bytearray(os.urandom(1 << 20)) * megabytes)
    return os.getpid()


@task
def change_process_state(directory):
    """Return the directory, umask and environment found, and leave others."""
    umask = os.umask(0)
    found = [os.getcwd(), umask, dict(os.environ)]
    os.chdir(directory)
    os.environ["HOME"] = directory
    os.environ.pop("PATH")
    return found


@task
def process_state():
    """Return what `ps` shows of this process and its relatives."""
    own = Path("/proc/self/cmdline").read_text().replace("\0", " ")
    parent = Path(f"/proc/{os.getppid()}/cmdline").read_text().replace("\0", " ")
    return [own, parent]


@task
def keep_secret(secret):
    """Return the secret, and what `ps` shows meanwhile."""
    return [secret, *process_state.func()]


@task
def betray_nothing(secret):
    """Fail while the secret is among the local variables."""
    local = [secret]
    raise ValueError(f"{len(local)} secret")


# --- forks --------------------------------------------------------------------------------------


@task
def use_process_pools(count):
    """Return how many pools of forked processes worked and could be ended."""
    for _ in range(count):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(abs, [-1, -2]) == [1, 2]
    return count


@task
def use_executor():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        return list(executor.map(abs, [-1, -2]))


@task
def leave_daemon(gate_path):
    """Fork a process that outlives the task and, in a session of its own, its worker; its pid."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        while not os.path.exists(gate_path):
            time.sleep(STEP)
        os._exit(0)
    return pid


@task
def leave_program():
    """Start a program that outlives the task, with all that programs inherit; its pid."""
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    return subprocess.Popen(command, close_fds=False, start_new_session=True).pid


@task
def query_twice(ledger_path, gate_path):
    """Return whether both queries were made on one connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        raw = connection.connection
        ledger.write(ledger_path, "queried")
        while not os.path.exists(gate_path):
            time.sleep(STEP)
        cursor.execute("SELECT 1")
    return connection.connection is raw


@task
def query_in_child(name):
    """Write a row from a forked process, on a connection of its own; return its exit code."""
    Group.objects.count()
    pid = os.fork()
    if pid == 0:
        Group.objects.create(name=name)
        os._exit(7)
    status = os.waitpid(pid, 0)[1]
    Group.objects.count()
    return os.waitstatus_to_exitcode(status)
