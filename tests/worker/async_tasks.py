"""Coroutine bodies that use threads and tasks beside their own, and leave a mess there."""

import asyncio
import signal
from functools import partial

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connection, transaction

from django_tasks import task
from tests.worker import ledger


def _count():
    return Group.objects.count()


def _cut():
    """Have the server close this thread's connection."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        else:
            cursor.execute("KILL CONNECTION_ID()")


def _leave_transaction(name):
    transaction.set_autocommit(False)
    Group.objects.create(name=name)


async def _by_executor(function, *args):
    return await asyncio.get_running_loop().run_in_executor(None, partial(function, *args))


async def _by_run(function, *args):
    return await sync_to_async(function)(*args)


#: How a coroutine calls what must not run in its loop.
WAYS = {
    "sync_to_async": lambda function, *args: sync_to_async(function)(*args),
    "insensitive": lambda function, *args: sync_to_async(function, thread_sensitive=False)(*args),
    "to_thread": asyncio.to_thread,
    "executor": _by_executor,
}


@task
async def count_groups(way):
    return await WAYS[way](_count)


@task
async def cut_connection(way):
    await WAYS[way](_cut)


@task
async def leave_transaction(way, name):
    await WAYS[way](_leave_transaction, name)


@task
async def create_group(way, name):
    await WAYS[way](partial(Group.objects.create, name=name))


@task
def cut_in_own_loop():
    """A plain body with an event loop of its own."""
    asyncio.run(_by_run(_cut))


@task
def count_in_own_loop():
    return asyncio.run(_by_run(_count))


@task
async def hold_transaction(name, other):
    """Keep a transaction open while others write, look whether it is, and roll it back."""

    def roll_back():
        transaction.rollback()
        transaction.set_autocommit(True)

    await sync_to_async(_leave_transaction)(name)
    while not await Group.objects.filter(name=other).aexists():
        await asyncio.sleep(0.01)
    is_held = await Group.objects.filter(name=name).aexists()
    await sync_to_async(roll_back)()
    return is_held


async def _tick(ledger_path, word):
    try:
        while True:
            ledger.write(ledger_path, word)
            await asyncio.sleep(0.01)
    finally:
        ledger.write(ledger_path, "cancelled")


@task
async def leave_asyncio_task(ledger_path):
    asyncio.create_task(_tick(ledger_path, "tick"))  # noqa: RUF006 - it is left behind
    await asyncio.sleep(0.05)


@task
async def linger(seconds):
    await asyncio.sleep(seconds)


@task
async def leave_signal_handler():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, lambda: None)


@task
def wakeup_descriptor():
    """Return where signals are written to, -1 for nowhere."""
    return signal.set_wakeup_fd(-1)
