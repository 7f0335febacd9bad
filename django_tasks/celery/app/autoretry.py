"""``autoretry_for``: a body that retries by itself."""

from __future__ import annotations

from functools import wraps
from typing import Any

from ..exceptions import Ignore, Retry
from ..utils.time import get_exponential_backoff_interval

__all__ = ["add_autoretry_behaviour"]


def add_autoretry_behaviour(task: Any, **options: Any) -> None:
    """Let the task's `run` retry after the exceptions in `autoretry_for`."""

    def option(name: str, default: Any) -> Any:
        return options.get(name, getattr(task, name, default))

    retried = tuple(option("autoretry_for", ()))
    if not retried or hasattr(task, "_orig_run"):
        return
    passed = (Ignore, Retry, *option("dont_autoretry_for", ()))
    retry_kwargs = option("retry_kwargs", {})
    backoff = float(option("retry_backoff", False))
    longest = int(option("retry_backoff_max", 600))
    has_jitter = option("retry_jitter", True)
    original = task.run

    @wraps(original)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return task._orig_run(*args, **kwargs)
        except passed:
            raise
        except retried as error:
            of_attempt = dict(retry_kwargs)
            if backoff:
                of_attempt["countdown"] = get_exponential_backoff_interval(
                    factor=int(max(1.0, backoff)),
                    retries=task.request.retries,
                    maximum=longest,
                    full_jitter=has_jitter,
                )
            if hasattr(task, "override_max_retries"):
                of_attempt["max_retries"] = task.override_max_retries
            retry = task.retry(exc=error, **of_attempt)
            if hasattr(task, "override_max_retries"):
                del task.override_max_retries
            raise retry from error

    task._orig_run, task.run = original, run
