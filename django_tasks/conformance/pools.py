"""What the engine relies on in a pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

from ..statuses import AttemptOutcome
from ..store.values import Ending, EndingKind, Success
from ..worker.execution.jobs import Outcome
from . import bodies
from .processes import Driver, Scenario, run

if TYPE_CHECKING:
    from unittest import TestCase as _TestCase
else:
    _TestCase = object

#: Each kind of body that waits for its gate.
WAITING = (bodies.waiting, bodies.waiting_async)


class PoolConformance(_TestCase):
    """
    Runs a pool in a process of its own, as a worker does, for a `unittest.TestCase`.

    No database and no server is asked. The bodies are in `django_tasks.conformance.bodies`; an own
    test is a method that gives `self.run_scenario` a function of a `Driver`.
    """

    #: As for `runworker --pool`: the dotted path of the class.
    pool: str
    #: Bodies to run at a time. 1: it has never more; then nothing is tried that needs several.
    slots = 3
    #: Seconds for each thing that has to happen.
    patience = 30.0

    def run_scenario(self, scenario: Scenario) -> None:
        """Call `scenario` beside a running pool; fail with what it asserts in vain."""
        if said := run(self.pool, self.slots, self.patience, scenario):
            self.fail(said)

    def need_slots(self) -> None:
        """Skip a test that needs several bodies at a time."""
        if self.slots == 1:
            raise SkipTest("It runs one body at a time.")

    # --- outcomes -------------------------------------------------------------------------------

    def test_each_job_is_posted_once_with_its_own_value(self) -> None:
        """Of plain functions and of coroutine functions, also of more than there are slots."""

        def scenario(driver: Driver) -> Callable[[], None]:
            for number in range(10):
                driver.submit(bodies.returned, number)
                driver.submit(bodies.returned_async, 100 + number)
            expected = [str(base + number) for number in range(10) for base in (0, 100)]
            self.assertEqual(_values(driver.await_posted(20)), expected)
            return lambda: self.assertEqual(len(driver.posted), 20, "A job was posted twice.")

        self.run_scenario(scenario)

    def test_what_a_body_raises_fails_its_task_alone(self) -> None:
        """Also what would end a program; the next body runs as if nothing had been."""

        def scenario(driver: Driver) -> None:
            for body in (bodies.failing, bodies.failing_async):
                driver.submit(body, "on purpose")
            driver.submit(bodies.exiting)
            driver.await_posted(3)
            driver.submit(bodies.returned, 5)
            *failed, last = driver.await_posted(4)
            self.assertEqual(
                [_exception(outcome) for outcome in failed],
                ["builtins.ValueError", "builtins.ValueError", "builtins.SystemExit"],
            )
            self.assertEqual(_values([last]), ["5"])

        self.run_scenario(scenario)

    def test_no_context_reaches_the_next_body(self) -> None:
        """What a body leaves in a ContextVar is gone, whatever thread runs the next one."""

        def scenario(driver: Driver) -> None:
            for number in range(3 * self.slots):
                driver.submit(bodies.leaking, number)
                driver.submit(bodies.leaking_async, number)
            found = _values(driver.await_posted(6 * self.slots))
            self.assertEqual(set(found), {None}, "A body found what another had left.")

        self.run_scenario(scenario)

    # --- how many at a time ---------------------------------------------------------------------

    def test_as_many_run_at_a_time_as_there_are_slots(self) -> None:
        """No fewer and no more: the others wait for their turn."""
        for body in WAITING:
            with self.subTest(body=body.__name__):

                def scenario(driver: Driver, body: Any = body) -> None:
                    for _ in range(2 * self.slots):
                        driver.submit_waiting(body)
                    driver.await_begun(self.slots)
                    driver.wait_a_moment()
                    driver.open_gate()
                    driver.await_posted(2 * self.slots)
                    most = driver.most_at_a_time
                    self.assertEqual(most, self.slots, "So many ran at the same time.")

                self.run_scenario(scenario)

    def test_slots_can_be_added_and_taken_away(self) -> None:
        """By resize(): with more of them waiting jobs begin, with fewer those that run end."""
        self.need_slots()

        def scenario(driver: Driver) -> None:
            for _ in range(self.slots + 1):
                driver.submit_waiting(bodies.waiting)
            driver.await_begun(self.slots)
            driver.pool.resize(self.slots + 1)
            driver.await_begun(self.slots + 1)
            driver.pool.resize(1)
            driver.open_gate()
            driver.await_posted(self.slots + 1)
            driver.close_gate()
            for _ in range(self.slots):
                driver.submit_waiting(bodies.waiting)
            driver.await_begun(1)
            driver.wait_a_moment()
            driver.open_gate()
            driver.await_posted(2 * self.slots + 1)
            self.assertEqual(driver.most_at_a_time, 1, "So many ran after resize(1).")

        self.run_scenario(scenario)

    def test_job_that_was_given_back_is_not_started(self) -> None:
        """Whoever calls `job.take()` first has it: the pool, or the engine, which gives it back."""

        def scenario(driver: Driver) -> Callable[[], None]:
            for _ in range(self.slots):
                driver.submit_waiting(bodies.waiting)
            driver.await_begun(self.slots)
            given_back = driver.submit_waiting(bodies.waiting)
            self.assertTrue(given_back.take(), "A job began beyond the slots.")
            driver.open_gate()
            driver.await_posted(self.slots)

            def check() -> None:
                self.assertEqual(driver.begun, self.slots, "The job that was given back has run.")
                self.assertEqual(len(driver.posted), self.slots, "It was posted, too.")

            return check

        self.run_scenario(scenario)

    # --- stopping -------------------------------------------------------------------------------

    def test_all_that_was_submitted_is_done_before_run_returns(self) -> None:
        """stop() takes no job away, whether it has begun or not."""

        def scenario(driver: Driver) -> Callable[[], None]:
            for body in WAITING:
                for _ in range(self.slots):
                    driver.submit_waiting(body)
            driver.await_begun(1)
            driver.pool.stop()
            driver.wait_a_moment()
            driver.open_gate()
            expected = 2 * self.slots
            return lambda: self.assertEqual(driver.done, expected, "Jobs were left undone.")

        self.run_scenario(scenario)

    def test_soft_time_limit_is_raised_in_the_body(self) -> None:
        """Of each kind of body; the outcome is that of a timeout."""

        def scenario(driver: Driver) -> None:
            for body in WAITING:
                driver.submit_waiting(body, soft=0.2)
            for outcome in driver.await_posted(2):
                self.assertIs(_attempt_outcome(outcome), AttemptOutcome.TIMEOUT)

        self.run_scenario(scenario)

    def test_cancelled_body_is_stopped(self) -> None:
        """By look(), which is called in a signal handler; and no other than this one."""
        for body in WAITING:
            with self.subTest(body=body.__name__):

                def scenario(driver: Driver, body: Any = body) -> None:
                    cancelled = driver.submit_waiting(body)
                    others = [driver.submit_waiting(body) for _ in range(self.slots - 1)]
                    driver.await_begun(self.slots)
                    driver.cancel(cancelled)
                    driver.await_posted(1)
                    driver.open_gate()
                    first, *kept = driver.await_posted(1 + len(others))
                    self.assertIs(_kind(first), EndingKind.CANCEL)
                    self.assertEqual(_values(kept), [None] * len(others))

                self.run_scenario(scenario)

    def test_job_that_was_cancelled_before_it_began_is_stopped(self) -> None:
        """`look()` may have been called while it waited for its turn."""
        for body in WAITING:
            with self.subTest(body=body.__name__):

                def scenario(driver: Driver, body: Any = body) -> None:
                    driver.submit_waiting(body)
                    for _ in range(self.slots - 1):
                        driver.submit_waiting(body)
                    driver.await_begun(self.slots)
                    waits = driver.submit(body, str(driver.book), f"{driver.gate}-never")
                    driver.cancel(waits)
                    driver.open_gate()
                    *_, outcome = driver.await_posted(self.slots + 1)
                    self.assertIs(_kind(outcome), EndingKind.CANCEL)

                self.run_scenario(scenario)

    def test_interrupted_bodies_are_given_back(self) -> None:
        """All that run, at the end of the grace period."""

        def scenario(driver: Driver) -> None:
            for number in range(self.slots):
                driver.submit_waiting(WAITING[number % 2])
            driver.await_begun(self.slots)
            driver.interrupt()
            for outcome in driver.await_posted(self.slots):
                self.assertIs(_kind(outcome), EndingKind.RELEASE)

        self.run_scenario(scenario)


def _values(outcomes: Sequence[Outcome]) -> list[str | None]:
    """Return the JSON of values that were returned; of what else there is, what it is."""
    return [o.value if isinstance(o, Success) else str(o) for o in outcomes]


def _kind(outcome: Outcome) -> EndingKind | None:
    return outcome.kind if isinstance(outcome, Ending) else None


def _exception(outcome: Outcome) -> str:
    attempt = outcome.attempt if isinstance(outcome, Ending) else None
    return attempt.exception_path if attempt else str(outcome)


def _attempt_outcome(outcome: Outcome) -> AttemptOutcome | None:
    attempt = outcome.attempt if isinstance(outcome, Ending) else None
    return attempt.outcome if attempt else None
