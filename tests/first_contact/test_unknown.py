"""Rows of a task that no worker knows: renamed, removed, or not deployed yet."""

import pytest
from django.contrib.auth.models import User

from django_tasks import TaskResultStatus
from django_tasks.models import TaskRecord
from django_tasks.statuses import Status, celery_state
from django_tasks.testing import run_pending_tasks
from django_tasks.worker.execution import not_run
from tests.control_room.overview_rows import make_worker
from tests.schedule_admin.steps import client_of, text_of
from tests.tasks import add

GONE = "gone.tasks.ghost"


@pytest.fixture
def ghost(db):
    """Return a function that reads the row of a task whose code is gone."""
    result = add.enqueue(1, 2)
    TaskRecord.objects.filter(pk=result.id).update(task_path=GONE)
    return lambda: TaskRecord.objects.get(pk=result.id)


def look(times=1):
    """Let a worker look at what is scheduled, so many times."""
    for _ in range(times):
        run_pending_tasks(limit=1, include_scheduled=True)


def pauses_of(ghost, times):
    """Look so many times; return for how long the task was put back in all after each."""
    totals = []
    for _ in range(times):
        look()
        totals.append(int(ghost().custom_state.rpartition(" ")[2]))
    return totals


def test_the_pauses_grow_up_to_an_hour(ghost):
    totals = pauses_of(ghost, 11)

    assert totals == [30, 60, 120, 240, 480, 960, 1920, 3840, 7440, 11040, 14640]
    row = ghost()
    assert (row.status, row.attempts, row.claims) == (Status.SCHEDULED, 0, 11)


def test_it_fails_after_a_day_of_pauses(ghost):
    look(times=31)
    assert ghost().status == Status.SCHEDULED
    look(times=1)

    result = add.get_backend().get_result(str(ghost().pk))
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[-1].exception_class_path == "django_tasks.exceptions.TaskUnknown"
    assert result.errors[-1].traceback == (
        f"django_tasks.exceptions.TaskUnknown: No worker knew {GONE} for 86640 seconds. Deploy code"
        " that has it, under this path, and run the task again.\n"
    )


@pytest.mark.parametrize(
    ("limit", "status"), [(0, Status.FAILED), (30, Status.SCHEDULED), (None, Status.SCHEDULED)]
)
def test_the_time_can_be_set(ghost, settings, limit, status):
    settings.DJANGO_TASKS = {"UNKNOWN_TASK_TIMEOUT": limit}
    look()

    assert ghost().status == status


def test_without_a_first_pause_they_grow_too(ghost, settings):
    settings.DJANGO_TASKS = {"UNKNOWN_TASK_DELAY": 0}
    run_pending_tasks(limit=1)
    assert ghost().status == Status.READY

    assert pauses_of(ghost, 3) == [2, 4, 8]


def test_what_ran_meanwhile_begins_anew(ghost):
    """Another release knew it for one attempt, which failed."""
    look(times=5)
    TaskRecord.objects.filter(task_path=GONE).update(attempts=1)

    assert pauses_of(ghost, 2) == [30, 60]


def test_the_mark_is_no_state_of_a_task_that_runs(ghost):
    look()

    assert celery_state(Status.RUNNING, 1, ghost().custom_state) == "STARTED"
    assert celery_state(Status.RUNNING, 1, "own") == "own"


def test_one_line_per_path_and_minute():
    lines = not_run._Lines()

    allowed = [lines.allows(path, now) for now in (0.0, 1.0, 59.9, 60.0, 61.0) for path in "ab"]

    assert allowed == [True, True, False, False, False, False, True, True, False, False]


def test_a_worker_logs_one_line_for_many_rows(project):
    assert project.run("migrate").returncode == 0
    project.append("hello/tasks.py", "@task\ndef ghost(i): pass")
    code = "from hello.tasks import ghost; ghost.enqueue_many([(i,) for i in range(300)])"
    assert project.run("shell", "-v0", "-c", code).returncode == 0
    project.write("hello/tasks.py", "")

    code, said = project.said("runworker", "--burst", "-c", 1)

    assert code == 0 and said.count("hello.tasks.ghost") == 1, said
    assert "is not known to this worker" in said
    assert "It and others of this path are put back, this one for 30 s." in said
    assert len(said.splitlines()) < 15


def test_the_overview_counts_them(ghost):
    root = client_of(User.objects.create_superuser("root"))
    make_worker()
    add.enqueue(1, 2)
    look(times=2)

    text = text_of(root.get("/admin/django_tasks/overview/"))

    assert f"1 task waits for a worker that knows it: {GONE}." in text
    assert "Deploy the code that has them, or cancel them." in text
