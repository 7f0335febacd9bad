"""Signatures, chains, groups and chords: plain frozen data, and errors where they are made."""

import copy
import json
import pickle
import random
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from django_tasks import InvalidTask
from django_tasks.workflows import (
    Canvas,
    Signature,
    Workflow,
    chain,
    chord,
    chunks,
    group,
    map,
    starmap,
)

from .random_canvases import Canvases
from .tasks import add, echo, fail, log_in, mix, named, store, tell, thrice, total


def test_signature_is_the_call():
    signature = add.using(priority=5, queue_name="mail").s(1, b=2)

    assert signature == Signature(
        add.module_path, (1,), {"b": 2}, {"priority": 5, "queue_name": "mail"}
    )
    assert add.si(1, 2).immutable
    assert not add.s(1, 2).immutable
    assert hash(add.s(1)) == hash(add.s(1))


def test_using_returns_a_copy_with_options():
    signature = add.using(priority=5).s(1)
    changed = signature.using(queue_name="mail", on_failure=tell)

    assert changed.options == {"priority": 5, "queue_name": "mail"}
    assert changed.on_failure == tell.s()
    assert (signature.options, signature.on_failure) == ({"priority": 5}, None)


@pytest.mark.parametrize(
    "canvas", [add.s(1), chain(add.s(1)), group(add.s(1)), chord([add.s(1, 2)], total.s())]
)
def test_canvases_are_frozen(canvas):
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        canvas.on_failure = tell.s()
    assert copy.deepcopy(canvas) == canvas
    assert pickle.loads(pickle.dumps(canvas)) == canvas


def test_pipe_makes_one_chain():
    canvas = add.s(1, 2) | (add.s(3) | group(add.s(4))) | add.s(5)

    assert canvas == chain(add.s(1, 2), add.s(3), group(add.s(4)), add.s(5))


def test_flat_chains_and_groups():
    inner = chain(add.s(1), on_failure=tell)

    assert chain(chain(add.s(1), chain()), add.s(2)) == chain(add.s(1), add.s(2))
    assert chain(inner, add.s(2)).members == (inner, add.s(2))
    assert group(group(add.s(1), group()), add.s(2)) == group([add.s(1), add.s(2)])
    assert len(group(group(add.s(1), add.s(2), allow_failures=1), add.s(3)).members) == 2


def test_members_come_one_by_one_or_as_an_iterable():
    assert group(add.s(i) for i in range(3)) == group(add.s(0), add.s(1), add.s(2))
    assert chain([add.s(1), add.s(2)]) == chain(add.s(1), add.s(2))
    assert chord((add.s(i) for i in range(2)), total.s()).header == group(add.s(0), add.s(1))


def test_repr_shows_no_arguments():
    """They may be secrets."""
    for canvas in (log_in.s("hush"), chain(log_in.s("hush")), chord([log_in.s("hush")], total.s())):
        assert "hush" not in repr(canvas)


def test_maps_are_run_as_the_task_that_they_call():
    signature = starmap(add.using(priority=7, queue_name="mail", max_attempts=4), [(1, 2)])

    assert signature.immutable
    assert signature.args == (add.module_path, [[1, 2]])
    assert signature.options["priority"] == 7
    assert signature.options["queue_name"] == "mail"
    assert signature.options["max_attempts"] == 4
    assert starmap(thrice, []).options["max_attempts"] == 3
    assert map(total, [[1], [2]]) == starmap(total, [([1],), ([2],)])
    assert chunks(add, [(1, 2), (3, 4), (5, 6)], 2) == group(
        starmap(add, [(1, 2), (3, 4)]), starmap(add, [(5, 6)])
    )


def test_plain_data_and_back():
    given = add.using(
        priority=5,
        run_after=timedelta(minutes=5),
        expires=datetime(2030, 1, 1, tzinfo=UTC),
        metadata={"a": [1]},
        task_id=uuid4(),
    )
    canvas = chain(
        given.s(1, b={"x": [1, None]}),
        group(add.si(1, 2), chord([], total.s(), on_failure=tell), allow_failures=-1),
        add.s(1).using(on_failure=chain(tell.s(label="x"), echo.s())),
        on_failure=tell,
    )

    assert Canvas.from_dict(json.loads(json.dumps(canvas.as_dict()))) == canvas


def test_random_canvases_to_plain_data_and_back():
    for seed in range(100):
        canvas = Canvases(random.Random(seed), failures=True).one(4)

        assert Canvas.from_dict(json.loads(json.dumps(canvas.as_dict()))) == canvas, seed


@pytest.mark.parametrize(
    "data", [None, [], {}, {"type": "xmap"}, {"type": "group", "members": 3}, {"type": "Signature"}]
)
def test_other_data_is_no_canvas(data):
    with pytest.raises(ValueError, match="canvas"):
        Canvas.from_dict(data)


