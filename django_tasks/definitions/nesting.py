"""Walking over what is nested to any depth, without Python's limit of recursion."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")

#: A function that yields the walks that it needs the values of, instead of calling itself.
Walk = Generator[Any, Any, T]


def walk(first: Walk[T]) -> T:
    """
    Run a generator that yields generators, and is sent what each of those returns.

    ``depth = yield _depth(child)`` reads as the recursive call that it stands for. Raise what they
    raise.
    """
    stack: list[Walk[Any]] = [first]
    value: Any = None
    while stack:
        try:
            child = stack[-1].send(value)
        except StopIteration as end:
            stack.pop()
            value = end.value
        else:
            stack.append(child)
            value = None
    result: T = value
    return result
