"""Arguments and return values as JSON would give them back."""

from typing import TYPE_CHECKING

import django

if TYPE_CHECKING or django.VERSION >= (6, 0):
    from django.utils.json import normalize_json
else:
    from ._django52.json import normalize_json

__all__ = ["normalize_json"]
