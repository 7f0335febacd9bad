"""Bodies that are a transaction with their success, and lose it."""

import contextlib

from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction

from django_tasks import task
from tests.worker import ledger
from tests.worker.async_tasks import _cut


@task(atomic=True, max_attempts=1)
def lose_transaction(ledger_path, times, *, is_caught=False):
    """Write, and have the server cut the connection in the first runs."""
    ledger.write(ledger_path, "ran")
    Group.objects.create(name="atomic")
    if len(ledger.lines(ledger_path)) <= times:
        with contextlib.suppress(DatabaseError) if is_caught else contextlib.nullcontext():
            _cut()


@task(atomic=True, max_attempts=1)
def close_own_connection(ledger_path):
    ledger.write(ledger_path, "ran")
    Group.objects.create(name="atomic")
    connection.close()


@task(atomic=True, max_attempts=3, backoff=0)
def fail_after_commit(ledger_path):
    def callback():
        ledger.write(ledger_path, "called back")
        raise ValueError("on purpose")

    Group.objects.create(name="atomic")
    transaction.on_commit(callback)
