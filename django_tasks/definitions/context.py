"""The context of a running task: what its body can read and report."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from .. import serializers
from ..conf import app_settings
from ..dep14 import base as dep14
from . import propagation
from .results import TaskResult


class Run(Protocol):
    """One attempt, as the worker that runs it sees it."""

    attempt: int

    def load_result(self) -> TaskResult[Any]: ...

    def save(self, fields: dict[str, Any], *, wait: bool) -> None:
        """Write columns of the task's row; return at once, or when they are in the database."""

    def is_cancelled(self) -> bool: ...


class DetachedRun:
    """A run without a worker, as in the immediate backend: there is nowhere to store anything."""

    def __init__(self, result: Any) -> None:
        self._result = result
        self.attempt: int = result.attempts

    def load_result(self) -> TaskResult[Any]:
        """Return the result that the backend made."""
        result: TaskResult[Any] = self._result
        return result

    def save(self, fields: dict[str, Any], *, wait: bool) -> None:
        """Check nothing and keep nothing: the caller has checked the values."""

    def is_cancelled(self) -> bool:
        """Return False: nobody can cancel what runs in the caller's thread."""
        return False


class ProgressReporter:
    """Writes the progress of a task, at most every PROGRESS_INTERVAL seconds."""

    __slots__ = ("_context", "_written_at")

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._written_at = float("-inf")

    def set(self, done: float, total: float | None = None, message: str = "") -> None:
        """
        Report that `done` of `total` is done.

        Cheap enough for every step of a loop: values in between are skipped, the last one is
        always stored, at the latest with the task's result.
        """
        text = serializers.dumps(
            [done, total, str(message)], "progress", app_settings.MAX_RESULT_BYTES
        )
        now = time.monotonic()
        is_due = now - self._written_at >= app_settings.PROGRESS_INTERVAL or done == total
        self._context._store({"progress": text}, now=is_due)
        if is_due:
            self._written_at = now


class TaskContext(dep14.TaskContext):  # type: ignore[type-arg]
    """
    The first argument of a task with takes_context=True.

    What it stores is written beside the body, not in the body's transaction: it is seen at once,
    and kept when the body's own writes are rolled back.
    """

    __slots__ = ("_log", "_metadata", "_pending", "_result", "_run", "progress")

    if TYPE_CHECKING:
        _log: BoundedLog | None
        _metadata: dict[str, Any] | None
        _pending: dict[str, Any]
        _result: TaskResult[Any] | None
        _run: Run
        progress: ProgressReporter

    def __init__(self, run: Run) -> None:
        # Not the dataclass's __init__: it would need the result, which is loaded when asked for.
        for name, value in (
            ("_run", run),
            ("_result", None),
            ("_metadata", None),
            ("_log", None),
            ("_pending", {}),
            ("progress", ProgressReporter(self)),
        ):
            object.__setattr__(self, name, value)

    @property
    def task_result(self) -> TaskResult[Any]:  # type: ignore[override]
        """The result of this task as it was when first asked for."""
        if self._result is None:
            object.__setattr__(self, "_result", self._run.load_result())
        assert self._result is not None
        return self._result

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1 on."""
        return self._run.attempt

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked to cancel this task while it runs."""
        return self._run.is_cancelled()

    @property
    def metadata(self) -> dict[str, Any]:
        """The task's metadata; change it in place, then call save_metadata()."""
        if self._metadata is None:
            stored = getattr(self.task_result, "metadata", {})  # the immediate backend has none
            object.__setattr__(self, "_metadata", dict(stored))
        assert self._metadata is not None
        return self._metadata

    def save_metadata(self) -> None:
        """Store the metadata; it is in the database when this returns."""
        captured = getattr(self.task_result, "propagated", {})
        text = propagation.metadata_text(self.metadata, captured) or "{}"
        self._store({"metadata": text}, now=True, wait=True)

    async def asave_metadata(self) -> None:
        """See save_metadata()."""
        from asgiref.sync import sync_to_async

        await sync_to_async(self.save_metadata, thread_sensitive=True)()

    def set_state(self, name: str, meta: Any = None) -> None:
        """Show `name` as the result's state while the task runs, with `meta` (JSON) beside it."""
        if not isinstance(name, str) or not 0 < len(name) <= 64 or not name.isprintable():
            raise ValueError(f"A state is text of 1 to 64 printable characters, not {name!r}.")
        text = serializers.dumps(meta, "meta", app_settings.MAX_RESULT_BYTES)
        self._store({"custom_state": name, "meta": text}, now=True)

    def log(self, message: object) -> None:
        """Add a line to the task's own log, which the admin shows. The oldest lines go first."""
        if self._log is None:
            object.__setattr__(self, "_log", BoundedLog(app_settings.MAX_LOG_BYTES))
        assert self._log is not None
        self._log.add(str(message))
        self._store({"log": self._log.text()}, now=False)

    def _store(self, fields: dict[str, Any], *, now: bool, wait: bool = False) -> None:
        self._pending.update(fields)
        if now:
            ready = dict(self._pending)
            self._pending.clear()
            self._run.save(ready, wait=wait)

    @classmethod
    def of(cls, context: Any) -> TaskContext:
        """Return `context`, or one of this class for what a backend without a worker made."""
        return context if isinstance(context, cls) else cls(DetachedRun(context.task_result))

    def take_pending(self) -> dict[str, Any]:
        """Return what is still to be written, for the worker to write with the outcome."""
        ready = dict(self._pending)
        self._pending.clear()
        return ready


class BoundedLog:
    """The newest lines of a log, up to a size in bytes."""

    def __init__(
        self, limit: int, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.limit = limit
        self.clock = clock
        self.lines: list[str] = []
        self.size = 0

    def add(self, message: str) -> None:
        """Add a line with its time."""
        clean = message.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode()
        line = f"{self.clock():%Y-%m-%dT%H:%M:%S.%fZ} {clean}"[: self.limit]
        self.lines.append(line)
        self.size += len(line) + 1
        while self.size > self.limit and len(self.lines) > 1:
            self.size -= len(self.lines.pop(0)) + 1

    def text(self) -> str:
        """Return the lines as one text."""
        return "\n".join(self.lines)
