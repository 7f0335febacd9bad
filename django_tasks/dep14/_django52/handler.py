from typing import TYPE_CHECKING, Any

from asgiref.local import Local
from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.connection import BaseConnectionHandler, ConnectionProxy
from django.utils.module_loading import import_string

from .constants import DEFAULT_TASK_BACKEND_ALIAS
from .exceptions import InvalidTaskBackend

if TYPE_CHECKING:
    _ConnectionHandler = BaseConnectionHandler[Any]
else:  # Generic only for type checkers.
    _ConnectionHandler = BaseConnectionHandler

# Django 5.2 has no default for settings.TASKS. A project that set none still means its tasks to
# run on a worker, from whichever queue they name.
DEFAULT_TASKS: dict[str, dict[str, Any]] = {
    DEFAULT_TASK_BACKEND_ALIAS: {
        "BACKEND": "django_tasks.backends.database.DatabaseBackend",
        "QUEUES": [],
    }
}


class TaskBackendHandler(_ConnectionHandler):
    """The configured backends by alias; every thread and async context gets its own instances."""

    settings_name = "TASKS"
    exception_class = InvalidTaskBackend

    def configure_settings(self, settings: dict[str, Any] | None) -> dict[str, Any]:
        if settings is None:
            settings = getattr(django_settings, "TASKS", DEFAULT_TASKS)
        return settings

    def create_connection(self, alias: str) -> Any:
        params = self.settings[alias]
        path = params["BACKEND"]
        try:
            backend_class = import_string(path)
        except ImportError as error:
            raise InvalidTaskBackend(f"Could not find backend '{path}': {error}") from error
        return backend_class(alias=alias, params=params)

    def forget(self) -> None:
        """Drop all instances, and read the settings again when next asked for one."""
        self._settings = None
        self.__dict__.pop("settings", None)
        self._connections = Local(self.thread_critical)


task_backends = TaskBackendHandler()
default_task_backend = ConnectionProxy(task_backends, DEFAULT_TASK_BACKEND_ALIAS)


@receiver(setting_changed)
def _forget_backends(*, setting: str, **kwargs: Any) -> None:
    if setting == TaskBackendHandler.settings_name:
        task_backends.forget()
