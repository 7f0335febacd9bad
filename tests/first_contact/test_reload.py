"""`runworker --reload` while somebody is typing."""

import signal

import pytest

from tests.first_contact.conftest import TASKS
from tests.worker.ledger import until
from tests.worker.processes import LIVE, WorkerProcess, session_members

HALF_TYPED = TASKS + "\ndef broken(:\n"
BROKEN = "The code cannot be imported. The worker starts when a file has changed."


@pytest.fixture
def start(project):
    """Return a function that starts a worker which ends with the test."""
    workers = []

    def start(*options):
        command = project.command("runworker", "--reload", "-c", 1)
        workers.append(
            WorkerProcess(*options, command=command, cwd=project.path, env=project.environment)
        )
        return workers[-1]

    assert project.run("migrate").returncode == 0
    yield start
    for worker in workers:
        worker.close()


def await_count(worker, text, count):
    until(lambda: worker.output.count(text) == count, f"{count} times {text!r}")


@pytest.mark.parametrize("name", ["tasks", "models", "tasks_of_mail"])
def test_a_half_typed_file_stops_the_worker_until_it_is_mended(project, start, name):
    """Whichever file it is: one that the worker began with, or a new one."""
    project.write("hello/models.py", "")
    worker = start()
    worker.await_output(LIVE)

    project.write(f"hello/{name}.py", HALF_TYPED)
    if name == "tasks_of_mail":
        project.append("hello/tasks.py", "from . import tasks_of_mail")
    worker.await_output(BROKEN)
    assert "SyntaxError: invalid syntax" in worker.output
    project.write(f"hello/{name}.py", "from django_tasks import task")

    await_count(worker, LIVE, 2)
    worker.interrupt_group()
    assert worker.wait() == 0
    until(lambda: not session_members(worker.pid), "the end of all processes")


@pytest.mark.parametrize("name", ["tasks", "models"])
def test_it_begins_on_a_half_typed_file(project, start, name):
    project.write(f"hello/{name}.py", HALF_TYPED)
    worker = start()
    worker.await_output(BROKEN)
    assert LIVE not in worker.output

    project.write(f"hello/{name}.py", "")

    worker.await_output(LIVE)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def test_a_check_that_fails_is_told_and_waits_for_a_change(project, start):
    project.append("hello/tasks.py", "")
    project.append("settings.py", 'DJANGO_TASKS = {"LAESE": 1}')
    worker = start()
    worker.await_output("The worker has ended with code 1. It starts again when a file has changed")
    assert "did you mean 'LEASE'?" in worker.output

    project.append("settings.py", "DJANGO_TASKS = {}")

    worker.await_output(LIVE)


def test_wrong_options_end_it(start):
    """No change of code would mend them."""
    worker = start("--pool", "treads")

    assert worker.wait() == 2
    assert "did you mean 'threads'?" in worker.output
