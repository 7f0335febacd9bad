"""
Canvases: calls bound to their arguments, and chains, groups and chords of them. Plain data.

A canvas gets the value of what stands before it, if anything does, and has a value itself. It runs
nothing: `workflows.plan` makes a flat plan of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import registry
from .protocols import AnyTask
from .signatures import checker_of
from .startable import Startable

R = TypeVar("R")
S = TypeVar("S")

#: What using() takes for a task.
OPTIONS = (
    "priority",
    "queue_name",
    "run_after",
    "backend",
    "expires",
    "max_attempts",
    "metadata",
    "task_id",
)


class Canvas(Startable[R]):
    """What can be a member of a chain, a group or a chord; R is the type of its value."""

    __slots__ = ()

    def __or__(self, other: Canvas[S]) -> chain[S]:
        """Return the chain of this and `other`; ``a | b | c`` is one chain of three."""
        if not isinstance(other, Canvas):
            raise TypeError(f"|: what stands on its right {_no_canvas(other)}")
        return chain(self, other)

    def as_dict(self) -> dict[str, Any]:
        """
        Return it as plain data, which json can write, for from_dict().

        Raise TypeError or ValueError for arguments that JSON does not have.
        """
        from . import canvas_data

        return canvas_data.to_data(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Canvas[Any]:
        """Return the canvas that as_dict() made this of. Raise ValueError for other data."""
        from . import canvas_data

        return canvas_data.from_data(data)


@dataclass(frozen=True, slots=True)
class Signature(Canvas[R]):
    """
    A call that is still to be made: a task's path, its arguments and options.

    Made by ``task.s()`` and ``task.si()``.
    """

    task: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict, hash=False)
    #: Those of `Task.using`.
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    #: Do not put the value of what stands before it in front of `args`.
    immutable: bool = False
    #: Runs with the failed step as first argument if this fails, or cannot run because a step
    #: before it failed. None: nothing.
    on_failure: Canvas[Any] | None = None

    def using(self, *, on_failure: Any = None, **options: Any) -> Signature[R]:
        """
        Return a copy with other options: those of `Task.using`, and `on_failure`.

        `on_failure`: a task, a signature or another canvas; it gets the failed step as its first
        argument, a dict with id, name, task, exception and message. None keeps what is there.
        Raise TypeError for an option that there is not; InvalidTask, for a wrong value.
        """
        changed = self.options | {k: v for k, v in options.items() if v is not None}
        find_task(self.task).using(**options)  # checks them
        return Signature(
            self.task,
            self.args,
            self.kwargs,
            changed,
            self.immutable,
            self.on_failure if on_failure is None else as_callback(on_failure),
        )

    def __repr__(self) -> str:
        """Show the task without its arguments, which may be secrets."""
        return f"<{type(self).__name__} of {self.task}>"


class _Members(Canvas[R]):
    """A canvas with members."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show the number of members, as there may be many, to any depth."""
        members: tuple[Any, ...] = getattr(self, "members")  # noqa: B009 - declared by those below
        return f"<{type(self).__name__} of {len(members)}>"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class chain(_Members[R]):  # noqa: N801 - Celery's name
    """
    One after the other: each member gets the value of the one before it as first argument.

    Members may be given one by one or as one iterable. Its value is the last one's; without
    members, what it was given, else None. A chain in a chain is the same as its members there,
    unless it has an on_failure of its own.
    """

    members: tuple[Canvas[Any], ...]
    on_failure: Canvas[Any] | None

    if TYPE_CHECKING:

        @overload
        def __init__(self: chain[S], a: Canvas[S], /, *, on_failure: Any = None) -> None: ...
        @overload
        def __init__(
            self: chain[S], a: Canvas[Any], b: Canvas[S], /, *, on_failure: Any = None
        ) -> None: ...
        @overload
        def __init__(
            self: chain[S],
            a: Canvas[Any],
            b: Canvas[Any],
            c: Canvas[S],
            /,
            *,
            on_failure: Any = None,
        ) -> None: ...
        @overload
        def __init__(
            self: chain[Any], /, *members: Canvas[Any], on_failure: Any = None
        ) -> None: ...
        @overload
        def __init__(
            self: chain[Any], members: Iterable[Canvas[Any]], /, *, on_failure: Any = None
        ) -> None: ...
        def __init__(self, *members: Any, on_failure: Any = None) -> None: ...

    else:

        def __init__(self, *members, on_failure=None):
            """`on_failure`: see `Signature.using`; for the failure of any member."""
            put = object.__setattr__
            put(self, "members", tuple(_flat(chain, _checked("chain", members))))
            put(self, "on_failure", as_callback(on_failure))


@dataclass(frozen=True, slots=True, init=False, repr=False)
class group(_Members[list[R]]):  # noqa: N801 - Celery's name
    """
    All at once: each member gets the value of what stands before the group.

    Members may be given one by one or as one iterable. Its value is the list of theirs, in order;
    without members []. A group in a group is the same as its members there, as in Celery, unless
    it has an on_failure or allow_failures of its own.
    """

    members: tuple[Canvas[R], ...]
    allow_failures: int
    on_failure: Canvas[Any] | None

    if TYPE_CHECKING:

        @overload
        def __init__(
            self, /, *members: Canvas[R], allow_failures: int = 0, on_failure: Any = None
        ) -> None: ...
        @overload
        def __init__(
            self,
            members: Iterable[Canvas[R]],
            /,
            *,
            allow_failures: int = 0,
            on_failure: Any = None,
        ) -> None: ...
        def __init__(self, *members: Any, **options: Any) -> None: ...

    else:

        def __init__(self, *members, allow_failures=0, on_failure=None):
            """
            `allow_failures`: how many members may fail, 0 by default, -1 for any number; the list
            is then of the values of those that succeeded. `on_failure`: see `Signature.using`; for
            the failure of more than that.
            """
            put = object.__setattr__
            put(self, "members", tuple(_flat(group, _checked("group", members))))
            put(self, "allow_failures", checked_allowance(allow_failures))
            put(self, "on_failure", as_callback(on_failure))


