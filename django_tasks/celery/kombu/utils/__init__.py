"""kombu.utils: ids and JSON."""

from __future__ import annotations

from .uuid import uuid

__all__ = ["uuid"]
