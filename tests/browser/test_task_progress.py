"""The <task-progress> element in a real browser, under a strict Content-Security-Policy."""

import json

import django
import pytest
from django.core.signals import request_started
from django.http import HttpResponse
from django.template import RequestContext, Template
from django.urls import include, path
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from django_tasks.definitions import progress_tokens
from django_tasks.models import TaskRecord
from django_tasks.statuses import Status
from django_tasks.store.tasks import enqueue
from django_tasks.testing import run_pending_tasks
from tests.browser.conftest import set_window
from tests.test_progress_api import export, make, progress_json

SECONDS = 20
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
)
PAGE = Template("""{% load task_progress %}<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Progress</title>
  <link rel="icon" href="/icon.svg">
  <link rel="stylesheet" href="/page.css" nonce="{{ nonce }}">
  <script src="/page.js" nonce="{{ nonce }}"></script>
  {% task_progress_assets %}
</head>
<body>
  <main>
    {% for result in results %}
    {% task_progress result label=result.metadata.label|default:"Import" allows="result" %}
    {% endfor %}
  </main>
</body>
</html>
""")
STYLES = """
:root { color-scheme: light dark; background: Canvas; color: CanvasText; }
body { margin: 0 auto; padding: 1rem; max-width: 40rem; font: 1rem/1.5 system-ui, sans-serif; }
main { display: grid; gap: 1.25rem; }
"""
SCRIPT = """
window.told = [];
for (const type of ["task-progress", "task-finished", "task-unavailable"]) {
  document.addEventListener(type, (event) => window.told.push([type, event.detail]));
}
"""
#: Timers that run out when the test says so, and show for how long they were set.
FAKE_TIMERS = """
window.timers = new Map();
window.setTimeout = (run, ms) => {
  const id = Math.random();
  window.timers.set(id, { run, seconds: ms / 1000 });
  return id;
};
window.clearTimeout = (id) => window.timers.delete(id);
window.runOut = () => {
  const [[id, timer]] = window.timers;
  window.timers.delete(id);
  timer.run();
};
"""


def page(request, nonce=""):
    """Show the tasks in the query, or all of them, under the strict policy."""
    rows = TaskRecord.objects.order_by("pk")
    if "id" in request.GET:
        rows = rows.filter(pk=request.GET["id"])
    results = enqueue.load_many("default", rows.values_list("pk", flat=True))
    context = {"results": results, "nonce": nonce}
    html = PAGE.render(RequestContext(request, context))
    return HttpResponse(html, headers={} if nonce else {"Content-Security-Policy": POLICY})


def page_with_nonces(request):
    """Show the same page under a policy that allows only what carries the nonce."""
    from django.middleware.csp import ContentSecurityPolicyMiddleware, get_nonce

    return ContentSecurityPolicyMiddleware(lambda r: page(r, get_nonce(r)))(request)


def text(body, content_type):
    return lambda request: HttpResponse(body, content_type=content_type)


urlpatterns = [
    path("", page),
    path("nonces/", page_with_nonces),
    path("page.css", text(STYLES, "text/css")),
    path("page.js", text(SCRIPT, "text/javascript")),
    path("icon.svg", text('<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml")),
    path("tasks/", include("django_tasks.urls")),
]

pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db(transaction=True)]


@pytest.fixture
def requests(live_server):
    """Return the list of requests to the endpoint, as their If-None-Match headers."""
    seen = []

    def note(environ, **kwargs):
        if environ["PATH_INFO"].startswith("/tasks/progress/"):
            seen.append(environ.get("HTTP_IF_NONE_MATCH", ""))

    request_started.connect(note)
    yield seen
    request_started.disconnect(note)


@pytest.fixture
def opened(browser, live_server):
    """Return a function that opens the page of a task; nothing is under way at the end."""

    def open_page(result, address="/"):
        browser.get(f"{live_server.url}{address}?id={result.id}")
        return browser

    yield open_page
    browser.get("about:blank")


@pytest.fixture
def fake_timers(browser):
    """Let timers run out only when the test says so."""
    script = browser.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument", {"source": FAKE_TIMERS}
    )
    yield
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def wait(page, condition):
    return WebDriverWait(page, SECONDS, poll_frequency=0.05).until(lambda _: condition())


