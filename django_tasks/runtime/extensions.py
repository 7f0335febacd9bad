"""Classes that settings name by their dotted paths: brokers, pools and serializers of others."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

#: The hint of checks: where the contracts are.
EXTENSIONS = "What it must have: docs/howto/write-an-extension."


class WrongExtension(ImproperlyConfigured):
    """A dotted path leads to nothing, or to what does not meet its contract."""


def is_dotted_path(name: str) -> bool:
    """Tell whether a name is the path of a class in a module, as far as it can be seen."""
    *modules, last = name.split(".")
    return bool(modules) and all(part.isidentifier() for part in (*modules, last))


def load_class(
    where: str,
    path: str,
    contract: type,
    arguments: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Any:
    """
    Return the class at a dotted path, which is imported now.

    `where`: the setting that names it. `contract`: a Protocol whose methods it must have.
    `arguments`, `settings`: what it will be made with, by position and by name. Raise
    WrongExtension with one sentence that says which of it is not so.
    """
    found = _imported(where, path)
    wanted = f"{contract.__module__}.{contract.__qualname__}"
    if not isinstance(found, type):
        raise WrongExtension(
            f"{where} is {path!r}, which is not a class but {type(found).__name__}: name a class"
            f" that meets {wanted}."
        )
    if lacking := [name for name in methods_of(contract) if not callable(getattr(found, name, 0))]:
        raise WrongExtension(
            f"{where} is {path!r}, which lacks {', '.join(f'{name}()' for name in lacking)}: add"
            f" what {wanted} describes."
        )
    try:
        inspect.signature(found).bind(*arguments, **(settings or {}))
    except TypeError as error:
        shown = ", ".join([*arguments, *(f"{name}=…" for name in settings or ())])
        raise WrongExtension(
            f"{where} is {path!r}, which cannot be made with ({shown}): {error}."
        ) from error
    return found


def _imported(where: str, path: str) -> Any:
    try:
        return import_string(path)
    except ImportError as error:
        raise WrongExtension(f"{where} is {path!r}, which cannot be imported: {error}.") from error


def methods_of(contract: type) -> list[str]:
    """Return the names of the methods that a Protocol asks for."""
    return [
        name
        for name, member in vars(contract).items()
        if inspect.isfunction(member) and not name.startswith("_")
    ]
