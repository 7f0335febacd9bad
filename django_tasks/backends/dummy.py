"""The backend that only remembers what was enqueued: django.tasks' own."""

from ..dep14.backends import DummyBackend

__all__ = ["DummyBackend"]