def shown(page):
    return page.find_element(By.CSS_SELECTOR, ".task-progress-text").text


def told(page):
    """Return the events so far, as pairs of type and detail."""
    return page.execute_script("return window.told")


def pending(page):
    """Return the seconds of each timer that is set."""
    return page.execute_script("return [...window.timers.values()].map(t => t.seconds)")


def wait_for_timer(page):
    wait(page, lambda: pending(page))
    [seconds] = pending(page)
    return seconds


def accessible(page, selector):
    """Return role, name and value of what assistive technology finds there."""
    element = page.execute_cdp_cmd(
        "Runtime.evaluate", {"expression": f"document.querySelector({selector!r})"}
    )
    tree = page.execute_cdp_cmd(
        "Accessibility.getPartialAXTree",
        {"objectId": element["result"]["objectId"], "fetchRelatives": False},
    )
    node = tree["nodes"][0]
    return {key: node.get(key, {}).get("value") for key in ("role", "name", "value")}


def update(**fields):
    TaskRecord.objects.update(**fields)


def test_it_follows_a_task_to_its_end(opened):
    """From waiting to done without a reload, with one event at the end that carries the result."""
    result = export.enqueue(250)
    page = opened(result)
    wait(page, lambda: told(page))
    assert shown(page) == "Waiting"

    update(status=Status.RUNNING, worker_id=result.id, progress=progress_json(100, 250, "row 100"))
    wait(page, lambda: shown(page) == "Running · 40 % · row 100")
    bar = accessible(page, ".task-progress-bar")
    update(status=Status.READY, worker_id=None)
    run_pending_tasks()
    wait(page, lambda: shown(page) == "Done")

    assert bar == {"role": "progressbar", "name": "Import", "value": 40}
    assert accessible(page, ".task-progress-bar")["value"] == 100
    assert accessible(page, ".task-progress-news")["role"] == "status"
    ends = [detail for type_, detail in told(page) if type_ == "task-finished"]
    assert [end["result"]["rows"] for end in ends] == [250]
    assert told(page)[-1][0] == "task-finished"


def test_it_asks_more_and_more_seldom(opened, fake_timers, requests):
    """Half as long again each time that nothing changed, 30 seconds at most; then as at first."""
    result = make(Status.RUNNING, progress=progress_json(1, 10))
    page = opened(result)
    pauses = []
    for _ in range(12):
        pauses.append(wait_for_timer(page))
        page.execute_script("window.runOut()")
    wait_for_timer(page)
    update(progress=progress_json(2, 10))

    page.execute_script("window.runOut()")

    assert wait_for_timer(page) <= 1.1
    for pause, least in zip(pauses, [min(1.5**n, 30) for n in range(12)], strict=True):
        assert least <= pause <= least * 1.1
    assert len(requests) == 14
    assert requests[0] == ""
    assert len(set(requests[1:])) == 1
    assert shown(page) == "Running · 20 %"


def test_it_waits_as_long_as_the_server_says(opened, fake_timers, settings):
    """Half a minute for a task that is due tomorrow, more where progress is written seldom."""
    assert wait_for_timer(opened(make(Status.SCHEDULED))) >= 30

    settings.DJANGO_TASKS = {"PROGRESS_INTERVAL": 45.0}

    assert wait_for_timer(opened(make(Status.RUNNING))) >= 45


def test_it_stops_while_nobody_looks(opened, fake_timers, requests):
    """No timer is set while the page is hidden; it asks at once when it is seen again."""
    page = opened(make(Status.RUNNING))
    wait_for_timer(page)

    set_hidden(page, True)

    assert pending(page) == []
    assert len(requests) == 1
    update(progress=progress_json(1, 2))
    set_hidden(page, False)
    wait(page, lambda: shown(page) == "Running · 50 %")
    assert len(requests) == 2


