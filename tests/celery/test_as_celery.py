"""The same calls to Celery and to the façade: states, retries and eager results are equal."""

import inspect
import itertools
import random

import pytest

celery = pytest.importorskip("celery")

from celery import states as their_states  # noqa: E402
from celery.exceptions import Ignore, Reject  # noqa: E402
from celery.utils.time import get_exponential_backoff_interval  # noqa: E402

from django_tasks import celery as ours  # noqa: E402
from django_tasks.celery import exceptions, states  # noqa: E402
from django_tasks.celery.app.task import Task  # noqa: E402
from django_tasks.celery.utils import time  # noqa: E402

THEIRS = celery.Celery("theirs", set_as_current=False)
OURS = ours.Celery("ours", set_as_current=False)
_numbers = itertools.count()


class Boom(Exception):
    """What bodies raise."""


class Calm(Boom):
    """What they are not to retry after."""


def pair(make, **options):
    """Return tasks of the body that `make(exceptions)` returns: Celery's, and ours."""
    name = f"as_celery.{next(_numbers)}"
    modules = ((THEIRS, celery.exceptions), (OURS, exceptions))
    return [app.task(name=name, bind=True, **options)(make(module)) for app, module in modules]


def told(task, *args, **kwargs):
    """Return the state, the value or error, and how often the body ran."""
    runs.clear()
    result = task.apply(args, kwargs, task_id="of-this-call")
    assert result.id == "of-this-call"
    value = result.result
    shown = (type(value).__name__, str(value)) if isinstance(value, Exception) else value
    return result.state, shown, list(runs)


runs = []


def returns(self, n):
    runs.append((self.request.id, self.request.retries, self.request.is_eager))
    return n


def raising(error):
    def body(self, n):
        runs.append((self.request.retries, n, self.request.called_directly))
        raise error(self, n)

    return body


BODIES = {
    "returns": lambda x: returns,
    "raises": lambda x: raising(lambda self, n: Boom(n)),
    "ignores": lambda x: raising(lambda self, n: x.Ignore()),
    "rejects": lambda x: raising(lambda self, n: x.Reject("no")),
    "retries": lambda x: raising(lambda self, n: self.retry(countdown=0)),
    "retries with a reason": lambda x: raising(lambda self, n: self.retry(exc=Boom(n))),
    "retries twice at most": lambda x: raising(lambda self, n: self.retry(max_retries=2)),
    "other arguments": lambda x: raising(lambda self, n: self.retry(args=(n + 1,), exc=Boom(n))),
}


@pytest.mark.parametrize("max_retries", [0, 1, 3])
@pytest.mark.parametrize("body", BODIES)
def test_eager(body, max_retries):
    theirs, our = pair(BODIES[body], max_retries=max_retries)
    assert told(our, 7) == told(theirs, 7)


@pytest.mark.parametrize(
    "options",
    [
        {"autoretry_for": (Boom,), "max_retries": 2},
        {"autoretry_for": (Boom,), "dont_autoretry_for": (Calm,)},
        {"autoretry_for": (Boom,), "retry_kwargs": {"max_retries": 1}},
        {"autoretry_for": (OSError,)},
    ],
)
@pytest.mark.parametrize("error", [Boom, Calm, OSError])
def test_autoretry(options, error):
    theirs, our = pair(lambda x: raising(lambda self, n: error(n)), **options)
    assert told(our, 1) == told(theirs, 1)


def test_backoff():
    for factor, retries, most in itertools.product((0, 1, 2, 30), (0, 1, 5, 12), (1, 600)):
        for jitter in (False, True):
            seed = random.getrandbits(32)
            random.seed(seed)
            their = get_exponential_backoff_interval(factor, retries, most, jitter)
            random.seed(seed)
            assert time.get_exponential_backoff_interval(factor, retries, most, jitter) == their


def test_states():
    for name, value in vars(their_states).items():
        if name.isupper() and name not in ("NONE_PRECEDENCE", "PRECEDENCE_LOOKUP", "IGNORE_STATES"):
            assert getattr(states, name) == value, name
    both = [*sorted(their_states.ALL_STATES), "PROGRESS"]
    for one, other in itertools.product(both, both):
        assert (states.state(one) < states.state(other)) == (
            their_states.state(one) < their_states.state(other)
        )


def test_exceptions():
    """Ours stand where Celery's do, and take the same."""
    for name in ("Retry", "Ignore", "Reject", "MaxRetriesExceededError", "TimeoutError"):
        their, our = getattr(celery.exceptions, name), getattr(exceptions, name)
        of_theirs = [base.__name__ for base in their.__mro__]
        assert [b for b in of_theirs if b not in {c.__name__ for c in our.__mro__}] == []
    assert repr(exceptions.Reject("x", True)) == repr(Reject("x", True))
    their, our = (kind.Retry(exc=Boom(1), when=3) for kind in (celery.exceptions, exceptions))
    assert str(our) == str(their)
    assert str(exceptions.Ignore("x")) == str(Ignore("x"))


@pytest.mark.parametrize(
    "method",
    ["delay", "apply_async", "retry", "apply", "update_state", "before_start", "on_success",
     "on_retry", "on_failure", "after_return"],
)  # fmt: skip
def test_methods_take_what_celerys_take(method):
    their = inspect.signature(getattr(celery.Task, method)).parameters
    our = inspect.signature(getattr(Task, method)).parameters
    assert list(our)[: len(their)] == list(their)
