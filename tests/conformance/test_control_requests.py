"""Pausing queues, and what people ask of workers: who is heard, and who is refused."""

import re
from dataclasses import replace
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasks.models import QueueState, WorkerRecord
from django_tasks.store.dialects import DatabaseNow
from django_tasks.store.workers import leases, queues, requests
from django_tasks.store.workers.requests import ControlRequests, RequestRefused
from tests.conformance.steps import DATABASE, claimer, make, with_brokers
from tests.conformance.test_workers import die, registered


def pause(*names, backend="default", by="someone"):
    return [queues.pause(DATABASE, backend, name, by) for name in names]


# --- queues --------------------------------------------------------------------------------------


def test_queue_is_paused_and_resumed_once():
    """A second time changes nothing: it stays told who paused it, and since when."""
    assert pause("mail") == [True]
    first = QueueState.objects.get()
    assert pause("mail", by="another") == [False]

    again = QueueState.objects.get()
    assert (again.paused_at, again.paused_by) == (first.paused_at, "someone")
    assert queues.paused_names(DATABASE, "default") == {"mail"}
    assert queues.resume(DATABASE, "default", "mail")
    assert not queues.resume(DATABASE, "default", "mail")
    assert queues.paused_names(DATABASE, "default") == set()
    assert pause("mail", by="another") == [True]
    assert QueueState.objects.get().paused_by == "another"


def test_queues_are_paused_for_one_backend():
    """Names are told apart byte by byte, as those of tasks are."""
    pause("mail", "Mail", "straße")
    pause("mail", backend="other")

    assert queues.resume(DATABASE, "default", "mail")
    assert queues.paused_names(DATABASE, "default") == {"Mail", "straße"}
    assert queues.paused_names(DATABASE, "other") == {"mail"}


@with_brokers
@pytest.mark.parametrize("selection", ["*", "mail", "mail,fax", "mail*"])
def test_claims_leave_out_paused_queues(selection):
    """Whatever else a claimer serves; and it serves them again afterwards."""
    in_mail, in_fax = make(2, queue_name="mail"), make(2, queue_name="fax")
    claims = claimer(selection)
    claims.exclude(frozenset({"mail"}))

    taken = {claim.id for claim in claims.claim(10)}
    assert taken == (set(in_fax) if selection in ("*", "mail,fax") else set())
    claims.exclude(frozenset())

    assert {claim.id for claim in claims.claim(10)} == set(in_mail)


@with_brokers
def test_claims_leave_out_a_queue_that_they_knew():
    """Also under load, when a claimer does not ask for the names of the queues again."""
    make(6, queue_name="mail")
    claims = claimer("*")
    assert len(claims.claim(2)) == 2

    claims.exclude(frozenset({"mail"}))

    assert claims.claim(2, is_woken=True) == []
    assert not claims.may_have_more


# --- workers -------------------------------------------------------------------------------------


def test_worker_reads_all_requests_by_one_statement():
    worker = registered(max_concurrency=8)
    requests.ask_for_concurrency(DATABASE, worker.id, 6, "someone")
    requests.ask_to_stop(DATABASE, worker.id, "another")
    pause("mail", "fax")
    pause("other", backend="other")
    queues.resume(DATABASE, "default", "fax")

    with CaptureQueriesContext(connection) as captured:
        read = requests.read(DATABASE, "default", worker.id)

    assert len(captured) == 1
    assert read == ControlRequests(frozenset({"mail"}), True, 6, "another", "someone")
    assert requests.read(DATABASE, "other", uuid4()) == ControlRequests(frozenset({"other"}))


