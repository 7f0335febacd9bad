"""The admin pages of tasks and workers in a real browser."""

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser.test_demo_page import newest, press, wait


@pytest.fixture
def admin(browser, site):
    """Return the browser, logged in as the demo's administrator."""
    browser.get(f"{site}/admin/login/?next=/admin/")
    if browser.find_elements(By.NAME, "password"):
        browser.find_element(By.NAME, "username").send_keys("demo")
        browser.find_element(By.NAME, "password").send_keys("demo")
        browser.find_element(By.CSS_SELECTOR, "[type=submit]").click()
        WebDriverWait(browser, 20).until(lambda page: page.find_elements(By.ID, "site-name"))
    browser.get(f"{site}/admin/")
    assert "/login/" not in browser.current_url
    return browser


@pytest.fixture
def failed_task(admin, site):
    """Return the admin address of a task that has just failed."""
    admin.get(f"{site}/")
    press(admin, "crash")
    wait(admin, lambda _: "Failed" in newest(admin, "crash"))
    return admin.find_element(By.CSS_SELECTOR, "#crash .run a.record").get_attribute("href")


def body(page):
    return page.find_element(By.ID, "content").text


def test_tasks_are_listed(admin, site, failed_task, take_screenshot):
    """The list shows the failed task with its status in words."""
    admin.get(f"{site}/admin/django_tasks/taskrecord/")

    row = admin.find_element(By.CSS_SELECTOR, "#result_list tbody tr").text
    assert "split_bill" in row
    assert "failed" in row.lower()
    take_screenshot("admin-tasks")
    take_screenshot("admin-tasks-dark", scheme="dark")


def test_a_task_record_shows_its_error(admin, failed_task, take_screenshot):
    """The page of a failed task has its arguments, its attempt and the traceback."""
    admin.get(failed_task)

    text = body(admin)
    assert "split_bill" in text
    assert "ZeroDivisionError" in text
    assert "return total // people" in text
    take_screenshot("admin-task")
    take_screenshot("admin-task-dark", scheme="dark")
    take_screenshot("admin-task-400", width=400)


def test_the_worker_and_the_beat_are_listed(admin, site, take_screenshot):
    """The demo's worker and beat are listed, and the worker's record opens."""
    admin.get(f"{site}/admin/django_tasks/workerrecord/")
    rows = admin.find_elements(By.CSS_SELECTOR, "#result_list tbody tr")
    [worker] = [row for row in rows if "prefork" in row.text]
    assert [row.text.count("beat") for row in rows if row is not worker] == [1]
    take_screenshot("admin-workers")

    worker.find_element(By.CSS_SELECTOR, "th a").click()

    assert "prefork" in body(admin)
    assert "Alive" in body(admin)
    take_screenshot("admin-worker")
