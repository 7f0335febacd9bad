"""Each fault of an extension fails the test that is about it, and the message says why."""

import unittest

import pytest
from django.db import connection
from django.test import TransactionTestCase

from django_tasks.conformance import BrokerConformance, PoolConformance


def failure_of(kind, case, name, **attributes):
    """Run one test of a conformance class; return what it says, empty if nothing is wrong."""
    attributes |= {"patience": 0.8, "__module__": __name__}
    made = type("Tried", (kind, case), attributes)
    result = unittest.TestResult()
    unittest.TestSuite([made(name)]).run(result)
    assert result.testsRun == 1
    assert not result.skipped
    return "\n".join(text for _, text in [*result.failures, *result.errors])


@pytest.mark.parametrize(
    ("wrong", "test", "reason"),
    [
        ("LosesJobs", "each_job_is_posted_once_with_its_own_value", "16 of 20 jobs were posted"),
        ("PostsTwice", "each_job_is_posted_once_with_its_own_value", "posted twice"),
        ("AsksNobodyBeforeItStarts", "job_that_was_given_back_is_not_started", "has run"),
        ("KnowsNoSlots", "as_many_run_at_a_time_as_there_are_slots", "6 != 3"),
        ("StartsOneByOne", "as_many_run_at_a_time_as_there_are_slots", "1 bodies have begun"),
        ("CannotBeResized", "slots_can_be_added_and_taken_away", "3 bodies have begun, not 4"),
        ("LeavesAtOnce", "all_that_was_submitted_is_done_before_run_returns", "left undone"),
        ("NeverLeaves", "each_job_is_posted_once_with_its_own_value", "run(), after stop()"),
        ("KnowsNoSoftLimit", "soft_time_limit_is_raised_in_the_body", "0 of 2 jobs"),
        ("NeverLooks", "cancelled_body_is_stopped", "0 of 1 jobs"),
        ("NeverLooks", "interrupted_bodies_are_given_back", "0 of 3 jobs"),
        ("CancelsAll", "cancelled_body_is_stopped", "[None, None]"),
        ("CallsBodiesItself", "no_context_reaches_the_next_body", "what another had left"),
        ("CallsBodiesItself", "job_that_was_cancelled_before_it_began_is_stopped", "3 of 4 jobs"),
        ("Dies", "what_a_body_raises_fails_its_task_alone", "The process ended before"),
    ],
)
def test_wrong_pool_fails(wrong, test, reason):
    """The pool of the document passes them all."""
    pool = f"tests.extensions.wrong.{wrong}"

    assert reason in failure_of(PoolConformance, unittest.TestCase, f"test_{test}", pool=pool)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the database has no part in it")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("wrong", "test", "reason"),
    [
        ("RaisesWhenAway", "nothing_is_lost_or_held_up_while_it_is_away", "FileNotFoundError"),
        ("SaysThatItTookAll", "nothing_is_lost_or_held_up_while_it_is_away", "took what it cannot"),
        ("TellsNobodyThatItIsAway", "nothing_is_lost_or_held_up_while_it_is_away", "not told"),
        ("PretendsToBeWell", "nothing_is_lost_or_held_up_while_it_is_away", "not raised"),
        ("ForgetsAll", "published_task_is_handed_out", "0 of 1 tasks"),
        ("ForgetsAll", "tasks_are_shared_by_processes", "0 of 12 tasks"),
        ("ForgetsAll", "task_that_was_published_twice_runs_once", "0 of 1 tasks"),
        ("MissesNothing", "what_was_never_published_is_found", "0 of 3 lost tasks"),
        ("MissesNothing", "what_a_dead_process_had_taken_is_found", "is lost"),
        ("MissesAll", "what_is_held_is_not_missing", "published and not taken"),
        ("AlwaysNew", "pulse_changes_when_it_should", "nothing had happened"),
        ("DeafToLater", "pulse_changes_when_it_should", "the same after expect()"),
        ("FindsFault", "settings_pass_the_check", "'wrong'"),
        ("TakesAll", "no_more_is_taken_than_asked_for", "take(2) returned more"),
        ("Waits", "take_does_not_wait", "take() took 2"),
        ("ServesAllQueues", "only_its_queues_are_served", "UUID"),
        ("ServesPausedQueues", "paused_queue_is_left_out", "AssertionError"),
        ("NewestFirst", "what_is_taken_is_in_order", "Lists differ"),
        ("KeepsWhatItWasGivenBack", "what_is_given_back_is_handed_to_others", "0 of 1 tasks"),
        ("NeverWakes", "process_is_woken_by_what_it_watches", "stayed silent"),
        ("KeepsWhatItWaitedFor", "process_that_rests_holds_nothing", "0 of 1 tasks"),
    ],
)
def test_wrong_broker_fails(wrong, test, reason, tmp_path):
    """The broker of the document passes them all."""
    path = f"tests.extensions.wrong.{wrong}"
    said = failure_of(
        BrokerConformance,
        TransactionTestCase,
        f"test_{test}",
        broker={"name": path, "path": str(tmp_path)},
        unreachable={"name": path, "path": str(tmp_path / "gone")},
    )

    assert reason in said
