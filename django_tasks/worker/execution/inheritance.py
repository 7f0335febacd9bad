"""
Reset what a child that a body forks must not inherit from the worker.

A fork copies the worker's signal handlers, so that SIGTERM would tell the child to claim no more
instead of ending it; its pipes, which would stay open as long as the child lives; and the
connections of all threads, on which the child could speak, and which some drivers close for
everybody when the child forgets them.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from ...dep14.private import break_transaction, take_pool
from ...runtime.forks import LOOK

#: What a worker's processes handle or ignore.
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGALRM,
            signal.SIGCHLD, LOOK)  # fmt: skip


class _Forking(threading.local):
    """
    What is noted of this thread when it forks.

    The child keeps the connections, and the pools of some, for ever: a destructor may say goodbye
    to the server, or wait for threads that are not there. They have to be noted before, as Python
    drops what other threads have before it runs anything in the child.
    """

    connections: Sequence[tuple[BaseDatabaseWrapper, Any]] = ()
    pools: Sequence[Any] = ()
    #: The signals that were blocked before; None: it does not fork.
    mask: set[int] | None = None


class Inheritance:
    """What children of this process do not get, while it is a worker's."""

    def __init__(self) -> None:
        self._is_on = False
        self._is_registered = False
        self._descriptors: list[int] = []
        self._wrappers: WeakValueDictionary[int, BaseDatabaseWrapper] = WeakValueDictionary()
        self._forking = _Forking()

    def withhold(self, *descriptors: int) -> None:
        """From now on give children neither these nor handlers of signals nor connections."""
        self._descriptors += descriptors
        self._is_on = True
        connection_created.connect(self._note_connection, dispatch_uid="django_tasks.inheritance")
        if not self._is_registered:  # which cannot be undone
            self._is_registered = True
            os.register_at_fork(
                before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child
            )

    def stop(self) -> None:
        """Give children all again: this process is a worker's no more."""
        self._is_on = False
        self._descriptors.clear()

    def _note_connection(self, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
        self._wrappers[id(connection)] = connection
        _keep_from_programs(_descriptor(connection.connection))

    def _before(self) -> None:
        if self._is_on:
            # A signal that the child is sent at once waits until it has no handlers of ours.
            self._forking.mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED))
            wrappers = [found for known in self._wrappers.valuerefs() if (found := known())]
            self._forking.connections = [(wrapper, wrapper.connection) for wrapper in wrappers]

    def _in_parent(self) -> None:
        if self._forking.mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._forking.mask)
        self._forking.connections, self._forking.mask = (), None

    def _in_child(self) -> None:
        if not self._is_on:
            return
        self._is_on = False  # what the child forks is its own affair
        _reset_signals()
        null = os.open(os.devnull, os.O_RDWR)
        self._forking.pools = [
            _disconnect(wrapper, raw, null) for wrapper, raw in self._forking.connections
        ]
        for descriptor in self._descriptors:
            _redirect(descriptor, null)
        os.close(null)


#: Those of this process: a fork copies all of it, so there is one.
inheritance = Inheritance()


def _reset_signals() -> None:
    """Have Python's own handlers instead of the worker's; one that the body has set stays."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        if _is_ours(signal.getsignal(number)):
            is_int = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if is_int else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)


def _is_ours(handler: Any) -> bool:
    return str(getattr(handler, "__module__", "")).startswith("django_tasks.")


def _descriptor(raw: Any) -> int | None:
    """Return the socket of a driver's connection, if it has one that is open."""
    socket = getattr(raw, "_sock", raw)  # PyMySQL
    try:
        return int(socket.fileno())
    except Exception:  # noqa: BLE001 - each driver has its own way to say that it is closed
        return None


def _keep_from_programs(descriptor: int | None) -> None:
    """Have a socket closed in programs: MariaDB's library leaves that out. None: all sockets."""
    names = os.listdir("/dev/fd") if descriptor is None else [descriptor]
    for number in map(int, names):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.set_inheritable(number, False)
        except OSError:  # closed meanwhile, as that of the listing itself
            continue


def _redirect(descriptor: int | None, null: int) -> None:
    """Let go of what is behind a descriptor, and let nothing else have its number."""
    if descriptor is not None and descriptor >= 0:
        os.dup2(null, descriptor, inheritable=False)


def _disconnect(wrapper: BaseDatabaseWrapper, raw: Any, null: int) -> Any:
    """
    Let Django connect anew; within a transaction it refuses, as after a close().

    Return the pool that the connection was from, if any.
    """
    if raw is not None:
        _redirect(_descriptor(raw), null)
        break_transaction(wrapper)
    return take_pool(wrapper)
