"""tasks_workflow: what it prints, what it changes, and how it ends."""

import io
import json
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from django_tasks.statuses import Status
from django_tasks.testing import run_pending_tasks
from tests import tasks
from tests.workflows.steps import chain, chord, start, statuses, task_id

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments):
    out = io.StringIO()
    call_command("tasks_workflow", *map(str, arguments), stdout=out, no_color=True)
    return out.getvalue()


def test_list_has_the_newest_first_and_filters():
    failed = start(chain(4, first=tasks.broken))
    run_pending_tasks()
    running = start(chord(3))
    run_pending_tasks(limit=2)

    lines = run("list").splitlines()
    assert lines[0] == "Workflows"
    assert running.id in lines[2] and "RUNNING" in lines[2] and "2 of 4" in lines[2]
    assert failed.id in lines[3] and lines[3].endswith("step-0")
    assert running.id not in run("list", "--status", "FAILED")
    assert failed.id not in run("list", "--limit", "1")
    [one] = json.loads(run("list", "--status", "FAILED", "--json"))["workflows"]
    assert (one["id"], one["done"], one["failed_step"]) == (failed.id, 4, "step-0")
    assert one["failed_task_id"] == str(task_id(failed, "step-0"))


def test_show_draws_a_tree_and_says_why():
    handle = start(chord(20))
    run_pending_tasks(limit=2)

    text = run("show", handle.id)
    assert "2 of 21 ended" in text
    assert "No worker serves its queue" in text
    assert "  add × 20  18 READY, 2 SUCCESSFUL  -\n" in text
    assert "    total   WAITING                 add × 20\n" in text


def test_show_as_json_has_all_steps_and_no_values():
    handle = start(chord(30))
    document = json.loads(run("show", handle.id, "--json"))

    assert document["workflow"]["id"] == handle.id
    assert len(document["steps"]) == 31
    assert document["steps"][30]["name"] == "total"
    assert document["reasons"][0]["code"] == "ready"
    assert "args" not in json.dumps(document)


def test_cancel_and_retry():
    handle = start(chain(3))

    assert run("cancel", handle.id) == "Cancelled 3 steps; running ones were told to stop.\n"
    assert set(statuses(handle).values()) == {"CANCELLED"}
    with pytest.raises(CommandError, match=r"No step of workflow .* has not ended"):
        run("cancel", handle.id)
    document = json.loads(run("retry", handle.id, "--json"))
    assert document == {"id": handle.id, "status": "RUNNING", "changed": document["changed"]}
    run_pending_tasks()
    handle.refresh()
    assert handle.status == Status.SUCCESSFUL
    with pytest.raises(CommandError, match="failed or was cancelled"):
        run("retry", handle.id)


@pytest.mark.parametrize("action", ["show", "cancel", "retry"])
def test_an_unknown_id_is_told(action):
    unknown = uuid4()
    with pytest.raises(CommandError, match=f"No workflow has the id {unknown}"):
        run(action, unknown)


@pytest.mark.parametrize("limit", ["0", "x", "1001"])
def test_a_limit_is_a_number(limit):
    with pytest.raises(CommandError, match="no number from 1 to 1000"):
        run("list", "--limit", limit)
