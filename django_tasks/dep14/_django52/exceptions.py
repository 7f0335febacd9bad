from django.core.exceptions import ImproperlyConfigured


class TaskException(Exception):
    """The base of what task operations raise; itself never raised."""


class InvalidTask(TaskException):
    """The backend cannot run this task."""


class InvalidTaskBackend(ImproperlyConfigured):
    """settings.TASKS names a backend that does not exist."""


class TaskResultDoesNotExist(TaskException):
    """No result has this id."""


class TaskResultMismatch(TaskException):
    """The result belongs to another task."""
