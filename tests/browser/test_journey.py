"""What people do in the admin, and real workers and beats that obey it."""

import json

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from django_tasks.models import Schedule, TaskRecord
from django_tasks.statuses import Status
from django_tasks.store.schedules import edits
from tests.worker import tasks
from tests.worker.ledger import PATIENCE, await_lines
from tests.worker.processes import WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)

ADMIN = "/admin/django_tasks"


def wait(page, condition):
    return WebDriverWait(page, PATIENCE, poll_frequency=0.1).until(condition)


def test_failed_task_is_run_again_and_succeeds(admin, server, tmp_path):
    """Its page is told to run it again, and follows it to its end."""
    book = str(tmp_path / "book")
    with WorkerProcess("-c", 1):
        result = tasks.flaky.using(max_attempts=1).enqueue(book, 1)
        await_lines(book, 1)
        admin.get(f"{server.url}{ADMIN}/taskrecord/{result.id}/change/")
        wait(admin, lambda page: page.find_elements(By.NAME, "_requeue"))

        admin.find_element(By.NAME, "_requeue").click()

        wait(admin, lambda page: page.find_elements(By.CSS_SELECTOR, ".messagelist"))
        wait(admin, lambda page: "Successful" in page.find_element(By.ID, "task-page").text)
    assert TaskRecord.objects.get().status == Status.SUCCESSFUL


def test_schedule_is_edited_and_obeyed(admin, server, tmp_path):
    """From once a day to once a second: a beat that runs already follows."""
    book = str(tmp_path / "book")
    row = Schedule(
        name="Note",
        task_path=tasks.note.module_path,
        args=json.dumps([book, "noted"]),
        kind="INTERVAL",
        every=86400.0,
    )
    edits.save(row, using="default")
    with WorkerProcess("-c", 1, "--beat") as worker:
        worker.await_output("queues ")
        admin.get(f"{server.url}{ADMIN}/schedule/{row.pk}/change/")
        number = admin.find_element(By.ID, "id_every")
        number.clear()
        number.send_keys("1")
        Select(admin.find_element(By.ID, "id_every_unit")).select_by_value("1")

        admin.find_element(By.NAME, "_save").click()

        wait(admin, lambda page: page.find_elements(By.CSS_SELECTOR, ".messagelist"))
        assert set(await_lines(book, 2)) == {"noted"}
