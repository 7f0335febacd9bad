"""What strict mypy says of code that uses the package."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("mypy", "mypy_django_plugin"))),
    reason="mypy and django-stubs are not in this environment: `tox run -e types` checks this",
)


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    cache = tmp_path_factory.mktemp("mypy")

    def run(file):
        command = [sys.executable, "-m", "mypy", "--config-file", str(HERE / "mypy.ini")]
        command += ["--cache-dir", str(cache), "--no-error-summary", str(file)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    return run


def test_types_of_the_api_are_known(check):
    """Arguments of enqueue and the type of the return value: right uses pass, mistakes do not."""
    found = check(HERE / "api.py")

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_each_mistake_is_found_where_it_is(check, tmp_path):
    """Without the ignores, mypy reports just the lines that have one: the check has teeth."""
    text = (HERE / "api.py").read_text(encoding="utf-8")
    wrong = {n for n, line in enumerate(text.splitlines(), 1) if "# type: ignore[" in line}
    file = tmp_path / "api.py"
    file.write_text(re.sub(r"  # type: ignore\[.*", "", text), encoding="utf-8")

    found = check(file)

    assert {int(line) for line in re.findall(r"api\.py:(\d+): error", found.stdout)} == wrong
    assert len(wrong) >= 15
