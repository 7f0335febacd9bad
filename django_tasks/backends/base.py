"""The base class of task backends: django.tasks' own."""

from ..dep14.backends import BaseTaskBackend

__all__ = ["BaseTaskBackend"]
