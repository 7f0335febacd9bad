"""Forking a process that sets its own signal handlers."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable

from ..redaction.exceptions import loggable_fault

#: Exit codes of a process towards its supervisor.
DONE, CRASHED, NOTHING_LEFT = 0, 70, 64

#: Sent to a process to make it look at its cancel flags and the interrupt flag.
#: (Windows has none. No worker runs there, but `django_tasks.testing` is to be imported.)
LOOK: signal.Signals = getattr(signal, "SIGUSR1", signal.SIGTERM)
#: Signals that wait, in a process just forked, until it has handlers of its own.
_HELD = (signal.SIGTERM, signal.SIGINT, LOOK)


def accept_signals() -> None:
    """Let the signals come that fork() holds back; those sent meanwhile arrive now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)


def fork(work: Callable[[], int]) -> int:
    """
    Call `work` in a new process, which exits with what it returns; return its pid.

    `work` sets its signal handlers and then calls accept_signals(): a SIGTERM that came before
    would end it as if it had crashed, or run a handler of this process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    old = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    pid = os.fork()
    if pid == 0:
        code = CRASHED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                signal.signal(number, signal.SIG_DFL)
            code = work()
        except BaseException as error:  # noqa: BLE001 - nothing may return into the parent's stack
            traceback.print_exception(loggable_fault(error))
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    signal.pthread_sigmask(signal.SIG_SETMASK, old)
    return pid