def set_hidden(page, is_hidden):
    page.execute_script(
        "Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'));",
        is_hidden,
    )


def test_it_stops_at_the_end(opened, fake_timers, requests):
    """No timer is left, and being seen again asks nothing."""
    result = make(Status.RUNNING)
    page = opened(result)
    wait_for_timer(page)
    update(status=Status.FAILED, finished_at=result.enqueued_at)
    page.execute_script("window.runOut()")
    wait(page, lambda: shown(page) == "Failed")

    set_hidden(page, True)
    set_hidden(page, False)

    assert pending(page) == []
    assert len(requests) == 2
    assert [type_ for type_, _ in told(page)].count("task-finished") == 1


def test_a_finished_task_is_not_asked_about(opened, fake_timers, requests):
    """The page knows already: no request and no event, so it may reload itself at the end."""
    page = opened(make(Status.SUCCESSFUL))

    assert shown(page) == "Done"
    assert page.execute_script("return customElements.get('task-progress') !== undefined")
    assert (pending(page), told(page), requests) == ([], [], [])


def test_an_element_that_is_taken_away_stops(opened, fake_timers):
    """Its timer goes with it; put back, it goes on."""
    page = opened(make(Status.RUNNING))
    wait_for_timer(page)

    page.execute_script(
        "window.element = document.querySelector('task-progress'); window.element.remove()"
    )

    assert pending(page) == []
    page.execute_script("document.body.append(window.element)")
    wait_for_timer(page)


def test_a_link_that_has_expired_says_so(opened, fake_timers, requests):
    """The element says what to do, tells the page, and asks no more."""
    result = make(Status.RUNNING)
    page = opened(result)
    wait_for_timer(page)
    old = progress_tokens.issue(result.id, "default", max_age=1, allows="progress", now=0)

    page.execute_script(
        "document.querySelector('task-progress').src = `/tasks/progress/${arguments[0]}/`", old
    )
    wait(page, lambda: "expired" in shown(page))

    assert told(page)[-1][0] == "task-unavailable"
    asked = len(requests)
    set_hidden(page, True)
    set_hidden(page, False)
    assert pending(page) == []
    assert len(requests) == asked
    assert console(page) == ["410 (Gone)"]


def test_a_server_that_is_away_is_asked_again(opened, fake_timers, browser):
    """An error of the network is no end: the element goes on when the server is back."""
    page = opened(make(Status.RUNNING))
    wait_for_timer(page)
    set_online(page, False)
    page.execute_script("window.runOut()")
    assert wait_for_timer(page) >= 1.5
    set_online(page, True)
    update(progress=progress_json(1, 2))

    page.execute_script("window.runOut()")

    wait(page, lambda: shown(page) == "Running · 50 %")
    assert console(page) == ["net::ERR_INTERNET_DISCONNECTED"]


def set_online(page, is_online):
    page.execute_cdp_cmd("Network.enable", {})
    page.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {
            "offline": not is_online,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": -1,
        },
    )


def console(page):
    """Return and forget the ends of the errors in the console: those that a test expects."""
    entries = [e["message"] for e in page.get_log("browser") if e["level"] == "SEVERE"]
    return [entry.rpartition("of ")[2].rpartition(": ")[2] for entry in entries]


def test_a_script_can_make_one(opened):
    """An element without markup of its own builds it, with its label."""
    result = make(Status.RUNNING, progress=progress_json(3, 4))
    page = opened(make(Status.SUCCESSFUL))

    page.execute_script(
        "const element = document.createElement('task-progress');"
        "element.setAttribute('label', 'Made by a script');"
        "document.querySelector('main').replaceChildren(element);"
        "element.src = arguments[0];",
        result.progress_url(),
    )
    wait(page, lambda: page.find_elements(By.CSS_SELECTOR, ".task-progress-text"))

    assert shown(page) == "Running · 75 %"
    bar = accessible(page, ".task-progress-bar")
    assert bar == {"role": "progressbar", "name": "Made by a script", "value": 75}


