"""Canvases as plain data: dicts and lists that JSON has, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from .. import serializers
from .canvas import Canvas, Signature, chain, chord, group
from .nesting import Walk, walk


def to_data(content: Canvas[Any]) -> dict[str, Any]:
    """Return a canvas as plain data. Raise TypeError or ValueError for what JSON does not have."""
    return walk(_data(content))


def from_data(data: Any) -> Canvas[Any]:
    """Return the canvas of plain data. Raise ValueError for data that to_data() does not make."""
    return walk(_canvas(data))


def _data(content: Canvas[Any]) -> Walk[dict[str, Any]]:
    data: dict[str, Any] = {"type": type(content).__name__}
    callback = getattr(content, "on_failure", None)
    if callback is not None:
        data["on_failure"] = yield _data(callback)
    if isinstance(content, Signature):
        data["task"] = content.task
        data["args"] = serializers.normalized(content.args, "args")
        data["kwargs"] = serializers.normalized(content.kwargs, "kwargs")
        data["options"] = {name: _encoded(value) for name, value in content.options.items()}
        data["immutable"] = content.immutable
    elif isinstance(content, chord):
        data["header"] = yield _data(content.header)
        data["body"] = yield _data(content.body)
    elif isinstance(content, (chain, group)):
        members = []
        for member in content.members:
            members.append((yield _data(member)))
        data["members"] = members
        if isinstance(content, group):
            data["allow_failures"] = content.allow_failures
    return data


def _canvas(data: Any) -> Walk[Canvas[Any]]:
    kind = data.get("type") if isinstance(data, dict) else None
    try:
        callback = (yield _canvas(data["on_failure"])) if "on_failure" in data else None
        if kind == "Signature":
            options = {name: _decoded(value) for name, value in data["options"].items()}
            return Signature(
                data["task"],
                tuple(data["args"]),
                dict(data["kwargs"]),
                options,
                data["immutable"],
                callback,
            )
        if kind == "chord":
            header = yield _canvas(data["header"])
            return chord(header, (yield _canvas(data["body"])), on_failure=callback)
        if kind not in ("chain", "group"):
            raise ValueError(f"{kind!r} is no type of a canvas.")
        members = []
        for member in data["members"]:
            members.append((yield _canvas(member)))
        if kind == "chain":
            return chain(members, on_failure=callback)
        return group(members, allow_failures=data["allow_failures"], on_failure=callback)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"This is no canvas as as_dict() returns it: {error!r}.") from None


def _encoded(value: Any) -> Any:
    """Return an option of using() as JSON: moments, durations and ids as dicts of one key."""
    if isinstance(value, datetime):
        return {"$datetime": value.astimezone(UTC).isoformat()}
    if isinstance(value, timedelta):
        return {"$seconds": value.total_seconds()}
    if isinstance(value, UUID):
        return {"$uuid": str(value)}
    return value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1:
        [(key, inner)] = value.items()
        if key == "$datetime":
            return datetime.fromisoformat(inner)
        if key == "$seconds":
            return timedelta(seconds=inner)
        if key == "$uuid":
            return UUID(inner)
    return value
