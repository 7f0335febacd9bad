"""The overview in a real browser, under a strict Content-Security-Policy."""

from datetime import timedelta

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from django_tasks.admin.overview import screen
from django_tasks.models import WorkerRecord
from django_tasks.monitoring.reading import database_now
from tests.browser.conftest import set_window
from tests.conformance.steps import DATABASE, make
from tests.control_room.overview_rows import make_shop, make_worker
from tests.worker.processes import WorkerProcess

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/admin/django_tasks/overview/"
#: Counts what the page asks for from now on.
COUNT_REQUESTS = """
    const ask = window.fetch;
    window.requests = 0;
    window.fetch = (...rest) => { window.requests += 1; return ask(...rest); };
"""
HIDE = """
    Object.defineProperty(document, "hidden", {value: arguments[0], configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
"""


@pytest.fixture
def site(server):
    return server.url


@pytest.fixture
def admin(admin, monkeypatch):
    """Return the administrator's browser; pages renew themselves quickly."""
    monkeypatch.setattr(screen, "REFRESH", 0.2)
    return admin


def wait(page, condition):
    return WebDriverWait(page, 60, poll_frequency=0.05).until(condition)


def section(page, name):
    script = "return document.querySelector(arguments[0]).innerText"
    return page.execute_script(script, f'[data-section="{name}"]')


def requests(page):
    return page.execute_script("return window.requests")


def wait_for_requests(page, number):
    """Wait until the page asked so many times more."""
    until = requests(page) + number
    wait(page, lambda _: requests(page) >= until)


def test_figures_change_without_a_reload(admin, site):
    """A task, then a worker for it, appear on a page that stays open."""
    admin.get(f"{site}{PAGE}")
    admin.execute_script("window.isTheSame = true")
    assert "Idle" in section(admin, "state")

    make(3, queue_name="letters")
    wait(admin, lambda _: "nobody serves the queue letters" in section(admin, "state"))
    assert "python manage.py runworker --queues letters" in section(admin, "state")
    make_worker(queues="letters")
    wait(admin, lambda _: "Working" in section(admin, "state"))

    assert "letters" in section(admin, "queues")
    assert "web-1:4711" in section(admin, "workers")
    assert admin.execute_script("return window.isTheSame")


def test_banner_tells_of_a_worker_that_is_gone(admin, site):
    """Its lease is over: what waits is not served any more."""
    worker = make_worker()
    make(queue_name="mail")
    admin.get(f"{site}{PAGE}")
    assert "Working" in section(admin, "state")

    past = database_now(DATABASE) - timedelta(seconds=1)
    WorkerRecord.objects.filter(pk=worker.pk).update(expires_at=past)

    wait(admin, lambda _: "nobody serves the queue mail" in section(admin, "state"))
    wait(admin, lambda _: "Late" in section(admin, "workers"))


def test_hidden_tab_asks_nothing(admin, site):
    """It stops when the tab is hidden, and asks at once when it is seen again."""
    admin.get(f"{site}{PAGE}")
    admin.execute_script(COUNT_REQUESTS)
    wait_for_requests(admin, 2)

    admin.execute_script(HIDE, True)
    before = requests(admin)
    assert requests_of_ten_intervals(admin) == before
    admin.execute_script(HIDE, False)

    wait_for_requests(admin, 2)


def test_updates_can_be_paused(admin, site):
    """By a button, for people whom changes disturb."""
    admin.get(f"{site}{PAGE}")
    admin.execute_script(COUNT_REQUESTS)
    button = admin.find_element(By.ID, "overview-pause")

    button.click()
    before = requests(admin)
    assert requests_of_ten_intervals(admin) == before
    assert button.text == "Resume updates"
    button.click()

    wait_for_requests(admin, 2)
    assert button.text == "Pause updates"


def requests_of_ten_intervals(page):
    """Return the number of requests after a time in which ten were due."""
    script = "const done = arguments[0]; setTimeout(() => done(window.requests), 2000);"
    return page.execute_async_script(script)


def test_renewal_leaves_the_keyboard_where_it_is(admin, site):
    """The focused link is replaced by the same link, and the opened table stays open."""
    make_worker()
    admin.get(f"{site}{PAGE}")
    # In one step each: what a variable here held could be replaced by then.
    admin.execute_script("""
        document.getElementById("overview-numbers").open = true;
        const link = document.querySelector("[data-section=workers] th a");
        link.focus();
        window.first = link;
    """)

    wait(admin, lambda _: admin.execute_script("return !window.first.isConnected"))

    assert admin.execute_script("return document.activeElement.href === window.first.href")
    assert admin.execute_script('return document.getElementById("overview-numbers").open')


def test_ended_session_is_told(admin, site):
    """The page says so instead of showing old figures for ever."""
    admin.get(f"{site}{PAGE}")

    admin.delete_all_cookies()

    wait(admin, lambda _: "session has ended" in admin.find_element(By.ID, "overview-trouble").text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_page_fits(admin, site, take_screenshot, width, scheme, monkeypatch):
    """Nothing sticks out; the light picture at 1280 pixels is the one in the documentation."""
    monkeypatch.setattr(screen, "REFRESH", 60)
    make_shop()
    set_window(admin, width, 900, scheme)
    admin.get(f"{site}{PAGE}")
    assert "Working" in section(admin, "state")
    assert admin.execute_script("return document.documentElement.scrollWidth") <= width

    take_screenshot(f"overview-{scheme}-{width}", width, scheme)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_wrong_can_be_seen(admin, site, take_screenshot, scheme):
    """Tasks wait and nobody serves them."""
    make(3, queue_name="letters")
    make(1, queue_name="mail")
    make_worker(queues="mail")

    admin.get(f"{site}{PAGE}?span=week")

    assert "nobody serves the queue letters" in section(admin, "state")
    take_screenshot(f"overview-unserved-{scheme}", 1280, scheme)


def test_banner_follows_a_real_worker(admin, site):
    """It is there when it has started; when it has stopped, its queue is served by nobody."""
    admin.get(f"{site}{PAGE}")
    assert "No worker runs" in section(admin, "state")

    with WorkerProcess("--queues", "mail", "--pool", "threads") as worker:
        wait(admin, lambda _: "threads" in section(admin, "workers"))
        wait(admin, lambda _: section(admin, "state") == "Idle: nothing to do")
        assert worker.stop() == 0
    wait(admin, lambda _: "No worker runs" in section(admin, "state"))
    make(queue_name="mail")

    wait(admin, lambda _: "nobody serves the queue mail" in section(admin, "state"))
