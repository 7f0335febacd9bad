"""What the admin's first page hangs on: a page needs a model to be in the index."""

from __future__ import annotations

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from .tasks import TaskRecord


class Overview(TaskRecord):
    """All tasks at a glance. It has no table and no permissions of its own."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = _("overview")
        # The index sorts by this name. The blank puts it first in every language, and no page
        # shows a blank at the beginning.
        verbose_name_plural = format_lazy(" {}", _("Overview"))
