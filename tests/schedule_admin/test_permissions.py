"""Who may do what: each role at each page and action, by GET, by POST and by a forged address."""

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from django_tasks.models import Schedule, TaskRecord
from tests.schedule_admin.steps import (
    LIST,
    act,
    change,
    client_of,
    client_with,
    filled_in,
    press,
    saved,
    set_columns,
)

pytestmark = pytest.mark.django_db

ROLES = {
    "anonymous": None,
    "staff": (),
    "view": ("view_schedule",),
    "change": ("change_schedule",),
    "run only": ("run_schedule",),
    "run": ("view_schedule", "run_schedule"),
    "pause": ("view_schedule", "pause_schedule"),
    "add": ("add_schedule",),
    "delete": ("view_schedule", "delete_schedule"),
    "superuser": "all",
}
#: What each page and deed needs.
VIEWERS = {"view", "change", "run", "pause", "delete", "superuser"}
CHANGERS = {"change", "superuser"}
RUNNERS = {"run", "superuser"}
PAUSERS = {"pause", "superuser"}
ADDERS = {"add", "superuser"}
DELETERS = {"delete", "superuser"}


def client_for(role):
    permissions = ROLES[role]
    if permissions is None:
        return Client()
    if permissions == "all":
        return client_of(User.objects.create_superuser("boss"))
    return client_with(*permissions)


def is_let_in(response):
    """Tell whether the page was shown or the deed done; a login page and a 403 are refusals."""
    if response.status_code == 302:
        return "/login/" not in response.url
    assert response.status_code in (200, 403), response
    return response.status_code == 200


@pytest.fixture(params=ROLES)
def role(request):
    return request.param


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("", VIEWERS),
        ("{pk}/change/", VIEWERS),
        ("{pk}/runs/", VIEWERS),
        ("{pk}/history/", VIEWERS),
        ("{pk}/delete/", DELETERS),
        ("add/", ADDERS),
    ],
)
def test_pages(role, path, allowed):
    row = saved()

    response = client_for(role).get(LIST + path.format(pk=row.pk))

    assert is_let_in(response) == (role in allowed)


@pytest.mark.parametrize(
    ("deed", "allowed"),
    [
        ("run_now", RUNNERS),
        ("pause", PAUSERS),
        ("resume", PAUSERS),
        ("enable", PAUSERS),
        ("disable", PAUSERS),
        ("reset", CHANGERS),
    ],
)
def test_deeds(role, deed, allowed):
    """By the page's button, by the list's action, and by GET, which does nothing for anybody."""
    row = set_columns(saved(), paused_until=None)
    client, before = client_for(role), state_of(row)
    data = {"confirmed": "yes", "until_0": "2126-01-01", "until_1": "12:00"}

    got = client.get(f"{LIST}{row.pk}/do/", {"deed": deed} | data)
    assert got.status_code == (302 if role == "anonymous" else 405)
    client.get(LIST, {"action": deed, "_selected_action": row.pk} | data)
    client.get(change(row), {"deed": deed} | data)
    assert state_of(row) == before

    response = client.post(f"{LIST}{row.pk}/do/", {"deed": deed} | data)
    assert is_let_in(response) == (role in allowed)
    if role not in allowed:
        assert state_of(row) == before
    after = state_of(row)
    if deed == "reset":
        return  # It is no action of the list.
    act(client, deed, row, **data)
    if role not in allowed:
        assert state_of(row) == after
    html = client.get(LIST).content.decode()
    assert (f'value="{deed}"' in html) == (role in allowed)


def state_of(row):
    columns = ("enabled", "paused_until", "every", "name", "last_task_id")
    return Schedule.objects.values_list(*columns).get(pk=row.pk), TaskRecord.objects.count()


