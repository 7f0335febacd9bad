"""What workers and keepers rely on in a broker."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast
from unittest import SkipTest
from uuid import UUID, uuid4

from django.core.checks import CheckMessage
from django.db import connections
from django.test import override_settings

from ..backends.database import DatabaseBackend
from ..brokers.base import Broker, BrokerAway, Listener, Pulse, Ready, Source
from ..definitions.task import Task
from ..dep14.handler import task_backends
from ..ids import uuid7
from ..models import TaskRecord
from ..routing import QueueSelection
from ..runtime.outages import Outage
from ..store.dialects import dialect_for
from ..store.tasks import enqueue
from ..store.tasks.broker_claims import BrokerClaimer
from ..worker.keeper.reconciler import Reconciler
from . import bodies

if TYPE_CHECKING:
    from django.test import TransactionTestCase as _TestCase
else:
    _TestCase = object

T = TypeVar("T")

#: Seconds that a call may take which promises not to wait.
NO_WAIT = 1.5
#: Seconds between two tries of what may take a moment.
AGAIN = 0.05


class BrokerConformance(_TestCase):
    """
    Enqueues, publishes, claims and reconciles by a broker, for a `TransactionTestCase`.

    What the broker is asked is what workers and keepers ask, by their own code, with rows in the
    test database. Each test has a queue of its own, so that tests may share a server.
    """

    #: As ``OPTIONS["broker"]``: a dotted path, or a dict with it as "name", and settings.
    broker: str | dict[str, Any]
    #: The same with settings that lead to no server. None: it has none that could be away.
    unreachable: str | dict[str, Any] | None = None
    #: Whether what is taken at a time is in order: higher priorities first, then the older.
    keeps_order = True
    #: Seconds for each thing that has to happen.
    patience = 30.0

    def setUp(self) -> None:
        """Let the default backend use the broker."""
        super().setUp()
        self.queue = f"conformance-{uuid4().hex[:12]}"
        self._use(self.broker)

    # --- steps ----------------------------------------------------------------------------------

    def _use(self, broker: str | dict[str, Any]) -> None:
        path = f"{DatabaseBackend.__module__}.{DatabaseBackend.__qualname__}"
        default = {"BACKEND": path, "QUEUES": [], "OPTIONS": {"broker": broker}}
        changed = override_settings(TASKS={"default": default})
        changed.enable()
        self.addCleanup(changed.disable)

    @property
    def backend(self) -> DatabaseBackend:
        """The backend whose ids the broker hands out."""
        return cast(DatabaseBackend, task_backends["default"])

    @property
    def in_use(self) -> Broker:
        """The broker. Skip a test of one that hands out no ids."""
        if not self.backend.broker.publishes:
            raise SkipTest("It hands out no ids: workers claim from the table.")
        return self.backend.broker

    def task(self, priority: int = 0, queue: str | None = None) -> Task[[int], int]:
        """Return a task for the queue of this test."""
        return Task(func=bodies.returned, queue_name=queue or self.queue, priority=priority)

    def enqueue(self, count: int = 1, priority: int = 0, queue: str | None = None) -> list[Ready]:
        """Enqueue tasks and commit."""
        task = self.task(priority, queue)
        results = [task.enqueue(number) for number in range(count)]
        return [Ready(UUID(result.id), task.queue_name, priority) for result in results]

    def store_unpublished(self, count: int) -> list[Ready]:
        """Commit ready tasks of a process that dies before it can publish them."""
        new = self.backend.prepare(self.task())
        made = [Ready(uuid7(), self.queue, 0) for _ in range(count)]
        for ready in made:
            enqueue.insert(self.backend.database, new, ready.id, "[1]", "{}", wake=False)
        return made

    def source(self, queues: str | None = None) -> Source:
        """Return what one process gets ids from; it is closed at the end."""
        source = self.in_use.source(QueueSelection.parse(queues or self.queue))
        self.addCleanup(source.close)
        return source

    def claimer(self, queues: str | None = None) -> BrokerClaimer:
        """Return what claims for one process; it is closed at the end."""
        selection = QueueSelection.parse(queues or self.queue)
        broker = self.in_use
        claimer = BrokerClaimer(
            self.backend.database, selection, uuid4(), 1,
            source=broker.source(selection), outage=broker.outage,
        )  # fmt: skip
        self.addCleanup(claimer.close)
        return claimer

    def claim(self, claimer: BrokerClaimer, count: int) -> list[UUID]:
        """Claim until there are so many; return the ids in the order of the claims."""
        claimed: list[UUID] = []

        def all_claimed() -> bool:
            claimed.extend(claim.id for claim in claimer.claim(count - len(claimed)))
            return len(claimed) >= count

        self.until(all_claimed, lambda: f"{len(claimed)} of {count} tasks were handed out.")
        return claimed

    def reconcile(self) -> None:
        """Do what a keeper does in each of its rounds."""
        connection = connections[self.backend.database]
        selection = QueueSelection.parse(self.queue)
        reconciler = Reconciler(connection, "default", selection, self.in_use)
        reconciler.run()
        reconciler.run()

    def until(self, look: Callable[[], T], otherwise: Callable[[], str]) -> T:
        """Wait until `look` returns something true; return that. Fail with `otherwise`."""
        deadline = time.monotonic() + self.patience
        while not (found := look()):
            if time.monotonic() > deadline:
                self.fail(otherwise())
            time.sleep(AGAIN)
        return found

    def assert_no_wait(self, what: str, call: Callable[[], T]) -> T:
        """Fail if a call takes longer than a request, or a busy worker, could bear."""
        started = time.monotonic()
        value = call()
        took = time.monotonic() - started
        self.assertLess(took, NO_WAIT, f"{what} took {took:.1f} s.")
        return value

    # --- what every broker has ------------------------------------------------------------------

    def test_settings_pass_the_check(self) -> None:
        """`check()` finds nothing in settings that work, and `outage` is one."""
        broker = self.backend.broker

        self.assertEqual(list[CheckMessage](broker.check()), [])
        self.assertIsInstance(broker.outage, Outage)
        self.assertIsInstance(broker.wakes(self.queue), bool)

    def test_pulse_changes_when_it_should(self) -> None:
        """None, or a generation that stays, and a mark that is another one after `expect()`."""
        broker = self.backend.broker
        first = broker.pulse()
        if first is None:
            return
        again = broker.pulse()
        self.assertIsInstance(first, Pulse)
        self.assertEqual(again, first, "pulse() changed though nothing had happened.")

        broker.expect()

        def has_changed() -> bool:
            pulse = broker.pulse()
            assert pulse is not None and first is not None
            self.assertEqual(pulse.generation, first.generation, "Nothing was lost.")
            return pulse.later != first.later

        self.until(has_changed, lambda: "pulse().later is the same after expect().")

    def test_listener_can_be_waited_for(self) -> None:
        """What `listen()` returns, if anything, has a descriptor and reads without waiting."""
        connection = connections[self.backend.database]
        make = partial(dialect_for(connection).listener, connection)
        listener: Listener | None = self.backend.broker.listen(make)
        if listener is None:
            return
        self.addCleanup(listener.close)
        select.select([listener], [], [], 0)
        listener.ping()
        self.assertIsInstance(self.assert_no_wait("read()", listener.read), set)

    # --- publishing and claiming ----------------------------------------------------------------

    def test_published_task_is_handed_out(self) -> None:
        """With its id and its queue, to a process that asks for it."""
        claimer = self.claimer()
        [ready] = self.enqueue()

        self.assertTrue(self.in_use.publish([ready]), "publish() did not take what it was given.")
        self.assertEqual(self.claim(claimer, 1), [ready.id])

    def test_tasks_are_shared_by_processes(self) -> None:
        """All are claimed, each once, whoever asks."""
        made = {ready.id for ready in self.enqueue(12)}
        claimers = [self.claimer(), self.claimer()]
        claimed: list[UUID] = []

        def all_claimed() -> bool:
            for claimer in claimers:
                claimed.extend(claim.id for claim in claimer.claim(2))
            return len(claimed) >= len(made)

        self.until(all_claimed, lambda: f"{len(claimed)} of {len(made)} tasks were handed out.")
        self.assertEqual((len(claimed), set(claimed)), (len(made), made))

    def test_no_more_is_taken_than_asked_for(self) -> None:
        """A process has no room for more, and others have."""
        self.enqueue(6)
        source = self.source()
        taken: Sequence[Ready] = self.until(lambda: source.take(2, ()), lambda: "Nothing came.")

        self.assertLessEqual(len(taken), 2, "take(2) returned more.")
        self.assertIsInstance(taken[0], Ready)

    def test_take_does_not_wait(self) -> None:
        """A busy process has outcomes to write meanwhile."""
        source = self.source()

        self.assertEqual(list(self.assert_no_wait("take()", lambda: source.take(5, ()))), [])

    def test_process_is_woken_by_what_it_watches(self) -> None:
        """What `watch()` returns becomes readable when there is something to take."""
        claimer = self.claimer()
        claimer.claim(1)
        waits = claimer.watch()
        [ready] = self.enqueue()
        if waits:
            readable = select.select(waits, [], [], self.patience)[0]
            self.assertTrue(readable, "watch() returned what stayed silent.")
        self.assertEqual(self.claim(claimer, 1), [ready.id])

    def test_only_its_queues_are_served(self) -> None:
        """Also by a prefix, and in the order in which they are named."""
        other = f"{self.queue}-other"
        [theirs], [ours] = self.enqueue(queue=other), self.enqueue()

        self.assertEqual(self.claim(self.claimer(), 1), [ours.id])
        self.assertEqual(self.claim(self.claimer(f"{self.queue}-o*"), 1), [theirs.id])

    def test_paused_queue_is_left_out(self) -> None:
        """Until it is not paused any more."""
        other = f"{self.queue}-other"
        [paused] = self.enqueue()
        claimer = self.claimer(f"{self.queue},{other}")
        claimer.exclude(frozenset({self.queue}))
        [open_] = self.enqueue(queue=other)

        self.assertEqual(self.claim(claimer, 1), [open_.id])
        time.sleep(AGAIN)
        self.assertEqual(claimer.claim(1), [], "A task of a paused queue was handed out.")
        claimer.exclude(frozenset())
        self.assertEqual(self.claim(claimer, 1), [paused.id])

    def test_what_is_taken_is_in_order(self) -> None:
        """Higher priorities first, and the older of equals."""
        if not self.keeps_order:
            raise SkipTest("It keeps no order.")
        made = [self.enqueue(priority=priority)[0].id for priority in (0, 5, 0, -9, 9)]
        self.in_use.publish([])
        claimer = self.claimer()
        first = self.until(lambda: claimer.claim(5), lambda: "Nothing came.")

        expected = [made[4], made[1], made[0], made[2], made[3]]
        self.assertEqual([claim.id for claim in first], expected)

    def test_task_that_was_published_twice_runs_once(self) -> None:
        """And an id that no task has claims nothing, nor keeps others from it."""
        [ready] = self.enqueue()
        self.in_use.publish([Ready(uuid7(), self.queue, 9), ready, ready])
        claimer = self.claimer()

        self.assertEqual(self.claim(claimer, 1), [ready.id])
        self.assertEqual(claimer.claim(10), [])
        self.assertEqual(TaskRecord.objects.get(pk=ready.id).claims, 1)

    # --- giving back ----------------------------------------------------------------------------

    def test_what_is_given_back_is_handed_to_others(self) -> None:
        """A process that was stopped, or has no room, keeps nothing to itself."""
        [ready] = self.enqueue()
        source = self.source()
        taken: Sequence[Ready] = self.until(lambda: source.take(1, ()), lambda: "Nothing came.")
        source.give_back(taken)
        source.unwatch()

        self.assertEqual(self.claim(self.claimer(), 1), [ready.id])

    def test_process_that_rests_holds_nothing(self) -> None:
        """What it waited for goes to others once it has no room."""
        busy = self.claimer()
        busy.claim(1)
        waits = busy.watch()
        [ready] = self.enqueue()
        if waits:
            select.select(waits, [], [], self.patience)
        busy.release()

        self.assertEqual(self.claim(self.claimer(), 1), [ready.id])

    # --- what it may lose, and keepers find -----------------------------------------------------

    def test_what_was_never_published_is_found(self) -> None:
        """`missing()` tells of it, so that keepers publish it."""
        made = {ready.id for ready in self.store_unpublished(3)}
        claimer = self.claimer()
        claimed: set[UUID] = set()

        def all_claimed() -> bool:
            self.reconcile()
            claimed.update(claim.id for claim in claimer.claim(10))
            return claimed >= made

        self.until(all_claimed, lambda: f"{len(claimed)} of {len(made)} lost tasks were found.")

    def test_what_a_dead_process_had_taken_is_found(self) -> None:
        """It had not claimed it yet: it comes back by itself, or keepers find it missing."""
        [ready] = self.enqueue()
        dead = self.in_use.source(QueueSelection.parse(self.queue))
        self.until(lambda: dead.take(1, ()), lambda: "Nothing came.")
        dead.close()
        claimer = self.claimer()

        def is_claimed() -> bool:
            self.reconcile()
            return [claim.id for claim in claimer.claim(1)] == [ready.id]

        self.until(is_claimed, lambda: "What a dead process had taken is lost.")

    def test_what_is_held_is_not_missing(self) -> None:
        """Else keepers would publish all of a backlog in each round."""
        made = self.enqueue(5)

        self.until(
            lambda: not self.in_use.missing(made),
            lambda: "missing() returns tasks that were published and not taken.",
        )
        self.assertEqual(list(self.in_use.missing([])), [])

    # --- away -----------------------------------------------------------------------------------

    def test_nothing_is_lost_or_held_up_while_it_is_away(self) -> None:
        """Enqueueing goes on, workers claim from the table, and keepers learn of it."""
        if self.unreachable is None:
            raise SkipTest("There is no server that could be away.")
        self._use(self.unreachable)
        broker = self.in_use
        [ready] = self.assert_no_wait("enqueue()", self.enqueue)
        self.assertFalse(broker.publish([ready]), "publish() says that it took what it cannot.")
        self.assert_no_wait("expect()", broker.expect)
        self.assertIsNotNone(broker.outage.since, "`outage` was not told.")
        with self.assertRaises(BrokerAway):
            broker.pulse()
        with self.assertRaises(BrokerAway):
            self.source().take(1, ())
        self.assertEqual(self.claim(self.claimer(), 1), [ready.id])
