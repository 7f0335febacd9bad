"""The backend that runs a task where it is enqueued: django.tasks' own."""

from ..dep14.backends import ImmediateBackend

__all__ = ["ImmediateBackend"]
