"""The pages' templates name nothing that is not there."""

import sys
from pathlib import Path

import pytest
from django.contrib import admin
from django.template import Node, engines

import django_tasks
from django_tasks.models import TaskRecord
from tests.control_room.test_roles import (
    ACTIONS,
    ANSWERS,
    EVERYTHING,
    PAGES,
    Rows,
    client_with,
    request_of,
    url_of,
)

pytestmark = pytest.mark.django_db

OWN = Path(django_tasks.__file__).parent / "templates"


class Undefined(str):
    """Stands for each undefined variable, and notes those of this app's templates."""

    __slots__ = ("found",)

    def __contains__(self, text):
        return text == "%s"

    def __mod__(self, variable):
        origin = Path(str(origin_of_the_node()))
        if origin.is_relative_to(OWN):
            self.found.add(f"{origin.relative_to(OWN)}: {variable}")
        return ""


def origin_of_the_node():
    """Return the file of the node that is being rendered: blocks render in other templates."""
    frame = sys._getframe(1)
    while frame is not None:
        node = frame.f_locals.get("self")
        if isinstance(node, Node) and getattr(node, "origin", None):
            return node.origin
        frame = frame.f_back
    return ""


@pytest.fixture
def undefined(monkeypatch):
    """Return what collects the undefined variables of this app's templates."""
    undefined = Undefined("undefined")
    undefined.found = set()
    monkeypatch.setattr(engines["django"].engine, "string_if_invalid", undefined)
    return undefined.found


@pytest.mark.parametrize("permissions", [EVERYTHING, {"view_taskrecord", "view_schedule"}])
def test_pages_name_nothing_undefined(permissions, undefined):
    """Where `string_if_invalid` is set, as while debugging, it would show."""
    rows, client = Rows(), client_with(permissions)

    for page in PAGES:
        client.get(url_of(page, rows.pks.get(page.split()[0])), follow=True)

    assert undefined == set()


def test_confirmations_name_nothing_undefined(undefined):
    """The pages that actions and buttons lead to, before they are answered."""
    rows, client = Rows(), client_with(EVERYTHING)

    for action in ACTIONS:
        url, fields = request_of(action, rows)
        client.post(url, {name: v for name, v in fields.items() if name not in ANSWERS})

    assert undefined == set()


def test_undefined_variables_are_noticed(undefined):
    """The tests above can fail."""
    model_admin = admin.site._registry[TaskRecord]
    context = {"opts": model_admin.opts}

    engines["django"].get_template("admin/django_tasks/breadcrumbs.html").render(context)

    assert "admin/django_tasks/breadcrumbs.html: crumb" in undefined
