"""The README and the tutorial are followed to the letter, in a new project on SQLite."""

import ast
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management.base import BaseCommand
from django.db import connection

from django_tasks import Task, TaskContext, TaskResult, exceptions, signals
from django_tasks.backends.options import OPTIONS
from django_tasks.conf import AppSettings
from django_tasks.management.commands.runworker import Command
from django_tasks.progress.reports import Report
from django_tasks.statuses import AttemptOutcome, Status
from django_tasks.store.values import Claim
from django_tasks.worker.reporting.logs import _extra

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# (\S+\.py)\n")
TIMEOUT = 90  # seconds that a command, or a line of a worker's, may take
#: Setting up what the tests already have, or waiting for a person.
SKIPPED = ("python3 -m venv", ". .venv", "pip install", "python manage.py createsuperuser")


#: Members that are public for other modules of the package only.
INTERNAL = {"attempts_made", "custom_state", "restored", "take_pending"}


def public_members(cls):
    return [name for name in dir(cls) if not name.startswith("_") and name not in INTERNAL]


sqlite_only = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="the README's project uses SQLite"
)


@sqlite_only
@pytest.mark.parametrize("document", ["README.md", "docs/tutorial.md"])
def test_document_can_be_followed(document, tmp_path):
    """Each file is written, each command run, and each prints what the document says."""
    blocks = FENCE.findall((ROOT / document).read_text(encoding="utf-8"))
    with Reader(tmp_path) as reader:
        for language, text in blocks:
            reader.follow(language, text)

    assert reader.followed >= {"python", "console", "pycon"}


class Reader:
    """Does what a document says, in a directory of its own."""

    def __init__(self, directory):
        self.directory = directory
        self.workers = []
        self.followed = set()
        kept = ("DJANGO_SETTINGS_MODULE", "TEST_DATABASE_NAME", "TEST_DATABASE_URL")
        self.environment = {k: v for k, v in os.environ.items() if k not in kept}
        self.environment["PYTHONPATH"] = str(ROOT)
        self.environment["PYTHONUNBUFFERED"] = "1"

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for worker in self.workers:
            worker.stop()

    def follow(self, language, text):
        """Follow one block; blocks in other languages are only shown."""
        follow = getattr(self, f"follow_{language}", None)
        if follow is not None:
            self.followed.add(language)
            follow(text)

    def follow_python(self, text):
        """Append the block to the file that its first line names."""
        named = FILE_NAME.match(text)
        assert named, f"the first line names no file:\n{text}"
        path = self.directory / named[1]
        assert path.parent.is_dir(), f"{path.parent} is not there yet"
        with path.open("a", encoding="utf-8") as file:
            file.write("\n\n" + text[named.end() :])

    def follow_pycon(self, text):
        """Type the block into a shell of the project."""
        self.run([sys.executable, "-c", TYPIST], "manage.py shell", "", input=text)

    def follow_console(self, text):
        """Run each line that begins with `$ ` and compare what follows it."""
        for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
            if command.startswith("cd "):
                self.directory = self.directory / command[3:]
            elif "runworker" in command and "--burst" not in command:
                self.start_worker(command, expected)
            elif not command.startswith(SKIPPED):
                self.run(arguments_of(command), command, expected)

    def run(self, arguments, name, expected, **options):
        done = subprocess.run(
            arguments,
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
            **options,
        )
        assert done.returncode == 0, f"{name} exited with {done.returncode}:\n{done.stdout}"
        assert not expected or matches(expected, done.stdout), (
            f"{name} should print\n{expected}\nand printed\n{done.stdout}"
        )

    def start_worker(self, command, expected):
        """Start a worker; a document with a second one has stopped the first."""
        for worker in self.workers:
            worker.stop()
        self.workers.append(Worker(command, expected, self.directory, self.environment))


