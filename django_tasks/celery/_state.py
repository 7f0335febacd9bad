"""Which app is the current one, and which task runs here."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from .local import Proxy

if TYPE_CHECKING:
    from .app.base import Celery
    from .app.task import Task


class LocalStack:
    """A stack of its own for each thread, greenlet and coroutine."""

    def __init__(self, name: str) -> None:
        self._items: ContextVar[tuple[Any, ...]] = ContextVar(name, default=())

    def push(self, item: Any) -> Any:
        """Put `item` on top."""
        self._items.set((*self._items.get(), item))
        return item

    def pop(self) -> Any:
        """Take the top away and return it; None if the stack is empty."""
        items = self._items.get()
        self._items.set(items[:-1])
        return items[-1] if items else None

    @property
    def top(self) -> Any:
        """The top, or None."""
        items = self._items.get()
        return items[-1] if items else None

    @property
    def stack(self) -> list[Any]:
        """All items, the top last."""
        return list(self._items.get())

    def __len__(self) -> int:
        return len(self._items.get())


_task_stack = LocalStack("django_tasks_celery_tasks")
_apps: list[Celery] = []
_current: list[Celery] = []


def register_app(app: Celery, *, is_current: bool) -> None:
    """Remember an app; the newest with `set_as_current` is the current one."""
    _apps.append(app)
    if is_current:
        _current[:] = [app]


def set_default_app(app: Celery) -> None:
    """Make `app` the current one."""
    _current[:] = [app]


def get_current_app() -> Celery:
    """Return the newest app; one without a name if the project has made none."""
    if not _current:
        from .app.base import Celery

        Celery("default")
    return _current[0]


def get_current_task() -> Task | None:
    """Return the task whose body runs here, or None."""
    task: Task | None = _task_stack.top
    return task


def app_or_default(app: Celery | None = None) -> Celery:
    """Return `app`, or the current one."""
    return get_current_app() if app is None else app


current_app: Any = Proxy(get_current_app)
current_task: Any = Proxy(get_current_task)
