"""Whether another attempt follows, and when: pure decisions."""

from datetime import timedelta

import pytest

from django_tasks import Cancel, Retry, Snooze, SoftTimeLimitExceeded, exponential
from django_tasks.definitions.retries import DEFAULT_BACKOFF, RetryDecision, decide
from django_tasks.exceptions import TaskControl
from tests.tasks import add


def never():
    raise AssertionError("the result is read only for a callable backoff")


def delay(exception=None, attempts=1, max_attempts=5, result=never, **options):
    """Return what decide() says for a task with these options."""
    changed = add.restored(**options)
    error = ValueError() if exception is None else exception
    return decide(changed, error, attempts, max_attempts, result).delay


class Result:
    def __init__(self, attempts):
        self.attempts = attempts


def test_no_attempt_beyond_max_attempts():
    """max_attempts counts all attempts; after the last one comes no other, whoever asks."""
    assert delay(attempts=1, max_attempts=1, backoff=5) is None
    assert delay(attempts=4, max_attempts=5, backoff=5) == 5
    assert delay(attempts=5, max_attempts=5, backoff=5) is None
    assert delay(attempts=6, max_attempts=5, backoff=5) is None
    assert delay(Retry(1), attempts=5, max_attempts=5) is None


@pytest.mark.parametrize(
    ("exception", "is_retried"),
    [
        (ConnectionResetError(), True),
        (OSError(), True),
        (FileNotFoundError(), False),
        (ValueError(), False),
        (KeyboardInterrupt(), False),
        (Retry(), True),
        (Cancel(), False),
        (Snooze(1), False),
        (TaskControl(), False),
    ],
    ids=repr,
)
def test_retry_on_and_give_up_on(exception, is_retried):
    """retry_on picks, give_up_on takes out; Retry always asks, other verbs never do."""
    options = {"retry_on": (OSError,), "give_up_on": (FileNotFoundError,), "backoff": 2}

    assert delay(exception, **options) == (2 if is_retried else None)


def test_defaults_retry_errors_and_no_exits():
    """retry_on=(Exception,): SystemExit and the like end the task."""
    assert delay(ValueError(), backoff=1) == 1
    assert delay(SoftTimeLimitExceeded(), backoff=1) == 1
    assert delay(SystemExit(), backoff=1) is None
    assert delay(SystemExit(), backoff=1, retry_on=(BaseException,)) == 1


def test_retry_names_its_own_delay():
    """raise Retry(delay) beats the backoff; without one the backoff counts."""
    assert delay(Retry(7.5), backoff=1) == 7.5
    assert delay(Retry(0), backoff=1) == 0
    assert delay(Retry(timedelta(minutes=1)), backoff=1) == 60
    assert delay(Retry(), backoff=1) == 1
    assert delay(Retry(3), retry_on=(), give_up_on=(Exception,)) == 3


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        (3, [3, 3, 3]),
        (0, [0, 0, 0]),
        (timedelta(minutes=2), [120, 120, 120]),
        ([1, 5], [1, 5, 5]),
        ((0.5,), [0.5, 0.5, 0.5]),
    ],
    ids=repr,
)
def test_fixed_backoffs(backoff, delays):
    """Seconds, a timedelta, a list whose last value repeats."""
    assert [delay(attempts=n, backoff=backoff) for n in (1, 2, 3)] == delays


def test_callable_backoff_sees_the_exception_and_the_result():
    """It decides by both; None ends the task, a negative delay is none."""
    seen = []

    def backoff(exception, task_result):
        seen.append((str(exception), task_result.attempts))
        return {1: 30, 2: -5}.get(task_result.attempts)

    def ask(attempts):
        return delay(ValueError("boom"), attempts, backoff=backoff, result=lambda: Result(attempts))

    assert [ask(1), ask(2), ask(3)] == [30.0, 0.0, None]
    assert seen == [("boom", 1), ("boom", 2), ("boom", 3)]


def test_exponential_grows_to_its_maximum():
    """first * factor ** n, never more than maximum, for any number of attempts."""
    backoff = exponential(first=2, factor=3, maximum=100, jitter=0)

    assert [delay(attempts=n, backoff=backoff) for n in (1, 2, 3, 4)] == [2, 6, 18, 54]
    assert delay(attempts=5, backoff=backoff, max_attempts=10**6) == 100
    assert delay(attempts=10**5, backoff=backoff, max_attempts=10**6) == 100


def test_exponential_spreads_downwards():
    """jitter is the share of the delay that is random, so the maximum holds."""
    backoff = exponential(first=100, jitter=0.25)
    delays = [delay(backoff=backoff) for _ in range(300)]

    assert 75 <= min(delays) < 80
    assert 95 < max(delays) <= 100
    assert len(set(delays)) > 200


def test_exponential_is_called_like_any_backoff():
    """The same numbers by its call, with no attempt yet too."""
    backoff = exponential(first=2, jitter=0)

    assert [backoff(ValueError(), Result(n)) for n in (0, 1, 2)] == [2, 2, 4]


def test_default_backoff():
    """2 s after the first failure, 10 minutes at most."""
    assert 1.5 <= DEFAULT_BACKOFF.delay(1) <= 2
    assert 450 <= DEFAULT_BACKOFF.delay(99) <= 600
    assert 1.5 <= delay() <= 2


def test_no_decision_is_a_value():
    """Decisions compare: tests of the worker rely on it."""
    assert RetryDecision(1.0) == RetryDecision(1.0) != RetryDecision(None)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), timedelta(-1)])
def test_impossible_delays_are_refused_where_they_are_raised(value):
    """raise Retry(-1) is a mistake of the body, named there."""
    for kind in (Retry, Snooze):
        with pytest.raises(ValueError, match="delay must be a number of seconds from 0 on"):
            kind(value)


@pytest.mark.parametrize("value", [float("inf"), 1e300])
def test_delays_beyond_the_end_of_time_are_bounded(value):
    """A user's backoff that overflows must not become an error of the store."""
    decided = delay(backoff=lambda exception, task_result: value, result=lambda: Result(1))

    assert decided is None or decided <= 100 * 365 * 86400


def test_messages_of_the_verbs():
    """What the admin and errors show of them."""
    assert str(Retry()) == "The task asked for another attempt."
    assert str(Retry(1, "rate limited")) == "rate limited"
    assert str(Snooze(90)) == "The task snoozed for 90 seconds."
    assert str(Cancel()) == "The task cancelled itself."
    assert str(Cancel("no longer needed")) == "no longer needed"
