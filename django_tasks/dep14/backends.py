"""The base class of all backends, and the two that need no worker."""

from typing import TYPE_CHECKING

import django

if TYPE_CHECKING or django.VERSION >= (6, 0):
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.backends.dummy import DummyBackend
    from django.tasks.backends.immediate import ImmediateBackend
else:
    from ._django52.backends import BaseTaskBackend, DummyBackend, ImmediateBackend

__all__ = ["BaseTaskBackend", "DummyBackend", "ImmediateBackend"]
