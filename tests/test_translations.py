"""The German translation: complete, compiled, and what the pages show."""

import gettext
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import polib
import pytest
from django.contrib.auth.models import User
from django.template import Context, Template
from django.test import Client
from django.urls import reverse

import django_tasks
from django_tasks import default_task_backend, task
from django_tasks.definitions import registry
from django_tasks.models import Schedule
from tests import report
from tests.control_room.workflow_rows import half_failed
from tests.test_admin import make, make_worker
from tests.test_progress_api import progress_json
from tests.workflows.steps import chord, start

PACKAGE = Path(django_tasks.__file__).parent
PO = PACKAGE / "locale/de/LC_MESSAGES/django.po"
#: Lists without a form.
SHOWN = ("overview", "taskrecord", "workerrecord", "workflowrecord")
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[-+ #0-9.]*[a-zA-Z%]")


@task(schedulable=True)
def nightly():
    """Do nothing."""


def entries(path=PO):
    return [entry for entry in polib.pofile(str(path)) if not entry.obsolete]


def translations(entry):
    return list(entry.msgstr_plural.values()) or [entry.msgstr]


def key(entry):
    return entry.msgctxt, entry.msgid, entry.msgid_plural


def test_each_string_is_translated_and_none_is_fuzzy():
    """What is listed has all its German forms, confirmed by a person."""
    unfinished = [key(e) for e in entries() if e.fuzzy or not all(translations(e))]

    assert unfinished == []
    assert len(entries()) > 100


def test_translations_have_the_placeholders_of_their_strings():
    """A translation that named another value would break the page, not only its wording."""

    def placeholders(text):
        return sorted(PLACEHOLDER.findall(text))

    wrong = [
        (entry.msgid, text)
        for entry in entries()
        for text in translations(entry)
        if placeholders(text) != placeholders(entry.msgid_plural or entry.msgid)
    ]

    assert wrong == []


def test_compiled_catalogue_says_what_the_source_says():
    """The .mo is what users get; it was made of this .po."""
    with PO.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)._catalog
    source = {}
    for entry in entries():
        name = f"{entry.msgctxt}\x04{entry.msgid}" if entry.msgctxt else entry.msgid
        if entry.msgid_plural:
            source |= {(name, form): text for form, text in entry.msgstr_plural.items()}
        else:
            source[name] = entry.msgstr

    assert {name: text for name, text in compiled.items() if name} == source


def test_no_string_of_the_code_is_missing(tmp_path):
    """makemessages finds what the .po lists, no more and no less."""
    if not shutil.which("xgettext"):
        pytest.skip(f"{report.UNAVAILABLE}xgettext is not installed (package gettext)")
    copy = tmp_path / "django_tasks"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("locale", "__pycache__"))
    (copy / "locale").mkdir()

    command = [sys.executable, "-m", "django", "makemessages", "-l", "de"]
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    subprocess.run(command, cwd=copy, check=True, capture_output=True, env=environment)

    found = entries(copy / "locale/de/LC_MESSAGES/django.po")
    assert {key(entry) for entry in entries()} == {key(entry) for entry in found}


# --- pages --------------------------------------------------------------------------------------


class Texts(HTMLParser):
    """Collects the texts that a page shows."""

    def __init__(self, html):
        super().__init__()
        self.shown = []
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._hidden and data.strip():
            self.shown.append(" ".join(data.split()).removesuffix(":"))


def english():
    """Return our strings that read otherwise in German, in lower case."""
    german = {text.lower() for entry in entries() for text in translations(entry)}
    djangos = {"run"}  # the button beside the actions, which Django 6.1 has in English only
    names = {task.name.lower() for task in registry.known_tasks()}  # choices of a filter
    return {entry.msgid.lower() for entry in entries()} - german - djangos - names


@pytest.fixture
def pages(db):
    """Return the addresses of all lists and of a page of each kind."""
    moment = datetime(2026, 1, 5, 6, tzinfo=UTC)
    schedule = Schedule.objects.create(
        name="x1", task_path=nightly.module_path, kind="INTERVAL", every=3600, anchor_at=moment
    )
    records = [make(status) for status in ("READY", "RUNNING", "FAILED", "SUCCESSFUL")]
    make_worker()
    flows = [half_failed(), start(chord(2))]
    base = "admin:django_tasks_"
    return [
        reverse("admin:index"),
        *(reverse(f"{base}{name}_changelist") for name in SHOWN),
        *(reverse(f"{base}taskrecord_change", args=[record.pk]) for record in records),
        *(reverse(f"{base}workflowrecord_change", args=[flow.id]) for flow in flows),
        reverse(f"{base}schedule_changelist"),
        reverse(f"{base}schedule_add"),
        reverse(f"{base}schedule_change", args=[schedule.pk]),
    ]


def test_pages_in_german_show_no_english(pages, settings):
    """Each text that has a translation is shown translated."""
    settings.LANGUAGE_CODE = "de"
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    left = english()

    leftovers = {}
    for url in pages:
        response = client.get(url)
        assert response.status_code == 200, url
        html = response.content.decode()
        assert '<html lang="de"' in html
        if found := {text for text in Texts(html).shown if text.lower() in left}:
            leftovers[url] = found

    assert leftovers == {}


def test_numbers_that_machines_read_are_not_localised(db, settings):
    """The bar's value has a point where German text has a comma; its words are German."""
    settings.LANGUAGE_CODE = "de"
    record = make("RUNNING", progress=progress_json(1, 8))
    result = default_task_backend.get_result(str(record.pk))

    html = Template("{% load task_progress %}{% task_progress result %}").render(
        Context({"result": result})
    )

    assert 'value="12.5"' in html
    assert "Läuft" in html
