"""Workers and empty tables for the tests of this folder."""

from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from django.db import connections

from django_tasks.models import QueueState, TaskAttempt, TaskRecord, WorkerRecord
from tests.worker.processes import WorkerProcess

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Ask for the database. available_apps: the flush touches no table, see `clean`."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.django_db(transaction=True, available_apps=["tests"]))


@pytest.fixture(scope="module")
def tables(django_db_setup, django_db_blocker):
    """Allow committed rows, which worker processes see, for a module."""
    with django_db_blocker.unblock():
        yield
        connections.close_all()


@pytest.fixture(autouse=True)
def clean(tables):
    """
    Delete what a test left behind.

    Not by a flush: it would delete the row of a worker that serves a whole module.
    """
    yield
    for model in (TaskAttempt, TaskRecord, QueueState, Group):
        model.objects.all().delete()


@pytest.fixture(scope="module")
def shared_worker(tables):
    """Return a function that starts a worker which ends with the module."""
    yield from _workers()


@pytest.fixture
def start(clean):
    """Return a function that starts a worker which ends with the test."""
    yield from _workers()
    WorkerRecord.objects.all().delete()


def _workers():
    workers = []

    def start(*options, **kwargs):
        workers.append(WorkerProcess(*options, **kwargs))
        return workers[-1]

    yield start
    for worker in workers:
        print(f"--- worker {worker.pid}\n{worker.output}")  # shown by pytest when a test fails
        worker.close()


@pytest.fixture
def book(tmp_path):
    """The path of a ledger."""
    return str(tmp_path / "ledger")


@pytest.fixture
def gate(tmp_path):
    """A file that does not exist yet: bodies wait for it."""
    return tmp_path / "gate"
