"""Control characters in pages: rows may hold any, and no page shall be changed by one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpResponse

#: The controls but tab and line ends, and those that turn round the text after them.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e]")


def visible(text: str) -> str:
    """Return `text` with its control characters as JSON writes them, such as ``\\u001b``."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def with_visible_controls(view: Callable[..., Any]) -> Callable[..., Any]:
    """Return `view` with the control characters of its pages made visible."""

    @wraps(view)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        response = view(*args, **kwargs)
        if hasattr(response, "add_post_render_callback"):
            response.add_post_render_callback(_clean)
        else:
            _clean(response)
        return response

    return wrapped


def _clean(response: HttpResponse) -> None:
    if response.headers.get("Content-Type", "").startswith("text/html"):
        text = response.content.decode(response.charset)
        if _CONTROL.search(text):
            response.content = visible(text)
