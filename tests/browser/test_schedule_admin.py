"""The form of schedules in a real browser, under a strict Content-Security-Policy."""

from datetime import UTC, datetime, timedelta

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from django_tasks.models import Schedule, TaskRecord
from django_tasks.store.schedules import edits
from tests.browser.conftest import SCREENSHOTS, set_window

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/django_tasks/schedule/"
FIELDS_OF = {
    "INTERVAL": {"every", "anchor_at"},
    "CRONTAB": {"crontab", "day_match"},
    "SOLAR": {"solar_event", "latitude"},
    "CLOCKED": {"clocked_at"},
}


@pytest.fixture
def site(server, settings):
    """Return the server's address; all tasks of the tests may be scheduled."""
    settings.DJANGO_TASKS = {"SCHEDULABLE_BY_DEFAULT": True}
    return server.url


def wait(page, condition):
    return WebDriverWait(page, 20, poll_frequency=0.05).until(condition)


def preview(page):
    return page.find_element(By.ID, "schedule-preview").text


def choose(page, kind):
    page.find_element(By.CSS_SELECTOR, f"input[name=kind][value={kind}]").click()


def enter(page, name, text):
    field = page.find_element(By.ID, f"id_{name}")
    field.clear()
    field.send_keys(text)


def shown_fields(page):
    """Return the fields of kinds that can be seen."""
    names = set().union(*FIELDS_OF.values())
    rows = {name: page.find_element(By.CSS_SELECTOR, f".form-row.field-{name}") for name in names}
    return {name for name, row in rows.items() if row.is_displayed()}


def take_picture(page):
    """Write tests/screenshots/schedule.png, the picture in docs/images."""
    set_window(page, 900, 2600)
    when = page.find_element(By.XPATH, "//fieldset[.//input[@name='kind']]")
    (SCREENSHOTS / "schedule.png").write_bytes(when.screenshot_as_png)
    set_window(page)


def test_the_kind_switch_shows_the_fields_of_the_kind(admin, site):
    """One form for all kinds; the others' fields are out of the way."""
    admin.get(f"{site}{LIST}add/")

    for kind, fields in FIELDS_OF.items():
        choose(admin, kind)
        assert shown_fields(admin) == fields


