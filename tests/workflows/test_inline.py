"""Values, failures and callbacks of workflows that run in this process."""

import random

import pytest

from django_tasks.workflows import Workflow, chain, chord, chunks, group, map, starmap

from . import tasks
from .random_canvases import FAILED, Canvases, value_of
from .tasks import add, add_async, attempt, bad_value, echo, fail, mix, named, page, tell, total


@pytest.fixture(autouse=True)
def told():
    """What on_failure steps were told: pairs of label and failed step."""
    tasks.told.clear()
    return tasks.told


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("canvas", "value"),
    [
        (add.s(1, 2), 3),
        (chain(add.s(1, 2), add.s(10)), 13),
        (add.s(1, 2) | add.s(10) | add.si(5, 5), 10),
        (chain(), None),
        (chain(add.s(1, 2), chain(), add.s(10)), 13),
        (chain(chain(chain(add.s(1, 2)))), 3),
        (group(), []),
        (group(add.s(1, 2), add.s(3, 4)), [3, 7]),
        (group([add.s(1, 2)]), [3]),
        (group(add.s(1, 2), group(), group(add.s(3, 4))), [3, 7]),
        (group(add.s(1, 2), chain(group(add.s(3, 4)))), [3, [7]]),
        (group(add.s(1, 2), group(add.s(3, 4), allow_failures=1)), [3, [7]]),
        (chain(add.s(1, 2), group(add.s(10), add.si(1, 1), chain())), [13, 2, 3]),
        (group(add.s(1, 2), add.s(3, 4)) | total.s(), 10),
        (group(add.s(1, 2)) | total.s(), 3),
        (group(add.s(1, 2), add.s(3, 4)) | group(total.s(), total.s()), [10, 10]),
        (chord([add.s(1, 2), add.s(3, 4)], total.s()), 10),
        (chord([], total.s()), 0),
        (chain(add.s(1, 2), group(), total.s()), 0),
        (add.s(1, 2) | chord([add.s(10), add.s(20)], total.s()), 36),
        (chord([chord([add.s(1, 2)], total.s()), chain(add.s(1, 2), add.s(3))], total.s()), 9),
        (map(total, [[1, 2], [3]]), [3, 3]),
        (starmap(add, [(1, 2), [3, 4]]), [3, 7]),
        (add.s(1, 1) | map(total, []), []),
        (chunks(add, [(1, 2), (3, 4), (5, 6)], 2), [[3, 7], [11]]),
        (chunks(add, [], 2), []),
        (chord(chunks(add, [(1, 2), (3, 4)], 1), echo.s()), [[[[3], [7]]], {}]),
        (add_async.s(1, 2) | add_async.s(3), 6),
        (starmap(add_async, [(1, 2)]), [3]),
        (attempt.s(5), 7),
        (map(attempt, [5, 6]), [8, 9]),
    ],
)
def test_value_of_a_canvas(canvas, value):
    assert canvas.call() == value


def test_values_pass_through_json_between_steps():
    assert (echo.s((1, {2: 3})) | echo.s()).call() == [[[[[1, {"2": 3}]], {}]], {}]


def test_random_canvases_have_the_value_of_plain_recursion():
    for seed in range(400):
        canvas = Canvases(random.Random(seed)).one(4)

        assert canvas.call() == value_of(canvas, []), seed


def test_random_failures_end_as_by_plain_recursion(told):
    """Which members may fail, what is then left out, and which callbacks run."""
    ends = {"failed": 0, "told": 0, "succeeded": 0}
    for seed in range(600):
        told.clear()
        canvas = Canvases(random.Random(seed), failures=True).one(4)
        labels = []
        value = value_of(canvas, labels)

        if value is FAILED:
            with pytest.raises(ValueError, match="on purpose"):
                canvas.call()
        else:
            assert canvas.call() == value, seed
        assert sorted(label for label, _ in told) == sorted(labels), seed
        ends["failed" if value is FAILED else "succeeded"] += 1
        ends["told"] += bool(labels)

    assert min(ends.values()) > 50, ends


