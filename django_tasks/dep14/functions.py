"""Which functions a worker can find again."""

from inspect import isfunction
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING or django.VERSION >= (6, 0):
    from django.utils.inspect import is_module_level_function
else:

    def is_module_level_function(func: Any) -> bool:
        """Tell whether a worker finds `func` by its dotted path."""
        return isfunction(func) and "<locals>" not in func.__qualname__


__all__ = ["is_module_level_function"]
