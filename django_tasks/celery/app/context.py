"""What ``self.request`` is: the call that a body runs for."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from ...definitions.current import current_task_id
from .. import _state

if TYPE_CHECKING:
    from ...definitions.context import TaskContext

#: Under which a task's metadata has what Celery's messages have in their headers.
KEY = "celery"


class Context:
    """A request: attributes that may be read, replaced and added."""

    args: Any = None
    callbacks: Any = None
    called_directly = True
    chain: Any = None
    chord: Any = None
    correlation_id: str | None = None
    delivery_info: Any = None
    errbacks: Any = None
    eta: Any = None
    expires: Any = None
    group: Any = None
    group_index: Any = None
    headers: Any = None
    hostname: str | None = None
    id: str | None = None
    ignore_result = False
    is_eager = False
    kwargs: Any = None
    logfile: Any = None
    loglevel: Any = None
    origin: Any = None
    parent_id: str | None = None
    properties: Any = None
    retries = 0
    reply_to: Any = None
    replaced_task_nesting = 0
    root_id: str | None = None
    shadow: Any = None
    stamped_headers: Any = None
    stamps: Any = None
    task: str | None = None
    taskset: Any = None
    time_limit: Any = None
    soft_time_limit: Any = None
    timelimit: Any = None
    utc: Any = None
    #: Whether the body of this request has begun: what calls the task again is another call.
    _protected = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._children: list[Any] = []
        self.update(*args, **kwargs)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several attributes."""
        self.__dict__.update(*args, **kwargs)

    def clear(self) -> None:
        """Remove all that was set."""
        self.__dict__.clear()

    def get(self, key: str, default: Any = None) -> Any:
        """Return an attribute, or `default`."""
        return getattr(self, key, default)

    @property
    def children(self) -> list[Any]:
        """The results of tasks that the body has called."""
        return self._children

    @property
    def task_id(self) -> str | None:
        """The id, by its old name."""
        return self.id

    def __repr__(self) -> str:
        return f"<Context: {vars(self)!r}>"


class _Stored:
    """An attribute that is read from the task's record when it is asked for, unless it was set."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, request: Any, owner: type) -> Any:
        if request is None:
            return getattr(Context, self.name)
        value = request.__dict__[self.name] = request._record().get(self.name)
        return value


class WorkerContext(Context):
    """The request of a task that a worker runs. What a claim does not bring is read when asked."""

    delivery_info = _Stored()
    eta = _Stored()
    expires = _Stored()
    headers = _Stored()
    parent_id = _Stored()
    properties = _Stored()
    root_id = _Stored()
    shadow = _Stored()
    called_directly = False
    utc = True

    def __init__(self, context: TaskContext, task: Any, args: Any, kwargs: Any) -> None:
        super().__init__(args=args, kwargs=kwargs, task=task.name, hostname=nodename())
        self._context = context
        self._stored: dict[str, Any] | None = None
        self.retries = context.attempt - 1
        self.id = self.correlation_id = self._id()
        self.ignore_result = task.ignore_result
        self.timelimit = (task.time_limit, task.soft_time_limit)

    def _id(self) -> str:
        native = current_task_id.get()
        if native is None:
            return str(self._context.task_result.id)
        if native.version == 5:  # made of an id that is no UUID: the record has it as it was given
            return str(self._metadata().get("id", native))
        return str(native)

    def _metadata(self) -> dict[str, Any]:
        found = self._context.metadata.get(KEY)
        return found if isinstance(found, dict) else {}

    def _record(self) -> dict[str, Any]:
        if self._stored is None:
            result = self._context.task_result
            given = self._metadata()
            self._stored = {
                "delivery_info": {
                    "exchange": "",
                    "routing_key": result.task.queue_name,
                    "priority": result.task.priority,
                    "redelivered": False,
                },
                "eta": _text(getattr(result, "run_after", None)),
                "expires": _text(getattr(result, "expires_at", None)),
                "headers": given.get("headers") or {},
                "parent_id": given.get("parent_id"),
                "properties": {"correlation_id": self.id, "priority": result.task.priority},
                "root_id": given.get("root_id", self.id),
                "shadow": given.get("shadow"),
            }
        return self._stored

    def __getattr__(self, name: str) -> Any:
        headers = {} if name.startswith("_") else self.headers
        if name not in headers:
            raise AttributeError(f"The request of a task has no attribute {name!r}.")
        return headers[name]


def eager_request(
    task: Any,
    task_id: str,
    args: Any,
    kwargs: Any,
    retries: int,
    headers: dict[str, Any],
    options: dict[str, Any],
) -> Context:
    """Return the request of a call that runs here and now."""
    parent = _state.get_current_task()
    return Context(
        headers,
        id=task_id,
        task=task.name,
        args=args,
        kwargs=kwargs,
        called_directly=False,
        is_eager=True,
        retries=retries,
        hostname=nodename(),
        headers=headers or None,
        parent_id=parent.request.id if parent else None,
        root_id=(parent.request.root_id if parent else None) or task_id,
        delivery_info={"is_eager": True, "routing_key": options.get("queue")},
    )


def nodename() -> str:
    """Return the name of this host's workers, as Celery writes it."""
    return f"celery@{socket.gethostname()}"


def _text(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()
