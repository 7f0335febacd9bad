"""What a function is: which a worker can find again, and which are coroutine functions."""

from functools import cache
from inspect import iscoroutinefunction, isfunction
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING or django.VERSION >= (6, 0):
    from django.utils.inspect import is_module_level_function
else:

    def is_module_level_function(func: Any) -> bool:
        """Tell whether a worker finds `func` by its dotted path."""
        return isfunction(func) and "<locals>" not in func.__qualname__


#: Asked for each call and each task that runs; a function does not change its mind.
is_coroutine_function = cache(iscoroutinefunction)

__all__ = ["is_coroutine_function", "is_module_level_function"]
