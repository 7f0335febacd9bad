"""Check that a call fits a task's function, where the task is enqueued."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from inspect import Parameter
from typing import Any

from ..conf import suggest

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class CallChecker:
    """Checks the calls of one function; the common ones by counting."""

    def __init__(self, function: Callable[..., Any], takes_context: bool) -> None:
        self.name = function.__qualname__
        parameters = list(inspect.signature(function).parameters.values())
        if takes_context:
            parameters = parameters[1:]
        self.signature = inspect.Signature(parameters)
        positional = [p for p in parameters if p.kind in _POSITIONAL]
        required = [p for p in positional if p.default is Parameter.empty]
        keyword_only = [
            p for p in parameters if p.kind is Parameter.KEYWORD_ONLY and p.default is p.empty
        ]
        self.takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
        has_rest = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters)
        self.fewest = len(required) if not keyword_only else 1 << 30
        self.most = len(positional) if not has_rest else 1 << 29

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise TypeError if the function cannot be called with these arguments."""
        if not kwargs and self.fewest <= len(args) <= self.most:
            return
        self._bind(self.signature.bind, args, kwargs)

    def check_partial(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise TypeError if no arguments in front of, or beside these make a call that fits."""
        if kwargs or len(args) > self.most:
            self._bind(self.signature.bind_partial, args, kwargs)

    def _bind(
        self, bind: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        try:
            bind(*args, **kwargs)
        except TypeError as error:
            wrong = ", ".join(self._unknown(kwargs)) or str(error)
            raise TypeError(
                f"Task {self.name}{self.signature} cannot be called with these arguments: {wrong}."
            ) from None

    def _unknown(self, kwargs: Mapping[str, Any]) -> Iterator[str]:
        """Name the keywords without a parameter: what seems to be missing is one of them."""
        if self.takes_any:
            return
        named = [p.name for p in self.signature.parameters.values() if p.kind in _NAMED]
        for name in kwargs:
            if name not in named:
                yield f"it has no argument {name!r}{suggest(name, named).removesuffix('?')}"

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield the arguments of a call that fits, each with the name of its parameter."""
        for name, value in self.signature.bind(*args, **kwargs).arguments.items():
            kind = self.signature.parameters[name].kind
            if kind is Parameter.VAR_KEYWORD:
                yield from value.items()
            elif kind is Parameter.VAR_POSITIONAL:
                yield from ((f"*{name}[{index}]", item) for index, item in enumerate(value))
            else:
                yield name, value


@cache
def checker_of(function: Callable[..., Any], takes_context: bool) -> CallChecker:
    """Return the checker of `function`; a task's context argument is not the caller's to pass."""
    return CallChecker(function, takes_context)


def place_of(function: Callable[..., Any]) -> str:
    """Return the file and line of a Python function, as "shop/tasks.py:7"."""
    code = inspect.unwrap(function).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"
