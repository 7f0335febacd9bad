"""django_tasks.testing: what the tests of a project use."""

import subprocess
import sys
from datetime import timedelta

from django.contrib.auth.models import Group
from django.db import transaction
from django.test import TestCase

from django_tasks import TaskResultStatus
from django_tasks.control import pause_queue, resume_queue
from django_tasks.models import TaskAttempt
from django_tasks.testing import enqueued_tasks, run_pending_tasks
from tests.worker import ledger, tasks
from tests.worker.processes import ROOT


def test_runs_tasks_on_windows():
    """Projects test there, too: no import needs what only POSIX has."""
    command = [sys.executable, "-m", "tests.worker.as_on_windows"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr


class RunPendingTasks(TestCase):
    """Inside of TestCase's transaction, on its connection."""

    def test_runs_what_was_enqueued(self):
        """Results come back in the order in which the tasks ran."""
        first, second = tasks.add.enqueue(1, 2), tasks.add_async.enqueue(3, 4)

        results = run_pending_tasks()

        self.assertEqual([result.id for result in results], [first.id, second.id])
        self.assertEqual([result.return_value for result in results], [3, 7])
        self.assertEqual(run_pending_tasks(), [])

    def test_sees_and_leaves_the_rows_of_the_test(self):
        """Bodies work in the test's transaction: no commit, no second connection."""
        tasks.write_group.enqueue("from a task")

        run_pending_tasks()

        self.assertTrue(Group.objects.filter(name="from a task").exists())
        self.assertTrue(transaction.get_connection().in_atomic_block)

    def test_failure_is_a_result(self):
        """A failing body does not raise into the test, nor spoil its transaction."""
        tasks.fail.enqueue("on purpose")
        tasks.write_atomically.enqueue("gone", "no")

        results = run_pending_tasks()

        self.assertEqual({result.status for result in results}, {TaskResultStatus.FAILED})
        self.assertIn("ValueError: on purpose", results[0].errors[0].traceback)
        self.assertFalse(Group.objects.exists())

    def test_runs_what_tasks_enqueue(self):
        """Until nothing is left, or `limit` tasks have run."""
        path = self.enterContext(_ledger())
        tasks.enqueue_more.enqueue(path, 5)

        self.assertEqual(len(run_pending_tasks(limit=2)), 2)
        self.assertEqual(len(run_pending_tasks()), 4)
        self.assertEqual(ledger.lines(path), ["5", "4", "3", "2", "1", "0"])

    def test_later_ones_only_when_asked_for(self):
        """Scheduled tasks and retries wait, unless include_scheduled is true."""
        tasks.add.using(run_after=timedelta(days=1)).enqueue(1, 1)
        tasks.ask_for_retry.enqueue()

        [retried] = run_pending_tasks()
        self.assertEqual(retried.state, "RETRY")

        results = run_pending_tasks(include_scheduled=True)
        self.assertEqual({result.status for result in results}, {TaskResultStatus.SUCCESSFUL})
        self.assertEqual(TaskAttempt.objects.count(), 2)

    def test_other_queues_stay(self):
        """`queues` chooses as --queues does."""
        path = self.enterContext(_ledger())
        tasks.note.enqueue(path, "mail")
        tasks.add.enqueue(1, 2)

        results = run_pending_tasks(queues="ma*")

        self.assertEqual([result.task.queue_name for result in results], ["mail"])
        self.assertEqual(len(enqueued_tasks()), 1)

    def test_paused_queues_stay(self):
        """A worker would leave them, too, until they are resumed."""
        pause_queue("mail")
        waiting = tasks.add.using(queue_name="mail").enqueue(1, 2)

        self.assertEqual(run_pending_tasks(), [])
        self.assertEqual(run_pending_tasks(queues="mail"), [])

        resume_queue("mail")
        self.assertEqual([result.id for result in run_pending_tasks()], [waiting.id])

    def test_task_that_pauses_a_queue_is_the_last_of_it(self):
        """As with a body that finds out that a service is down."""
        pausing = tasks.pause_queue.using(queue_name="mail", priority=1).enqueue("mail")
        tasks.add.using(queue_name="mail").enqueue(1, 2)

        self.assertEqual([result.id for result in run_pending_tasks()], [pausing.id])

    def test_on_commit_with_captured_callbacks(self):
        """What is enqueued when another transaction commits comes with captureOnCommitCallbacks."""
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: tasks.add.enqueue(20, 22))
            self.assertEqual(enqueued_tasks(), [])

        [result] = run_pending_tasks()

        self.assertEqual(result.return_value, 42)

    def test_context_works(self):
        """Tasks with a context save progress and metadata."""
        path = self.enterContext(_ledger())
        result = tasks.report.enqueue(path, "/")  # the gate is open

        [done] = run_pending_tasks()

        self.assertEqual(done.id, result.id)
        self.assertEqual(done.status, TaskResultStatus.SUCCESSFUL, done.errors)
        self.assertEqual(done.metadata, {"seen": True})
        self.assertEqual((done.progress.done, done.progress.total), (9, 10))


class EnqueuedTasks(TestCase):
    """Looking without running."""

    def test_all_of_one_task_or_what_matches(self):
        """Nothing that has run is among them."""
        tasks.add.enqueue(1, 1)
        run_pending_tasks()
        tasks.add.enqueue(2, 2)
        tasks.fail.enqueue("x")

        self.assertEqual([result.args for result in enqueued_tasks()], [[2, 2], ["x"]])
        self.assertEqual([result.args for result in enqueued_tasks(tasks.fail)], [["x"]])
        twos = enqueued_tasks(matches=lambda result: 2 in result.args)
        self.assertEqual([result.args for result in twos], [[2, 2]])


def _ledger():
    from contextlib import contextmanager
    from tempfile import TemporaryDirectory

    @contextmanager
    def path():
        with TemporaryDirectory() as directory:
            yield f"{directory}/ledger"

    return path()
