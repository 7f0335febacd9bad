"""What all commands share."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError


class OneLineCommand(BaseCommand):
    """A command that ends with one line, and exit code 1, where settings are wrong."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except ImproperlyConfigured as error:  # system checks can be skipped
            raise CommandError(str(error)) from error
