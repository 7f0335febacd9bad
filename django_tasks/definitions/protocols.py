"""
Shapes that the definitions share, so that none has to import the class that is made of them.

`Task` checks itself with `options`, enters itself in the `registry` and asks `declared_schedules`;
those take anything that is one of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias
from uuid import UUID

if TYPE_CHECKING:
    from ..schedules import Spec

    #: What ``@task(schedule=…)`` takes.
    Declarable: TypeAlias = Spec | Mapping[str, Any]

#: What `backoff` may be: seconds, a timedelta, a list of seconds (the last one repeats), or a
#: callable (exception, task_result) that returns seconds, or None to stop.
Backoff = float | timedelta | Sequence[float] | Callable[[BaseException, Any], float | None]


class AnyTask(Protocol):
    """A task, whatever its arguments and its value are. Its options: see `task.Task`."""

    @property
    def func(self) -> Callable[..., Any]: ...
    @property
    def module_path(self) -> str: ...
    @property
    def takes_context(self) -> bool: ...
    @property
    def priority(self) -> int: ...
    @property
    def backend(self) -> str: ...
    @property
    def queue_name(self) -> str: ...
    @property
    def run_after(self) -> datetime | timedelta | None: ...
    @property
    def max_attempts(self) -> int | None: ...
    @property
    def backoff(self) -> Backoff | None: ...
    @property
    def retry_on(self) -> tuple[type[BaseException], ...]: ...
    @property
    def give_up_on(self) -> tuple[type[BaseException], ...]: ...
    @property
    def time_limit(self) -> float | None: ...
    @property
    def soft_time_limit(self) -> float | None: ...
    @property
    def expires(self) -> float | timedelta | datetime | None: ...
    @property
    def result_ttl(self) -> float | timedelta | None: ...
    @property
    def ignore_result(self) -> bool: ...
    @property
    def atomic(self) -> bool: ...
    @property
    def on_lost(self) -> Literal["retry", "fail"]: ...
    @property
    def sensitive(self) -> tuple[str, ...]: ...
    @property
    def metadata(self) -> dict[str, Any] | None: ...
    @property
    def path(self) -> str | None: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...
    @property
    def task_id(self) -> UUID | None: ...
    @property
    def schedule(self) -> Declarable | None: ...
    @property
    def schedulable(self) -> bool | None: ...
    @property
    def is_schedulable(self) -> bool: ...
    @property
    def effective_max_attempts(self) -> int: ...
    @property
    def effective_backoff(self) -> Backoff: ...

    def get_backend(self) -> Any: ...
    def restored(self, **changes: Any) -> Any: ...
    def call(self, *args: Any, **kwargs: Any) -> Any: ...
    async def acall(self, *args: Any, **kwargs: Any) -> Any: ...


class StoringBackend(Protocol):
    """A backend whose tasks are rows: its class has `stores_rows = True`."""

    alias: str
    #: Names that tasks may use; empty: any.
    queues: Iterable[str]
    #: Attempts of a task that does not say.
    max_attempts: int

    @property
    def database(self) -> str:
        """The alias of the database that holds the rows."""

    @property
    def broker(self) -> Any:
        """Who hands out ready ids: a `brokers.base.Broker`."""

    def validate_task(self, task: Any) -> None:
        """Raise InvalidTask unless this backend can run `task`."""

    def tell(self, results: Sequence[Any]) -> None:
        """Tell subscribers and receivers of enqueued tasks."""

    def send_enqueued(self, results: Sequence[Any]) -> None:
        """Send task_enqueued for each result."""

    def ready_queues(self) -> list[str]:
        """Return the queues that have ready tasks."""
