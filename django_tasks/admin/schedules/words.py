"""Help texts of the form of schedules: each policy and each field in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from ...models.schedules import CatchUp, Overlap

OVERLAPS = {
    Overlap.ALLOW: _("enqueue it all the same: several may be unfinished at once."),
    Overlap.SKIP: _("leave this slot out, and wait for the next."),
    Overlap.QUEUE_ONE: _(
        "wait until the earlier task has finished, then enqueue once for all the slots that waited."
    ),
    Overlap.CANCEL_PREVIOUS: _("cancel the earlier task, and enqueue this one."),
}

CATCH_UPS = {
    CatchUp.NONE: _("leave out whatever is more than a minute late."),
    CatchUp.LATEST: _("enqueue only the newest of the missed slots."),
    CatchUp.ALL: _("enqueue every missed slot, the newest ones if “at most” is set."),
}

HELP = {
    "task_path": _("Type a part of its name. Only tasks that may be scheduled are offered."),
    "args": _('A JSON list such as [1, "two"].'),
    "kwargs": _('A JSON object such as {"name": "value"}.'),
    "anchor_at": _(
        "Slots are whole intervals away from this moment. Empty: from when it is first saved."
    ),
    "crontab": _(
        "Minute, hour, day of the month, month, day of the week: “30 7 * * 1-5” is 7:30 on"
        " working days. Also @hourly, @daily, @weekly, @monthly, @yearly."
    ),
    "day_match": _("When both the day of the month and the day of the week are given."),
    "latitude": _("Degrees north of the equator; south is negative."),
    "longitude": _("Degrees east of Greenwich; west is negative."),
    "start_at": _("No slot before this moment."),
    "end_at": _("No slot after this moment."),
    "max_runs": _("It ends after this many runs. Runs by hand do not count."),
    "jitter": _(
        "Each task starts up to this much after its slot, at random, so that many schedules do not"
        " all start at once."
    ),
    "expires": _(
        "A task that has not been started this long after its slot is cancelled. Empty: the"
        " task’s own setting."
    ),
    "overlap": _("What to do when a slot comes while the earlier task has not finished."),
    "catch_up": _("What to do about slots that passed while no beat was running."),
    "catch_up_limit": _("Enqueue at most so many missed slots. Empty: no limit."),
    "catch_up_deadline": _("Leave out slots that are later than this. Empty: no limit."),
    "queue_name": _("Empty: the task’s own."),
    "priority": _("-100 to 100; higher runs first. Empty: the task’s own."),
    "backend": _("Empty: the task’s own."),
    "enabled": _("Slots that pass while it is disabled are left out."),
}


def explained(choices: list[tuple[str, object]], sentences: Mapping[Any, object]) -> list[object]:
    """Return choices whose labels are followed by what each of them means."""
    return [
        (value, format_html("<strong>{}</strong>: {}", label, sentences[value]))
        for value, label in choices
    ]
