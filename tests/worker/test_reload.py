"""--reload, for development."""

import os
import shutil
import signal
import textwrap
import time
from pathlib import Path

import pytest

from django_tasks import TaskResultStatus
from django_tasks.models import TaskRecord
from django_tasks.worker import reload
from tests.worker import tasks
from tests.worker.ledger import await_lines, lines, until
from tests.worker.processes import children_of, session_members

TASKS = """
    import os, time
    from django_tasks import task

    @task
    def speak(book, gate):
        with open(book, "a") as file:
            file.write("{word}\\n")
        while not os.path.exists(gate):
            time.sleep(0.01)
"""


@pytest.fixture
def app(tmp_path):
    """A directory with an app `edited` whose tasks module can be rewritten."""
    package = tmp_path / "code" / "edited"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    write(package, "old")
    yield package
    shutil.rmtree(package.parent)


def write(package, word):
    (package / "tasks.py").write_text(textwrap.dedent(TASKS).replace("{word}", word))


def speak(book, gate):
    """Enqueue the edited app's task, which this process does not have."""
    result = tasks.wait_for.using(run_after=None).enqueue(str(gate), book)
    TaskRecord.objects.filter(pk=result.id).update(
        task_path="edited.tasks.speak", args=f'["{book}","{gate}"]'
    )
    return result


def start_reloading(start, app):
    from tests.worker.settings import INSTALLED_APPS

    return start(
        "--reload", "-c", 1,
        settings={"INSTALLED_APPS": [*INSTALLED_APPS, "edited"]},
        env={"PYTHONPATH": f"{app.parent}:{Path(__file__).parent.parent.parent}"},
    )  # fmt: skip


def test_change_of_code_restarts_the_worker(start, app, book, gate):
    """The running task may finish, and the next one runs the new code."""
    worker = start_reloading(start, app)
    first = speak(book, gate)
    assert await_lines(book, 1) == ["old"]

    write(app, "new")
    worker.await_output("Stopping: waiting for 1 running task")
    gate.touch()
    until(lambda: status(first) == TaskResultStatus.SUCCESSFUL, "the first task")
    speak(book, gate)

    assert await_lines(book, 2) == ["old", "new"]
    assert worker.output.count("django_tasks worker ") == 2
    worker.interrupt_group()
    worker.wait()
    until(lambda: not session_members(worker.pid), "the end of all processes")


def test_ctrl_c_leaves_nothing(start, app, book, gate):
    """Ctrl+C ends the reloader and the worker, gently, without an orphan or a traceback."""
    worker = start_reloading(start, app)
    first = speak(book, gate)
    await_lines(book, 1)

    worker.interrupt_group()
    worker.await_output("Stopping: waiting for 1 running task")
    gate.touch()

    worker.wait()
    until(lambda: not session_members(worker.pid), "the end of all processes")
    assert status(first) == TaskResultStatus.SUCCESSFUL
    assert "Traceback" not in worker.output
    assert lines(book) == ["old"]


@pytest.mark.parametrize("victim", ["outer", "inner"])
def test_killed_reloader_leaves_nothing(start, app, book, gate, victim):
    """Killed reloaders take their worker with them, gently: its task may finish."""
    worker = start_reloading(start, app)
    first = speak(book, gate)
    await_lines(book, 1)
    [inner] = children_of(worker.pid)

    if victim == "inner":
        os.kill(inner, signal.SIGKILL)
    else:
        worker.signal(signal.SIGTERM)
    worker.await_output("Stopping: waiting for 1 running task")
    gate.touch()

    worker.wait()
    until(lambda: not session_members(worker.pid), "the end of all processes")
    assert status(first) == TaskResultStatus.SUCCESSFUL


def test_a_file_mended_during_the_first_snapshot_counts_as_changed(tmp_path, monkeypatch):
    """The process read it before; only the second snapshot may hold its new time."""
    file = tmp_path / "mended.py"
    reloader = reload._Reloader()

    def files_while_somebody_types():
        if not file.exists():
            file.touch()
            os.utime(file, ns=(time.time_ns(), time.time_ns()))
        yield file

    monkeypatch.setattr(reloader, "watched_files", files_while_somebody_types)
    first, second = (dict(reloader.snapshot_files())[file] for _ in range(2))

    assert first < second == file.stat().st_mtime


def status(result):
    return TaskResultStatus(TaskRecord.objects.values_list("status", flat=True).get(pk=result.id))
