"""The system check over all configured backends; importing this registers it."""

from typing import TYPE_CHECKING

import django

if TYPE_CHECKING or django.VERSION >= (6, 0):
    from django.tasks.checks import check_tasks
else:
    from ._django52.checks import check_tasks

__all__ = ["check_tasks"]
