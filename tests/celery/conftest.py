"""A real worker for the tests of one module."""

import pytest
from django.db import connections

from django_tasks.models import TaskAttempt, TaskRecord, WorkerRecord
from tests.worker.processes import WorkerProcess

MODULES = ["tests.celery.tasks", "tests.celery.receivers"]


@pytest.fixture(scope="module")
def worker(django_db_setup, django_db_blocker, tmp_path_factory):
    """A worker of two processes that runs the façade's tasks; `book` is what its signals say."""
    book = tmp_path_factory.mktemp("worker") / "book"
    with django_db_blocker.unblock():
        process = WorkerProcess(
            "-c", 2, settings={"DJANGO_TASKS": {"TASK_MODULES": MODULES}}, env={"BOOK": str(book)}
        )
        process.book = book
        process.await_output("queues ")
        yield process
        process.close()
        for model in (TaskAttempt, TaskRecord, WorkerRecord):
            model.objects.all().delete()
        connections.close_all()
