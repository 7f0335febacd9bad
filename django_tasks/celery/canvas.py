"""Signatures: calls to be made later."""

from __future__ import annotations

from typing import Any, NoReturn

from .app.registry import tasks as registered_tasks
from .local import maybe_evaluate

__all__ = ["Signature", "maybe_signature", "signature", "subtask"]


class Signature(dict[str, Any]):
    """A task with arguments and options, as a dict that is JSON if they are."""

    def __init__(
        self,
        task: Any = None,
        args: Any = None,
        kwargs: Any = None,
        options: Any = None,
        type: Any = None,
        subtask_type: str | None = None,
        immutable: bool = False,
        app: Any = None,
        **ex: Any,
    ) -> None:
        task = maybe_evaluate(task)
        if isinstance(task, dict):
            super().__init__(task)
            self._type = None
        else:
            is_name = isinstance(task, str)
            self._type = type if is_name else task
            super().__init__(
                task=task if is_name else task.name,
                args=tuple(args or ()),
                kwargs=dict(kwargs or {}),
                options={**(options or {}), **ex},
                subtask_type=subtask_type,
                immutable=immutable,
            )
        self._app = app

    @classmethod
    def from_dict(cls, d: dict[str, Any], app: Any = None) -> Signature:
        """Return the signature that a dict describes."""
        return cls(d, app=app)

    @property
    def type(self) -> Any:
        """The task; None where only another process knows it."""
        return self._type or registered_tasks.get(self["task"])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the task here and now."""
        merged, named, _ = self._merge(args, kwargs)
        task = self.type or registered_tasks[self["task"]]
        return task(*merged, **named)

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue the call; `args` come before its own."""
        return self.apply_async(args, kwargs)

    def apply_async(self, args: Any = (), kwargs: Any = None, **options: Any) -> Any:
        """Enqueue the call with further arguments and options; see Task.apply_async()."""
        merged, named, opts = self._merge(args, kwargs, options)
        if self.type is not None:
            return self.type.apply_async(merged, named, **opts)
        return self.app.send_task(self["task"], merged, named, **opts)

    def apply(self, args: Any = (), kwargs: Any = None, **options: Any) -> Any:
        """Run the call here and now; see Task.apply()."""
        merged, named, opts = self._merge(args, kwargs, options)
        task = self.type or registered_tasks[self["task"]]
        return task.apply(merged, named, **opts)

    def clone(self, args: Any = (), kwargs: Any = None, **options: Any) -> Signature:
        """Return a copy with further arguments and options."""
        merged, named, opts = self._merge(args, kwargs, options, force=True)
        copy = Signature(
            self["task"], merged, named, opts, type=self._type, immutable=self["immutable"],
            subtask_type=self["subtask_type"], app=self._app,
        )  # fmt: skip
        return copy

    partial = clone

    def replace(self, args: Any = None, kwargs: Any = None, options: Any = None) -> Signature:
        """Return a copy with other arguments or options in the place of its own."""
        copy = self.clone()
        for name, value in (("args", args), ("kwargs", kwargs), ("options", options)):
            if value is not None:
                copy[name] = value
        return copy

    def set(self, immutable: bool | None = None, **options: Any) -> Signature:
        """Set options, as `queue` or `countdown`, and return it."""
        if immutable is not None:
            self.set_immutable(immutable)
        self["options"].update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Say whether it takes no further arguments."""
        self["immutable"] = immutable

    def _merge(
        self, args: Any = None, kwargs: Any = None, options: Any = None, force: bool = False
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
        opts = {**self["options"], **(options or {})}
        if self["immutable"] and not force:
            return tuple(self["args"]), dict(self["kwargs"]), opts
        return (*(args or ()), *self["args"]), {**self["kwargs"], **(kwargs or {})}, opts

    @property
    def app(self) -> Any:
        """Its app, or the current one."""
        from ._state import get_current_app

        return self._app or get_current_app()

    @property
    def name(self) -> str:
        """The name of the task."""
        return str(self["task"])

    id = property(lambda self: self["options"].get("task_id"))
    task = property(lambda self: self["task"])
    args = property(lambda self: self["args"])
    kwargs = property(lambda self: self["kwargs"])
    options = property(lambda self: self["options"])
    immutable = property(lambda self: self["immutable"])
    subtask_type = property(lambda self: self["subtask_type"])

    def __deepcopy__(self, memo: Any) -> Signature:
        return self.clone()

    def __reduce__(self) -> Any:
        return Signature, (dict(self),)

    def __repr__(self) -> str:
        parts = [*map(repr, self["args"]), *(f"{k}={v!r}" for k, v in self["kwargs"].items())]
        return f"{self['task']}({', '.join(parts)})"


def signature(varies: Any, *args: Any, **kwargs: Any) -> Signature:
    """Return a signature of a task, of a task's name, or of the dict of another one."""
    varies = maybe_evaluate(varies)
    if isinstance(varies, Signature):
        return varies.clone()
    if isinstance(varies, dict):
        return Signature.from_dict(varies, app=kwargs.get("app"))
    return Signature(varies, *args, **kwargs)


subtask = signature


def maybe_signature(d: Any, app: Any = None, clone: bool = False) -> Any:
    """Return a dict as a signature; None, and what is no dict, as it is."""
    if isinstance(d, Signature):
        return d.clone() if clone else d
    return Signature.from_dict(d, app=app) if isinstance(d, dict) else d


def replace(task: Any, sig: Any) -> NoReturn:
    """Refuse: the workflow that would take a task's place is not there yet."""
    raise NotImplementedError(
        "replace() is not offered yet: enqueue the other task, and return its id."
    )


_WORKFLOWS = ("chain", "chord", "chunks", "group", "xmap", "xstarmap")


def __getattr__(name: str) -> Any:
    if name in _WORKFLOWS:
        raise ImportError(
            f"{name} is not offered under Celery's names yet. Use django_tasks.workflows, with .s()"
            " of tasks made by django_tasks.task; for many calls of one task, enqueue_many()."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