class Worker:
    """A worker that runs on while the document goes on."""

    def __init__(self, command, expected, directory, environment):
        self.command = command
        self.expected = expected
        self.is_stopped = False
        self.log = directory / f"worker-{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                arguments_of(command),
                cwd=directory,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self):
        """Wait for the lines that the document shows, press Ctrl+C, and expect exit code 0."""
        if self.is_stopped:
            return
        self.is_stopped = True
        deadline = time.monotonic() + TIMEOUT
        while not matches(self.expected, self.log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(self.process.pid, signal.SIGINT)  # as a terminal does
        code = self.process.wait(TIMEOUT)
        printed = self.log.read_text()
        assert code == 0, f"{self.command} exited with {code}:\n{printed}"
        assert matches(self.expected, printed), (
            f"{self.command} should print\n{self.expected}\nand printed\n{printed}"
        )


def arguments_of(command):
    words = shlex.split(command)
    replaced = {"django-admin": ["-m", "django"], "python": []}
    assert words[0] in replaced, f"the test cannot run {command!r}"
    return [sys.executable, *replaced[words[0]], *words[1:]]


def matches(expected, printed):
    """Tell whether the expected lines are in what was printed, in order; `...` is any text."""
    parts = [re.escape(part.strip()) for part in re.split(r"\.\.\.|\n", expected)]
    return re.search(".*?".join(parts), printed, re.DOTALL) is not None


#: Runs a `>>>` session from its input in the project of the working directory.
TYPIST = """
import doctest, os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
sys.path.insert(0, os.getcwd())
import django
django.setup()
test = doctest.DocTestParser().get_doctest(sys.stdin.read(), {}, "shell", None, 0)
assert test.examples
runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
runner.run(test)
sys.exit(bool(runner.failures))
"""


def test_matches_needs_every_line():
    """The comparison itself: order and every line count, `...` stands for any text."""
    assert matches("a ... c\nd\n", "x\na b c\nd\ny\n")
    assert not matches("a\nb\n", "b\na\n")
    assert not matches("a\nb\n", "a\n")


def rows_of(document):
    """Return the second cell of each row of the document's tables, by each name in its first."""
    rows = {}
    for line in (DOCS / "reference" / document).read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            first, second, *_ = [cell.strip() for cell in line.strip("|").split("|")]
            for name in re.findall(r"`([\w-]+)", first):
                rows.setdefault(name, second)
    return rows


@pytest.mark.parametrize("name", [field.name for field in fields(AppSettings)])
def test_setting_is_documented(name):
    """The reference has a row for each setting, with its default as Python code."""
    documented = rows_of("settings.md")[name]

    default = eval(documented.strip("`"), {"timedelta": timedelta})

    assert default == getattr(AppSettings(), name)


def test_no_setting_is_documented_that_does_not_exist():
    """What the reference calls a setting is one."""
    documented = {name for name in rows_of("settings.md") if name.isupper()}

    assert documented == {field.name for field in fields(AppSettings)}


def test_backend_options_are_documented():
    """The reference has a row for each of OPTIONS."""
    assert set(OPTIONS) <= set(rows_of("settings.md"))


@pytest.mark.parametrize("name", [field.name for field in fields(Task) if field.name != "func"])
def test_task_option_is_documented(name):
    """The reference has a row for each option of a task, with its default if that is fixed."""
    documented = rows_of("task.md")[name]
    [option] = [field for field in fields(Task) if field.name == name]

    if "else" not in documented:
        assert eval(documented.strip("`"), {"Exception": Exception}) == option.default


@pytest.mark.parametrize("member", public_members(Task) + public_members(TaskResult))
def test_method_is_documented(member):
    """The reference names each public method and property of tasks and results."""
    text = (DOCS / "reference" / "task.md").read_text(encoding="utf-8")

    assert re.search(rf"`{member}\b", text)


@pytest.mark.parametrize("member", public_members(TaskContext))
def test_context_member_is_documented(member):
    """The reference names each public member of a context."""
    assert member in " ".join(rows_of("task.md"))


def test_exceptions_are_documented():
    """The reference names each exception, except old names and base classes."""
    text = (DOCS / "reference" / "task.md").read_text(encoding="utf-8")
    bases = {"TaskControl", "TaskInterruption", "TaskException"}
    old = {"InvalidTaskBackendError", "InvalidTaskError", "ResultDoesNotExist"}

    missing = {name for name in exceptions.__all__ if not re.search(rf"`{name}\b", text)}

    assert missing <= bases | old | {"UnknownTask"}


def test_worker_options_are_documented():
    """The reference has a row for each option of runworker."""
    parser = Command().create_parser("manage.py", "runworker")
    django_s = {option for action in BaseCommand().create_parser("", "")._actions
                for option in action.option_strings}  # fmt: skip
    own = {option for action in parser._actions for option in action.option_strings} - django_s

    assert own == {name for name in rows_of("worker.md") if name.startswith("-")}


def test_signals_and_statuses_are_documented():
    """The reference has a row for each signal, status and outcome of an attempt."""
    assert set(signals.__all__) <= set(rows_of("signals.md"))
    text = (DOCS / "reference" / "statuses.md").read_text(encoding="utf-8")
    assert all(f"`{value}`" in text for value in [*Status.values, *AttemptOutcome.values])


def test_the_progress_api_is_documented():
    """The reference has a row for each field of the answer, event and custom property."""
    documented = set(rows_of("progress-api.md"))
    static = ROOT / "django_tasks" / "static" / "django_tasks"
    script = (static / "task-progress.js").read_text(encoding="utf-8")
    styles = (static / "task-progress.css").read_text(encoding="utf-8")

    assert {*Report(status=Status.READY).as_json(), "result", "error"} <= documented
    assert set(re.findall(r'#tell\("([\w-]+)"', script)) <= documented
    assert set(re.findall(r"var\((--task[\w-]+)", styles)) <= documented


def test_logging_keys_are_documented():
    """The reference has a row for each key that log lines about a task carry."""
    claim = Claim(*Claim._fields)
    config = SimpleNamespace(worker_id="")

    assert set(_extra(claim, config, "succeed")) <= set(rows_of("logging.md"))


@pytest.mark.parametrize(
    "document", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: path.name
)
def test_links_lead_somewhere(document):
    """Each link to a file, and to a heading in one, has a target."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:|mailto:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.exists(), f"{document.name}: {link}"
        if anchor:
            assert anchor in anchors_of(target), f"{document.name}: {link}"


@pytest.mark.parametrize("document", sorted(DOCS.rglob("*.md")), ids=lambda path: path.name)
def test_python_is_python(document):
    """Each Python block can be parsed, also those that are not run and parts of a dict."""
    for language, text in FENCE.findall(document.read_text(encoding="utf-8")):
        if language == "python":
            ast.parse(f"{{{text}}}" if text.startswith('"') else text)


def anchors_of(document):
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