@pytest.mark.parametrize("deed", ["run_now", "pause"])
def test_questions_are_asked_of_those_who_may(role, deed):
    row = saved()

    response = client_for(role).post(f"{LIST}{row.pk}/do/", {"deed": deed})

    assert is_let_in(response) == (role in {"run_now": RUNNERS, "pause": PAUSERS}[deed])


def test_saving(role):
    row = saved(name="before")
    client = client_for(role)

    changed = client.post(change(row), filled_in(name="after"))
    added = client.post(f"{LIST}add/", filled_in(name="new"))
    deleted = client.post(f"{LIST}{row.pk}/delete/", {"post": "yes"})

    assert is_let_in(changed) == (role in CHANGERS)
    assert is_let_in(added) == (role in ADDERS)
    assert is_let_in(deleted) == (role in DELETERS)
    names = set(Schedule.objects.values_list("name", flat=True))
    expected = {"after"} if role in CHANGERS else {"before"}
    expected = expected if role not in DELETERS else set()
    assert names == expected | ({"new"} if role in ADDERS else set())


def test_preview(role):
    row = saved()
    client = client_for(role)

    assert is_let_in(client.post(f"{LIST}preview/", filled_in())) == (role in ADDERS)
    assert is_let_in(client.post(f"{LIST}{row.pk}/preview/", filled_in())) == (role in CHANGERS)


def test_buttons_are_shown_to_those_who_may(role):
    row = set_columns(saved(paused_until=None), owner="CODE", declared='{"every": 1.0}')
    if role not in VIEWERS:
        return

    html = client_for(role).get(change(row)).content.decode()

    for deed, allowed in (("run_now", RUNNERS), ("disable", PAUSERS), ("reset", CHANGERS)):
        assert (f'name="deed" value="{deed}"' in html) == (role in allowed)
    assert ('name="_save"' in html) == (role in CHANGERS)


@pytest.mark.parametrize("may_pause", [True, False])
def test_enabling_by_the_form_needs_the_permission_to_pause(may_pause):
    row = saved()
    client = client_with("change_schedule", *(["pause_schedule"] if may_pause else []))
    data = filled_in()
    del data["enabled"]

    assert client.post(change(row), data).status_code == 302

    row.refresh_from_db()
    assert row.enabled is not may_pause


def test_reset_cannot_get_around_the_permission_to_pause():
    """The code says that it is enabled, and somebody with that permission disabled it."""
    row = set_columns(saved(enabled=False), owner="CODE", declared='{"enabled": true}')

    assert press(client_with("change_schedule"), row, "reset").status_code == 403
    row.refresh_from_db()
    assert not row.enabled

    press(client_with("change_schedule", "pause_schedule"), row, "reset")
    row.refresh_from_db()
    assert row.enabled


def test_people_who_may_only_look_see_no_arguments():
    row = saved(args="[4711]", kwargs='{"to": "canary"}')

    blind = client_with("view_schedule").get(change(row)).content.decode()
    seeing = client_with("view_schedule", "view_payload").get(change(row)).content.decode()

    assert "canary" not in blind and "4711" not in blind and "Hidden." in blind
    assert "canary" in seeing and "4711" in seeing
    assert "in 59 min" in blind or "in 1 h 0 min" in blind


@pytest.mark.parametrize(
    "query", ["args__contains=canary", "kwargs__startswith=%7B", "declared__regex=c", "error=x"]
)
def test_addresses_cannot_ask_for_hidden_columns(query):
    saved()

    assert client_with("view_schedule").get(f"{LIST}?{query}").status_code == 400


@override_settings(
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
)
@pytest.mark.parametrize("path", ["add/", "preview/", "{pk}/preview/", "{pk}/do/", "{pk}/change/"])
def test_posts_need_the_csrf_token(path):
    """Even in a project that left the middleware out."""
    row = saved()
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.create_superuser("boss"))

    data = filled_in(deed="disable")
    assert client.post(LIST + path.format(pk=row.pk), data).status_code == 403

    assert list(Schedule.objects.values_list("enabled", flat=True)) == [True]
