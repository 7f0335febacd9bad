"""A task's page in a real browser, under a strict Content-Security-Policy."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from django_tasks.models import TaskAttempt, TaskRecord
from django_tasks.statuses import AttemptOutcome, Status
from tests.browser.conftest import SCREENSHOTS, set_window
from tests.browser.live_page import is_wide, open_page, text, wait
from tests.tasks import fail
from tests.test_admin import make, make_worker, pay

pytestmark = pytest.mark.django_db(transaction=True)

TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/orders/tasks.py", line 41, in fail
    raise ValueError(message)
ValueError: The shop’s bank answered: 503 Service Unavailable
"""
KILLED = (
    "django_tasks.exceptions.WorkerLost: Process 713 on web2 was killed by signal 9 (SIGKILL,"
    " perhaps by the kernel for want of memory) while it ran this task (or before the result was"
    " written).\n"
)


@pytest.fixture
def opened(admin, server):
    """Return a function that opens the page of a task, and marks it: a reload would lose it."""

    def open_row(record):
        url = f"{server.url}/admin/django_tasks/taskrecord/{record.pk}/change/"
        return open_page(admin, url)

    return open_row


def eventful():
    """Store a task that failed, lost its worker, and waits for its third attempt."""
    now = timezone.now()
    worker = make_worker(host="web1")
    record = make(
        Status.SCHEDULED,
        task_path=fail.module_path,
        enqueued_at=now - timedelta(seconds=200),
        last_attempted_at=now - timedelta(seconds=40),
        run_after=now + timedelta(days=2),
        args='["order 1871"]',
        kwargs=json.dumps({"amounts": [12.5, 8], "customer": {"name": "Zoë", "api_key": "k"}}),
        metadata='{"tenant":"acme"}',
        log="2026-11-21T08:00:00.120000Z asked the bank\n2026-11-21T08:00:31.480000Z no answer",
        attempts=2,
        claims=3,
        lost=1,
        run_time=31.4,
        worker_id=worker.pk,
        process=2,
    )

    def attempt(**fields):
        values = {"worker_id": worker.pk, "process": 2, "host": "web1"}
        TaskAttempt.objects.create(task=record, **values | fields)

    attempt(
        number=1,
        claim=1,
        outcome=AttemptOutcome.ERROR,
        started_at=now - timedelta(seconds=192),
        finished_at=now - timedelta(seconds=150),
        run_time=42.0,
        exception_path="builtins.ValueError",
        traceback=TRACEBACK,
    )
    attempt(
        number=2,
        claim=2,
        outcome=AttemptOutcome.LOST,
        started_at=now - timedelta(seconds=140),
        finished_at=now - timedelta(seconds=120),
        run_time=20.0,
        exception_path="django_tasks.exceptions.WorkerLost",
        traceback=KILLED,
        signal=9,
        host="web2",
        worker_id=None,
    )
    attempt(
        number=2,
        claim=3,
        outcome=AttemptOutcome.ERROR,
        started_at=now - timedelta(seconds=40),
        finished_at=now - timedelta(seconds=8.6),
        run_time=31.4,
        exception_path="builtins.ValueError",
        traceback=TRACEBACK,
    )
    return record


def test_the_attempts_are_told(opened, take_screenshot):
    """What happened, in words: the errors, the loss, and what comes next."""
    page = opened(eventful())

    shown = text(page)
    assert "Why is it not running?" in shown or "WHY IS IT NOT RUNNING?" in shown
    assert "Attempt 2 of 3 did not succeed; the next one is due on" in shown
    assert "Its process was killed by SIGKILL" in shown
    assert "No worker serves its queue" not in shown
    details = page.find_elements(By.CSS_SELECTOR, ".task-step details")
    assert [d.get_attribute("open") for d in details] == [None, None, "true"]
    take_screenshot("task-page")
    take_screenshot("task-page-dark", scheme="dark")
    take_screenshot("task-page-400", width=400)
    set_window(page, 400)
    assert not is_wide(page)
    take_picture(page)


def take_picture(page):
    """Write tests/screenshots/task.png, the picture in docs/images."""
    set_window(page, 1280, 1900)
    shown = page.find_element(By.ID, "task-page")
    (SCREENSHOTS / "task.png").write_bytes(shown.screenshot_as_png)
    set_window(page)


def test_it_says_why_nothing_happens(opened, take_screenshot):
    """With the command that helps."""
    page = opened(make(queue_name="mail"))

    assert "No worker serves its queue “mail”." in text(page)
    assert text(page, ".task-command") == "manage.py runworker --queues mail"
    take_screenshot("task-page-waiting")
    set_window(page, 400)
    assert not is_wide(page)


def test_a_running_task_is_followed_to_its_end(opened, take_screenshot):
    """The page renews itself, keeps what people opened, and stops when there is no more to come."""
    worker = make_worker()
    record = make(
        Status.RUNNING, worker_id=worker.pk, attempts=2, progress='[30,100,"row 30"]', log="one"
    )
    TaskAttempt.objects.create(
        task=record,
        number=1,
        claim=1,
        outcome=AttemptOutcome.ERROR,
        finished_at=timezone.now(),
        traceback=TRACEBACK,
    )
    page = opened(record)
    assert "30 / 100 (30 %), row 30" in text(page)
    page.find_element(By.CSS_SELECTOR, "details summary").send_keys(Keys.ENTER)
    wait(page, lambda: "503 Service" not in text(page))
    page.find_element(By.NAME, "_cancel").send_keys(Keys.NULL)
    page.execute_script("document.querySelector('[name=_cancel]').focus()")
    take_screenshot("task-page-running")

    rows = TaskRecord.objects.filter(pk=record.pk)
    rows.update(progress='[60,100,"row 60"]', log="one\ntwo")
    wait(page, lambda: "60 / 100 (60 %), row 60" in text(page) and "two" in text(page, ".task-log"))
    assert "503 Service" not in text(page)
    assert page.switch_to.active_element.get_attribute("name") == "_cancel"

    rows.update(
        status=Status.SUCCESSFUL, finished_at=timezone.now(), run_time=2.5, return_value="100"
    )
    wait(page, lambda: "successful" in text(page, ".task-state").lower())
    assert "It is done: it succeeded on" in text(page)
    assert page.find_elements(By.NAME, "_requeue")
    assert page.execute_script("return window.isTheSame")
    assert page.find_element(By.ID, "task-news").get_attribute("textContent") == "Successful"


def test_the_page_of_a_deleted_task_says_that_it_is_old(opened):
    """The last state stays to be seen, and the page asks no more."""
    record = make(Status.RUNNING, task_path=pay.module_path)
    page = opened(record)

    record.delete()

    wait(page, lambda: "may be out of date" in text(page, "#task-news"))
    page.get_log("browser")  # has the answer 404, which is what was wanted


def test_buttons_work_by_keyboard(opened):
    """A failed task is run again with the keyboard alone."""
    record = make(Status.FAILED)
    page = opened(record)

    page.find_element(By.NAME, "_requeue").send_keys(Keys.ENTER)
    wait(page, lambda: page.find_elements(By.CSS_SELECTOR, ".messagelist"))

    assert "1 task will run again." in text(page, ".messagelist")
    record.refresh_from_db()
    assert record.status == Status.READY
