"""
Tasks that put a secret wherever something could log it, and a receiver that fails.

No literal here is the secret: a traceback shows lines of code.
"""

import asyncio
import gc
import os
import sys
import threading
import time
from pathlib import Path

from django.dispatch import receiver

from django_tasks import Retry, TaskContext, task
from django_tasks.models import TaskRecord
from django_tasks.signals import task_finished

#: What the database of these tests refuses to store: see test_secrets.
REFUSED = "refuse-this"


class Strange(BaseException):
    pass


class Mute(Exception):
    """Neither tells what it is nor lets itself be changed."""

    def __str__(self):
        raise ValueError(*self.args)

    def __setattr__(self, name, value):
        raise ValueError(*self.args)


@task
def fail_plainly(secret):
    local = secret
    raise ValueError(local)


@task
async def fail_in_coroutine(secret):
    await asyncio.sleep(0)
    raise ValueError(secret)


@task
def fail_in_a_chain(*, secret):
    try:
        try:
            raise KeyError(secret)
        except KeyError:
            raise LookupError(secret)  # noqa: B904 - the context
    except LookupError as error:
        error.add_note(secret)
        raise RuntimeError(secret) from error


@task
async def fail_in_a_group(secret):
    async def part():
        raise OSError(secret)

    async with asyncio.TaskGroup() as group:
        group.create_task(part())
        group.create_task(part())


@task
def fail_strangely(secret):
    raise Strange(secret)


@task
def fail_mutely(secret):
    raise Mute(secret)


@task
def fail_to_compile(secret):
    compile(f"{secret} = = 1", secret, "exec")


@task
def fail_in_the_database(secret):
    """PostgreSQL quotes the row in its DETAIL."""
    TaskRecord.objects.filter(kwargs__contains=secret).update(log=secret, status="?")


@task(max_attempts=2, backoff=0)
def fail_twice(secret):
    raise Retry(0.0) from ValueError(secret)


@task(max_attempts=2, backoff=lambda exception, result: {}[str(exception)])
def fail_to_back_off(secret):
    raise ValueError(secret)


@task(soft_time_limit=0.05)
def overrun(secret):
    try:
        while True:
            time.sleep(0.01)
    except BaseException as error:
        raise RuntimeError(secret) from error


@task(takes_context=True)
def say_and_return(context: TaskContext, secret):
    context.progress.set(1, 2, secret)
    context.log(secret)
    context.set_state("LEAKING", {"note": secret})
    context.metadata["note"] = secret
    context.save_metadata()
    return [secret, secret]


@task
def return_what_is_refused(secret):
    return f"{secret} {REFUSED}"


@task(takes_context=True)
def log_what_is_refused(context: TaskContext, secret):
    context.log(f"{secret} {REFUSED}")


@task(takes_context=True)
def fail_and_log_what_is_refused(context: TaskContext, secret):
    context.log(f"{secret} {REFUSED}")
    raise ValueError(secret)


# --- what nobody catches -------------------------------------------------------------------------


def fail_as(kind, secret):
    raise kind(secret)


@task
def leave_a_thread(secret):
    thread = threading.Thread(target=fail_as, args=(ArithmeticError, secret))
    thread.start()
    thread.join()


@task
def leave_an_object(secret):
    class Left:
        def __del__(self):
            raise BufferError(secret)

    Left()


@task
def leave_a_greenlet(secret):
    import gevent  # a package that need not be there

    gevent.spawn(fail_as, AssertionError, secret).join()


@task
async def leave_a_coroutine(secret):
    async def part():
        raise EOFError(secret)

    left = asyncio.create_task(part())
    asyncio.get_running_loop().call_soon(fail_as, FloatingPointError, secret)
    while not left.done():
        await asyncio.sleep(0)
    del left
    gc.collect()
    await asyncio.sleep(0)


@task(on_lost="fail")
async def exit_in_a_coroutine(secret):
    async def part():
        sys.exit(secret)

    await asyncio.gather(part(), asyncio.sleep(60))


# --- what others see of a process ----------------------------------------------------------------


@task
def hold(secret, gate):
    """Return the names of what is run, as every user of the machine may see them meanwhile."""
    while not os.path.exists(gate):
        time.sleep(0.01)
    return [repr(Path(f"/proc/{os.getpid()}/{name}").read_text()) for name in ("cmdline", "comm")]


@receiver(task_finished)
def fail_to_tell(sender, task_result, **kwargs):
    if task_result.task.func.__name__ == "fail_plainly":
        raise ConnectionError("the receiver's own")