@dataclass(frozen=True, slots=True, init=False, repr=False)
class chord(Canvas[R]):  # noqa: N801 - Celery's name
    """
    A group, and a body that gets the list of its values: ``chain(group(header), body)``.

    With an empty header the body gets []. Its value is the body's.
    """

    header: group[Any]
    body: Canvas[R]
    on_failure: Canvas[Any] | None

    def __init__(
        self,
        header: Iterable[Canvas[Any]] | group[Any],
        body: Canvas[R],
        *,
        allow_failures: int = 0,
        on_failure: Any = None,
    ) -> None:
        """`allow_failures`: of the header, as in `group`. `on_failure`: see `Signature.using`."""
        if not isinstance(header, group):
            header = group(header, allow_failures=allow_failures)
        elif allow_failures != 0:
            header = group(
                header.members, allow_failures=allow_failures, on_failure=header.on_failure
            )
        if not isinstance(body, Canvas):
            raise TypeError(f"chord: its body {_no_canvas(body)}")
        put = object.__setattr__
        put(self, "header", header)
        put(self, "body", body)
        put(self, "on_failure", as_callback(on_failure))

    def __repr__(self) -> str:
        """See `_Members`."""
        return f"<chord of {len(self.header.members)} and {self.body!r}>"


# --- for definitions.task and the workflows ------------------------------------------------------


def sign(
    task: AnyTask, args: tuple[Any, ...], kwargs: dict[str, Any], *, immutable: bool
) -> Signature[Any]:
    """
    Return the signature of a call of `task`, with the options that using() gave it.

    Raise TypeError for arguments that no value in front of them makes right.
    """
    checker = checker_of(task.func, task.takes_context)
    if immutable:
        checker.check(args, kwargs)
    else:
        checker.check_partial(args, kwargs)
    return Signature(task.module_path, args, kwargs, given_options(task), immutable)


def given_options(task: AnyTask) -> dict[str, Any]:
    """Return what using() changed of a task."""
    original = registry.find(task.module_path)
    if original is None or original is task:
        return {}
    return {
        name: value for name in OPTIONS if (value := getattr(task, name)) != getattr(original, name)
    }


def find_task(path: str) -> Any:
    """Return the task of a signature. Raise LookupError if this process has none at `path`."""
    task = registry.find(path)
    if task is None:
        raise LookupError(
            f"There is no task {path!r} in this process: import the module that defines it, or"
            " move it to the tasks.py of an installed app."
        )
    return task


def as_callback(given: Any) -> Canvas[Any] | None:
    """Return an on_failure as a canvas; a task is one that gets the failed step alone."""
    if given is None or isinstance(given, Canvas):
        return given
    if is_task(given):
        return sign(given, (), {}, immutable=False)
    raise TypeError(
        f"on_failure must be a task, a signature such as task.s(), or another canvas, not"
        f" {given!r}."
    )


def is_task(value: Any) -> bool:
    """Tell whether `value` is a task of this package's."""
    return hasattr(value, "module_path") and hasattr(value, "restored")


def checked_allowance(value: Any) -> int:
    """Return allow_failures. Raise ValueError for what is no whole number from -1 on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < -1:
        raise ValueError(
            f"allow_failures must be a whole number from 0 on, or -1 for any number, not {value!r}."
        )
    return value


def _checked(kind: str, members: tuple[Any, ...]) -> tuple[Canvas[Any], ...]:
    if len(members) == 1 and not isinstance(members[0], Canvas) and not is_task(members[0]):
        if not isinstance(members[0], Iterable):
            raise TypeError(f"{kind}: its member {_no_canvas(members[0])}")
        members = tuple(members[0])
    for index, member in enumerate(members):
        if not isinstance(member, Canvas):
            raise TypeError(f"{kind}: member {index} {_no_canvas(member)}")
    return members


def _no_canvas(value: Any) -> str:
    if is_task(value):
        name = value.func.__name__
        return f"is the task {name}; bind its arguments with {name}.s(...) or {name}.si(...)."
    return (
        f"is of type {type(value).__qualname__}; it must be a signature such as task.s(...), or a"
        " chain, group or chord."
    )


def _flat(kind: type[Canvas[Any]], members: tuple[Canvas[Any], ...]) -> Iterator[Canvas[Any]]:
    """Yield members, and in place of those of the same kind theirs, which are flat already."""
    for member in members:
        if type(member) is not kind or _has_policy(member):
            yield member
        else:
            yield from getattr(member, "members")  # noqa: B009 - chains and groups have them


def _has_policy(member: Canvas[Any]) -> bool:
    callback = getattr(member, "on_failure", None)
    return callback is not None or getattr(member, "allow_failures", 0) != 0