def test_value_of_a_workflow_is_a_dict_of_its_steps():
    workflow = Workflow("report")
    first = workflow.add(add, 1, 2)
    workflow.add(add, first.result, 10)
    workflow.add(group(add.s(1, 1), add.s(first.result, 2)), name="both")

    assert workflow.call() == {"add": 3, "add-2": 13, "both": [2, 5]}
    assert Workflow("empty").call() == {}


def test_results_stand_anywhere_in_arguments():
    workflow = Workflow("report")
    got = workflow.add(page, "a")
    both = workflow.add(group(add.s(1, 2), page.s("b")))
    step = workflow.add(
        echo,
        got.result,
        [got.result["title"], (got.result["sizes"][0], {"deep": got.result["sizes"][-1]})],
        both=both.result,
        one=both.result[1]["title"],
    )

    assert workflow.call()[step.name] == [
        [{"title": "a", "sizes": [1, 2, 3]}, ["a", [1, {"deep": 3}]]],
        {"both": [3, {"title": "b", "sizes": [1, 2, 3]}], "one": "b"},
    ]


def test_results_stand_in_canvases():
    workflow = Workflow("report")
    first = workflow.add(add, 1, 2)
    workflow.add(chain(add.s(first.result, 1), group(add.s(first.result))), name="canvas")

    assert workflow.call() == {"add": 3, "canvas": [7]}


def test_workflow_in_a_workflow():
    inner = Workflow("inner")
    inner.add(add, 1, 2, name="three")
    outer = Workflow("outer")
    sub = outer.add(inner)
    again = outer.add(inner, after=sub)
    outer.add(add, sub.result["three"], again.result["three"], name="six")

    assert outer.call() == {"inner": {"three": 3}, "inner-2": {"three": 3}, "six": 6}


# --- failures ------------------------------------------------------------------------------------


def test_first_failure_is_raised():
    workflow = Workflow("report")
    workflow.add(fail, message="one")
    workflow.add(fail, message="two")

    with pytest.raises(ValueError, match="one"):
        workflow.call()


def test_failure_cancels_what_needs_it_and_nothing_else(told):
    workflow = Workflow("report")
    failed = workflow.add(fail)
    needs_it = workflow.add(tell, failed.result)
    workflow.add(tell, {}, "after", after=needs_it)
    workflow.add(tell, {}, "beside")

    with pytest.raises(ValueError, match="on purpose"):
        workflow.call()

    assert told == [("beside", {})]


@pytest.mark.parametrize("place", ["step", "workflow", "signature", "chain", "group", "chord"])
def test_on_failure_gets_the_step_that_failed(place, told):
    workflow = Workflow("report", on_failure=tell if place == "workflow" else None)
    bad = fail.s().using(on_failure=tell) if place == "signature" else fail.s()
    given = {"on_failure": tell} if place in ("chain", "group", "chord") else {}
    content = {
        "chain": chain(bad, mix.s(), **given),
        "group": group(mix.s(), bad, **given),
        "chord": chord([mix.s(), bad], mix.s(), **given),
    }.get(place, bad)
    step = workflow.add(content, name="bad", on_failure=tell if place == "step" else None)
    workflow.add(mix, step.result)

    with pytest.raises(ValueError, match="on purpose"):
        workflow.call()

    [(label, failed)] = told
    assert failed.pop("id")
    assert (label, failed) == (
        "",
        {
            "name": "bad.fail" if given else "bad",
            "task": fail.module_path,
            "exception": "builtins.ValueError",
            "message": "failed on purpose",
        },
    )


def test_on_failure_does_not_run_without_failure(told):
    workflow = Workflow("report", on_failure=chain(tell.s(), tell.s()))
    workflow.add(add, 1, 2, on_failure=tell)
    workflow.add(chord([add.s(1, 2)], total.s(), on_failure=tell), on_failure=group(tell.s()))

    assert workflow.call() == {"add": 3, "chord": 3}
    assert told == []


