"""The flat plans: names, joins that are shared, sizes, errors that name the step."""

import random
from uuid import uuid4

import pytest

from django_tasks.workflows import Signature, Workflow, chain, chord, group
from django_tasks.workflows.plan import (
    FailedRef,
    Gather,
    JoinKind,
    JoinPlan,
    Ref,
    StepPlan,
    required_steps,
)
from django_tasks.workflows.starting import backend_of, plan_of

from .random_canvases import Canvases, signatures
from .tasks import add, echo, fail, mix, page, tell, total


def names(plan):
    return [step.name for step in plan.steps]


def size_of(plan):
    """Return how much there is to store, without what steps share."""
    values = {id(arg): arg for step in plan.steps for arg in step.args}
    gathered = sum(len(value.items) for value in values.values() if isinstance(value, Gather))
    return len(plan.steps) + sum(len(join.after) for join in plan.joins) + gathered


def test_plan_of_a_chord():
    plan = plan_of(chord([add.s(1, 2), add.s(3, 4)], total.s()))

    assert plan.name == "chord"
    assert plan.metadata == {}
    assert plan.steps == (
        StepPlan("add", add, (1, 2), {}, None),
        StepPlan("add-2", add, (3, 4), {}, None),
        StepPlan("total", total, (Gather((Ref(0), Ref(1))),), {}, 0),
    )
    assert plan.joins == (JoinPlan(JoinKind.SUCCESS, (0, 1)),)
    assert plan.value == Ref(2)


def test_plan_of_a_workflow():
    workflow = Workflow("report", metadata={"day": 3}, on_failure=tell.s(label="all"))
    got = workflow.add(page.using(priority=7), "a", on_failure=tell)
    workflow.add(echo, [got.result["sizes"][0], 5], after=got, name="show")
    workflow.add(tell, {}, after=got, always=True, name="clean")
    plan = plan_of(workflow)

    assert plan.metadata == {"day": 3}
    assert names(plan) == ["page", "page.tell", "show", "clean", "tell"]
    assert plan.steps[0].task.priority == 7
    assert [step.args for step in plan.steps] == [
        ("a",),
        (FailedRef(),),
        ([Ref(0, ("sizes", 0)), 5],),
        ({},),
        (FailedRef(),),
    ]
    assert [step.waits_for for step in plan.steps] == [None, 0, 1, 2, 3]
    assert plan.joins == (
        JoinPlan(JoinKind.FAILURE, (0,)),
        JoinPlan(JoinKind.SUCCESS, (0,)),
        JoinPlan(JoinKind.ALWAYS, (0,)),
        JoinPlan(JoinKind.FAILURE, (2, 3)),
    )
    assert plan.value == {"page": Ref(0), "show": Ref(2), "clean": Ref(3)}
    assert required_steps(plan) == (2, 3)


def test_names_are_unique():
    inner = Workflow("inner")
    inner.add(add, 1, 2)
    workflow = Workflow("report", on_failure=tell)
    workflow.add(tell, {})
    workflow.add(group(add.s(1, 2), add.s(1, 2)), name="add")
    workflow.add(add, 1, 2, name="add-2", on_failure=chain(tell.s(), tell.s({})))
    workflow.add(inner)
    workflow.add(inner)
    plan = plan_of(workflow)

    assert names(plan) == [
        "tell",
        "add.add",
        "add.add-2",
        "add-2",
        "add-2.tell",
        "add-2.tell-2",
        "inner.add",
        "inner-2.add",
        "tell-2",
    ]


def test_random_plans_are_in_order_and_name_each_step_once():
    for seed in range(200):
        canvas = Canvases(random.Random(seed), failures=True).one(4)
        plan = plan_of(canvas)

        for index, step in enumerate(plan.steps):
            if step.waits_for is not None:
                assert max(plan.joins[step.waits_for].after) < index
        for join in plan.joins:
            assert list(join.after) == sorted(set(join.after))
        assert len(set(names(plan))) == len(plan.steps) >= signatures(canvas)
        assert {step.waits_for for step in plan.steps} - {None} == set(range(len(plan.joins)))


