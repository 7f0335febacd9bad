"""Names that the backport of django.tasks exported here, from 0.8 to 0.12."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from traceback import format_exception
from typing import Any, ParamSpec, TypeVar

from django.utils.crypto import get_random_string

from .dep14.functions import is_module_level_function
from .dep14.json import normalize_json

__all__ = [
    "get_exception_traceback",
    "get_module_path",
    "get_random_id",
    "is_module_level_function",
    "json_normalize",
    "normalize_json",
    "retry",
]

P = ParamSpec("P")
R = TypeVar("R")

#: The name until 0.8.
json_normalize = normalize_json


def retry(
    *, retries: int = 3, backoff_delay: float = 0.1
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """
    Return a decorator that calls a function up to `retries` times until it raises nothing.

    `backoff_delay`: seconds between two calls. Not for tasks: those have max_attempts.
    """

    def decorator(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            for _ in range(retries - 1):
                try:
                    return function(*args, **kwargs)
                except Exception:  # noqa: BLE001 - whatever it is, the last call raises it
                    time.sleep(backoff_delay)
            return function(*args, **kwargs)

        return wrapper

    return decorator


def get_module_path(value: Any) -> str:
    """Return the dotted path of a function or class."""
    return f"{value.__module__}.{value.__qualname__}"


def get_exception_traceback(exception: BaseException) -> str:
    """Return the traceback of `exception` as text."""
    return "".join(format_exception(exception))


def get_random_id() -> str:
    """Return 32 random letters and digits."""
    return get_random_string(32)
