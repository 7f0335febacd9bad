"""What a task of the façade is natively: a task whose body is run by `trace`, and its rows."""

from __future__ import annotations

import inspect
import json
import uuid as uuids
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from django.apps import apps

from ... import apps as own_apps
from ... import ids, serializers
from ...conf import app_settings
from ...definitions import celery_settings, registry
from ...definitions.options import MOST_ATTEMPTS
from ...definitions.task import Task as NativeTask
from ...dep14.base import DEFAULT_TASK_QUEUE_NAME
from .. import _state, signals
from ..notices import say_once
from ..utils.time import maybe_make_aware
from ..values import decode, encode
from . import trace
from .context import KEY
from .routes import route_of

if TYPE_CHECKING:
    from .task import Task

AnyNative = NativeTask[..., Any]

#: Tasks that wait for the settings: decorated while these were being read, or before.
_waiting: list[Any] = []
_made: dict[str, AnyNative] = {}

#: In this namespace ids that are no UUIDs have one: the same text, the same UUID.
_NAMESPACE = uuids.UUID("5b3f7a52-92d5-4c7e-8e0e-2b7c5e7d3c11")

#: Options of apply_async() that a native call has, or that are handled before.
_KNOWN = {"countdown", "eta", "expires", "queue", "priority", "headers", "shadow", "retries"}
#: Those that mean nothing here, or what is so in any case.
_MEANINGLESS = {
    "add_to_parent", "chain", "chord", "compression", "connection", "correlation_id", "declare",
    "delivery_mode", "exchange", "exchange_type", "group", "group_id", "group_index",
    "ignore_result", "immutable", "mandatory", "parent_id", "priority_steps", "publisher",
    "replaced_task_nesting", "reply_to", "retry", "retry_policy", "root_id", "route_name",
    "router", "routing_key", "serializer", "stamped_headers", "trail",
}  # fmt: skip


# --- tasks ---------------------------------------------------------------------------------------


def register(task: Task) -> None:
    """Make a native task of `task`: now, or when Django has read its settings."""
    if apps.apps_ready:
        _made[str(task.name)] = make(task)
    else:
        _waiting.append(task)


def make_waiting() -> None:
    """Make native tasks of all that waited for the settings."""
    while _waiting:
        register(_waiting.pop(0))


own_apps.before_discovery.append(make_waiting)


def of(task: Task) -> AnyNative:
    """Return the native task of a task."""
    if _waiting and apps.apps_ready:
        make_waiting()
    found = _made.get(str(task.name))
    if found is None:
        raise RuntimeError(
            f"{task!r} cannot be enqueued before Django's apps are loaded, or it was not"
            " registered: decorate it, or give it to app.register_task()."
        )
    return found


def make(task: Task) -> AnyNative:
    """Return the native task of `task`, entered in the registry."""
    conf = task._get_app().conf
    if task.ignore_result is None:
        task.ignore_result = bool(conf.task_ignore_result)
    if task.rate_limit:
        say_once(f"rate_limit of {task.name} has no effect: there are no rate limits.")
    if task.Request is not None or task.Strategy is not None:
        say_once(f"Request and Strategy of {task.name} have no effect: use the task's hooks.")
    hard = conf.task_time_limit if task.time_limit is None else task.time_limit
    soft = conf.task_soft_time_limit if task.soft_time_limit is None else task.soft_time_limit
    if soft and hard and soft > hard:
        raise ValueError("soft_time_limit must be less than or equal to time_limit")
    if soft == hard:
        soft = None  # there is no time between them in which a body could clean up
    acks_late = conf.task_acks_late if task.acks_late is None else task.acks_late
    return NativeTask(
        func=_body(task),
        path=task.name,
        takes_context=True,
        queue_name=_queue_name(task.queue or conf.task_default_queue),
        priority=celery_settings.priority(_first(task.priority, conf.task_default_priority, 0)),
        max_attempts=MOST_ATTEMPTS,  # `Task.retry` counts
        retry_on=(),
        time_limit=hard or None,
        soft_time_limit=soft or None,
        ignore_result=bool(task.ignore_result),
        result_ttl=conf.result_expires or None,
        on_lost="retry" if acks_late else "fail",
    )


def _body(task: Task) -> Callable[..., Any]:
    """Return the function that workers call; it has the name and the signature of the task's."""

    def body(context: Any, /, *args: Any, **kwargs: Any) -> Any:
        return trace.run_in_worker(task, context, args, kwargs)

    run: Any = getattr(task, "_orig_run", task.run)
    body.__doc__ = task.__doc__
    body.__module__ = type(task).__module__
    body.__name__ = body.__qualname__ = type(task).__name__
    parameters = list(inspect.signature(run).parameters.values())
    if task.typing is not False and all(p.name != "context" for p in parameters):
        first = next(iter(inspect.signature(body).parameters.values()))
        body.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]
    return body


def database_of(task: Task) -> str | None:
    """Return the alias of the database that holds a task's rows; None for other backends."""
    return getattr(of(task).get_backend(), "database", None)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _queue_name(queue: Any) -> str:
    return str(getattr(queue, "name", queue) or DEFAULT_TASK_QUEUE_NAME)


# --- ids -----------------------------------------------------------------------------------------


def native_id(task_id: Any) -> uuids.UUID:
    """Return the UUID of a task: its id, or one that is made of an id of another form."""
    parsed = task_id if isinstance(task_id, uuids.UUID) else ids.parse(str(task_id))
    return parsed or uuids.uuid5(_NAMESPACE, str(task_id))


