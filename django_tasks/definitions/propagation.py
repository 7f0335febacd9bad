"""
Propagate values from the code that enqueues a task to its body: a tenant, a language, a trace.

`DJANGO_TASKS["CONTEXT_PROPAGATORS"]` names the objects that capture and restore it. What they
capture is stored in the record's metadata, under a key of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .. import serializers
from ..conf import app_settings, made

#: Under which metadata has what was captured, by the propagators' paths.
KEY = "django_tasks.context"
_SETTING = "DJANGO_TASKS['CONTEXT_PROPAGATORS']"


class Propagator(Protocol):
    """What the paths in CONTEXT_PROPAGATORS lead to: such an object, or a class of them."""

    def capture(self) -> Any:
        """Return what is to travel with a task that is enqueued now, as JSON. None: nothing."""

    def restore(self, value: Any) -> AbstractContextManager[Any]:
        """Return what a body runs within; `value` None: nothing was captured."""


_loaded: dict[str, Propagator] | None = None


def propagators() -> Mapping[str, Propagator]:
    """Return those of the settings by path. Raise ImproperlyConfigured for a path without one."""
    global _loaded
    if _loaded is None:
        _loaded = {path: load(path) for path in app_settings.CONTEXT_PROPAGATORS}
    return _loaded


def load(path: str) -> Propagator:
    """Return the propagator at a dotted path. Raise ImproperlyConfigured if there is none."""
    found = made(_SETTING, path)
    for name in ("capture", "restore"):
        if not callable(getattr(found, name, None)):
            raise ImproperlyConfigured(
                f"{_SETTING}: {path!r} has no method {name}(). Name a class, or an object, with"
                " capture() and restore(value)."
            )
    propagator: Propagator = found
    return propagator


def _forget(*, setting: str, **kwargs: Any) -> None:
    global _loaded
    if setting == "DJANGO_TASKS":
        _loaded = None


setting_changed.connect(_forget)


def capture() -> dict[str, Any]:
    """
    Return what is to travel with tasks that are enqueued here and now, by path.

    Raise what a capture() raises, with a note that names it; TypeError or ValueError for a value
    that is no JSON.
    """
    captured = {}
    for path, propagator in propagators().items():
        try:
            value = propagator.capture()
        except Exception as error:
            error.add_note(f"Nothing was enqueued: capture() of {path!r} in {_SETTING} raised it.")
            raise
        if value is not None:
            where = f"what capture() of {path!r} in {_SETTING} returned"
            serializers.dumps(value, where, app_settings.MAX_RESULT_BYTES)
            captured[path] = value
    return captured


def metadata_text(metadata: Mapping[str, Any] | None, captured: Mapping[str, Any]) -> str | None:
    """
    Return the metadata of a record as it is stored, None for none.

    Raise ValueError if the caller's own has the key of what was captured, TypeError or ValueError
    for what is no JSON.
    """
    if metadata and KEY in metadata:
        raise ValueError(
            f"metadata may not have the key {KEY!r}: what {_SETTING} captures is stored under it."
            " Choose another one."
        )
    whole = {**(metadata or {}), KEY: captured} if captured else metadata
    return serializers.dumps(whole, "metadata", app_settings.MAX_RESULT_BYTES) if whole else None


def split(text: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the caller's own metadata of a record, and what was captured by path."""
    if not text:
        return {}, {}
    metadata: Any = serializers.loads(text)
    captured = metadata.pop(KEY, {}) if isinstance(metadata, dict) else {}
    return metadata, captured
