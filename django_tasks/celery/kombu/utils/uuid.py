"""Ids."""

from __future__ import annotations

from ...utils import uuid

__all__ = ["uuid"]
