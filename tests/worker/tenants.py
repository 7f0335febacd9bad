"""
Tasks of tenants with a PostgreSQL schema each, and the propagator of docs/howto/multi-tenancy.md.

The document's example is run as it stands, on a stand-in for what it imports of django-tenants.
"""

import asyncio
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_tasks import Retry, task
from tests.worker import ledger

DOCUMENT = Path(__file__).parents[2] / "docs" / "howto" / "multi-tenancy.md"


def set_schema(name):
    """Let this connection's statements be those of a tenant, and know it."""
    connection.schema_name = name
    with connection.cursor() as cursor:
        cursor.execute(f"SET search_path TO {', '.join(dict.fromkeys([name, 'public']))}")


@contextmanager
def schema_context(name):
    before = connection.schema_name
    set_schema(name)
    try:
        yield
    finally:
        set_schema(before)


def _example():
    """Return the class that the document shows."""
    BaseDatabaseWrapper.schema_name = "public"
    utils = ModuleType("django_tenants.utils")
    utils.schema_context = schema_context
    utils.get_public_schema_name = lambda: "public"
    sys.modules["django_tenants.utils"] = utils
    try:
        [code] = re.findall(
            r"^```python\n# shop/tenancy.py\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S
        )
        names = {}
        exec(code, names)
    finally:
        del sys.modules["django_tenants.utils"]
    return names["TenantSchema"]


TenantSchema = _example()


def notes(schema):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT text FROM {schema}.note ORDER BY text")
        return [text for (text,) in cursor]


def insert(text):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO note VALUES (%s)", [text])


@task
def write(text):
    insert(text)


@task
async def write_async(text):
    await sync_to_async(insert)(text)


@task(atomic=True)
def write_atomic(text):
    insert(text)


@task
def leave_schema(name):
    """Leave this thread's connection as a library, or a SET of one's own, may."""
    set_schema(name)


@task
async def leave_schema_async(name):
    await sync_to_async(set_schema)(name)


@task(atomic=True)
def write_and_enqueue(text):
    insert(text)
    write.enqueue(f"{text}, next")


@task(takes_context=True, max_attempts=2)
def write_twice(context, text):
    """Write in two attempts, with metadata saved in the first."""
    insert(f"{text}, attempt {context.attempt}")
    if context.attempt == 1:
        context.metadata["seen"] = True
        context.save_metadata()
        raise Retry(delay=0)


@task
def wait_for_cancel(book):
    ledger.write(book, "begun")
    while True:
        time.sleep(0.01)


@task
async def wait_for_cancel_async(book):
    ledger.write(book, "begun")
    await asyncio.Event().wait()


@task(atomic=True)
def break_transaction():
    connections["default"].cursor().execute("SELECT no_such_column")
