from collections.abc import Mapping, Sequence
from typing import Any


def normalize_json(obj: Any) -> Any:
    """Return a copy of ``obj`` made of JSON's types only, or raise TypeError or ValueError."""
    if obj is None or isinstance(obj, str | int | float):
        return obj
    if isinstance(obj, bytes):
        return _decode(obj)
    if isinstance(obj, Mapping):
        return {normalize_json(key): normalize_json(value) for key, value in obj.items()}
    if isinstance(obj, Sequence):
        return [normalize_json(item) for item in obj]
    raise TypeError(f"Unsupported type: {type(obj)}")


def _decode(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"Unsupported value: {type(value)}") from error