# --- calls ---------------------------------------------------------------------------------------


def as_stored(args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return arguments as a body gets them. Raise TypeError or ValueError for what is no JSON."""
    text = serializers.dumps([encode(args)], "args", app_settings.MAX_ARGS_BYTES)
    of_names = serializers.dumps(encode(kwargs), "kwargs", app_settings.MAX_ARGS_BYTES)
    return decode(json.loads(text))[0], decode(json.loads(of_names))


def send(
    name: str, task: Task | None, args: Any, kwargs: Any, task_id: Any, options: dict[str, Any]
) -> str:
    """Enqueue a call, and return its id. `task`: None for one that only another process knows."""
    if options.get("link") or options.get("link_error"):
        refuse_links()
    app = _state.get_current_app() if task is None else task._get_app()
    if routes := app.conf.task_routes:
        options = route_of(routes, name, args, kwargs, options, task) | options
    native = _named(name) if task is None else of(task)
    metadata, published = _metadata(name, args, kwargs, task_id, options)
    changes = _changes(options)
    if metadata:
        changes["metadata"] = {KEY: metadata}
    if task_id is not None:
        changes["task_id"] = native_id(task_id)
    elif published is not None:
        changes["task_id"] = native_id(published["id"])
    if changes:
        native = native.using(**changes)
    if task is not None or registry.find(name) is None:
        args, kwargs = encode(args), encode(kwargs)
    result = native.get_backend().enqueue(native, args, kwargs)
    if published is not None:
        signals.after_task_publish.send(
            name,
            body=(args, kwargs, {}),
            exchange="",
            routing_key=native.queue_name,
            headers=published,
        )
    return str(result.id) if task_id is None else str(task_id)


def refuse_links() -> NoReturn:
    """Raise NotImplementedError for `link` and `link_error`."""
    raise NotImplementedError(
        "link and link_error are not offered yet: call the next task in the last line of this one,"
        " or connect to the signal task_failure."
    )


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a call in the words of ``Task.using()``."""
    changes: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        if name == "queue":
            changes["queue_name"] = _queue_name(value)
        elif name == "priority":
            changes["priority"] = celery_settings.priority(value)
        elif name == "countdown":
            changes["run_after"] = timedelta(seconds=float(value))
        elif name == "eta":
            changes["run_after"] = maybe_make_aware(value)
        elif name == "expires":
            changes["expires"] = _expires(value)
        elif name in ("time_limit", "soft_time_limit"):
            say_once(f"{name} of one call has no effect: set it on the task.")
        elif name not in _KNOWN and name not in _MEANINGLESS:
            say_once(f"The option {name!r} of apply_async() has no effect here.")
    return changes


def _expires(value: Any) -> Any:
    if isinstance(value, datetime):
        return maybe_make_aware(value)
    return value if isinstance(value, timedelta) else max(0.0, float(value))


def _metadata(
    name: str, args: Any, kwargs: Any, task_id: Any, options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return what travels with the call, and the headers that receivers of signals have seen."""
    metadata: dict[str, Any] = {}
    if task_id is not None and ids.parse(str(task_id)) is None:
        metadata["id"] = str(task_id)
    parent = _state.get_current_task()
    if parent is not None and parent.request.id is not None:
        metadata["parent_id"] = parent.request.id
        metadata["root_id"] = parent.request.root_id or parent.request.id
    if options.get("shadow"):
        metadata["shadow"] = options["shadow"]
    own = dict(options.get("headers") or {})
    published = None
    if signals.before_task_publish.receivers or signals.after_task_publish.receivers:
        published = _published(name, args, kwargs, task_id, options, metadata)
        standard = set(published)
        published.update(own)
        signals.before_task_publish.send(
            name,
            body=(args, kwargs, {}),
            exchange="",
            routing_key=_queue_name(options.get("queue")),
            headers=published,
            properties={"correlation_id": published["id"], "priority": options.get("priority")},
            declare=[],
            retry_policy=None,
        )
        own = {key: value for key, value in published.items() if key not in standard}
    if own:
        metadata["headers"] = encode(own)
    return metadata, published


def _published(
    name: str,
    args: Any,
    kwargs: Any,
    task_id: Any,
    options: dict[str, Any],
    metadata: dict[str, Any],
) -> dict[str, Any]:
    task_id = str(task_id or ids.uuid7())
    return {
        "lang": "py",
        "task": name,
        "id": task_id,
        "shadow": options.get("shadow"),
        "eta": options.get("eta"),
        "expires": options.get("expires"),
        "retries": 0,
        "timelimit": [None, None],
        "root_id": metadata.get("root_id", task_id),
        "parent_id": metadata.get("parent_id"),
        "argsrepr": repr(args),
        "kwargsrepr": repr(kwargs),
        "origin": "",
        "ignore_result": False,
    }


def _named(name: str) -> AnyNative:
    """Return the native task of this name, or one that only another process knows."""
    known: Any = registry.find(name)
    return known if known is not None else _of_another_process(name)


def _gone(*args: Any, **kwargs: Any) -> NoReturn:
    raise LookupError("This task is known in another process only.")


@cache
def _of_another_process(name: str) -> AnyNative:
    defaults = {key: f.default for key, f in NativeTask.__dataclass_fields__.items()}
    blank: AnyNative = object.__new__(NativeTask)
    for key, value in defaults.items():
        object.__setattr__(blank, key, value)
    return blank.restored(func=_gone, path=name, max_attempts=MOST_ATTEMPTS, on_lost="fail")