def test_it_does_not_talk_without_end(opened, fake_timers):
    """What screen readers speak changes with each quarter of the way and each new word only."""
    page = opened(make(Status.RUNNING, progress=progress_json(1, 100)))
    spoken = []
    for percent in (10, 24, 25, 30, 49, 60, 99):
        wait_for_timer(page)
        update(progress=progress_json(percent, 100))
        page.execute_script("window.runOut()")
        wait(page, lambda percent=percent: shown(page) == f"Running · {percent} %")
        news = page.find_element(By.CSS_SELECTOR, ".task-progress-news")
        spoken.append(news.get_attribute("textContent"))

    assert spoken == [f"Running · {percent} %" for percent in (1, 1, 25, 25, 25, 60, 99)]


def test_nothing_moves_for_those_who_asked_for_that(opened):
    """prefers-reduced-motion stops the band of a bar without a value."""
    page = opened(make(Status.RUNNING))
    names = []

    for value in ("no-preference", "reduce"):
        features = [{"name": "prefers-reduced-motion", "value": value}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        bar = "document.querySelector('.task-progress-bar')"
        names.append(page.execute_script(f"return getComputedStyle({bar}).animationName"))

    assert names == ["task-progress-wander", "none"]


def test_it_works_without_scripts(browser, live_server):
    """The state when the page was made is there, and how to see a newer one."""
    result = make(Status.RUNNING, progress=progress_json(1, 4))
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(f"{live_server.url}/?id={result.id}")
        words = browser.find_element(By.CSS_SELECTOR, "task-progress").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        browser.get("about:blank")

    assert words.split("\n") == [
        "Import",
        "Running · 25 %",
        "Reload the page to see how far it is.",
    ]


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django 5.2 has no CSP middleware")
def test_a_policy_of_nonces_is_enough(opened, settings):
    """With Django's own middleware and no 'self' for scripts and styles."""
    from django.utils.csp import CSP

    settings.SECURE_CSP = {
        "default-src": [CSP.NONE],
        "script-src": [CSP.NONCE],
        "style-src": [CSP.NONCE],
        "connect-src": [CSP.SELF],
        "img-src": [CSP.SELF],
    }
    page = opened(make(Status.RUNNING), "/nonces/")
    wait(page, lambda: told(page))
    update(progress=progress_json(1, 2))

    wait(page, lambda: shown(page) == "Running · 50 %")

    display = "return getComputedStyle(document.querySelector('task-progress')).display"
    assert page.execute_script(display) == "grid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_each_state_fits(browser, live_server, take_screenshot, width, scheme):
    """At each width nothing sticks out; the screenshots show it in both colour schemes."""
    for label, status, progress in STATES:
        make(status, metadata=json.dumps({"label": label}), progress=progress)
    browser.get(f"{live_server.url}/")
    wait(browser, lambda: len(told(browser)) >= 4)

    take_screenshot(f"task-progress-{scheme}-{width}", width, scheme)

    set_window(browser, width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.get("about:blank")


STATES = [
    ("Waits", Status.READY, None),
    ("Runs", Status.RUNNING, progress_json(421, 1000, "row 421")),
    ("Nobody knows how far", Status.RUNNING, progress_json(1250, None, "page 1250")),
    (
        "A label and a message without a place to break them: " + "W" * 60,
        Status.RUNNING,
        progress_json(3, 4, "https://example.org/" + "x" * 120),
    ),
    ("Succeeded", Status.SUCCESSFUL, progress_json(9, 9)),
    ("Broke", Status.FAILED, progress_json(7, 10, "row 7")),
    ("Cancelled", Status.CANCELLED, progress_json(2, 10)),
]
