"""Forking a process that sets its own signal handlers."""

import os
import signal

import pytest

from django_tasks.runtime.forks import accept_signals, fork

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks")


def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_signal_of_the_first_moment_waits_for_the_handler():
    """A SIGTERM sent before the process has a handler of its own reaches that handler."""
    read, write = os.pipe()

    def work():
        os.read(read, 1)  # the signal has been sent
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(7))
        accept_signals()
        return 1

    pid = fork(work)
    os.kill(pid, signal.SIGTERM)
    os.write(write, b".")

    assert wait(pid) == 7


def test_parent_takes_its_signals_again():
    """What fork() holds back it holds back in the new process only."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())

    pid = fork(lambda: 3)

    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    assert wait(pid) == 3
