"""The demo page in a real browser, with a real worker behind it."""

import re

import pytest
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SECONDS = 40


@pytest.fixture
def page(browser, site):
    browser.get(f"{site}/")
    return browser


def newest(page, card):
    """Return the text of a card's newest run, "" while there is none."""
    script = "return document.querySelector(arguments[0])?.innerText ?? ''"
    return page.execute_script(script, f"#{card} .run")


def run_ids(page, card):
    script = "return [...document.querySelectorAll(arguments[0])].map(run => run.dataset.run)"
    return page.execute_script(script, f"#{card} .run")


def press(page, card, selector="form button"):
    """Press a card's button and wait for the run that it starts."""
    before = run_ids(page, card)
    page.find_element(By.CSS_SELECTOR, f"#{card} {selector}").click()
    wait(page, lambda _: run_ids(page, card)[:1] != before[:1])


def wait(page, condition):
    """Wait until condition(driver) is true, and return what it returns."""
    return WebDriverWait(page, SECONDS, poll_frequency=0.1).until(condition)


def test_an_upload_gets_its_thumbnail(page, tmp_path):
    """A chosen file is uploaded, and its thumbnail appears without a reload."""
    path = tmp_path / "red.png"
    Image.new("RGB", (900, 600), "red").save(path)
    page.find_element(By.ID, "pictures").send_keys(str(path))

    press(page, "thumbnail", "button[type=submit]")
    wait(page, lambda _: "Done" in newest(page, "thumbnail"))

    size = wait(page, lambda _: natural_size(page))
    assert size == [320, 213]
    assert "red.png" in newest(page, "thumbnail")


def natural_size(page):
    """Return the width and height of the newest thumbnail once it is loaded."""
    script = """
        const image = document.querySelector("#thumbnail .run img");
        return image && image.naturalWidth ? [image.naturalWidth, image.naturalHeight] : null;
    """
    return page.execute_script(script)


def test_a_file_that_is_no_picture_is_refused(page, tmp_path):
    """The card says what is wrong, and no task is started."""
    path = tmp_path / "notes.png"
    path.write_text("not a picture")
    before = run_ids(page, "thumbnail")
    page.find_element(By.ID, "pictures").send_keys(str(path))

    page.find_element(By.CSS_SELECTOR, "#thumbnail form button").click()
    wait(page, lambda _: page.find_element(By.ID, "thumbnail-error").is_displayed())

    assert "not a picture" in page.find_element(By.ID, "thumbnail-error").text
    assert run_ids(page, "thumbnail") == before
    console = [entry["message"] for entry in page.get_log("browser")]
    assert len(console) == 1 and "400 (Bad Request)" in console[0]


def test_the_import_shows_its_progress(page):
    """The bar grows with the task until all rows are there."""
    press(page, "import")
    seen = set()

    def is_done(_):
        text = newest(page, "import")
        seen.update(re.findall(r"([\d,]+) of 5,000", text))
        return "Done" in text

    wait(page, is_done)

    assert len(seen) >= 3, seen
    assert "In the 5,000 years imported, Easter falls most often on 19 April" in newest(
        page, "import"
    )


def test_a_running_import_can_be_cancelled(page):
    """The link in the run stops its task."""
    press(page, "import")
    wait(page, lambda _: "Running" in newest(page, "import"))

    page.find_element(By.CSS_SELECTOR, "#import .run button").click()

    wait(page, lambda _: "Cancelled" in newest(page, "import"))


def test_a_refused_mail_gets_there(page):
    """Two refusals are shown with the countdown to the next attempt, then the delivery."""
    press(page, "mail")
    wait(page, lambda _: re.search(r"Retrying.*next in \d s", newest(page, "mail"), re.DOTALL))
    assert "451 4.3.2" in newest(page, "mail")

    wait(page, lambda _: "Done" in newest(page, "mail"))

    text = newest(page, "mail")
    assert "Attempt 3 of at most 5" in text
    assert re.findall(r"\b(451|250) \d", text) == ["451", "451", "250"]


def test_a_crash_shows_its_traceback(page):
    """The failed run shows the error and the line that raised it."""
    press(page, "crash")
    wait(page, lambda _: "Failed" in newest(page, "crash"))

    text = newest(page, "crash")
    assert "ZeroDivisionError" in text
    assert "return total // people" in text


def test_schedules_show_what_they_did(page):
    """The one-off runs by itself, and its words appear without a reload."""
    wait(page, lambda _: "Hello, Ada!" in slots(page))

    # The script counts down what the server wrote as "soon".
    wait(
        page,
        lambda _: re.search(
            r"take_stock\s.*Every 30 s.*next (in \d+ s|now)", slots(page), re.DOTALL
        ),
    )
    text = slots(page)
    assert re.search(r"greeting.*Once: .*1 run", text, re.DOTALL)
    assert re.search(r"tell_the_time\s", text)
    assert re.search(r"^1 worker, .*, 1 beat$", page.find_element(By.ID, "worker").text)


def slots(page):
    return page.execute_script("return document.querySelector('#schedules .slots').innerText")


def test_the_code_of_each_task_is_shown(page):
    """Every card shows the source of its task."""
    code = [pre.text for pre in page.find_elements(By.CSS_SELECTOR, ".code pre")]

    names = [re.search(r"^def (\w+)", text, re.MULTILINE)[1] for text in code]
    assert names == ["make_thumbnail", "import_csv", "send_welcome", "split_bill", "take_stock"]
    assert all(text.startswith("@task") for text in code)


def test_everything_at_once(page, take_screenshot):
    """All four cards are at work; the screenshot is the README's picture of the demo."""
    for _ in range(2):
        press(page, "thumbnail", "button.quiet")
    press(page, "crash")
    wait(page, lambda _: "Failed" in newest(page, "crash"))
    press(page, "import")
    press(page, "mail")
    # At once: each of them is over in seconds, and which is sooner depends on the machine.
    wait(
        page,
        lambda _: (
            re.search(r"Running.*[1-4],\d{3} of 5,000", newest(page, "import"), re.DOTALL)
            and "Retrying" in newest(page, "mail")
        ),
    )

    take_screenshot("demo")

    wait(page, lambda _: "Done" in newest(page, "mail"))
    wait(page, lambda _: "Done" in newest(page, "import"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_fits(page, take_screenshot, width, scheme):
    """At each width nothing sticks out; the screenshots show it in both colour schemes."""
    press(page, "thumbnail", "button.quiet")
    wait(page, lambda _: "Done" in newest(page, "thumbnail"))

    take_screenshot(f"demo-{scheme}-{width}", width, scheme)

    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