def test_the_policy_is_enforced_and_its_errors_are_seen(admin, site):
    """Else the other tests would pass on pages that the policy breaks."""
    admin.get(f"{site}{LIST}add/")

    admin.execute_script(
        "document.head.append(Object.assign(document.createElement('style'), {textContent: 'b{}'}))"
    )

    errors = [entry for entry in admin.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors
    assert all("Applying inline style" in entry["message"] for entry in errors)


def test_the_form_works_without_scripts(admin, site):
    """The kind switch is a matter of style, and the next runs are there after saving."""
    admin.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        admin.get(f"{site}{LIST}add/")
        enter(admin, "name", "Plain")
        enter(admin, "task_path", "tests.tasks.urgent")
        choose(admin, "CRONTAB")
        enter(admin, "crontab", "30 2 * * *")
        admin.find_element(By.NAME, "_continue").click()
        wait(admin, lambda page: page.find_elements(By.CSS_SELECTOR, ".schedule-buttons"))

        assert preview(admin).count("02:30:00") == 10
    finally:
        admin.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_schedule_is_made_watched_and_run(admin, site, take_screenshot):
    """The preview follows what is typed; saving keeps it; running enqueues its task."""
    admin.get(f"{site}{LIST}add/")
    enter(admin, "name", "Nightly sum")
    enter(admin, "task_path", "tests.tasks.add")
    enter(admin, "args", "[1, 2]")
    choose(admin, "CRONTAB")
    enter(admin, "crontab", "61 * * * *")
    wait(admin, lambda _: "'61' is no minute" in preview(admin))

    enter(admin, "crontab", "30 2 1 * *")
    enter(admin, "timezone", "Europe/Berlin")
    wait(admin, lambda _: "02:30:00" in preview(admin) and "add(a: int, b: int)" in preview(admin))
    assert len(admin.find_elements(By.CSS_SELECTOR, ".schedule-runs tbody tr")) == 10
    assert "clocks in Europe/Berlin go" in preview(admin)
    take_screenshot("schedule-form")
    take_screenshot("schedule-form-dark", scheme="dark")
    take_screenshot("schedule-form-400", width=400)
    take_picture(admin)

    admin.find_element(By.NAME, "_continue").click()
    wait(admin, lambda page: page.find_elements(By.CSS_SELECTOR, ".schedule-buttons"))
    assert "02:30:00" in preview(admin)
    take_screenshot("schedule-page")
    row = Schedule.objects.get()
    assert (row.crontab, row.timezone, row.args) == ("30 2 1 * *", "Europe/Berlin", "[1,2]")

    admin.find_element(By.CSS_SELECTOR, "button[value=run_now]").click()
    wait(admin, lambda page: page.find_elements(By.NAME, "confirmed"))
    assert not TaskRecord.objects.exists()
    take_screenshot("schedule-confirm")
    admin.find_element(By.CSS_SELECTOR, ".submit-row [type=submit]").click()
    wait(
        admin, lambda page: "1 task was enqueued" in page.find_element(By.ID, "content-start").text
    )
    assert TaskRecord.objects.get().task_path == "tests.tasks.add"

    admin.get(f"{site}{LIST}{row.pk}/runs/")
    assert "Run by hand" in admin.find_element(By.ID, "content").text
    take_screenshot("schedule-runs")


def test_a_schedule_is_paused(admin, site, take_screenshot):
    """The calendar of the page that asks until when works under the policy, too."""
    row = Schedule(name="Hourly", task_path="tests.tasks.urgent", kind="INTERVAL", every=3600.0)
    edits.save(row, using="default")
    admin.get(f"{site}{LIST}{row.pk}/change/")
    admin.find_element(By.CSS_SELECTOR, "button[value=pause]").click()
    wait(admin, lambda page: page.find_elements(By.ID, "id_until_0"))
    enter(admin, "until_0", "2126-01-01")
    enter(admin, "until_1", "12:00")
    take_screenshot("schedule-pause")

    admin.find_element(By.CSS_SELECTOR, ".submit-row [type=submit]").click()

    wait(admin, lambda page: page.find_elements(By.CSS_SELECTOR, "button[value=resume]"))
    row.refresh_from_db()
    assert row.paused_until.year == 2126


def test_the_list(admin, site, take_screenshot):
    """The list fits its page, in both colour schemes."""
    rows = [
        Schedule(
            name="Nightly report",
            task_path="tests.tasks.echo",
            kind="CRONTAB",
            crontab="0 3 * * *",
            timezone="Europe/Berlin",
        ),
        Schedule(
            name="Poll the mailbox", task_path="tests.tasks.urgent", kind="INTERVAL", every=30.0
        ),
        Schedule(
            name="Sunset lights",
            task_path="tests.tasks.urgent",
            kind="SOLAR",
            solar_event="sunset",
            latitude=52.5,
            longitude=13.4,
        ),
        Schedule(
            name="Launch",
            task_path="tests.tasks.urgent",
            kind="CLOCKED",
            clocked_at=datetime(2126, 1, 1, tzinfo=UTC),
        ),
    ]
    for row in rows:
        edits.save(row, using="default")
    edits.run_now(rows[0].pk, using="default")
    edits.set_enabled([rows[1].pk], False, using="default")
    edits.pause([rows[2].pk], datetime.now(UTC) + timedelta(days=3), using="default")
    Schedule.objects.filter(pk=rows[3].pk).update(
        enabled=False, error="There is no task 'shop.tasks.launch'.", owner="CODE"
    )
    admin.get(f"{site}{LIST}")

    assert len(admin.find_elements(By.CSS_SELECTOR, "#result_list tbody tr")) == 4
    assert "There is no task" in admin.find_element(By.ID, "result_list").text
    take_screenshot("schedules")
    take_screenshot("schedules-dark", scheme="dark")
    take_screenshot("schedules-400", width=400)
