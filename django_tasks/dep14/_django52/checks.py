from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, register

from .handler import task_backends


@register
def check_tasks(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Let every configured backend check itself."""
    return [message for backend in task_backends.all() for message in backend.check()]
