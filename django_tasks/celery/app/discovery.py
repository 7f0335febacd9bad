"""Finding the modules that have tasks."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def import_related(package: str, related: str | None) -> None:
    """Import a module of a package, if it has it; None: the package itself."""
    if related is None:
        import_module(package)
    elif find_spec(f"{package}.{related}") is not None:
        import_module(f"{package}.{related}")


def as_names(value: Any) -> tuple[str, ...]:
    """Return one name, several or None as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value or ())