def test_on_failure_of_a_chain_in_a_chord_that_fails_before_its_last_link(told):
    canvas = chord([chain(fail.s(), mix.s()), mix.s()], mix.s(), on_failure=tell.s(label="chord"))

    with pytest.raises(ValueError, match="on purpose"):
        canvas.call()

    assert [(label, failed["name"]) for label, failed in told] == [("chord", "fail")]


def test_what_has_no_steps_cannot_fail(told):
    with pytest.raises(ValueError, match="on purpose"):
        chain(fail.s(), chain(on_failure=tell), group(on_failure=tell)).call()

    assert told == []


def test_on_failure_that_fails_does_not_hide_the_failure():
    with pytest.raises(ValueError, match="on purpose"):
        chain(fail.s(), on_failure=fail.s(message="in the callback")).call()


def test_allowed_failures_are_left_out():
    header = [add.s(1, 2), fail.s(), add.s(3, 4)]

    assert chord(header, echo.s(), allow_failures=1).call() == [[[3, 7]], {}]
    assert group(header, allow_failures=-1).call() == [3, 7]
    with pytest.raises(ValueError, match="on purpose"):
        chord([*header, fail.s()], echo.s(), allow_failures=1).call()


def test_failure_before_a_group_is_not_one_that_the_group_allows(told):
    canvas = chain(fail.s(), group(mix.s(), mix.s(), allow_failures=-1), tell.s())

    with pytest.raises(ValueError, match="on purpose"):
        canvas.call()
    assert told == []


def test_allowed_failures_of_steps():
    workflow = Workflow("report")
    steps = [workflow.add(add, 1, 2), workflow.add(fail), workflow.add(add, 3, 4)]
    results = [step.result for step in steps]
    workflow.add(echo, results, results[1], name="most", allow_failures=1)

    assert workflow.call()["most"] == [[[3, 7], None], {}]


def test_a_step_that_allows_failures_has_one_end():
    workflow = Workflow("report")
    numbers = workflow.add(group(add.s(1, 2), fail.s(), allow_failures=1), name="numbers")
    workflow.add(echo, numbers.result, numbers.result[0], name="next")

    assert workflow.call() == {"numbers": [3], "next": [[[3], 3], {}]}


def test_a_group_counts_as_one_failure_of_a_step():
    workflow = Workflow("report")
    both = workflow.add(group(fail.s(), fail.s()), name="both")
    one = workflow.add(add, 1, 2)
    workflow.add(echo, [both.result, one.result], name="rest", allow_failures=1)

    assert workflow.call()["rest"] == [[[3]], {}]


def test_always_runs_in_any_case():
    for first, values in ((fail, [None]), (mix, [mix.call()])):
        workflow = Workflow("report")
        step = workflow.add(first.s(), name="first")
        needs_it = workflow.add(mix, step.result)
        workflow.add(tell, {}, "cleaned", after=needs_it, always=True)
        workflow.add(tell, [step.result], "given", always=True)
        tasks.told.clear()
        if first is fail:
            with pytest.raises(ValueError, match="on purpose"):
                workflow.call()
        else:
            workflow.call()

        assert tasks.told == [("cleaned", {}), ("given", values)]


def test_what_depends_on_a_workflow_waits_for_all_in_it(told):
    """At any depth, and for steps that nothing in it waits for."""
    innermost = Workflow("innermost")
    innermost.add(tell, {}, "first")
    innermost.add(fail)
    outer = Workflow("outer")
    middle = Workflow("middle")
    middle.add(innermost)
    step = outer.add(middle)
    outer.add(tell, {}, "after", after=step)
    outer.add(tell, {}, "cleaned", after=step, always=True)

    with pytest.raises(ValueError, match="on purpose"):
        outer.call()

    assert [label for label, _ in told] == ["first", "cleaned"]


def test_return_value_that_json_does_not_have_fails_the_step(told):
    with pytest.raises(TypeError, match="return value"):
        starmap(bad_value, [()]).using(on_failure=tell).call()

    assert told[0][1]["exception"] == "builtins.TypeError"


def test_arguments_named_like_options_of_add():
    workflow = Workflow("report")
    workflow.add(named.s(name="x", after=2), name="step")

    assert workflow.call() == {"step": "x2"}
