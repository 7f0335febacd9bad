"""The screens of workflows: what they show to whom, what they cost, and what buttons do."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_tasks.admin.tasks import window
from django_tasks.models import TaskRecord, WorkflowRecord
from django_tasks.statuses import Status
from django_tasks.testing import run_pending_tasks
from django_tasks.workflows import chain, group
from django_tasks.workflows.plan import FailedRef, JoinKind, JoinPlan, Ref
from tests import tasks
from tests.control_room.workflow_rows import half_failed, set_statuses
from tests.test_admin import client_with, make
from tests.workflows.steps import chain as chain_plan
from tests.workflows.steps import chord as chord_plan
from tests.workflows.steps import needs, plan, start, statuses, step, task_id

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/django_tasks/workflowrecord/"
LOOK = ("view_workflowrecord", "view_taskrecord")


def page_of(handle):
    return f"{LIST}{handle.id}/change/"


def html(client, url, **query):
    response = client.get(url, query)
    assert response.status_code == 200, response
    return response.content.decode()


def titles(text):
    return re.findall(r'class="graph-title"[^>]*>([^<]*)', text)


def badges(text):
    return re.findall(r'class="task-badge task-(\w+)"', text)


def queries(client, url, **query):
    with CaptureQueriesContext(
        connection,
    ) as captured:
        html(client, url, **query)
    return len(captured)


# --- the list ------------------------------------------------------------------------------------


def test_the_list_tells_status_progress_and_the_failed_step():
    done = start(chain_plan(3))
    run_pending_tasks()
    failed = start(chain_plan(4, first=tasks.broken))
    run_pending_tasks()
    running = start(chord_plan(3))
    run_pending_tasks(limit=2)

    text = html(client_with(*LOOK), LIST)

    assert badges(text) == ["running", "failed", "successful"]
    assert "3 of 3" in text and "4 of 4" in text and "2 of 4" in text
    assert f'/taskrecord/{task_id(failed, "step-0")}/change/">step-0</a>' in text
    text = html(client_with(*LOOK), LIST, status="FAILED")
    assert failed.id in text and done.id not in text and running.id not in text


def test_the_list_finds_names_and_ids():
    handle = start(plan([step("a", tasks.echo)], name="Import of May"))
    other = start(plan([step("a", tasks.echo)], name="Export"))
    client = client_with(*LOOK)

    for term in ("of may", handle.id[:23]):
        text = html(client, LIST, q=term)
        assert handle.id in text, term
    assert other.id not in html(client, LIST, q="of may")


def test_a_page_of_100_workflows_costs_what_one_costs():
    client = client_with(*LOOK)
    half_failed()
    one = queries(client, LIST)
    for _ in range(99):
        half_failed()

    assert queries(client, LIST) == one


def test_a_list_with_filters_says_where_it_stops(monkeypatch):
    handles = [half_failed() for _ in range(3)]
    client = client_with(*LOOK)
    monkeypatch.setattr(window, "LOOKED_AT", 2)
    monkeypatch.setattr("django_tasks.admin.workflows.list.MOST_OPEN", 2)
    monkeypatch.setattr("django_tasks.monitoring.workflows.summaries.MOST_OPEN", 2)

    text = html(client, LIST, q="test")
    assert "the list looks at 2 workflows; there are more." in text
    assert f"upto={handles[0].id}" in text
    text = html(client, LIST, status="RUNNING")
    assert "the list looks at 2 workflows; there are more." in text and "upto=" not in text
    assert "there are more" not in html(client, LIST)


def test_too_many_steps_are_not_counted():
    handle = half_failed()
    WorkflowRecord.objects.filter(pk=handle.id).update(size=60_000)

    assert "60,000 steps, not counted" in html(client_with(*LOOK), LIST)


def test_successful_workflows_are_not_counted():
    start(chain_plan(3))
    run_pending_tasks()

    with CaptureQueriesContext(connection) as captured:
        html(client_with(*LOOK), LIST)

    asked = [query["sql"] for query in captured if "workflowstep" in query["sql"]]
    assert asked == []


# --- the page ------------------------------------------------------------------------------------


def test_the_page_costs_the_same_with_3_and_300_steps():
    client = client_with(*LOOK)
    small, large = start(chord_plan(2)), start(chord_plan(299))
    long = start(chain_plan(300))
    html(client, page_of(small))
    few, many, more = (queries(client, page_of(handle)) for handle in (small, large, long))

    assert few == many
    assert more <= few  # it has no single step whose name is asked for


def test_siblings_fold_and_single_steps_are_named():
    client = client_with(*LOOK)

    small = titles(html(client, page_of(start(chord_plan(3)))))
    assert small == ["member-0", "member-1", "member-2", "total"]
    large = start(chord_plan(299))
    set_statuses(large, Status.FAILED, 4, 6)
    text = html(client, page_of(large))
    assert titles(text) == ["add × 299", "total"]
    assert ">3 failed<" in text and ">296 ready<" in text


def test_alike_chains_and_long_runs_fold():
    client = client_with(*LOOK)
    lines = group(chain(tasks.add.s(n, 1), tasks.add.s(1)) for n in range(100)) | tasks.total.s()

    assert titles(html(client, page_of(lines.enqueue()))) == ["add × 100", "add × 100", "total"]
    text = html(client, page_of(start(chain_plan(200))))
    assert titles(text) == ["add × 200"]
    assert "one after another" in text


def test_a_graph_that_does_not_fold_is_shown_in_parts_from_where_it_is():
    links = [link for _ in range(100) for link in (tasks.echo.s(), tasks.describe.s())]
    handle = chain(tasks.add.s(1, 2), *links).enqueue()
    set_statuses(handle, Status.SUCCESSFUL, 0, 50)
    client = client_with(*LOOK)

    text = html(client, page_of(handle))
    assert "Levels 51 to 170 of 201" in text
    assert len(titles(text)) == 120
    assert "Levels 171 to 201 of 201" in html(client, page_of(handle), level="170")


def test_a_box_lists_its_steps():
    handle = start(chord_plan(20))
    client = client_with(*LOOK)
    set_statuses(handle, Status.FAILED, 3, 3)

    text = html(client, page_of(handle), box="0")
    assert "member-19</a>" in text and "total</a>" not in text
    text = html(client, page_of(handle), box="0", status="FAILED")
    assert re.findall(r">([\w-]+)</a> <span class=\"task-module\"", text) == ["member-3"]


def test_the_list_of_steps_goes_on():
    handle = start(chord_plan(120))
    client = client_with(*LOOK)

    seen, query = [], ""
    while query is not None:
        text = html(client, page_of(handle) + query)
        seen += re.findall(r">([\w-]+)</a> <span class=\"task-module\"", text)
        found = re.search(r'href="(\?start=\d+)#workflow-steps">Next', text)
        query = found and found[1]

    assert seen == [*(f"member-{n}" for n in range(120)), "total"]


@pytest.mark.parametrize("value", ["x", "-1", "9" * 30, "²", "\0", "999"])
def test_nonsense_in_the_address_chooses_nothing(value):
    handle = start(chord_plan(20))

    text = html(client_with(*LOOK), page_of(handle), box=value, level=value, status=value)

    assert "member-0" in text


def test_it_says_why_it_does_not_go_on():
    client = client_with(*LOOK)
    handle = start(chord_plan(2, failing={0}))
    assert "No worker serves its queue" in html(client, page_of(handle))
    run_pending_tasks(limit=1)
    assert "Step “member-0” failed." in html(client, page_of(handle))
    run_pending_tasks()
    text = html(client, page_of(handle))
    assert "It failed on" in text and "tasks_workflow retry" in text


def test_a_workflow_whose_tasks_were_deleted_is_told_to_be_stuck():
    handle = start(chain_plan(3))
    TaskRecord.objects.filter(pk=task_id(handle, "step-0")).delete()

    assert "Tasks of its steps were deleted" in html(client_with(*LOOK), page_of(handle))


def test_the_value_is_for_those_who_may_see_it():
    made = plan([step("a", tasks.echo, {"note": "canary-1"})], value={"out": "canary-2"}, key="v")
    handle = start(made)
    run_pending_tasks()

    text = html(client_with(*LOOK, "view_payload"), page_of(handle))
    assert "canary-2" in text and "********" in text
    text = html(client_with(*LOOK), page_of(handle))
    assert "canary" not in text and "Hidden." in text


def test_links_to_tasks_are_for_those_who_may_see_them():
    handle = half_failed()

    assert "/taskrecord/" in html(client_with(*LOOK), page_of(handle))
    for url in (page_of(handle), LIST):
        assert "/taskrecord/" not in html(client_with("view_workflowrecord"), url)


def test_the_page_asks_again_until_the_workflow_has_ended():
    handle = start(chain_plan(2))
    client = client_with(*LOOK)
    url = f"{LIST}{handle.id}/live/"

    assert client.get(url).headers["Retry-After"] == "2"
    run_pending_tasks()
    assert "Retry-After" not in client.get(url).headers


# --- buttons -------------------------------------------------------------------------------------


def test_cancel_and_retry():
    handle = start(chain_plan(3))
    client = client_with(*LOOK, "cancel_taskrecord", "requeue_taskrecord")

    response = client.post(page_of(handle), {"_cancel": "1"}, follow=True)
    assert "3 steps were cancelled, or told to stop." in response.content.decode()
    assert set(statuses(handle).values()) == {"CANCELLED"}
    assert 'name="_cancel"' not in html(client, page_of(handle))
    response = client.post(page_of(handle), {"_retry": "1"}, follow=True)
    assert "runs again" in response.content.decode()
    run_pending_tasks()
    handle.refresh()
    assert handle.status == Status.SUCCESSFUL
    texts = LogEntry.objects.order_by("pk").values_list("change_message", "object_id")
    assert list(texts) == [("Cancelled.", handle.id), ("Retried.", handle.id)]


def test_buttons_that_do_nothing_say_so_and_write_no_history():
    handle = start(chain_plan(1))
    run_pending_tasks()
    client = client_with(*LOOK, "cancel_taskrecord", "requeue_taskrecord")

    for name in ("_cancel", "_retry"):
        response = client.post(page_of(handle), {name: "1"}, follow=True)
        assert "There was no such step." in response.content.decode()
    assert not LogEntry.objects.exists()


# --- the page of a task --------------------------------------------------------------------------


def test_a_task_names_its_workflow_and_neighbours():
    handle = start(chain_plan(3))
    url = f"/admin/django_tasks/taskrecord/{task_id(handle, 'step-1')}/change/"

    text = html(client_with(*LOOK), url)
    assert f"/workflowrecord/{handle.id}/change/" in text
    for name in ("step-0", "step-2"):
        assert f'/taskrecord/{task_id(handle, name)}/change/">{name}</a>' in text
    text = html(client_with("view_taskrecord"), url)
    assert "/workflowrecord/" not in text and "step-0</a>" in text


def test_a_waiting_step_says_for_how_many_it_waits():
    handle = start(chord_plan(3))
    run_pending_tasks(limit=1)

    text = html(
        client_with(*LOOK), f"/admin/django_tasks/taskrecord/{task_id(handle, 'total')}/change/"
    )
    assert "It waits for 2 steps of its workflow to end." in text


def test_arguments_that_are_results_are_told_in_words():
    handle = start(chord_plan(60))
    client = client_with(*LOOK, "view_payload")
    text = html(client, f"/admin/django_tasks/taskrecord/{task_id(handle, 'total')}/change/")

    assert "‹result of step “member-49”›" in text and "member-50”›" not in text
    assert "‹10 more›" in text
    assert "$django_tasks" not in text
    handle = start(
        plan(
            [
                step("a", tasks.echo),
                step("b", tasks.describe, {"x": Ref(0, ("k", 1))}, waits_for=0),
                step("c", tasks.describe, FailedRef(), waits_for=1),
            ],
            [needs(0), JoinPlan(JoinKind.FAILURE, (0,))],
        )
    )
    for name, words in (("b", "‹result of step “a”›[&#x27;k&#x27;][1]"), ("c", "‹the step that")):
        url = f"/admin/django_tasks/taskrecord/{task_id(handle, name)}/change/"
        assert words in html(client, url)


def test_many_neighbours_are_named_in_part():
    handle = start(chord_plan(20))
    text = html(
        client_with(*LOOK), f"/admin/django_tasks/taskrecord/{task_id(handle, 'total')}/change/"
    )

    assert text.count('class="task-neighbour"') == 5
    assert "member-4" in text and "member-5" not in text


def test_plain_tasks_ask_nothing_about_workflows():
    record = make(enqueued_at=timezone.now())

    with CaptureQueriesContext(connection) as captured:
        html(client_with(*LOOK), f"/admin/django_tasks/taskrecord/{record.pk}/change/")

    assert not [query for query in captured if "django_tasks_workflow" in query["sql"]]