def test_a_join_is_shared_by_all_who_wait_for_the_same():
    many = 1000
    plan = plan_of(group(mix.si(i) for i in range(many)) | group(mix.s(i) for i in range(many)))

    assert [len(join.after) for join in plan.joins] == [many]
    assert len({id(step.args[0]) for step in plan.steps[many:]}) == 1

    workflow = Workflow("report")
    steps = [workflow.add(mix, i) for i in range(10)]
    for _ in range(10):
        workflow.add(mix, [step.result for step in steps])
    assert len(plan_of(workflow).joins) == 1


def test_a_chain_of_ten_thousand():
    plan = plan_of(chain([mix.s()] * 10_000))

    assert size_of(plan) == 2 * 10_000 - 1


def chords_in_chains_in_chords(depth):
    canvas = mix.s()
    for _ in range(depth):
        canvas = chord([chain(mix.s(), canvas), mix.s()], mix.s())
    return canvas


def groups_in_groups(depth):
    canvas = mix.s()
    for _ in range(depth):
        canvas = group(chain(canvas, mix.s()), mix.s())
    return canvas


def chords_after_chords(number):
    return chain([chord([mix.s(), mix.s()], mix.s()) for _ in range(number)])


@pytest.mark.parametrize(
    "make", [chords_in_chains_in_chords, groups_in_groups, chords_after_chords]
)
def test_nesting_has_no_limit_and_sizes_are_linear(make):
    small, large = (size_of(plan_of(make(number))) for number in (500, 1000))

    assert large / small == pytest.approx(2, abs=0.02)


def test_workflows_nest_without_limit():
    workflow = Workflow("innermost")
    workflow.add(add, 1, 2, name="a")
    for _ in range(1000):
        outer = Workflow("w")
        step = outer.add(workflow, name="w")
        outer.add(mix, after=step)
        workflow = outer
    plan = plan_of(workflow)

    assert len(plan.steps) == 1001
    assert sum(len(join.after) for join in plan.joins) == 1000


def test_what_depends_on_a_nested_workflow_waits_for_all_its_ends():
    inner = Workflow("inner")
    first = inner.add(mix, 1)
    inner.add(mix, first.result)
    inner.add(mix, first.result)
    inner.add(mix, 2)
    inner.add(mix, 3, after=inner.steps[-1], always=True)
    middle, outer = Workflow("middle"), Workflow("outer")
    middle.add(inner)
    outer.add(mix, after=outer.add(middle))
    plan = plan_of(outer)

    # The one before the step that runs in any case is needed, too.
    assert plan.joins[plan.steps[-1].waits_for].after == (1, 2, 3, 4)


def test_a_workflow_waits_as_a_whole():
    inner = Workflow("inner")
    second = inner.add(mix, after=inner.add(mix))
    inner.add(mix)
    outer = Workflow("outer")
    outer.add(inner, after=outer.add(mix))
    plan = plan_of(outer)

    assert [step.waits_for for step in plan.steps] == [None, 0, 1, 0]
    assert second.waits_for == (inner.steps[0],)


def test_empty_ones_hand_on_what_they_wait_for():
    workflow = Workflow("report")
    first = workflow.add(mix)
    second = workflow.add(group(), after=first)
    third = workflow.add(chain(), after=second)
    fourth = workflow.add(Workflow("empty"), after=third)
    workflow.add(mix, second.result, third.result, fourth.result, after=fourth)
    plan = plan_of(workflow)

    assert len(plan.steps) == 2
    assert plan.joins == (JoinPlan(JoinKind.SUCCESS, (0,)),)
    assert plan.steps[1].args == ([], None, {})


def test_empty_ones_keep_what_was_allowed():
    workflow = Workflow("report")
    failed = workflow.add(fail)
    cleaned = workflow.add(group(), after=failed, always=True)
    workflow.add(mix, after=cleaned, name="last")
    plan = plan_of(workflow)

    assert [join.kind for join in plan.joins] == [JoinKind.ALWAYS, JoinKind.SUCCESS]
    assert plan.steps[1].name == "group.collect"


def test_steps_between_run_as_the_tasks_before_them():
    before = mix.using(priority=9, queue_name="mail")
    plan = plan_of(group(before.s(1), before.s(2), allow_failures=1))

    assert (plan.steps[-1].task.name, plan.value) == ("collect", Ref(2))
    assert (plan.steps[-1].task.priority, plan.steps[-1].task.queue_name) == (9, "mail")
    assert required_steps(plan) == (2,)


