"""When the duties of keepers and beats are due again."""

import pytest

from django_tasks.runtime import duties
from django_tasks.runtime.duties import Duty
from django_tasks.runtime.time_share import CHEAP, SHARE

INTERVAL = 5.0
#: Seconds of a look that walks over what a held snapshot keeps: dear beside its interval.
DEAR = 2.0


class Clock:
    """Goes on only when told to."""

    now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(duties, "time", found)
    return found


@pytest.fixture
def taking(clock):
    """Return a function that makes a duty whose rounds take `cost` seconds."""

    def taking(cost, *, has_more=False, **options):
        def look():
            clock.now += cost
            return has_more

        return Duty(look, INTERVAL, **options)

    return taking


def waits(duty, clock):
    """Do a round; return the seconds from its end until the next one is due."""
    duty.do(clock.now)
    return duty.seconds_left(clock.now)


def test_dear_look_rests_in_proportion(taking, clock):
    """However dear it is, it takes no more than its share of the keeper's time."""
    assert waits(taking(DEAR, keeps_to_share=True), clock) == pytest.approx(DEAR / SHARE)


def test_cheap_look_keeps_its_interval(taking, clock):
    cost = CHEAP / 2

    assert waits(taking(cost, keeps_to_share=True), clock) == pytest.approx(INTERVAL - cost)


def test_nobody_hurries_a_look_that_rests(taking, clock):
    """Who hurries it again and again would have it do nothing else."""
    duty = taking(DEAR, keeps_to_share=True)
    duty.do(clock.now)

    duty.make_due()
    assert duty.seconds_left(clock.now) == pytest.approx(DEAR / SHARE)
    clock.now += DEAR / SHARE
    duty.next_in(INTERVAL)
    duty.make_due()

    assert duty.is_due(clock.now)


def test_look_that_leaves_more_behind_does_not_rest(taking, clock):
    """It took as long as what it did: that has to go on."""
    duty = taking(DEAR, has_more=True, keeps_to_share=True)
    duty.do(clock.now)

    assert duty.is_due(clock.now)


def test_what_must_not_be_late_never_rests(taking, clock):
    """A lease that was slow to renew is renewed no later for it."""
    assert waits(taking(DEAR), clock) == pytest.approx(INTERVAL - DEAR)
