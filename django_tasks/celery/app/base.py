"""The app: configuration, the decorator, and calls by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cached_property
from importlib import import_module
from typing import Any

from django.apps import apps as django_apps
from django.conf import settings as django_settings
from django.utils.module_loading import import_string

from ... import apps as own_apps
from ...definitions import celery_settings
from ...schedules import Spec, from_celery
from .. import _state
from ..notices import say_once
from ..result import AsyncResult
from ..utils.dispatch import Signal
from ..values import encode
from . import native
from .autoretry import add_autoretry_behaviour
from .discovery import as_names, import_related
from .registry import TaskRegistry, tasks
from .task import Task
from .utils import Settings

__all__ = ["Celery"]

_NO_BROKER = "there is no broker to connect to; tasks are rows of the database"
#: Attributes of Celery's app that are not offered, and what to do instead.
_REFUSED = {
    "steps": "workers have no bootsteps. For a liveness probe use `manage.py runworker"
    " --health-port`, for a start-up hook the signal worker_process_init",
    "user_options": "options of workers are those of `manage.py runworker`",
    "connection": _NO_BROKER,
    "connection_for_read": _NO_BROKER,
    "connection_for_write": _NO_BROKER,
    "connection_or_acquire": _NO_BROKER,
    "broker_connection": _NO_BROKER,
    "producer_pool": _NO_BROKER,
    "producer_or_acquire": _NO_BROKER,
    "pool": _NO_BROKER,
    "amqp": f"{_NO_BROKER}. For the length of a queue, count the rows of"
    " django_tasks.models.TaskRecord",
    "events": "there are no events. Connect to the signals of tasks, or look at the admin",
    "Worker": "start workers by `manage.py runworker`",
    "WorkController": "start workers by `manage.py runworker`",
    "Beat": "start beats by `manage.py runbeat`",
    "worker_main": "start workers by `manage.py runworker`",
    "start": "start workers by `manage.py runworker`",
    "config_from_envvar": "use config_from_object() with os.environ[...]",
    "config_from_cmdline": "use config_from_object()",
}

#: Whether tasks modules were imported since this module was.
_discovered = False


class Celery:
    """
    An app.

    `main`: the name of the project, for tasks in ``__main__``. `task_cls`: the base of its tasks,
    or its dotted path. `include`: modules to import. Options for brokers and results are ignored.
    """

    task_cls: Any = None
    registry_cls = TaskRegistry

    def __init__(
        self,
        main: str | None = None,
        *,
        set_as_current: bool = True,
        task_cls: Any = None,
        include: Iterable[str] | None = None,
        config_source: Any = None,
        namespace: str | None = None,
        **options: Any,
    ) -> None:
        self.main = main
        self.conf = Settings(self._on_change)
        self.include = tuple(include or ())
        self._discoveries: list[tuple[Any, str | None]] = []
        self.task_cls = task_cls or self.task_cls
        self.on_configure = Signal("app.on_configure")
        self.on_after_configure = self._moment("app.on_after_configure")
        self.on_after_finalize = self._moment("app.on_after_finalize")
        self.on_after_fork = Signal("app.on_after_fork", why_never="use worker_process_init.")
        _state.register_app(self, is_current=set_as_current)
        if config_source is not None:
            self.config_from_object(config_source, namespace=namespace)
        self.on_init()

    def on_init(self) -> None:
        """Called when the app was made; for subclasses."""

    def _moment(self, name: str) -> Signal:
        """Return a signal that is sent when all tasks are known, or at once if they are."""

        def late(receiver: Callable[..., Any]) -> None:
            if _is_discovered():
                receiver(signal=None, sender=self, source=self.conf)

        return Signal(name, connects_late=late)

    def set_current(self) -> None:
        """Make this the app of tasks without one."""
        _state.set_default_app(self)

    set_default = set_current

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def finalize(self, auto: bool = False) -> None:
        """Do nothing: tasks are there when they are decorated."""

    # --- configuration --------------------------------------------------------------------------

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """
        Read settings from an object, a dict, or what a dotted path names.

        "django.conf:settings" is read with each use. `namespace`: the settings begin with it.
        """
        self.conf.read_from(obj, namespace)
        if _is_discovered():
            self._finalize()

    def add_defaults(self, fun: Any) -> None:
        """Set what is not set, from a dict or a function that returns one."""
        for name, value in dict(fun() if callable(fun) else fun).items():
            self.conf.setdefault(name, value)

    def _on_change(self, name: str) -> None:
        if name == "beat_schedule":
            self._declare(self.conf.beat_schedule)

    @property
    def timezone(self) -> Any:
        """The time zone of crontabs: the setting's, or settings.TIME_ZONE."""
        from zoneinfo import ZoneInfo

        name = self.conf.timezone or django_settings.TIME_ZONE
        return ZoneInfo(name) if isinstance(name, str) else name

    def now(self) -> datetime:
        """Return the time now in the app's time zone."""
        return datetime.now(self.timezone)

    # --- tasks ----------------------------------------------------------------------------------

    @cached_property
    def Task(self) -> type[Task]:  # noqa: N802 - Celery's name
        """The base class of this app's tasks."""
        base = self.task_cls or Task
        if isinstance(base, str):
            base = import_string(base.replace(":", "."))
        made: type[Task] = type(
            base.__name__, (base,), {"app": self, "abstract": True, "__module__": base.__module__}
        )
        return made

    @property
    def tasks(self) -> TaskRegistry:
        """All tasks by name."""
        return tasks

    _tasks = tasks

    @property
    def current_task(self) -> Any:
        """The task whose body runs here, or None."""
        return _state.get_current_task()

    current_worker_task = current_task

    def task(self, *args: Any, **options: Any) -> Any:
        """
        Make a task of a function: ``@app.task`` or ``@app.task(bind=True, …)``.

        Options are the attributes of `Task`; others become attributes of the task, too.
        """

        def decorate(function: Callable[..., Any]) -> Any:
            return self._task_from_fun(function, **options)

        if args:
            if len(args) == 1 and callable(args[0]):
                return decorate(args[0])
            raise TypeError("@task() takes exactly 1 argument, and options by name.")
        return decorate

    def _task_from_fun(
        self,
        fun: Callable[..., Any],
        name: str | None = None,
        base: Any = None,
        bind: bool = False,
        shared: bool = True,
        lazy: bool = True,
        filter: Any = None,
        app: Any = None,
        **options: Any,
    ) -> Any:
        from inspect import iscoroutinefunction

        if iscoroutinefunction(fun):
            raise TypeError(
                f"{fun.__qualname__} is a coroutine function: decorate it with django_tasks.task."
            )
        name = name or self.gen_task_name(fun.__name__, fun.__module__)
        if name in tasks and getattr(tasks[name], "__wrapped__", None) is fun:
            return tasks[name]
        attributes = {
            "app": app or self,
            "name": name,
            "run": fun if bind else staticmethod(fun),
            "__doc__": fun.__doc__,
            "__module__": fun.__module__,
            "__bound__": bind,
            "abstract": False,
        }
        task = type(fun.__name__, (base or self.Task,), attributes | options)()
        task.__wrapped__ = fun
        task.__name__, task.__qualname__ = fun.__name__, fun.__qualname__
        return self._register(task, options)

    def register_task(self, task: Any, **options: Any) -> Any:
        """Register an instance of a Task class, or one of a class, and return it."""
        if isinstance(task, type):
            task = task()
        if not task.name:
            task.name = self.gen_task_name(type(task).__name__, type(task).__module__)
        if type(task).app is None:
            type(task).app = self
        return self._register(task, options)

    def _register(self, task: Any, options: dict[str, Any]) -> Any:
        for name in ("pydantic", "pydantic_strict"):
            if options.get(name):
                say_once(f"{name} of {task.name} has no effect: read arguments in the body.")
        if type(task).on_bound.__func__ is not Task.on_bound.__func__:  # type: ignore[attr-defined]
            task.on_bound(self)
        add_autoretry_behaviour(task, **options)
        native.register(task)
        tasks[task.name] = task
        return task

    def gen_task_name(self, name: str, module: str) -> str:
        """Return the name of a task that has none: its module's and its function's."""
        if module == "__main__" and self.main:
            module = self.main
        return ".".join(part for part in (module, name) if part)

    def autodiscover_tasks(
        self, packages: Any = None, related_name: str | None = "tasks", force: bool = False
    ) -> None:
        """
        Import the module `related_name` of packages, when all apps are ready.

        `packages`: names, or a function that returns them; None: the installed apps, whose `tasks`
        are imported in any case. `related_name` None: the packages themselves.
        """
        if packages is None and related_name == "tasks":
            return
        self._discoveries.append((packages, related_name))
        if _is_discovered() or force:
            self._discover()

    def _discover(self) -> None:
        while self._discoveries:
            packages, related = self._discoveries.pop(0)
            packages = packages() if callable(packages) else packages
            if packages is None:
                packages = [config.name for config in django_apps.get_app_configs()]
            for package in packages:
                import_related(package, related)

    def _finalize(self) -> None:
        self.conf.announce()
        for module in (*self.include, *as_names(self.conf.imports), *as_names(self.conf.include)):
            import_module(module)
        self._discover()
        if self.conf.beat_schedule is not getattr(django_settings, "CELERY_BEAT_SCHEDULE", None):
            self._declare(self.conf.beat_schedule or {})
        self.on_configure.send(self)
        self.on_after_configure.send(self, source=self.conf)
        self.on_after_finalize.send(self)

    # --- calls ----------------------------------------------------------------------------------

    def send_task(
        self,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        task_id: str | None = None,
        result_cls: Any = None,
        task_type: Any = None,
        **options: Any,
    ) -> Any:
        """Enqueue a task by its name; see Task.apply_async() for the options."""
        task = task_type or tasks.get(name)
        given = native.send(name, task, args or (), kwargs or {}, task_id, options)
        result = (result_cls or self.AsyncResult)(given)
        parent = _state.get_current_task()
        if parent is not None and parent.request.id is not None:
            parent.request.children.append(result)
        return result

    def signature(self, *args: Any, **kwargs: Any) -> Any:
        """Return a signature; see celery.canvas.signature()."""
        from ..canvas import signature

        return signature(*args, app=self, **kwargs)

    def AsyncResult(self, id: str, task_name: str | None = None, **kwargs: Any) -> AsyncResult:  # noqa: N802
        """Return the result of a task by its id."""
        return AsyncResult(id, task_name=task_name, app=self)

    @cached_property
    def control(self) -> Any:
        """Remote control of workers."""
        from .control import Control

        return Control(self)

    # --- schedules ------------------------------------------------------------------------------

    def add_periodic_task(
        self,
        schedule: Any,
        sig: Any,
        args: Any = (),
        kwargs: Any = (),
        name: str | None = None,
        **options: Any,
    ) -> str:
        """Declare a schedule in code, as an entry of beat_schedule; return its name."""
        sig = (
            sig.clone(args, dict(kwargs)) if hasattr(sig, "clone") else sig.s(*args, **dict(kwargs))
        )
        key = name or repr(sig)
        entry = {
            "task": sig.name,
            "schedule": schedule,
            "args": sig.args,
            "kwargs": sig.kwargs,
            "options": {**sig.options, **options},
        }
        self._declare({key: entry})
        return key

    def _declare(self, entries: Any) -> None:
        zone = self.conf.timezone
        for name, entry in dict(entries).items():
            entry = dict(entry)
            schedule = entry.get("schedule")
            if getattr(schedule, "relative", False):
                entry["relative"] = True
            if schedule is not None and not isinstance(schedule, Spec):
                entry["schedule"] = from_celery(schedule, timezone=str(zone) if zone else None)
            entry["args"] = encode(list(entry.get("args") or ()))
            entry["kwargs"] = encode(dict(entry.get("kwargs") or {}))
            celery_settings.added[str(name)] = entry

    def __getattr__(self, name: str) -> Any:
        if name in _REFUSED:
            raise AttributeError(f"app.{name} is not offered: {_REFUSED[name]}.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.main or '__main__'}>"


def _is_discovered() -> bool:
    """Tell whether tasks modules were imported: what is asked for later is done at once."""
    return _discovered or django_apps.ready


def _finalize_apps() -> None:
    global _discovered
    _discovered = True
    for app in list(_state._apps):
        app._finalize()


own_apps.after_discovery.append(_finalize_apps)
