"""Where results may be waited for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..conf import app_settings
from ..definitions.current import is_inside_a_task

#: Whether results may be waited for here. None: outside of tasks only.
_may_wait: ContextVar[bool | None] = ContextVar("django_tasks_celery_may_wait", default=None)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Let results be waited for inside of a task: it blocks a slot of the worker."""
    token = _may_wait.set(True)
    try:
        yield
    finally:
        _may_wait.reset(token)


@contextmanager
def denied_join_result() -> Iterator[None]:
    """Let get() raise RuntimeError."""
    token = _may_wait.set(False)
    try:
        yield
    finally:
        _may_wait.reset(token)


def assert_will_not_block() -> None:
    """Raise RuntimeError where waiting for a result blocks a slot of a worker."""
    may_wait = _may_wait.get()
    if may_wait is None:
        may_wait = not is_inside_a_task() or app_settings.ALLOW_WAIT_IN_TASKS
    if not may_wait:
        raise RuntimeError(
            "Never call result.get() within a task! It blocks a slot of the worker, and a pool"
            " whose slots all wait never ends. Enqueue a follow-up task instead, or wait inside of"
            " `with allow_join_result():`."
        )
