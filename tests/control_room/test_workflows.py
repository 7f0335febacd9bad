"""The screens of workflows: what they show to whom, what they cost, and what buttons do."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasks.models import TaskRecord, WorkflowRecord
from django_tasks.statuses import Status
from django_tasks.testing import run_pending_tasks
from django_tasks.workflows import Workflow, chain, chord, group
from tests import tasks
from tests.test_admin import client_with
from tests.workflows.steps import chain as chain_plan
from tests.workflows.steps import chord as chord_plan
from tests.workflows.steps import start, statuses, task_id

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


def test_the_list_tells_status_progress_and_the_failed_step():
    done = start(chain_plan(3))
    run_pending_tasks()
    failed = start(chain_plan(4, first=tasks.broken))
    run_pending_tasks()
    running = start(chord_plan(3))
    run_pending_tasks(limit=2)

    text = html(client_with(*LOOK), LIST)

    assert [
        text.count(f'task-badge task-{kind}"') for kind in ("successful", "failed", "running")
    ] == [1, 1, 1]
    assert "3 of 3" in text and "4 of 4" in text and "2 of 4" in text
    assert f"/taskrecord/{task_id(failed, 'step-0')}/change/" in text
    assert "step-0</a>" in text
    text = html(client_with(*LOOK), LIST, status="FAILED")
    assert failed.id in text and done.id not in text and running.id not in text
