"""
Arguments of schedules in a form that shows no secrets.

The form shows a mask in a secret's place. A mask that comes back unchanged, in the same place of
the same task's arguments, stands for what is stored; anywhere else it is refused.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ... import serializers
from ...definitions import registry
from ...models import Schedule
from ...redaction import arguments


def shown(schedule: Schedule) -> tuple[str, str]:
    """Return the arguments and keyword arguments as JSON to be read or edited, secrets masked."""
    call = arguments.mask(schedule.args, schedule.kwargs, registry.find(schedule.task_path))
    return _text(call.args), _text(call.kwargs)


def _text(value: Any) -> str:
    if value == arguments.UNREADABLE:
        return arguments.UNREADABLE
    text = json.dumps(value, ensure_ascii=False)
    # A lone surrogate, which JSON can name, is no text that a page could be encoded with.
    return text if _is_encodable(text) else json.dumps(value)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def restored(value: Any, column: str, source: Schedule | None) -> Any:
    """Return `value` with what `source` stores in the place of its masks."""
    if source is None:
        return _restore(value, None, None, column)
    call = arguments.mask(source.args, source.kwargs, registry.find(source.task_path))
    try:
        stored = serializers.loads(getattr(source, column))
    except (ValueError, RecursionError):
        stored = None
    return _restore(value, getattr(call, column), stored, column)


def _restore(value: Any, masked: Any, stored: Any, where: str) -> Any:
    if value == arguments.MASK:
        if masked == arguments.MASK:
            return stored
        raise ValidationError(
            _("%(where)s is a mask with nothing stored behind it. Enter the value itself.")
            % {"where": where}
        )
    if isinstance(value, dict):
        return {
            key: _restore(item, _item(masked, key), _item(stored, key), f"{where}.{key}")
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _restore(item, _item(masked, index), _item(stored, index), f"{where}[{index}]")
            for index, item in enumerate(value)
        ]
    return value


def _item(container: Any, key: Any) -> Any:
    if isinstance(container, dict):
        return container.get(key)
    if isinstance(container, list) and isinstance(key, int) and key < len(container):
        return container[key]
    return None
