"""The pages of queues and workers in a real browser, under a strict Content-Security-Policy."""

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from django_tasks.models import WorkerRecord
from django_tasks.statuses import Status
from django_tasks.store.workers import queues
from tests.browser.conftest import set_window
from tests.test_admin import make, make_worker

pytestmark = pytest.mark.django_db(transaction=True)

QUEUES = "/admin/django_tasks/queuestate/"
WORKERS = "/admin/django_tasks/workerrecord/"


@pytest.fixture
def opened(admin, server):
    """Return the browser, and a function that opens a page."""
    return admin, lambda address: admin.get(f"{server.url}{address}")


def press(page, css):
    """Click, and return the text of the messages on the page that follows."""
    old = page.find_element(By.TAG_NAME, "html")
    page.find_element(By.CSS_SELECTOR, css).click()
    wait = WebDriverWait(page, 60)
    wait.until(lambda _: page.find_element(By.TAG_NAME, "html") != old)
    wait.until(lambda _: page.execute_script("return document.readyState") == "complete")
    return " ".join(each.text for each in page.find_elements(By.CSS_SELECTOR, ".messagelist li"))


def test_queue_is_paused_resumed_and_purged(opened, take_screenshot):
    page, open_page = opened
    make_worker(queues="default")
    for priority in (0, 0, 10):
        make(queue_name="mail", priority=priority)
    make(Status.SCHEDULED, queue_name="mail")
    open_page(QUEUES)
    box = "input[name=queue][value='default mail']"

    page.find_element(By.CSS_SELECTOR, box).click()
    assert "Paused: mail." in press(page, "button[value=pause]")
    assert queues.paused_names("default", "default") == {"mail"}
    row = page.find_element(By.CSS_SELECTOR, f"tr:has({box})").text
    assert "Paused" in row
    assert "by root" in row
    assert "10: 1, 0: 2" in row
    take_screenshot("admin-queues")
    take_screenshot("admin-queues-dark", scheme="dark")
    take_screenshot("admin-queues-400", width=400)
    page.find_element(By.CSS_SELECTOR, box).click()
    assert "Resumed: mail." in press(page, "button[value=resume]")

    page.find_element(By.CSS_SELECTOR, box).click()
    press(page, "button[value=purge]")
    assert "Delete 4 tasks of queue “mail”" in page.find_element(By.ID, "content").text
    assert "4 tasks of queue “mail” were deleted." in press(page, "input[type=submit].default")


def test_narrow_page_of_queues_does_not_scroll_sideways(opened):
    page, open_page = opened
    make(queue_name="a-queue-with-a-name-of-some-length")
    set_window(page, 400)
    open_page(QUEUES)

    width = page.execute_script("return document.documentElement.scrollWidth")
    assert width <= 400


def test_worker_is_given_slots_and_stopped_from_its_page(opened, take_screenshot):
    page, open_page = opened
    worker = make_worker(max_concurrency=16)
    make(Status.RUNNING, worker_id=worker.pk)
    open_page(f"{WORKERS}{worker.pk}/change/")
    take_screenshot("admin-worker-requests")

    press(page, "button[value=scale]")
    field = page.find_element(By.NAME, "concurrency")
    field.clear()
    field.send_keys("8")
    assert "1 worker was asked to change its slots." in press(page, "input[type=submit].default")
    assert WorkerRecord.objects.get().wanted_concurrency == 8
    open_page(f"{WORKERS}{worker.pk}/change/")
    press(page, "button[value=stop]")
    take_screenshot("admin-workers-stop")
    assert "1 worker was asked to stop." in press(page, "input[type=submit].default")

    assert WorkerRecord.objects.get().stop_requested_by == "root"
