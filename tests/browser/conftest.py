"""A headless Chromium and a running demo for it to look at."""

import os
import shutil
import socket
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import override_settings
from pytest_django.live_server_helper import LiveServer

from tests.demo_process import READY, Demo
from tests.report import UNAVAILABLE

SCREENSHOTS = Path(__file__).resolve().parent.parent / "screenshots"

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def pytest_itemcollected(item):
    """Mark everything in this folder."""
    item.add_marker("browser")


def find_program(variable, *names):
    """Return the path in an environment variable, or of the first program that is installed."""
    return os.environ.get(variable) or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="package")
def driver():
    """Yield a Selenium driver. Skip, with a reason that the closing lines repeat, without one."""
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason=f"{UNAVAILABLE}Selenium is not installed"
    )
    chromium = find_program("TEST_CHROMIUM", *BROWSERS)
    chromedriver = find_program("TEST_CHROMEDRIVER", "chromedriver")
    if not chromium or not chromedriver:
        missing = "chromedriver" if chromium else "Chromium"
        pytest.skip(f"{UNAVAILABLE}no {missing}: the pages were not opened in a browser")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=chromedriver)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="package")
def site(driver, tmp_path_factory):
    """Yield the address of a running demo; its output is shown when a test fails."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    demo = Demo(tmp_path_factory.mktemp("demo"), port)
    try:
        line = demo.wait_for_line("http://127.0.0.1:")
        demo.wait_for_line(READY)
        yield next(word for word in line.split() if word.startswith("http")).rstrip("/")
    finally:
        demo.popen.terminate()
        try:
            demo.wait_for_exit()
        finally:
            demo.kill()
            print(demo.output, file=sys.stderr)


@pytest.fixture(scope="package")
def server(driver, django_db_setup):
    """Yield a server that sends a strict policy with each page."""
    pytest.importorskip("django.utils.csp", reason="Django 5.2 has no policy of its own")
    from tests.browser.csp import POLICY

    middleware = ["tests.browser.csp.StrictPolicy", *settings.MIDDLEWARE]
    with override_settings(MIDDLEWARE=middleware, SECURE_CSP=POLICY):
        server = LiveServer("localhost")
        yield server
        server.stop()


@pytest.fixture
def browser(driver):
    """Return the driver as a fresh light window; fail the test for an error in the console."""
    set_window(driver)
    driver.get_log("browser")
    yield driver
    errors = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []


@pytest.fixture
def admin(browser, server, client):
    """Return the browser, logged in as an administrator; nothing is under way at the end."""
    with urlopen(f"{server.url}/admin/login/") as response:
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    client.force_login(User.objects.create_superuser("root", first_name="Ada"))
    browser.get(f"{server.url}/admin/login/")
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    browser.add_cookie({"name": settings.SESSION_COOKIE_NAME, "value": session, "path": "/"})
    yield browser
    browser.get("about:blank")
    browser.delete_all_cookies()


def set_window(driver, width=1280, height=900, scheme="light"):
    """Give the page a size in pixels and a colour scheme."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@pytest.fixture
def take_screenshot(browser):
    """Return a function that writes tests/screenshots/<name>.png, the whole page on it."""

    def take(name, width=1280, scheme="light"):
        set_window(browser, width, 900, scheme)
        height = browser.execute_script("return document.documentElement.scrollHeight")
        set_window(browser, width, max(height, 600), scheme)
        SCREENSHOTS.mkdir(exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        assert browser.save_screenshot(str(path))
        set_window(browser)
        return path

    return take
