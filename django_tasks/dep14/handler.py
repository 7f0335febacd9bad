"""The configured backends: ``task_backends["alias"]``."""

from typing import TYPE_CHECKING

import django

if TYPE_CHECKING or django.VERSION >= (6, 0):
    from django.tasks import TaskBackendHandler, default_task_backend, task_backends
else:
    from ._django52.handler import TaskBackendHandler, default_task_backend, task_backends

__all__ = ["TaskBackendHandler", "default_task_backend", "task_backends"]
