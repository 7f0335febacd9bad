"""How statuses, durations, times and JSON look in the admin."""

from __future__ import annotations

import json
import signal
from datetime import datetime
from typing import Any

from django.utils.formats import number_format
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from ..monitoring.durations import NOTHING as NOTHING
from ..monitoring.durations import clock_time, distance
from ..monitoring.durations import duration as duration
from ..monitoring.reading import CappedCount
from ..statuses import AttemptOutcome, Status

#: Characters of one value that a page shows; the rest is counted.
MAX_SHOWN = 20_000


def badge(word: str, kind: str) -> str:
    """Return a word on a coloured ground; `kind` is a class of admin.css."""
    return format_html('<span class="task-badge task-{}">{}</span>', kind, word)


def status_badge(status: str) -> str:
    """Return the status in words; one that this version does not know as it is."""
    known = status in Status.values
    word = str(Status(status).label) if known else status
    return badge(word, status.lower() if known else "unknown")


_OUTCOME_KINDS: dict[str, str] = {
    AttemptOutcome.ERROR: "failed",
    AttemptOutcome.TIMEOUT: "failed",
    AttemptOutcome.LOST: "failed",
    AttemptOutcome.CANCELLED: "cancelled",
    AttemptOutcome.EXPIRED: "cancelled",
}


def outcome_kind(outcome: str) -> str:
    """Return the class of admin.css that has the colour of an attempt's outcome."""
    return _OUTCOME_KINDS.get(outcome, "ready")


def outcome_badge(outcome: str) -> str:
    """Return how an attempt ended, in words."""
    known = outcome in AttemptOutcome.values
    word = str(AttemptOutcome(outcome).label) if known else outcome
    return badge(word, outcome_kind(outcome))


def short_duration(seconds: float) -> str:
    """Return a duration in one unit, for the scale of a chart: 40 ms, 2 s, 30 min, 4 h, 2 d."""
    if not seconds:
        return "0"
    if seconds < 1:
        return _("%(n)s ms") % {"n": _plain(seconds * 1000)}
    if seconds < 60:
        return _("%(n)s s") % {"n": _plain(seconds)}
    if seconds < 3600:
        return _("%(n)s min") % {"n": _plain(seconds / 60)}
    if seconds < 86400:
        return _("%(n)s h") % {"n": _plain(seconds / 3600)}
    return _("%(n)s d") % {"n": _plain(seconds / 86400)}


def _plain(number: float) -> str:
    return str(number_format(f"{number:.3g}" if number < 1000 else round(number)))


def count(number: int) -> str:
    """Return a count with its thousands apart, and a plus when it stopped there."""
    text = str(number_format(int(number), force_grouping=True))
    return f"{text}+" if isinstance(number, CappedCount) else text


def short_count(number: float) -> str:
    """Return a round count for the scale of a chart: 800, 2,000, 40 k, 3 M."""
    if number < 10_000:
        return count(round(number))
    if number < 1_000_000:
        return f"{_plain(number / 1000)} k"
    return f"{_plain(number / 1_000_000)} M"


def rate(per_minute: float) -> str:
    """Return a rate with a digit behind the point where that says something."""
    digits = 0 if per_minute >= 100 or not per_minute else 1 if per_minute >= 1 else 2
    return str(number_format(per_minute, digits, force_grouping=True))


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago it was, with the time itself as the tooltip."""
    if moment is None:
        return NOTHING
    return timestamp(moment, distance(moment, now))


def timestamp(moment: datetime | None, text: str = "") -> str:
    """Return the time to the second, in the current time zone, with UTC as the tooltip."""
    if moment is None:
        return NOTHING
    shown = text or clock_time(moment)
    return format_html('<time datetime="{0}" title="{0}">{1}</time>', moment.isoformat(), shown)


def json_block(value: Any) -> str:
    """Return a value as indented JSON in a scrolling block."""
    return text_block(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def text_block(text: str) -> str:
    """Return text in a scrolling block, its end left out when it is very long."""
    # A lone surrogate, which JSON can name, is no text that a page could be encoded with.
    clean = shortened(text).encode("utf-8", "backslashreplace").decode()
    return format_html('<pre class="task-text">{}</pre>', clean)


def shortened(text: str) -> str:
    """Return the head and the tail of a long text: the tail of a traceback says what it was."""
    left_out = len(text) - MAX_SHOWN
    if left_out <= 0:
        return text
    head, tail = text[: MAX_SHOWN // 2], text[-MAX_SHOWN // 2 :]
    note = _("… %(count)s characters are not shown …") % {"count": f"{left_out:,}"}
    return f"{head}\n\n{note}\n\n{tail}"


def join(*parts: str) -> str:
    """Return the parts with a comma between them, each escaped unless it is markup."""
    return format_html_join(", ", "{}", ((part,) for part in parts if part))


def signal_name(number: int) -> str:
    """Return "SIGKILL" for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return _("signal %d") % number
