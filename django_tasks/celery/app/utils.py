"""An app's configuration, read each time it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from django.utils.module_loading import import_string

from ..notices import say_once
from .defaults import ALWAYS_SO, DEFAULTS, IGNORED, OLD_NAMES

_MISSING = object()


class Settings:
    """
    What ``app.conf`` is: settings as attributes, as items, and by Celery 3's names.

    A value that was assigned wins, then that of the object given to config_from_object(), then the
    default. That object is read with each use, so that override_settings() has an effect.
    """

    def __init__(self, on_change: Callable[[str], None]) -> None:
        put = object.__setattr__
        put(self, "_changes", {})
        put(self, "_source", None)
        put(self, "_namespace", "")
        put(self, "_on_change", on_change)

    def read_from(self, source: Any, namespace: str | None) -> None:
        """Read settings from an object, a dict, or what a dotted path names."""
        object.__setattr__(self, "_source", source)
        object.__setattr__(self, "_namespace", namespace or "")

    def announce(self) -> None:
        """Name the settings that have no effect, once each."""
        for name in self._given():
            if name in IGNORED:
                say_once(f"Celery's setting {name} has no effect here: {IGNORED[name]}")
            elif name not in DEFAULTS and name not in ALWAYS_SO and self._is_mistaken(name):
                close = get_close_matches(name, DEFAULTS, n=1, cutoff=0.85)
                say_once(f"Celery has no setting {name}; did you mean {close[0]}?")

    def _is_mistaken(self, name: str) -> bool:
        return bool(get_close_matches(name, DEFAULTS, n=1, cutoff=0.85))

    def _given(self) -> Iterator[str]:
        """Yield the names of the settings that the project has set."""
        yield from self._changes
        source = self._resolved()
        names = source if isinstance(source, Mapping) else dir(source)
        for name in map(str, names):
            if self._namespace and name.startswith(f"{self._namespace}_"):
                yield name[len(self._namespace) + 1 :].lower()
            elif name in OLD_NAMES:
                yield OLD_NAMES[name]
            elif not self._namespace and name in (*DEFAULTS, *IGNORED):
                yield name

    def _resolved(self) -> Any:
        source = self._source
        if source == "django.conf:settings":
            from django.conf import settings

            return settings
        if isinstance(source, str):
            source = _imported(source)
            object.__setattr__(self, "_source", source)
        return source

    def _configured(self, name: str) -> Any:
        source = self._resolved()
        if source is None:
            return _MISSING
        if self._namespace:
            spellings = [f"{self._namespace}_{name}".upper()]
        else:
            spellings = [name, name.upper()]
        spellings += [old for old, new in OLD_NAMES.items() if new == name]
        for spelling in spellings:
            value = _get(source, spelling)
            if value is not _MISSING:
                return value
        return _MISSING

    def _find(self, name: str) -> Any:
        name = self._today(name)
        if name in self._changes:
            return self._changes[name]
        value = self._configured(name)
        return DEFAULTS.get(name, _MISSING) if value is _MISSING else value

    def _today(self, name: str) -> str:
        if name in OLD_NAMES:
            return OLD_NAMES[name]
        if self._namespace and name.startswith(f"{self._namespace}_"):
            return name[len(self._namespace) + 1 :].lower()
        return name.lower()

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting, `default` if it has no value."""
        value = self._find(name)
        return default if value is _MISSING else value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self._find(name)
        if value is not _MISSING:
            return value
        if name in IGNORED or name in ALWAYS_SO:
            return None
        raise AttributeError(f"Celery's setting {name!r} is not set, and has no default here.")

    def __setattr__(self, name: str, value: Any) -> None:
        self._changes[self._today(name)] = value
        self._on_change(self._today(name))

    def __delattr__(self, name: str) -> None:
        self._changes.pop(self._today(name), None)

    def __getitem__(self, name: str) -> Any:
        value = self._find(name)
        if value is _MISSING:
            raise KeyError(name)
        return value

    __setitem__ = __setattr__

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not _MISSING

    def setdefault(self, name: str, default: Any) -> Any:
        """Set what is not set; return what it is then."""
        if self._today(name) not in self._changes and self._configured(name) is _MISSING:
            setattr(self, name, default)
        return self[name]

    def update(self, *args: Any, **values: Any) -> None:
        """Set several."""
        for name, value in dict(*args, **values).items():
            setattr(self, name, value)

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """Return the names of what is set, one a line; values may be secrets."""
        return "\n".join(sorted(set(self._given())))


def _get(source: Any, name: str) -> Any:
    if isinstance(source, Mapping):
        return source.get(name, _MISSING)
    return getattr(source, name, _MISSING)


def _imported(path: str) -> Any:
    from importlib import import_module

    if ":" in path:
        module, _, name = path.partition(":")
        return getattr(import_module(module), name)
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        return import_string(path)
