"""
A hundred crontabs in twelve zones over twenty years, against a brute-force oracle and cronsim.

`TEST_SCHEDULES=full` compares every slot of all but the three densest, which takes minutes;
`TEST_SCHEDULES=every` these too. Otherwise: the days around every change of the clocks, and
stretches picked at random, the same ones each time.
"""

import os
import random
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from django_tasks.schedules import Crontab
from tests.schedules import oracle
from tests.schedules.crontabs import CRONTABS, ZONES
from tests.schedules.oracle import DAY, MINUTES, START, Tape, pieces_of

TIER = os.environ.get("TEST_SCHEDULES", "")
DENSE = 1_000_000  # slots in the twenty years
MINUTE = timedelta(minutes=1)
INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize(("expression", "day_match"), CRONTABS)
def test_slots_are_those_of_the_oracle(expression, day_match):
    """`next_after` names exactly the minutes that brute force finds, in every zone."""
    tape = Tape(expression, day_match == "ALL")
    for name in ZONES:
        rng = random.Random(f"{expression} {name}")
        spec = Crontab(expression, day_match, name)
        pieces = pieces_of(name)
        for start, end in windows(tape, pieces, rng):
            expected = tape.due(pieces, start, end)
            assert slots(spec, start, end) == expected, (name, at(start), at(end))
            compare_moments(spec, expected, start, end, rng)


def windows(tape, pieces, rng):
    """Return the spans of minutes to compare."""
    if TIER == "every" or (TIER == "full" and tape.total <= DENSE):
        return [(0, MINUTES)]
    around = 3 * DAY if tape.per_day <= 4 else DAY if tape.per_day <= 48 else DAY // 6
    spans = [(start - around, start + around) for start, *_ in pieces[1:]]
    length = max(DAY // 4, min(MINUTES, 40 * MINUTES // max(tape.total, 1)))
    spans += [(start, start + length) for start in rng.sample(range(MINUTES), 3)]
    if TIER == "full":
        spans += [(start, start + DAY) for start in range(0, MINUTES, 7 * DAY)]
    return [(max(start, 0), min(end, MINUTES)) for start, end in spans]


def slots(spec, start, end):
    """Walk from slot to slot, and return their minutes."""
    found = []
    end = at(end)
    slot = spec.next_after(at(start) - INSTANT)
    while slot is not None and slot < end:
        number, rest = divmod(slot - START, MINUTE)
        assert not rest, slot
        found.append(number)
        slot = spec.next_after(slot)
    return found


def compare_moments(spec, expected, start, end, rng):
    """Ask from any moment, not only from slots."""
    for _ in range(3):
        moment = at(start) + (at(end) - at(start)) * rng.random()
        after = (moment - START) // MINUTE
        index = bisect_right(expected, after)
        if index < len(expected):
            assert spec.next_after(moment) == at(expected[index]), (spec, moment)


def at(minute):
    return START + minute * MINUTE


def test_oracle_knows_what_is_known():
    """The oracle itself: nights that are in every newspaper."""
    daily, hourly = Tape("30 2 * * *"), Tape("*/30 * * * *")
    berlin = pieces_of("Europe/Berlin")
    march, october = minute_of(2026, 3, 29), minute_of(2026, 10, 25)

    assert daily.due(berlin, march, march + DAY) == [march + 60]
    assert daily.due(berlin, october, october + DAY) == [october + 30]
    assert hourly.due(berlin, march, march + DAY) == list(range(march, march + DAY, 30))
    assert [START.astimezone(ZoneInfo("Asia/Kolkata")).minute] == [30]
    assert Tape("0 0 * * *").due(pieces_of("Asia/Kolkata"), 0, DAY) == [18 * 60 + 30]


def minute_of(*date):
    return (datetime(*date, tzinfo=UTC) - START) // MINUTE


def in_cronsim_s_words(expression, day_match):
    """Return the expression as cronsim spells it, or None: it has not all of them."""
    expression = oracle.WORDS.get(expression, expression)
    minute, hour, day, month, weekday = expression.replace("?", "*").split()
    if weekday.startswith("l"):
        weekday = f"{weekday[1:]}L"
    over_the_end = {"50-10", "22-2", "nov-feb", "fri-mon"}
    has_its_rule = day_match == "ANY" or "*" in (day, weekday)
    if not has_its_rule or over_the_end & {minute, hour, month, weekday}:
        return None
    return " ".join([minute, hour, day, month, weekday])


SPELLED = [(text, spelled) for text, match in CRONTABS
           if (spelled := in_cronsim_s_words(text, match))]  # fmt: skip


@pytest.mark.parametrize(("expression", "spelled"), SPELLED)
def test_slots_are_those_of_cronsim(expression, spelled):
    """The scheduler of healthchecks.io names the same slots around changes of the clocks."""
    cronsim = pytest.importorskip("cronsim", reason="cronsim, the second oracle, is not installed")
    for name in zones_for_cronsim(expression):
        spec = Crontab(expression, timezone=name)
        rng = random.Random(f"{expression} {name}")
        changes = [piece[0] for piece in pieces_of(name)[1:]] or [MINUTES // 2]
        for change in rng.sample(changes, min(4, len(changes))):
            moment = at(change) - timedelta(hours=rng.randrange(12, 60))
            simulated = cronsim.CronSim(spelled, moment.astimezone(ZoneInfo(name)))
            for expected in islice(simulated, 12):
                if is_skipped(expected):
                    break  # its answer to a midnight that clocks skip is no time that they show
                moment = spec.next_after(moment)
                assert moment == expected.astimezone(UTC), (name, at(change))


def zones_for_cronsim(expression):
    """Return ZONES; without half hours where cronsim goes by whole ones, past 2:17 in April."""
    if oracle.is_fixed(expression):
        return ZONES
    return [name for name in ZONES if name != "Australia/Lord_Howe"]


def is_skipped(local):
    """Tell whether clocks never show a time."""
    shown = local.astimezone(UTC).astimezone(local.tzinfo)
    return shown.replace(tzinfo=None) != local.replace(tzinfo=None)
