"""The preview: what the form will do, before and after it is saved."""

from datetime import UTC, datetime
from unittest import mock

import pytest
from django.test import override_settings
from django.utils import timezone

from tests.schedule_admin.steps import (
    LIST,
    change,
    client_with,
    cron,
    filled_in,
    internal,
    pay,
    saved,
    set_columns,
    text_of,
)

pytestmark = pytest.mark.django_db


def at(moment):
    """Let the admin believe that it is now `moment`, in UTC."""
    return mock.patch.object(timezone, "now", lambda: moment.replace(tzinfo=UTC))


def preview(client, data, row=None):
    url = f"{LIST}preview/" if row is None else f"{LIST}{row.pk}/preview/"
    return client.post(url, data)


def test_it_shows_ten_runs_in_the_schedules_zone_and_utc(root):
    with at(datetime(2026, 6, 1, 12)):
        response = preview(root, cron("30 7 * * *", timezone="Asia/Kolkata"))

    text = text_of(response)
    assert response.content.count(b"<tr>") == 11
    assert "Asia/Kolkata UTC From now Tue 2 June 2026 07:30:00 Tue 2 June 2026 02:00:00" in text
    assert "Thu 11 June 2026 07:30:00" in text and "12 June" not in text
    assert "At 07:30" in text
    assert "send_report(month: int, to: str = 'all')" in text


@override_settings(TIME_ZONE="America/New_York")
def test_it_shows_the_readers_zone_too(root):
    with at(datetime(2026, 6, 1, 12)):
        text = text_of(preview(root, cron("30 7 * * *", timezone="Asia/Kolkata")))

    assert "Asia/Kolkata UTC America/New_York From now" in text
    assert "Mon 1 June 2026 22:00:00" in text


def test_it_warns_when_the_clocks_change_before_the_last_run(root):
    with at(datetime(2026, 10, 20, 12)):
        text = text_of(preview(root, cron("30 2 * * *", timezone="Europe/Berlin")))
        quiet = text_of(preview(root, cron("30 2 * * *", timezone="UTC")))
    with at(datetime(2026, 3, 20, 12)):
        spring = text_of(preview(root, cron("30 2 * * *", timezone="Europe/Berlin")))

    assert (
        "Sun 25 Oct. 2026 02:00:00: clocks in Europe/Berlin go back 1 h 0 min (UTC+2 to UTC+1)."
        in text
    )
    assert text.count("Sun 25 Oct. 2026 02:30:00") == 1
    assert "clocks in Europe/Berlin go forward 1 h 0 min (UTC+1 to UTC+2)." in spring
    assert "Sun 29 March 2026 03:00:00" in spring
    assert "clocks in" not in quiet


def test_it_names_a_few_changes_of_many(root):
    with at(datetime(2026, 6, 1)):
        text = text_of(preview(root, cron("0 0 1 1 *", timezone="Europe/Berlin")))

    assert text.count("clocks in Europe/Berlin") == 3
    assert "16 more changes until the last run." in text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "CRONTAB", "crontab": "61 * * * *"}, "Crontab: '61' is no minute"),
        ({"kind": "CRONTAB", "crontab": "0 0 31 2 *"}, "Crontab: '0 0 31 2 *' never happens"),
        ({"timezone": "Mars/Base"}, "Time zone: Unknown time zone 'Mars/Base'"),
        ({"every": ""}, "Every:"),
        ({"max_runs": "0"}, "Most runs: Give more than 0"),
        ({"end_at_0": "2000-01-01", "end_at_1": "00:00"}, "No run is to come."),
    ],
)
def test_it_says_what_is_wrong(root, fields, said):
    text = text_of(preview(root, filled_in(**fields)))

    assert said in text


def test_it_needs_no_more_than_the_timing(root):
    """While the rest is not entered yet."""
    text = text_of(preview(root, {"kind": "INTERVAL", "every": "5", "every_unit": "60"}))

    assert "Every 5 minutes" in text and "No run is to come" not in text


def test_it_counts_the_runs_that_are_left(root):
    row = set_columns(saved(), runs=7)

    assert preview(root, filled_in(max_runs="10"), row).content.count(b"<tr>") == 4


def test_it_changes_nothing(root):
    row = saved()

    preview(root, cron("0 7 * * *"), row)

    row.refresh_from_db()
    assert row.kind == "INTERVAL"


def test_it_never_shows_arguments(root):
    row = saved(task_path=pay.module_path, args='[1, "canary"]')

    html = preview(root, filled_in(args='["canary"]'), row).content.decode()

    assert "canary" not in html


def test_signatures_of_other_tasks_stay_unknown(root):
    assert "internal" not in text_of(preview(root, filled_in(task_path=internal.module_path)))


def test_the_page_has_it_after_saving(root):
    """Without JavaScript, too; the address for the script is in the page."""
    row = saved(kind="CRONTAB", every=None, crontab="30 7 * * *", timezone="Asia/Kolkata")

    html = root.get(change(row)).content.decode()

    assert html.count("07:30:00") == 10
    assert f'data-url="{LIST}{row.pk}/preview/"' in html
    assert f'data-url="{LIST}preview/"' in root.get(f"{LIST}add/").content.decode()


def test_it_needs_the_permission_to_save():
    row = saved()
    viewer, adder = client_with("view_schedule"), client_with("add_schedule")
    changer = client_with("change_schedule")

    assert preview(viewer, filled_in()).status_code == 403
    assert preview(viewer, filled_in(), row).status_code == 403
    assert preview(adder, filled_in()).status_code == 200
    assert preview(adder, filled_in(), row).status_code == 403
    assert preview(changer, filled_in()).status_code == 403
    assert preview(changer, filled_in(), row).status_code == 200
    assert changer.get(f"{LIST}{row.pk}/preview/").status_code == 405
    assert preview(adder, {}, None).status_code == 200
