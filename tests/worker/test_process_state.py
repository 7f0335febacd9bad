"""A body's changes to its process end with it."""

import os
import subprocess
import sys
from contextlib import closing

import pytest

from django_tasks.worker.execution.process_state import ProcessState
from tests.worker import tasks
from tests.worker.ledger import PATIENCE


@pytest.fixture
def process_state():
    with closing(ProcessState()) as process_state:
        yield process_state
        process_state.restore()


def seen_by_a_child():
    """Return the environment that a process started here gets."""
    code = "import os; print(os.environ.get('TESTS_ADDED'), os.environ.get('HOME'))"
    return subprocess.check_output([sys.executable, "-c", code], text=True).split()


def test_directory_umask_and_environment_are_put_back(process_state, tmp_path, monkeypatch):
    """Also when the directory is gone, and for later processes; what was added stays."""
    monkeypatch.setenv("HOME", "/home/tests")
    with closing(ProcessState()) as own:
        before = os.getcwd(), dict(os.environ)
        (tmp_path / "gone").mkdir()
        os.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        old_umask = os.umask(0)
        os.environ["TESTS_ADDED"] = "1"
        del os.environ["HOME"]

        own.restore()

    assert seen_by_a_child() == ["1", "/home/tests"]
    assert os.environ.pop("TESTS_ADDED") == "1"
    assert (os.getcwd(), dict(os.environ)) == before
    umask = os.umask(old_umask)
    assert umask == old_umask


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_next_body_finds_what_the_first_found(start, pool, tmp_path):
    """In the pools that run one body at a time."""
    start("--pool", pool, "-c", 1)
    first = tasks.change_process_state.enqueue(str(tmp_path)).wait(PATIENCE)

    assert tasks.change_process_state.enqueue(str(tmp_path)).wait(PATIENCE) == first
