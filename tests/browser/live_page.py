"""Steps on the pages that renew themselves: a task's, and a workflow's."""

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SECONDS = 60


def open_page(page, url):
    """Open a page, and mark it: a reload would lose it."""
    page.get(url)
    page.execute_script("window.isTheSame = true")
    return page


def wait(page, condition):
    return WebDriverWait(page, SECONDS, poll_frequency=0.05).until(lambda _: condition())


def text(page, selector="#task-page"):
    return page.find_element(By.CSS_SELECTOR, selector).text


def is_wide(page):
    """Tell whether the page is wider than its window."""
    return page.execute_script(
        "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
