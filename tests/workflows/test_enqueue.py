"""The public API, from a canvas to its value, run by the store."""

import random

import pytest

from django_tasks.exceptions import TaskResultDoesNotExist
from django_tasks.models import TaskRecord, WorkflowJoin
from django_tasks.statuses import Status
from django_tasks.testing import run_pending_tasks
from django_tasks.workflows import Workflow, chain, chord, get_workflow, group
from tests import tasks

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_chain_of_signatures():
    handle = chain(tasks.add.s(1, 2), tasks.add.s(3), tasks.add.s(4)).enqueue()
    run_pending_tasks()
    assert handle.wait(0) == 10


def test_pipes_groups_and_chords():
    handle = (group(tasks.add.s(n, n) for n in range(4)) | tasks.total.s()).enqueue()
    other = chord([tasks.add.s(n, 1) for n in range(3)], tasks.total.s(extra=10)).enqueue()
    run_pending_tasks()
    assert (handle.wait(0), other.wait(0)) == (12, 16)


def test_a_workflow_of_named_steps():
    flow = Workflow("import", metadata={"file": "a.csv"})
    first = flow.add(tasks.describe, 5, name="read")
    second = flow.add(tasks.add, first.result["value"], 1, name="count")
    flow.add(tasks.echo, {"numbers": [first.result["items"][0], second.result]}, name="report")
    flow.add(tasks.echo, name="clean up", after=second, always=True)
    handle = flow.enqueue()
    assert (handle.name, handle.metadata) == ("import", {"file": "a.csv"})
    run_pending_tasks()
    handle.wait(0)
    assert handle.results()["report"] == [[{"numbers": [5, 6]}], {}]
    assert handle.step("count").return_value == 6
    assert {step.status for step in handle.steps()} == {Status.SUCCESSFUL}
    again = get_workflow(handle.id)
    assert (again.id, again.name, again.status) == (handle.id, "import", Status.SUCCESSFUL)
    with pytest.raises(TaskResultDoesNotExist, match="no workflow nothing"):
        get_workflow("nothing")


def canvas(chance, depth=3):
    """Return a random canvas that takes no value, and what it is to give."""
    kind = chance.choice(["add", "chain", "group", "chord"] if depth else ["add"])
    if kind == "add":
        a, b = chance.randrange(10), chance.randrange(10)
        return tasks.add.si(a, b), a + b
    if kind == "chain":
        head, _ = canvas(chance, depth - 1)
        tail, value = canvas(chance, depth - 1)
        return chain(head, tail), value
    members = [canvas(chance, depth - 1) for _ in range(chance.randrange(1, 4))]
    values = []
    for each, value in members:  # a group in a group stands for its members
        values += value if isinstance(each, group) else [value]
    if kind == "group":
        return group(*[each for each, _ in members]), values
    return chord([each for each, _ in members], tasks.describe.s()), {
        "value": values,
        "items": [values, values],
    }


@pytest.mark.parametrize("seed", range(12))
def test_random_canvases_give_the_value_of_running_them_in_one_process(seed):
    made, value = canvas(random.Random(seed))
    handle = made.enqueue()
    run_pending_tasks()
    if hasattr(handle, "wait"):
        assert handle.wait(0) == value
    assert made.call() == value


def test_a_group_behind_a_group_stores_its_list_once():
    """And each member gets it."""
    first = group(tasks.add.s(n, n) for n in range(30))
    handle = (first | group(tasks.total.s(extra=n) for n in range(30))).enqueue()
    members = TaskRecord.objects.filter(status=Status.WAITING)
    assert {len(row.args) < 40 for row in members} == {True}
    run_pending_tasks()
    assert handle.wait(0) == [870 + n for n in range(30)]
    assert WorkflowJoin.objects.filter(shared__isnull=False).count() == 1
