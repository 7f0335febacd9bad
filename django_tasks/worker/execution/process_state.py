"""Restore the state of a process that a body may change: directory, umask, environment."""

from __future__ import annotations

import logging
import os

logger = logging.getLogger("django_tasks.worker")


class ProcessState:
    """
    The working directory, umask and environment of this process, to be put back after a body.

    Put back rather than compared, where that costs as little: it happens after every task.
    Variables that a body adds stay: a library sets its own once, when it is first imported.
    """

    def __init__(self) -> None:
        self._directory = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
        self._umask = os.umask(0o77)
        os.umask(self._umask)
        self._remember_environment()

    def restore(self) -> None:
        """Undo what a body has changed."""
        os.umask(self._umask)
        try:
            os.fchdir(self._directory)
        except OSError as error:
            logger.warning("The working directory cannot be gone back to: %s", error)
        if os.environ._data != self._raw:  # type: ignore[attr-defined]
            self._restore_environment()

    def _restore_environment(self) -> None:
        os.environ.update(self._environment)
        self._remember_environment()

    def _remember_environment(self) -> None:
        self._environment = dict(os.environ)
        # What os.environ wraps: to compare that is one step in C, mostly of identities.
        self._raw = dict(os.environ._data)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._directory)
