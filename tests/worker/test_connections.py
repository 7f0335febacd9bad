"""Connections of a worker: its own, and those of bodies between two of them."""

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection

from django_tasks.models import TaskRecord
from django_tasks.store import dialects
from django_tasks.worker.execution.connections import tidy_connections
from tests.worker import atomic_tasks, tasks
from tests.worker.ledger import PATIENCE, lines


@pytest.fixture(params=["prepare_worker_connection", "prepare_claiming_connection"])
def own(request):
    """A connection as engines, keepers and beats have it."""
    own = connection.copy()
    own.settings_dict["AUTOCOMMIT"] = False
    getattr(dialects.dialect_for(own), request.param)(own)
    yield own
    own.close()


def test_own_connections_remember_no_queries(own, settings):
    """They live as long as the process, and their statements have all return values in them."""
    settings.DEBUG = True

    with own.cursor() as cursor:
        cursor.execute("SELECT 1")

    assert len(own.queries_log) == 0


def test_own_connections_commit_each_statement(own):
    """Whatever DATABASES says."""
    own.ensure_connection()

    assert own.get_autocommit() is True
    assert dialects.is_idle(own)


@pytest.mark.parametrize("is_debug", [True, False], ids=["DEBUG", "asked for by a body"])
def test_queries_of_a_body_are_forgotten(settings, is_debug):
    """As a request's are when it ends."""
    settings.DEBUG = is_debug
    connection.force_debug_cursor = not is_debug
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert connection.queries_log

    tidy_connections()

    assert not connection.queries_log
    assert connection.force_debug_cursor is False


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_worker_where_autocommit_is_off(start, pool, book):
    """What it says of tasks is stored, and bodies that commit have committed."""
    database = settings.DATABASES["default"] | {
        "NAME": connection.settings_dict["NAME"],
        "AUTOCOMMIT": False,
    }
    worker = start("--pool", pool, "--burst", settings={
        "DATABASES": {"default": database},
        "DJANGO_TASKS": {"TASK_MODULES": ["tests.worker.atomic_tasks"]},
    })  # fmt: skip
    plain = tasks.process_id.enqueue(book, "plain")
    atomic = atomic_tasks.lose_transaction.enqueue(book, 0)

    plain.wait(PATIENCE)
    atomic.wait(PATIENCE)
    assert worker.wait() == 0

    assert set(TaskRecord.objects.values_list("status", "attempts")) == {("SUCCESSFUL", 1)}
    assert Group.objects.count() == 1
    assert len(lines(book)) == 2
    assert "was left open" not in worker.output
