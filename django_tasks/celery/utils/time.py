"""Delays and moments."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from django.utils.timezone import get_default_timezone, is_naive

__all__ = ["get_exponential_backoff_interval", "maybe_make_aware", "maybe_timedelta"]


def get_exponential_backoff_interval(
    factor: int, retries: int, maximum: int, full_jitter: bool = False
) -> int:
    """Return `factor` * 2 ** `retries` seconds, `maximum` at most; a random part with jitter."""
    countdown = int(min(maximum, factor * (2**retries)))
    if full_jitter:
        countdown = random.randrange(countdown + 1)  # noqa: S311 - spreads load, guards nothing
    return max(0, countdown)


def maybe_make_aware(moment: Any, tz: Any = None) -> Any:
    """Give a naive datetime the time zone `tz`, or settings.TIME_ZONE; leave others."""
    if isinstance(moment, datetime) and is_naive(moment):
        return moment.replace(tzinfo=tz or get_default_timezone())
    return moment


def maybe_timedelta(delta: Any) -> Any:
    """Return seconds as a timedelta; leave others."""
    return timedelta(seconds=delta) if isinstance(delta, (int, float)) else delta
