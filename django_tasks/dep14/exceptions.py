"""What task operations raise."""

from typing import TYPE_CHECKING

import django

if TYPE_CHECKING or django.VERSION >= (6, 0):
    from django.tasks.exceptions import (
        InvalidTask,
        InvalidTaskBackend,
        TaskException,
        TaskResultDoesNotExist,
        TaskResultMismatch,
    )
else:
    from ._django52.exceptions import (
        InvalidTask,
        InvalidTaskBackend,
        TaskException,
        TaskResultDoesNotExist,
        TaskResultMismatch,
    )

__all__ = [
    "InvalidTask",
    "InvalidTaskBackend",
    "TaskException",
    "TaskResultDoesNotExist",
    "TaskResultMismatch",
]