WRONG = [
    (lambda: add.s(1, 2, 3), TypeError, "too many positional arguments"),
    (lambda: add.s(c=1), TypeError, "has no argument 'c'"),
    (lambda: add.si(1), TypeError, "missing a required argument: 'b'"),
    (lambda: add.s(1).using(prio=3), TypeError, "prio"),
    (lambda: add.s(1).using(priority=1000), InvalidTask, "priority must be"),
    (lambda: add.s(1).using(on_failure="tell"), TypeError, "on_failure must be a task"),
    (lambda: Signature("tests.nowhere").using(priority=1), LookupError, "no task 'tests.nowhere'"),
    (lambda: chain(add), TypeError, r"member 0 is the task add; bind its arguments with add\.s"),
    (lambda: group(add.s(1), add), TypeError, r"group: member 1 is the task add"),
    (lambda: group(add.s(1), None), TypeError, "group: member 1 is of type NoneType"),
    (lambda: group(3), TypeError, "group: its member is of type int"),
    (lambda: group(add.s(1), allow_failures=-2), ValueError, "allow_failures must be"),
    (lambda: group(add.s(1), allow_failures=True), ValueError, "allow_failures must be"),
    (lambda: chord([add.s(1)], total), TypeError, "chord: its body is the task total"),
    (lambda: chord([add], total.s()), TypeError, "group: member 0 is the task add"),
    (lambda: add.s(1) | total, TypeError, "on its right is the task total"),
    (lambda: starmap(add, [(1, 2), (1,)]), TypeError, "starmap: item 1: .* argument: 'b'"),
    (lambda: map(log_in, ["x"]), TypeError, "has sensitive arguments"),
    (lambda: map(store, [1]), TypeError, "has atomic=True"),
    (lambda: map(len, [1]), TypeError, "is no task"),
    (lambda: chunks(add, [(1, 2)], 0), ValueError, "size must be a whole number from 1 on"),
]


@pytest.mark.parametrize(("make", "error", "text"), WRONG)
def test_mistakes_are_told_where_they_are_made(make, error, text):
    with pytest.raises(error, match=text):
        make()


def cycle():
    outer, inner = Workflow("outer"), Workflow("inner")
    outer.add(inner)
    inner.add(outer)


def of_another_workflow(place):
    other = Workflow("other").add(add, 1, 2)
    workflow = Workflow("report")
    if place == "after":
        workflow.add(add, 1, 2, after=other)
    elif place == "argument":
        workflow.add(echo, [{"x": other.result["y"]}])
    else:
        workflow.add(chain(add.s(1, 2), chord([echo.s(other.result)], total.s())))


def result_in_a_callback():
    workflow = Workflow("report")
    workflow.add(add.s(1, 2), on_failure=tell.s(workflow.add(add, 1, 2).result))


def result_in_a_callback_of_a_canvas():
    workflow = Workflow("report")
    given = workflow.add(add, 1, 2).result
    workflow.add(chain(add.s(1, 2), group(add.s(1), on_failure=tell.s(given))))


def same_name():
    workflow = Workflow("report")
    workflow.add(add.s(1, 2), name="x")
    workflow.add(add.s(1, 2), name="x")


WRONG_WORKFLOWS = [
    (lambda: Workflow(""), ValueError, "name of a workflow must be text of 1 to 100"),
    (lambda: Workflow("x", metadata=[]), TypeError, "metadata must be a dict, not list"),
    (lambda: Workflow("x", metadata={"a": set()}), TypeError, "metadata.a is of type"),
    (lambda: Workflow("x", on_failure=3), TypeError, "on_failure must be a task"),
    (lambda: Workflow("x").add(print), TypeError, "is neither a task"),
    (lambda: Workflow("x").add(add), TypeError, "missing a required argument: 'a'"),
    (lambda: Workflow("x").add(add, 1, 2, c=3), TypeError, "has no argument 'c'"),
    (lambda: Workflow("x").add(add.s(1)), TypeError, "missing a required argument: 'b'"),
    (lambda: Workflow("x").add(add.s(1, 2), 3), TypeError, "has its arguments already"),
    (lambda: Workflow("x").add(named, name="x"), TypeError, "missing a required argument: 'name'"),
    (lambda: Workflow("x").add(add, 1, 2, name="a.b"), ValueError, "has a dot"),
    (lambda: Workflow("x").add(add, 1, 2, name="a\n"), ValueError, "name of a step must be text"),
    (lambda: Workflow("x").add(add, 1, 2, after="add"), TypeError, "after must be a step"),
    (lambda: Workflow("x").add(add, 1, 2, always=1), TypeError, "always must be True or False"),
    (lambda: Workflow("x").add(add, 1, 2, allow_failures=0.5), ValueError, "allow_failures must"),
    (
        lambda: Workflow("x").add(add, 1, 2, always=True, allow_failures=1),
        ValueError,
        "Step 'add': always=True allows all",
    ),
    (same_name, ValueError, "has a step 'x' already"),
    (cycle, ValueError, "a cycle"),
    (lambda: of_another_workflow("after"), ValueError, "step 'add' is of <Workflow 'other'>"),
    (lambda: of_another_workflow("argument"), ValueError, "step 'add' is of <Workflow 'other'>"),
    (lambda: of_another_workflow("canvas"), ValueError, "step 'add' is of <Workflow 'other'>"),
    (result_in_a_callback, ValueError, "may not be there yet when a step fails"),
    (result_in_a_callback_of_a_canvas, ValueError, "may not be there yet when a step fails"),
]


@pytest.mark.parametrize(("make", "error", "text"), WRONG_WORKFLOWS)
def test_mistakes_in_workflows(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_a_workflow_is_no_part_of_itself():
    workflow = Workflow("report")

    with pytest.raises(ValueError, match="a cycle"):
        workflow.add(workflow)
    assert workflow.steps == ()


def test_results_are_no_values():
    result = Workflow("report").add(mix, 1).result

    with pytest.raises(TypeError, match="result of step 'mix'> cannot be iterated over"):
        list(result)
    with pytest.raises(TypeError, match="neither text nor a whole number"):
        result[1.5]


def test_a_step_with_a_mistake_is_not_added():
    workflow = Workflow("report")
    with pytest.raises(ValueError, match="allow_failures"):
        workflow.add(fail.s(), allow_failures=-5)

    assert workflow.steps == ()
