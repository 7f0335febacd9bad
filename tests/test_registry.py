"""One path, one task: what is refused where it is made, and what is the same code run again."""

import importlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from django_tasks import InvalidTask, task
from django_tasks.definitions import registry
from tests.tasks import add, subtract

WRAPPERS = """
import functools

def audited(function):
    @functools.wraps(function)
    def inner(*args):
        return ["audited", function(*args)]
    return inner

def as_task(function):
    return task(function)
"""


@pytest.fixture(autouse=True)
def keep_registry(monkeypatch):
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    monkeypatch.setattr(registry, "_places", dict(registry._places))


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Write modules that can be imported; return the function that does so."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names = []

    def write(name, text, header="from django_tasks import task\n"):
        names.append(name)
        (tmp_path / f"{name}.py").write_text(header + text)
        importlib.invalidate_caches()
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


#: What makes two tasks of one path, and the two lines of the module that say so.
TWICE = {
    "two functions of one name": ("@task\ndef f(): pass\n@task\ndef f(a): pass\n", 2, 4),
    "two decorators": ("def f(): pass\ntask(f)\ntask(max_attempts=2)(f)\n", 3, 4),
    "a wrapper that takes the name along": (
        "from wrappers import audited\ndef f(): pass\ntask(f)\ntask(audited(f))\n", 4, 5,
    ),
    "a wrapper, twice": (
        "from wrappers import audited\ndef f(): pass\nfor _ in 1, 2:\n  task(audited(f))\n", 5, 5,
    ),
    "Django's decorator": (
        "from django_tasks.dep14.base import task\n@task\ndef f(): pass\n@task\ndef f(a): pass\n",
        3, 5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TWICE)
def test_second_task_of_a_path_is_refused(modules, name):
    """Where it is made, naming both places; the first stays."""
    text, first, second = TWICE[name]
    modules("wrappers", WRAPPERS)
    module = modules("twice", text)

    with pytest.raises(InvalidTask) as caught:
        importlib.import_module(module)

    said = str(caught.value)
    assert said.startswith("twice.f is a task already, made at ")
    assert f"twice.py:{first}; that of " in said
    assert f"twice.py:{second} would take its place" in said
    assert registry.find("twice.f").max_attempts is None


def test_same_task_made_again_is_no_harm(modules):
    """Equal options on one function: whichever is used, the same runs."""
    module = modules("equal", "def f(): pass\na = task(priority=3)(f)\nb = task(priority=3)(f)\n")

    assert (made := importlib.import_module(module)).a == made.b


RELOADED = {
    "as it was": ("@task\ndef f(): return 1\n", "@task\ndef f(): return 2\n"),
    "at another line": ("@task\ndef f(): return 1\n", "\n\n\n@task\ndef f(): return 2\n"),
    "a wrapper of another module": (
        "from wrappers import audited\ndef f(): return 1\nf = task(audited(f))\n",
        "from wrappers import audited\ndef f(): return 2\nf = task(audited(f))\n",
    ),
    "made by another module": (
        "import wrappers\ndef f(): return 1\nf = wrappers.as_task(f)\n",
        "import wrappers\ndef f(): return 2\nf = wrappers.as_task(f)\n",
    ),
    "a function of another module": (
        "from elsewhere import g\nf = task(g)\n",
        "from elsewhere import g\nf = task(max_attempts=7)(g)\n",
    ),
}


@pytest.mark.parametrize("name", RELOADED)
@pytest.mark.parametrize("way", ["reload", "import again"])
def test_reloaded_module_replaces_its_tasks(modules, name, way):
    """Notebooks and reloaders run a module again: the newest function counts."""
    before, after = RELOADED[name]
    modules("wrappers", WRAPPERS)
    modules("elsewhere", "def g(): return 'g'\n")
    module = importlib.import_module(modules("again", before))
    first = registry.find(module.f.module_path)

    modules("again", after)
    if way == "reload":
        importlib.reload(module)
    else:
        del sys.modules["again"]
        module = importlib.import_module("again")

    assert first is not module.f
    assert registry.find(module.f.module_path) is module.f


@pytest.mark.parametrize(
    "runner",
    [
        ["-c"],
        ["-m", "django", "shell", "-v0", "-c"],
    ],
)
def test_scripts_and_shells_may_run_a_piece_again(runner):
    """A cell of a notebook that is run again defines its task again."""
    cell = "@task\ndef f(): return {}\n"
    code = "import django; django.setup()\nfrom django_tasks import task\n"
    code += cell.format(1) + cell.format(2) + "print(f.call())"
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    root = Path(__file__).parents[1]

    done = subprocess.run(
        [sys.executable, *runner, code], cwd=root, env=environment, capture_output=True, text=True
    )

    assert (done.stdout.split(), done.returncode) == (["2"], 0), done.stderr


def test_copies_are_no_second_task():
    """using() and replace() are for calls; the path stays the original's."""
    for copy in (add.using(priority=9), replace(add, priority=9), task()(add.func)):
        assert registry.find(add.module_path) is add
        assert copy.module_path == add.module_path


def test_second_decorator_in_a_test_is_refused():
    """Not only in modules: options of a test would be those of all that follow."""
    with pytest.raises(InvalidTask, match=r"tests\.tasks\.subtract is a task already.*tasks\.py:"):
        task(max_attempts=9)(subtract.func)

    assert registry.find(subtract.module_path) is subtract


def test_names_and_aliases():
    """A task is found by its name and by those that it had, in this process and after pickling."""
    import pickle

    from tests.tasks import under_a_name

    assert under_a_name.module_path == "tests.a-name"
    assert registry.find("tests.a-name") is under_a_name
    assert registry.find("tests.old-name") is under_a_name
    assert registry.find("tests.tasks.under_a_name") is None
    assert pickle.loads(pickle.dumps(under_a_name)) == under_a_name


def test_an_alias_is_of_one_task():
    with pytest.raises(InvalidTask, match=r"tests\.a-name has the alias 'tests\.old-name' already"):
        task(name="tests.another", aliases=("tests.old-name",))(subtract.func)
    assert registry.find("tests.another") is None
