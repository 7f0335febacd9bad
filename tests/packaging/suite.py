"""What the wheel holds, and that it works alone, in a new project, by the README's quickstart."""

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path
from unittest import TestCase

ROOT = Path(__file__).resolve().parents[2]
LOCAL = [".*", "build", "dist", "*.egg-info", "__pycache__", "*.pyc", "*.sqlite3*"]
TIMEOUT = 300  # seconds
#: Data files of each kind, planted in the source so that a new first one cannot be forgotten.
PLANTED = [
    "django_tasks/locale/de/LC_MESSAGES/planted.mo",
    "django_tasks/static/django_tasks/planted.js",
    "django_tasks/templates/admin/django_tasks/planted.html",
]

ENQUEUE = """
from hello.tasks import add

print("id:", add.enqueue(2, 3).id)
"""
SHOW_RESULT = """
from django_tasks import default_task_backend

result = default_task_backend.get_result({id!r})
print("result:", result.status, result.return_value)
"""


def run(*command, cwd):
    """Run a command as a stranger's shell would; return its output, raise with it on failure."""
    own = ("PYTHONPATH", "DJANGO_SETTINGS_MODULE", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    done = subprocess.run(
        [str(argument) for argument in command],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{command} exited with {done.returncode}:\n{done.stdout}")
    return done.stdout


def readme_block(path):
    """Return the code block of the README whose first line is a comment with the path."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"^```python\n# {path}\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    return code


def value_after(label, output):
    """Return the rest of the line that begins with the label."""
    lines = [line for line in output.splitlines() if line.startswith(label)]
    if len(lines) != 1:
        raise AssertionError(f"expected one line {label!r} in:\n{output}")
    return lines[0].removeprefix(label).strip()


class PackagingTests(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.source = cls.directory / "source"
        # A copy, so that neither build/ nor old metadata of a developer leak in, or are left.
        shutil.copytree(ROOT, cls.source, ignore=shutil.ignore_patterns(*LOCAL))
        for name in PLANTED:
            (cls.source / name).parent.mkdir(parents=True, exist_ok=True)
            (cls.source / name).touch()
        run(sys.executable, "-m", "build", "--outdir", cls.directory, cls.source, cwd=cls.source)
        (cls.sdist,) = cls.directory.glob("*.tar.gz")
        (cls.wheel,) = cls.directory.glob("*.whl")

    def test_wheel_holds_the_package_and_nothing_else(self):
        """The wheel built from the sdist holds each file of django_tasks/, and no other file."""
        package = self.source / "django_tasks"
        sources = {
            str(path.relative_to(self.source)) for path in package.rglob("*") if path.is_file()
        }

        with zipfile.ZipFile(self.wheel) as wheel:
            names = {name for name in wheel.namelist() if ".dist-info/" not in name}

        self.assertEqual(names, sources)
        self.assertLessEqual({"django_tasks/py.typed", *PLANTED}, names)

    def test_pip_builds_the_same_wheel(self):
        """`pip wheel .` in a checkout makes the wheel that `python -m build` makes."""
        target = self.directory / "pip"
        run(
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"),
            *(target, "."),
            cwd=self.source,
        )
        (wheel,) = target.glob("*.whl")

        self.assertEqual(wheel.name, self.wheel.name)
        with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(self.wheel) as theirs:
            self.assertEqual(sorted(ours.namelist()), sorted(theirs.namelist()))

    def test_metadata(self):
        """The metadata names the licence as an expression, and caps neither Django nor Python."""
        with zipfile.ZipFile(self.wheel) as wheel:
            (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
            metadata = email.message_from_bytes(wheel.read(name))
            licence = name.replace("METADATA", "licenses/LICENSE")

            self.assertIn(licence, wheel.namelist())
        self.assertEqual(metadata["Name"], "django-tasks-engine")
        self.assertEqual(metadata["License-Expression"], "BSD-3-Clause")
        self.assertEqual(metadata["Requires-Python"], ">=3.11")
        required = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
        self.assertEqual(sorted(required), ["Django>=5.2", "croniter<8,>=6"])

    def test_version_is_the_same_everywhere(self):
        """The package's __version__ is the distribution's."""
        init = (self.source / "django_tasks" / "__init__.py").read_text(encoding="utf-8")

        version = self.wheel.name.split("-")[1]

        self.assertIn(f'__version__ = "{version}"', init)

    def test_sdist_can_be_built_from(self):
        """The sdist holds what building and reading it needs."""
        with tarfile.open(self.sdist) as sdist:
            names = {name.partition("/")[2] for name in sdist.getnames()}

        self.assertLessEqual({"setup.cfg", "pyproject.toml", "README.md", "LICENSE"}, names)

    def test_quickstart(self):
        """The installed wheel carries a new project through the README, to a task's result."""
        directory = self.directory / "quickstart"
        venv.create(directory / "venv", with_pip=True)
        binaries = directory / "venv" / ("Scripts" if os.name == "nt" else "bin")
        python = binaries / "python"
        run(python, "-m", "pip", "install", "--quiet", self.wheel, cwd=directory)
        run(binaries / "django-admin", "startproject", "mysite", ".", cwd=directory)
        run(python, "manage.py", "startapp", "hello", cwd=directory)
        with (directory / "mysite" / "settings.py").open("a", encoding="utf-8") as settings:
            settings.write(readme_block("mysite/settings.py"))
        tasks = readme_block("hello/tasks.py")
        (directory / "hello" / "tasks.py").write_text(tasks, encoding="utf-8")

        run(python, "manage.py", "migrate", cwd=directory)
        enqueued = run(python, "manage.py", "shell", "-c", ENQUEUE, cwd=directory)
        id = value_after("id:", enqueued)
        run(python, "manage.py", "runworker", "--burst", cwd=directory)
        code = SHOW_RESULT.format(id=id)
        shown = run(python, "manage.py", "shell", "-c", code, cwd=directory)

        self.assertEqual(value_after("result:", shown), "SUCCESSFUL 5")
        unmade = run(python, "manage.py", "makemigrations", "--check", "--dry-run", cwd=directory)
        self.assertIn("No changes detected", unmade)
        self.assertIn("no issues", run(python, "manage.py", "check", cwd=directory))
