"""Proxies of objects that are found when they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Proxy:
    """Stands for what `find()` returns at the moment of each use."""

    __slots__ = ("__dict__", "_find")

    def __init__(self, find: Callable[[], Any]) -> None:
        object.__setattr__(self, "_find", find)

    def _get_current_object(self) -> Any:
        return object.__getattribute__(self, "_find")()

    __class__ = property(lambda self: type(self._get_current_object()))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._get_current_object(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._get_current_object(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._get_current_object(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._get_current_object()(*args, **kwargs)

    def __bool__(self) -> bool:
        return bool(self._get_current_object())

    def __eq__(self, other: object) -> bool:
        return bool(self._get_current_object() == other)

    def __hash__(self) -> int:
        return hash(self._get_current_object())

    def __repr__(self) -> str:
        return repr(self._get_current_object())

    def __dir__(self) -> list[str]:
        return dir(self._get_current_object())


def maybe_evaluate(value: Any) -> Any:
    """Return what a proxy stands for, and anything else as it is."""
    return value._get_current_object() if type(value) is Proxy else value