def test_required_steps():
    """Not those that a join answers for, nor what runs on failure."""
    canvas = chain(mix.s(), group(mix.s(), mix.s()), on_failure=chain(tell.s(), mix.s()))

    assert required_steps(plan_of(canvas)) == (1, 2)
    assert required_steps(plan_of(chain(mix.s(), group()))) == (0,)
    assert required_steps(plan_of(group())) == ()


def wrong_key():
    workflow = Workflow("report")
    got = workflow.add(group(add.s(1, 2), add.s(3, 4)))
    workflow.add(mix, got.result[2])
    return workflow


def unknown_step():
    inner, workflow = Workflow("inner"), Workflow("report")
    inner.add(add, 1, 2)
    workflow.add(mix, workflow.add(inner).result["sum"])
    return workflow


def no_json(*args, **kwargs):
    workflow = Workflow("report")
    workflow.add(mix, 1)
    workflow.add(echo, *args, **kwargs)
    return workflow


def results_and_no_json():
    workflow = Workflow("report")
    result = workflow.add(mix, 1).result
    workflow.add(echo, [result, {"x": {1, 2}}])
    return workflow


def result_and_a_key_that_is_no_text():
    workflow = Workflow("report")
    result = workflow.add(mix, 1).result
    workflow.add(echo, x={3: result})
    return workflow


STRAY = Workflow("stray").add(mix).result
ID = uuid4()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: chain(mix.s(), add.s()), TypeError, "Step 'add' of workflow 'chain': .*'b'"),
        (lambda: group(add.s(1)), TypeError, "Step 'add' of workflow 'group': .*'b'"),
        (lambda: chain(mix.s(), add.s(1, 2)), TypeError, "Step 'add' .*too many"),
        (lambda: Signature("tests.nowhere"), LookupError, "Step 'nowhere' .*no task"),
        (lambda: chain(mix.s(STRAY)), ValueError, "Step 'mix' .*only steps of the same workflow"),
        (lambda: no_json(object()), TypeError, r"Step 'echo' of workflow 'report': .*args\[0\]"),
        (lambda: no_json(x=[{1}]), TypeError, r"Step 'echo' .*kwargs.x\[0\] is of type"),
        (lambda: no_json(float("nan")), ValueError, r"Step 'echo' .*args\[0\] is nan"),
        (results_and_no_json, TypeError, r"Step 'echo' .*args\[0\]\[1\].x is of type"),
        (result_and_a_key_that_is_no_text, TypeError, "Step 'echo' .*a key of kwargs.x"),
        (wrong_key, ValueError, r"Step 'mix' .*result\[2\] of step 'group'.*list of 2"),
        (unknown_step, ValueError, "Step 'mix' .*there is no 'sum'; there are: add"),
        (
            lambda: group(mix.using(task_id=ID).s(1), mix.using(task_id=ID).s(2)),
            ValueError,
            "Step 'mix-2' .*its task_id is that of step 'mix', too",
        ),
    ],
)
def test_errors_name_the_step(make, error, text):
    with pytest.raises(error, match=text):
        plan_of(make())


def test_all_steps_have_one_backend(settings):
    settings.TASKS = settings.TASKS | {
        "other": {"BACKEND": "django_tasks.backends.database.DatabaseBackend", "QUEUES": []}
    }

    assert backend_of(plan_of(group())) == "default"
    assert backend_of(
        plan_of(mix.using(backend="other").s() | mix.si(1).using(backend="other"))
    ) == ("other")
    with pytest.raises(ValueError, match="step 'mix-2' is of backend 'other', but step 'mix' of"):
        backend_of(plan_of(mix.s() | mix.using(backend="other").s()))


def test_a_group_that_runs_in_any_case_needs_nothing_before_it():
    workflow = Workflow("report")
    failed = workflow.add(fail)
    workflow.add(group(mix.s(), mix.s(), allow_failures=-1), name="g", after=failed, always=True)
    plan = plan_of(workflow)

    assert names(plan) == ["fail", "g.mix", "g.mix-2", "g.collect"]
    assert required_steps(plan) == (0, 3)