@pytest.mark.parametrize(
    ("ask", "is_seen"),
    [
        (lambda worker: requests.ask_to_stop(DATABASE, worker.id), True),
        (lambda worker: requests.ask_for_concurrency(DATABASE, worker.id, 6), True),
        (lambda worker: pause("mail"), True),
        (lambda worker: pause("mail", backend="other"), False),
        (lambda worker: requests.ask_to_stop(DATABASE, registered().id), False),
    ],
)
def test_sweeps_see_whether_there_are_requests(ask, is_seen):
    """By the statement that they need anyway; those of others are none."""
    worker = registered(max_concurrency=8)
    assert not leases.signs(DATABASE, worker, []).has_control_requests

    ask(worker)

    assert leases.signs(DATABASE, worker, []).has_control_requests == is_seen


def test_worker_is_asked_to_stop_once():
    worker = registered()

    assert requests.ask_to_stop(DATABASE, worker.id, "someone")
    assert not requests.ask_to_stop(DATABASE, worker.id, "another")

    row = WorkerRecord.objects.get()
    assert row.stop_requested_at is not None
    assert row.stop_requested_by == "someone"


def test_worker_that_stops_already_is_not_asked():
    worker = registered()
    leases.renew(DATABASE, replace(worker, is_stopping=True))

    assert not requests.ask_to_stop(DATABASE, worker.id)
    assert WorkerRecord.objects.get().stop_requested_at is None


def test_concurrency_is_asked_for_once():
    """The same request again, or what it has, changes nothing; the way back is another request."""
    worker = registered(concurrency=4, max_concurrency=8)

    assert not requests.ask_for_concurrency(DATABASE, worker.id, 4)
    assert requests.ask_for_concurrency(DATABASE, worker.id, 8, "someone")
    assert not requests.ask_for_concurrency(DATABASE, worker.id, 8, "another")
    leases.renew(DATABASE, replace(worker, concurrency=8))
    assert requests.ask_for_concurrency(DATABASE, worker.id, 4, "someone")

    row = WorkerRecord.objects.get()
    assert (row.concurrency, row.wanted_concurrency, row.wanted_by) == (8, 4, "someone")


def refused(ask, *arguments):
    """Return the words with which a request is refused, which changes nothing."""
    before = list(WorkerRecord.objects.values())
    with pytest.raises(RequestRefused) as error:
        ask(DATABASE, *arguments)
    assert list(WorkerRecord.objects.values()) == before
    return str(error.value)


@pytest.mark.parametrize(
    ("ask", "more"), [(requests.ask_to_stop, ()), (requests.ask_for_concurrency, (2,))]
)
def test_who_cannot_hear_is_not_asked(ask, more):
    """A worker that is gone or dead, and a beat: each with its own words."""
    dead = registered(pid=1, max_concurrency=8)
    beat = registered(pid=2, pool=leases.BEAT, concurrency=0)
    die(dead)

    assert re.search(r"-.* is not there any more", refused(ask, uuid4(), *more))
    assert "one.example:1 is dead" in refused(ask, dead.id, *more)
    assert "one.example:2 is a beat" in refused(ask, beat.id, *more)


@pytest.mark.parametrize(
    ("columns", "wanted", "words"),
    [
        ({"max_concurrency": 8}, 9, "can have 1 to 8 slots while it runs, not 9"),
        ({"max_concurrency": 8}, 0, "can have 1 to 8 slots while it runs, not 0"),
        ({"max_concurrency": 8}, -1, "not -1"),
        ({"max_concurrency": 8, "is_stopping": True}, 2, "is stopping"),
        ({"pool": "solo", "concurrency": 1}, 2, "has the pool solo"),
        ({"pool": "threads"}, 2, "scales itself"),
    ],
)
def test_what_cannot_be_is_refused(columns, wanted, words):
    worker = registered(**columns)

    assert words in refused(requests.ask_for_concurrency, worker.id, wanted)


def test_worker_that_was_asked_to_stop_is_not_scaled():
    worker = registered(max_concurrency=8)
    WorkerRecord.objects.update(stop_requested_at=DatabaseNow())

    assert "is stopping" in refused(requests.ask_for_concurrency, worker.id, 2)
