"""Run every test this machine can run: `python3 -m tests [--require-all] [leg ...] [-- arguments]`.

Needs nothing but Python 3.11 or newer: makes a virtual environment for tox, finds the other Python
versions, runs the legs of tox.ini, and closes with what passed, what failed and what was not
tested. A leg (`py313-django61-sqlite`), or a part of the name of several (`postgresql`), limits the
run; what follows `--` goes to pytest. Exits with 1 if a leg failed, and with --require-all also if
anything was skipped because this machine lacks it.
"""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests import report

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".tox"
RUNNER = WORK / "runner"
BIN = "Scripts" if os.name == "nt" else "bin"
MINORS = range(11, 16)  # Python 3.11 to 3.15
#: The Python 3 minor versions each Django series supports, as far as this project does.
SUPPORTED = {"django52": range(11, 15), "django60": range(12, 15), "django61": range(12, 16)}
#: Where version managers keep interpreters that are not in PATH; a later version sorts last.
VERSION_MANAGERS = [
    (os.environ.get("PYENV_ROOT") or "~/.pyenv", "versions/3.{minor}.*/bin"),
    (os.environ.get("ASDF_DATA_DIR") or "~/.asdf", "installs/python/3.{minor}.*/bin"),
    ("~/.local/share/mise", "installs/python/3.{minor}.*/bin"),
    ("~/.local/share/uv", "python/cpython-3.{minor}.*/bin"),
]
PASSED, FAILED, SKIPPED = "passed", "FAILED", "SKIPPED"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a leg ended."""

    leg: str
    word: str
    note: str = ""
    passed: int = 0
    failed: int = 0
    not_tested: tuple = ()  # reasons why parts of it could not be tested on this machine
    #: Tests that failed and, run once more, passed, with what was said of them.
    unstable: dict = field(default_factory=dict)


def main():
    arguments = parse_arguments()
    started = time.monotonic()
    tox = install_tox()
    interpreters = find_interpreters()
    planned, impossible = plan(chosen_legs(tox, arguments.legs), interpreters)
    results = run_tox(tox, planned, interpreters, arguments.arguments)
    outcomes = [outcome_of(leg, results.get(leg)) for leg in planned]
    outcomes += [Outcome(leg=leg, word=SKIPPED, note=why) for leg, why in impossible.items()]
    print_closing_lines(outcomes, time.monotonic() - started)
    return exit_code(outcomes, require_all=arguments.require_all)


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="python3 -m tests", description="Run every test this machine can run."
    )
    parser.add_argument("--require-all", action="store_true", help="fail if anything was skipped")
    parser.add_argument("legs", nargs="*", help="run only legs whose name holds one of these words")
    own, _, passed_on = partition(sys.argv[1:], "--")
    arguments = parser.parse_args(own)
    arguments.arguments = passed_on
    return arguments


def partition(items, separator):
    if separator not in items:
        return items, None, []
    index = items.index(separator)
    return items[:index], separator, items[index + 1 :]


def install_tox():
    """Return tox, installed in a virtual environment of its own on the first run."""
    python, tox = RUNNER / BIN / "python", RUNNER / BIN / "tox"
    if not tox.exists():
        print("Installing tox into", RUNNER.relative_to(ROOT), flush=True)
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", RUNNER], check=False)
        if made.returncode:
            sys.exit("Cannot make a virtual environment. On Debian: apt-get install python3-venv")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "tox>=4.25"], check=True)
    return tox


def find_interpreters():
    """Return the path of a working interpreter for each minor version of Python 3 found."""
    found = {minor: find_interpreter(minor) for minor in MINORS}
    return {minor: path for minor, path in found.items() if path}


def find_interpreter(minor):
    name = f"python3.{minor}"
    candidates = [shutil.which(name)]
    if sys.version_info[1] == minor:
        candidates.insert(0, sys.executable)
    for root, pattern in VERSION_MANAGERS:
        # glob.glob passes over folders that may not be read; Path.glob raises.
        folders = glob.glob(os.path.join(os.path.expanduser(root), pattern.format(minor=minor)))
        candidates += [f"{folder}/{name}" for folder in sorted(folders, key=natural, reverse=True)]
    return next((path for path in candidates if path and is_usable(path, minor)), None)


def natural(path):
    return [int(part) if part.isdigit() else 0 for part in re.split(r"(\d+)", path)]


def is_usable(python, minor):
    """Whether the interpreter runs (a version manager's shim may not) and is complete."""
    check = f"import sqlite3, ssl, sys; sys.exit(sys.version_info[:2] != (3, {minor}))"
    try:
        command = [str(python), "-c", check]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def chosen_legs(tox, words):
    """Return the legs of tox.ini whose name holds one of the words; all without words."""
    listed = subprocess.run(
        [tox, "list", "--no-desc", "--quiet"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    legs = listed.stdout.split()
    chosen = [leg for leg in legs if any(word in leg for word in words)] if words else legs
    if not chosen:
        sys.exit(f"No leg has {' or '.join(words)} in its name. There are: {', '.join(legs)}")
    return chosen


def plan(legs, interpreters):
    """Return the legs that can run here, and why the others cannot.

    A leg whose Python version is missing moves to another one that its Django supports.
    """
    planned, impossible = [], {}
    for leg in legs:
        possible = leg_for(leg, interpreters)
        if possible is None:
            impossible[leg] = f"needs Python {', '.join(pythons_for(leg))}; there is none here"
        elif possible not in planned:
            planned.append(possible)
    return planned, impossible


def leg_for(leg, interpreters):
    """Return the leg's name for an interpreter that exists here, or None if there is none."""
    minors = minors_for(leg)
    wanted = re.match(r"py3(\d+)-", leg)
    if wanted is None:
        return leg if minors & interpreters.keys() else None
    if int(wanted[1]) in interpreters:
        return leg
    others = minors & interpreters.keys()
    return re.sub(r"^py3\d+", f"py3{min(others)}", leg) if others else None


def minors_for(leg):
    if leg == "types":
        return set(SUPPORTED["django61"])
    django = next((django for django in SUPPORTED if django in leg), None)
    return set(SUPPORTED[django] if django else MINORS)


def pythons_for(leg):
    return [f"3.{minor}" for minor in sorted(minors_for(leg))]


def run_tox(tox, legs, interpreters, arguments):
    """Run the legs; return tox's result for each, as it writes it with --result-json."""
    if not legs:
        return {}
    for leg in legs:
        report_path(leg).unlink(missing_ok=True)
    results = WORK / "results.json"
    results.unlink(missing_ok=True)
    # Four at a time on two cores: the legs wait for processes and servers half of their time.
    at_once = str(2 * (os.cpu_count() or 1))
    command = [tox, "run-parallel", "--parallel", at_once, "--parallel-no-spinner"]
    command += ["--result-json", results, "-e", ",".join(legs)]
    command += ["--discover", *interpreters.values()]
    command += ["--", *arguments] if arguments else []
    subprocess.run([str(part) for part in command], cwd=ROOT, check=False)
    if not results.exists():
        return {}
    return json.loads(results.read_text(encoding="utf-8"))["testenvs"]


def report_path(leg):
    return WORK / leg / "tmp" / "report.json"


def outcome_of(leg, result):
    """Return how a leg ended, from tox's result and the report the leg left."""
    left = report.read(report_path(leg)) or {}
    if left.get("unavailable"):
        return Outcome(leg=leg, word=SKIPPED, note=left["unavailable"])
    runs = (result or {}).get("test", [])
    is_passed = bool(runs) and all(run["retcode"] == 0 for run in runs)
    failed = left.get("failed", 0)
    return Outcome(
        leg=leg,
        word=PASSED if is_passed else FAILED,
        note=note_for(left, runs),
        # A leg that counts no tests counts as one, and one that broke off counts as a failure.
        passed=left.get("passed", int(is_passed)),
        failed=failed or int(not is_passed),
        not_tested=tuple(
            reason.removeprefix(report.UNAVAILABLE)
            for reason in dict.fromkeys(left.get("skipped", []))
            if reason.startswith(report.UNAVAILABLE)
        ),
        unstable=left.get("unstable", {}),
    )


def note_for(left, runs):
    if not runs:
        return "its environment could not be made: see above"
    counts = [f"{left[key]} {key}" for key in ("passed", "failed") if left.get(key)]
    for key in ("skipped", "unstable"):
        counts += [f"{len(left[key])} {key}"] if left.get(key) else []
    seconds = sum(run["elapsed"] for run in runs)
    return ", ".join([*counts, f"{seconds:.0f} s"])


def print_closing_lines(outcomes, seconds):
    width = max(len(outcome.leg) for outcome in outcomes)
    print(f"\n{' what was tested ':=^80}")
    for outcome in outcomes:
        print(f"{outcome.word:<8} {outcome.leg:<{width}}  {outcome.note}")
    print_not_tested(outcomes, width)
    print_unstable(outcomes, width)
    passed = sum(outcome.passed for outcome in outcomes)
    failed = sum(outcome.failed for outcome in outcomes)
    print(f"{f' {seconds:.0f} s ':=^80}")
    print(f"{passed} passed, {failed} failed", flush=True)


def print_not_tested(outcomes, width):
    lines = [
        f"{outcome.leg:<{width}}  {reason}"
        for outcome in outcomes
        for reason in ([outcome.note] if outcome.word == SKIPPED else outcome.not_tested)
    ]
    if lines:
        print(f"\n{' NOT TESTED on this machine ':!^80}")
        print("\n".join(lines))


def print_unstable(outcomes, width):
    unstable = [
        (f"{outcome.leg:<{width}}  {test}", why)
        for outcome in outcomes
        for test, why in outcome.unstable.items()
    ]
    if unstable:
        # tox shows nothing of a leg that passed, so this is all that tells why.
        for line, why in unstable:
            print(f"\n{line}\n{why}")
        print(f"\n{' UNSTABLE: failed once, passed when run again ':!^80}")
        print("\n".join(line for line, _ in unstable))


def exit_code(outcomes, *, require_all):
    has_failed = any(outcome.word == FAILED for outcome in outcomes)
    has_skipped = any(outcome.word == SKIPPED or outcome.not_tested for outcome in outcomes)
    if require_all and has_skipped:
        print("Failed: --require-all was given and something was not tested.", file=sys.stderr)
    return int(has_failed or (require_all and has_skipped))


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts it with an older one is told so
        sys.exit("Python 3.11 or newer is needed.")
    sys.exit(main())
