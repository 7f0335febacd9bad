"""Schedules in words."""

from datetime import UTC, datetime
from importlib.util import find_spec

import pytest
from django.utils.translation import override

from django_tasks.schedules import clocked, crontab, every, solar, wording, words

requires_descriptor = pytest.mark.skipif(
    find_spec("cron_descriptor") is None,
    reason="cron-descriptor (the extra cron-text) is not installed",
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (every(seconds=30), "Every 30 s"),
        (every(seconds=0.5), "Every 0.5 s"),
        (every(minutes=1), "Every 1 minute"),
        (every(minutes=90), "Every 1 hour 30 minutes"),
        (every(days=14), "Every 2 weeks"),
        (every(days=1, seconds=1.5), "Every 1 day 1.5 s"),
        (solar("sunset", 52.52, 13.4), "Sunset, 52.52°, 13.4°"),
        (clocked(datetime(2026, 12, 24, 18, tzinfo=UTC)), "Once: Dec. 24, 2026, 6 p.m."),
    ],
)
def test_kind_in_words(spec, expected):
    """Each kind has a short text."""
    assert words(spec) == expected


@requires_descriptor
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (crontab("0 7 * * mon-fri"), "At 07:00, Monday through Friday"),
        (
            crontab("0 7 * January Monday-friday"),
            "At 07:00, Monday through Friday, only in January",
        ),
        (crontab("@daily"), "At 00:00"),
        (crontab("0 19 * * L5"), "At 19:00, on the last Friday of the month"),
        (
            crontab(minute=0, hour=0, day_of_month="1-7", day_of_week=1),
            "At 00:00, between day 1 and 7 of the month, only on Monday",
        ),
    ],
)
def test_crontab_in_words(spec, expected):
    """Crontabs are told by cron-descriptor, also in the forms that it spells otherwise."""
    assert words(spec) == expected


@requires_descriptor
def test_days_of_which_one_is_enough_in_words():
    """Versions of cron-descriptor say "or", "and" or "only" here, so what is meant is added."""
    text = words(crontab("0 0 1-7 * 1"))

    assert text.startswith("At 00:00, between day 1 and 7 of the month, ")
    assert text.endswith("on Monday (either day matches)")


@requires_descriptor
def test_crontab_in_the_active_language():
    """The words are in the language of the page, or in English if it has none of them."""
    with override("de"):
        assert words(crontab("0 7 * * *")) == "Um 07:00"
    with override("eo"):
        assert words(crontab("0 7 * * *")) == "At 07:00"


def test_crontab_without_cron_descriptor(monkeypatch):
    """Without the extra the expression is repeated."""
    monkeypatch.setattr(wording, "_descriptor", lambda: None)

    assert words(crontab("0 7 * * *")) == "crontab 0 7 * * *"
