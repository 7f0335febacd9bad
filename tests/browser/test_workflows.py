"""The pages of workflows in a real browser, under a strict Content-Security-Policy."""

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from django_tasks.models import TaskRecord
from django_tasks.statuses import Status
from django_tasks.testing import run_pending_tasks
from django_tasks.workflows import Workflow, chain, chord, group
from tests import tasks
from tests.browser.conftest import set_window
from tests.browser.live_page import is_wide, open_page, text, wait
from tests.control_room.workflow_rows import set_statuses

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def opened(admin, server):
    """Return a function that opens the page of a workflow, and marks it: a reload would lose it."""

    def open_row(handle, query=""):
        url = f"{server.url}/admin/django_tasks/workflowrecord/{handle.id}/change/{query}"
        return open_page(admin, url)

    return open_row


def titles(page):
    return [each.text for each in page.find_elements(By.CSS_SELECTOR, ".graph-title")]


def import_of_a_catalogue():
    """A workflow of named steps, one of which fails, with a callback and a clean-up."""
    flow = Workflow("Import the catalogue of 2026", metadata={"file": "a.csv", "api_key": "k"})
    fetch = flow.add(tasks.describe, 5, name="fetch the file")
    parse = flow.add(tasks.echo, fetch.result["value"], name="parse it")
    checked = flow.add(tasks.broken, parse.result, name="check prices", on_failure=tasks.echo)
    stock = flow.add(tasks.echo, parse.result, name="count the stock")
    flow.add(tasks.echo, checked.result, stock.result, name="publish")
    flow.add(tasks.echo, name="remove the file", after=stock, always=True)
    return flow.enqueue()


def thumbnails(number=300):
    """Many thumbnails, then a contact sheet, then two things at once."""
    sheet = chord([tasks.add.s(n, n) for n in range(number - 3)], tasks.total.s())
    handle = (sheet | group(tasks.echo.s(), tasks.describe.s())).enqueue()
    set_statuses(handle, Status.SUCCESSFUL, 0, number * 2 // 3)
    set_statuses(handle, Status.FAILED, 7, 9)
    return handle


def test_the_graph_tells_names_and_states(opened, take_screenshot):
    handle = import_of_a_catalogue()
    run_pending_tasks(limit=5)
    page = opened(handle)

    assert {"fetch the file", "check prices", "publish"} <= set(titles(page))
    assert "Step “check prices” failed." in text(page, ".task-reasons")
    take_screenshot("workflow")
    take_screenshot("workflow-dark", scheme="dark")
    take_screenshot("workflow-400", width=400)
    set_window(page, 400)
    assert not is_wide(page)


def test_300_steps_fold_into_boxes(opened, take_screenshot):
    page = opened(thumbnails())

    assert "add × 297" in titles(page)
    assert len(titles(page)) < 6
    take_screenshot("workflow-300")
    take_screenshot("workflow-300-dark", scheme="dark")


def test_30000_steps_can_be_read(opened, take_screenshot):
    lines = group(chain(tasks.add.s(n, 1), *[tasks.add.s(2)] * 28) for n in range(1000))
    handle = (lines | tasks.total.s()).enqueue()
    set_statuses(handle, Status.SUCCESSFUL, 0, 9_000)
    page = opened(handle)

    assert len(titles(page)) < 60
    take_screenshot("workflow-30000")


def test_a_long_chain_of_different_steps_is_shown_in_parts(opened, take_screenshot):
    links = [task for _ in range(200) for task in (tasks.echo.s(), tasks.describe.s())]
    handle = chain(tasks.add.s(1, 2), *links).enqueue()
    set_statuses(handle, Status.SUCCESSFUL, 0, 250)
    page = opened(handle)

    assert "Levels 251 to" in text(page)
    take_screenshot("workflow-parts")


def test_the_page_follows_its_workflow_to_the_end(opened):
    """It renews itself without a reload, and stops when there is no more to come."""
    handle = chain(tasks.add.s(1, 2), tasks.add.s(3)).enqueue()
    page = opened(handle)
    assert "0 of 2" in text(page, ".task-state")

    run_pending_tasks(limit=1)
    wait(page, lambda: "1 of 2" in text(page, ".task-state"))
    run_pending_tasks()
    wait(page, lambda: "2 of 2" in text(page, ".task-state"))
    assert "It is done" in text(page, ".task-reasons")
    assert page.execute_script("return window.isTheSame")
    assert page.find_element(By.ID, "task-page").get_attribute("data-url")


def test_a_failed_workflow_is_retried_with_the_keyboard(opened):
    handle = chain(tasks.broken.s(), tasks.echo.s()).enqueue()
    run_pending_tasks()
    page = opened(handle)

    page.find_element(By.NAME, "_retry").send_keys(Keys.ENTER)
    wait(page, lambda: page.find_elements(By.CSS_SELECTOR, ".messagelist"))

    assert "1 step runs again" in text(page, ".messagelist")
    assert TaskRecord.objects.filter(status=Status.READY).count() == 1


def test_the_page_of_a_step_names_its_neighbours(opened, admin, server, take_screenshot):
    handle = import_of_a_catalogue()
    run_pending_tasks(limit=2)
    step = handle.step("check prices")
    admin.get(f"{server.url}/admin/django_tasks/taskrecord/{step.id}/change/")

    shown = text(admin, ".task-facts")
    assert "Import the catalogue of 2026" in shown
    assert "parse it" in shown and "publish" in shown
    take_screenshot("workflow-step")


def test_the_list_of_workflows(admin, server, take_screenshot):
    import_of_a_catalogue()
    run_pending_tasks()
    thumbnails()
    admin.get(f"{server.url}/admin/django_tasks/workflowrecord/")

    assert "check prices" in text(admin, "#result_list")
    take_screenshot("workflow-list")
    take_screenshot("workflow-list-400", width=400)
    take_screenshot("workflow-list-dark", scheme="dark")
