"""The slots of a span: the newest of them, and how many more there are."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from django_tasks.schedules import Crontab, clocked, crontab, every, newest_slots, solar
from tests.schedules.crontabs import CRONTABS, ZONES
from tests.schedules.oracle import pieces_of
from tests.schedules.test_matrix import at

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SPECS = [
    every(minutes=7, anchor=NOON),
    every(minutes=7, anchor=NOON + 300 * HOUR),
    every(hours=7),
    crontab("*/7 * * * *"),
    crontab("0 7 * * *", timezone="Europe/Berlin"),
    crontab("0 0 29 2 *"),
    solar("sunset", 52.52, 13.4),
    clocked(NOON + HOUR),
    clocked(NOON),
]


def all_slots(spec, after, until):
    found = []
    while (after := spec.next_after(after)) is not None and after <= until:
        found.append(after)
    return found


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("hours", [0, 1, 7, 100, 1000])
@pytest.mark.parametrize("limit", [0, 1, 3, None])
def test_newest_slots_are_the_last_of_all(spec, hours, limit):
    """Looking backwards finds what walking from slot to slot finds, and counts the others."""
    until = NOON + hours * HOUR
    slots = all_slots(spec, NOON, until)
    kept = slots if limit is None else slots[len(slots) - min(limit, len(slots)) :]

    assert newest_slots(spec, NOON, until, limit) == (kept, len(slots) - len(kept))


@pytest.mark.parametrize(("expression", "day_match"), random.Random(1).sample(CRONTABS, 40))
def test_slots_are_counted_across_changes_of_the_clocks(expression, day_match):
    """The count of a span is that of the walk, wherever in a gap or fold it begins and ends."""
    for name in ZONES:
        rng = random.Random(f"{expression} {name}")
        spec = Crontab(expression, day_match, name)
        changes = [piece[0] for piece in pieces_of(name)[1:]] or [5_000_000]
        for _ in range(3):
            change = at(rng.choice(changes))
            after = change + rng.choice([-30, -2, -1, 0, 1, 2]) * HOUR * rng.random()
            until = change + rng.choice([-1, 0, 0, 1, 2, 30]) * HOUR * rng.random()
            expected = len(all_slots(spec, after, until))
            assert spec.count_between(after, until) == expected, (name, after, until)


@pytest.mark.parametrize("seconds", [0.1, 1.0])
def test_long_downtime_costs_nothing(seconds):
    """A year of a short interval is counted, not walked: the walk would take a minute."""
    spec = every(seconds=seconds, anchor=NOON)

    slots, older = newest_slots(spec, NOON, NOON + timedelta(days=365), 2)

    assert slots == [NOON + timedelta(days=365, seconds=-seconds), NOON + timedelta(days=365)]
    assert older == 365 * 86400 / seconds - 2


def test_long_downtime_of_a_crontab_asks_for_few_slots(monkeypatch):
    """Ten years of every minute are counted by days: few slots are looked at."""
    calls = []
    original = Crontab.next_after
    monkeypatch.setattr(
        Crontab, "next_after", lambda self, moment: calls.append(moment) or original(self, moment)
    )
    until = datetime(2036, 11, 21, 12, tzinfo=UTC)

    slots, older = newest_slots(crontab("* * * * *", timezone="Europe/Berlin"), NOON, until, 3)

    assert slots == [until - timedelta(minutes=2), until - timedelta(minutes=1), until]
    assert older == (until - NOON) // timedelta(minutes=1) - 3
    assert len(calls) < 20
