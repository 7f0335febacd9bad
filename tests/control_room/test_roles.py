"""Who may do what: every role at every address and action of the admin."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import Client

from django_tasks.admin.schedules.screen import DEEDS
from django_tasks.statuses import Status
from django_tasks.store.workers import queues
from tests.control_room.workflow_rows import half_failed
from tests.schedule_admin.steps import filled_in, saved, set_columns
from tests.test_admin import make, make_worker

pytestmark = pytest.mark.django_db

MODELS = [m for m in apps.get_app_config("django_tasks").get_models() if not m._meta.proxy]
ADMINS = {
    model._meta.model_name: model_admin
    for model, model_admin in admin.site._registry.items()
    if model._meta.app_label == "django_tasks"
}
NOBODY = None

#: What seeing each address needs. A new address without an entry fails a test.
PAGES = {
    "overview": "view_taskrecord",
    "overview figures/": "view_taskrecord",
    "taskrecord": "view_taskrecord",
    "taskrecord <path:object_id>/": "view_taskrecord",
    "taskrecord <path:object_id>/change/": "view_taskrecord",
    "taskrecord <path:object_id>/live/": "view_taskrecord",
    "taskrecord <path:object_id>/history/": "view_taskrecord",
    "taskrecord <path:object_id>/delete/": "delete_taskrecord",
    "taskrecord add/": NOBODY,
    "schedule": "view_schedule",
    "schedule <path:object_id>/": "view_schedule",
    "schedule <path:object_id>/change/": "view_schedule",
    "schedule <path:object_id>/history/": "view_schedule",
    "schedule <path:object_id>/delete/": "delete_schedule",
    "schedule <int:pk>/runs/": "view_schedule",
    "schedule add/": "add_schedule",
    "schedule preview/": NOBODY,  # by POST only, like the next two
    "schedule <int:pk>/preview/": NOBODY,
    "schedule <int:pk>/do/": NOBODY,
    "queuestate": "view_queuestate",
    "queuestate <path:object_id>/": "view_queuestate",
    "queuestate <path:object_id>/change/": "view_queuestate",
    "queuestate <path:object_id>/history/": "view_queuestate",
    "queuestate <path:object_id>/delete/": NOBODY,
    "queuestate add/": "view_queuestate",  # leads to the list, as its other pages do
    "workerrecord": "view_workerrecord",
    "workerrecord <path:object_id>/": "view_workerrecord",
    "workerrecord <path:object_id>/change/": "view_workerrecord",
    "workerrecord <path:object_id>/history/": "view_workerrecord",
    "workerrecord <path:object_id>/delete/": NOBODY,
    "workerrecord add/": NOBODY,
    "workflowrecord": "view_workflowrecord",
    "workflowrecord <path:object_id>/": "view_workflowrecord",
    "workflowrecord <path:object_id>/change/": "view_workflowrecord",
    "workflowrecord <path:object_id>/live/": "view_workflowrecord",
    "workflowrecord <path:object_id>/history/": "view_workflowrecord",
    "workflowrecord <path:object_id>/delete/": NOBODY,
    "workflowrecord add/": NOBODY,
}

#: What changing something by each action needs: those of the lists by their names, those of pages
#: by their buttons, and Django's own forms.
ACTIONS = {
    "taskrecord list run_again": "view_taskrecord requeue_taskrecord",
    "taskrecord list run_now": "view_taskrecord requeue_taskrecord",
    "taskrecord list cancel": "view_taskrecord cancel_taskrecord",
    "taskrecord list move": "view_taskrecord change_taskrecord",
    "taskrecord list delete_selected": "view_taskrecord delete_taskrecord",
    "taskrecord page _requeue": "view_taskrecord requeue_taskrecord",
    "taskrecord page _run_now": "view_taskrecord requeue_taskrecord",
    "taskrecord page _cancel": "view_taskrecord cancel_taskrecord",
    "taskrecord form delete": "delete_taskrecord",
    "taskrecord form add": NOBODY,
    "taskrecord form change": NOBODY,
    "schedule list run_now": "view_schedule run_schedule",
    "schedule list pause": "view_schedule pause_schedule",
    "schedule list resume": "view_schedule pause_schedule",
    "schedule list enable": "view_schedule pause_schedule",
    "schedule list disable": "view_schedule pause_schedule",
    "schedule list delete_selected": "view_schedule delete_schedule",
    "schedule page run_now": "view_schedule run_schedule",
    "schedule page pause": "view_schedule pause_schedule",
    "schedule page resume": "view_schedule pause_schedule",
    "schedule page enable": "view_schedule pause_schedule",
    "schedule page disable": "view_schedule pause_schedule",
    "schedule page reset": "change_schedule",
    "schedule form add": "add_schedule",
    "schedule form change": "change_schedule",
    "schedule form delete": "delete_schedule",
    "queuestate list pause": "view_queuestate manage_queues",
    "queuestate list resume": "view_queuestate manage_queues",
    "queuestate list purge": "view_queuestate manage_queues delete_taskrecord",
    "queuestate list delete_selected": NOBODY,
    "queuestate form add": NOBODY,
    "queuestate form change": NOBODY,
    "queuestate form delete": NOBODY,
    "workerrecord list stop": "view_workerrecord manage_workers",
    "workerrecord list scale": "view_workerrecord manage_workers",
    "workerrecord list delete_selected": NOBODY,
    "workerrecord form add": NOBODY,
    "workerrecord form change": NOBODY,
    "workerrecord form delete": NOBODY,
    "workflowrecord page _cancel": "view_workflowrecord cancel_taskrecord",
    "workflowrecord page _retry": "view_workflowrecord requeue_taskrecord",
    "workflowrecord list delete_selected": NOBODY,
    "workflowrecord form add": NOBODY,
    "workflowrecord form change": NOBODY,
    "workflowrecord form delete": NOBODY,
    "overview list delete_selected": NOBODY,
}

PERMISSIONS = {
    model._meta.model_name: [
        *(f"{verb}_{model._meta.model_name}" for verb in model._meta.default_permissions),
        *(name for name, _title in model._meta.permissions),
    ]
    for model in MODELS
}
SINGLE = [name for model_name in ADMINS for name in PERMISSIONS.get(model_name, ())]
VIEWS = frozenset(f"view_{model_name}" for model_name in ADMINS if model_name != "overview")
EVERYTHING = frozenset(name for names in PERMISSIONS.values() for name in names)
#: Permissions; None: not logged in.
ROLES = {
    "anonymous": None,
    "staff": frozenset(),
    "all of models without pages": frozenset(
        name for model_name in PERMISSIONS.keys() - ADMINS for name in PERMISSIONS[model_name]
    ),
    "superuser": EVERYTHING,
}
LOOKING_ROLES = ROLES | {f"{name} alone": frozenset({name}) for name in SINGLE}
ACTING_ROLES = ROLES | {
    "all but seeing": frozenset(n for n in EVERYTHING if not n.startswith(("view", "change"))),
    "all views": VIEWS,
    **{f"{name} and all views": VIEWS | {name} for name in SINGLE if name not in VIEWS},
    "purger": VIEWS | {"manage_queues", "delete_taskrecord"},
}

#: Values for the questions that actions ask, in one piece: each takes its own.
ANSWERS = {
    "confirmed": "yes",
    "post": "yes",
    "until_0": "2126-01-01",
    "until_1": "12:00",
    "queue_name": "elsewhere",
    "concurrency": "8",
}


@dataclass
class Rows:
    """Something for every action to change."""

    tasks: list = field(
        default_factory=lambda: [make(status, queue_name="mail") for status in Status]
    )
    worker: object = field(default_factory=lambda: make_worker(max_concurrency=16))

    def __post_init__(self):
        queues.pause("default", "default", "paused", "somebody")
        far = datetime(2125, 1, 1, tzinfo=UTC)
        self.own = set_columns(saved(name="own"), paused_until=far)
        self.off = saved(name="off", enabled=False)
        self.declared = set_columns(
            saved(name="declared"), owner="CODE", declared='{"every": 1800.0}'
        )
        self.pks = {
            "taskrecord": self.task(Status.FAILED).pk,
            "schedule": self.own.pk,
            "queuestate": ADMINS["queuestate"].model.objects.get().pk,
            "workerrecord": self.worker.pk,
            "workflowrecord": half_failed().id,
        }

    def task(self, status):
        return next(record for record in self.tasks if record.status == status)

    def pk_for(self, action):
        """Return the row that an action of a page can change."""
        return {
            "taskrecord page _run_now": self.task(Status.SCHEDULED).pk,
            "taskrecord page _cancel": self.task(Status.READY).pk,
            "schedule page enable": self.off.pk,
            "schedule page reset": self.declared.pk,
        }.get(action, self.pks.get(action.split()[0]))

    def selection(self, model_name):
        """Return what is ticked in a list: all that actions find something to do with."""
        if model_name == "taskrecord":
            return [record.pk for record in self.tasks]
        return [self.own.pk, self.off.pk] if model_name == "schedule" else [self.pks[model_name]]


def url_of(page, pk=""):
    """Return the address of an entry of PAGES."""
    model_name, _, route = page.partition(" ")
    route = route.replace("<path:object_id>", str(pk)).replace("<int:pk>", str(pk))
    return f"/admin/django_tasks/{model_name}/{route}"


def request_of(action, rows):
    """Return the address and the fields by which a browser asks for an entry of ACTIONS."""
    model_name, where, name = action.split()
    pk = rows.pk_for(action)
    if where == "form":
        route = "add/" if name == "add" else f"<path:object_id>/{name}/"
        return url_of(f"{model_name} {route}", pk), filled_in(name="after") | {"post": "yes"}
    if where == "page":
        route, fields = ("<path:object_id>/change/", {name: "1"})
        if model_name == "schedule":
            route, fields = ("<int:pk>/do/", {"deed": name})
        return url_of(f"{model_name} {route}", pk), fields | ANSWERS
    if model_name == "queuestate":
        queue = "default paused" if name == "resume" else "default mail"
        return url_of(model_name), {"deed": name, "action": name, "queue": queue} | ANSWERS
    ticked = {"_selected_action": rows.selection(model_name) if model_name in rows.pks else []}
    return url_of(model_name), {"action": name} | ticked | ANSWERS


def snapshot():
    """Return all rows of the app, and what its history says."""
    return [list(model.objects.order_by("pk").values_list()) for model in (*MODELS, LogEntry)]


def client_with(permissions, **options):
    """Return a client of somebody with just these permissions."""
    client = Client(**options)
    if permissions is not None:
        is_superuser = permissions == EVERYTHING
        user = User.objects.create_user("person", is_staff=True, is_superuser=is_superuser)
        own = Permission.objects.filter(content_type__app_label="django_tasks")
        user.user_permissions.set(own.filter(codename__in=permissions))
        client.force_login(user)
    return client


def is_allowed(permissions, needs):
    """Tell whether nothing is lacking. Who may change rows may see them: so says Django."""
    if needs is NOBODY or permissions is None:
        return False
    seeing = {name.replace("change", "view") for name in permissions if name.startswith("change")}
    return set(needs.split()) <= permissions | seeing


def is_shown(response):
    """Tell whether the page itself came in the end, not the one to log in."""
    return response.status_code == 200 and "login" not in response.request["PATH_INFO"]


def ask(client, method, action, rows):
    url, fields = request_of(action, rows)
    response = getattr(client, method)(url, fields)
    assert response.status_code < 500, action
    return response


# --- the tables are whole ------------------------------------------------------------------------


def test_every_address_has_an_expectation():
    found = {
        f"{name} {pattern.pattern}".strip()
        for name, model_admin in ADMINS.items()
        for pattern in model_admin.urls
    }

    assert found == set(PAGES)


def test_every_action_has_an_expectation():
    found = {
        f"{name} list {action}"
        for name, model_admin in ADMINS.items()
        for action in {*(model_admin.actions or ()), "delete_selected"}
    }
    for name in ("taskrecord", "workflowrecord"):
        found |= {f"{name} page {button}" for button in ADMINS[name]._deeds()}
    found |= {f"schedule page {deed}" for deed in DEEDS}
    found |= {f"queuestate list {deed}" for deed in ("pause", "resume", "purge")}
    with_forms = {page.split()[0] for page in PAGES if page.endswith(" add/")}
    found |= {f"{name} form {verb}" for name in with_forms for verb in ("add", "change", "delete")}

    assert found == set(ACTIONS)


# --- the matrix ----------------------------------------------------------------------------------


@pytest.mark.parametrize("permissions", LOOKING_ROLES.values(), ids=LOOKING_ROLES)
def test_pages_are_shown_to_those_who_may(permissions):
    """By GET, which changes nothing."""
    rows, client = Rows(), client_with(permissions)
    before = snapshot()

    shown = {
        page
        for page in PAGES
        if is_shown(client.get(url_of(page, rows.pks.get(page.split()[0])), follow=True))
    }

    assert shown == {page for page, needs in PAGES.items() if is_allowed(permissions, needs)}
    assert snapshot() == before


@pytest.mark.parametrize("permissions", ACTING_ROLES.values(), ids=ACTING_ROLES)
def test_exactly_the_allowed_actions_change_anything(permissions):
    rows, client = Rows(), client_with(permissions)
    before = snapshot()
    allowed = [action for action, needs in ACTIONS.items() if is_allowed(permissions, needs)]

    for action in ACTIONS.keys() - allowed:
        ask(client, "post", action, rows)
    assert snapshot() == before
    for action in allowed:
        with transaction.atomic():
            ask(client, "post", action, rows)
            assert snapshot() != before, action
            transaction.set_rollback(True)


def test_nothing_is_changed_by_get():
    """Not even for somebody who may do everything."""
    rows, client = Rows(), client_with(EVERYTHING)
    before = snapshot()

    for action in ACTIONS:
        ask(client, "get", action, rows)

    assert snapshot() == before


def test_nothing_is_changed_without_the_csrf_token():
    """Another site can make the browser of a superuser post, but not with the token."""
    rows, client = Rows(), client_with(EVERYTHING, enforce_csrf_checks=True)
    before = snapshot()

    for action in ACTIONS:
        assert ask(client, "post", action, rows).status_code in (403, 405), action

    assert snapshot() == before


def test_nothing_is_changed_by_empty_posts():
    """To any address, by somebody who may do everything."""
    rows, client = Rows(), client_with(EVERYTHING)
    before = snapshot()

    for page in PAGES:
        client.post(url_of(page, rows.pks.get(page.split()[0])))

    assert snapshot() == before
