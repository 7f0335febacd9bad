"""Fetch Django's own tests of django.tasks and run them in every variant that applies.

The tests come from the source distribution of the installed Django (of 6.1 on Django 5.2, which has
no django.tasks); nothing of them is kept in this repository. They are cached beside tox's files.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django

from tests import report
from tests.upstream.variants import VARIANTS

CACHE = Path(__file__).resolve().parents[2] / ".tox" / "upstream"
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.upstream.settings",
    # Some coroutines among the tests call the synchronous API: fine with a list in memory. It
    # leaves open connections, which other databases mind when the test database is removed.
    "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
    "TEST_DATABASE_URL": "sqlite",
}
NEWEST_SERIES = "Django>=6.1,<6.2"


def main():
    requirement = NEWEST_SERIES if django.VERSION < (6, 0) else f"Django=={django.__version__}"
    try:
        sources = fetch(requirement)
    except subprocess.CalledProcessError:
        report.write(unavailable=f"the source distribution of {requirement} cannot be downloaded")
        print(f"SKIPPED: cannot download the source distribution of {requirement}", file=sys.stderr)
        return 0
    counts = [run(variant, sources) for variant in VARIANTS.values() if variant.applies()]
    total = {key: sum(count[key] for count in counts) for key in ("passed", "failed")}
    report.write(**total)
    print(f"{total['passed']} passed, {total['failed']} failed")
    return int(total["failed"] > 0)


def fetch(requirement):
    """Return the directory that holds Django's package of tests, named `tasks`."""
    target = CACHE / requirement.replace(">", "").replace("<", "-").replace("=", "")
    if not (target / "tasks").exists():
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            extract(download(requirement, Path(directory)), Path(directory))
            Path(directory, "tasks").rename(target / "tasks")
    return target


def download(requirement, directory):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    # Django 6.1 does not install on Python 3.11; its tests of tasks run there nevertheless.
    command += ["--no-binary", "Django", "--ignore-requires-python", "--dest", directory]
    subprocess.run([*command, requirement], check=True)
    return next(directory.glob("*.tar.gz"))


def extract(archive, directory):
    """Extract the files of `django-x.y/tests/tasks/` into `directory/tasks/`."""
    (directory / "tasks").mkdir()
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            path = Path(member.name)
            if path.parts[1:3] == ("tests", "tasks") and path.suffix == ".py":
                content = tar.extractfile(member).read()
                (directory / "tasks" / path.name).write_bytes(content)


def run(variant, sources):
    """Run one variant in a process of its own: each changes what importing django.tasks means."""
    print(f"\n{f' {variant.name} ':-^80}\n{variant.what}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory) / "result.json"
        for source in (sources / "tasks").glob("*.py"):
            target = Path(directory, "tasks", source.name)
            target.parent.mkdir(exist_ok=True)
            target.write_text(variant.rewrite(source.read_text(encoding="utf-8")), encoding="utf-8")
        subprocess.run(
            [sys.executable, "-m", "tests.upstream.suite", variant.name, directory, str(result)],
            env=os.environ | ENVIRONMENT,
            check=False,
        )
        if not result.exists():
            return {"passed": 0, "failed": 1}
        return json.loads(result.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
