"""What Celery has in its `utils`."""

from __future__ import annotations

from uuid import uuid4

__all__ = ["gen_unique_id", "uuid"]


def uuid() -> str:
    """Return the text of a new UUID."""
    return str(uuid4())


gen_unique_id = uuid
