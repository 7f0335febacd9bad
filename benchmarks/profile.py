"""
Where the microseconds of a no-op task go in the worker, sampled by py-spy.

Only threads that hold the interpreter's lock are sampled: those are at work. (Without --gil, py-spy
also counts threads that wait in C code for the server or for a job.)
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import measure as kernel
from benchmarks.tables import short, table

SECONDS, SAMPLES_PER_SECOND, SHOWN = 3, 1_000, 18
TASKS = 100_000
OURS = ("django_tasks/", "benchmarks/")


def measure(bench: Any) -> dict[str, Any]:
    """One process drains; the CPU time of a task is shared out among the sampled stacks."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if not spy:
        return {"sections": {"profile": "Not measured: py-spy is not installed.\n"}}
    system = bench.system
    system.clear()
    try:
        system.start_workers(processes=1)
        stacks, microseconds = record(bench, spy)
    finally:
        system.stop()
        system.clear()
    total = sum(stacks.values())
    title = f"{microseconds:.0f} µs of CPU per no-op task in the worker ({total} samples)"
    return {"profile_us": microseconds, "sections": {title: tables(stacks, microseconds / total)}}


def record(bench: Any, spy: str) -> tuple[Counter[tuple[str, ...]], float]:
    """The sampled stacks, and the microseconds of CPU per task without the sampler."""
    system, tasks = bench.system, bench.scaled(TASKS)
    spent = _drain_alone(system, tasks)
    before = system.done()
    system.signal_workers(signal.SIGSTOP)
    system.enqueue_many("noop", [(n,) for n in range(tasks)])
    system.settle()
    system.signal_workers(signal.SIGCONT)
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "stacks"
        command = [spy, "record", "--nonblocking", "--subprocesses", "--gil", "--format", "raw"]
        command += ["--duration", str(SECONDS), "--rate", str(SAMPLES_PER_SECOND)]
        command += ["--output", str(out), "--pid", str(system.worker_roots()[0])]
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(f"py-spy: {ended.stderr}")
        stacks = _read(out.read_text())
    system.wait_done(before + tasks)
    return stacks, spent


def _drain_alone(system: Any, tasks: int) -> float:
    before = system.done()
    system.signal_workers(signal.SIGSTOP)
    system.enqueue_many("noop", [(n,) for n in range(tasks)])
    cpu = kernel.cpu_seconds(system.worker_roots())
    system.signal_workers(signal.SIGCONT)
    system.wait_done(before + tasks)
    time.sleep(0.1)
    return (kernel.cpu_seconds(system.worker_roots()) - cpu) / tasks * 1e6


def _read(text: str) -> Counter[tuple[str, ...]]:
    """Collapsed stacks, the outermost frame first."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = tuple(frame for frame in stack.split(";") if not frame.startswith("process "))
        stacks[frames] += int(count)
    return stacks


def tables(stacks: Counter[tuple[str, ...]], per_sample: float) -> str:
    """By the innermost function of the project, with what it called outside of it."""
    own, below = Counter[str](), Counter[tuple[str, str]]()
    for frames, count in stacks.items():
        where, called = _place(frames)
        own[where] += count
        below[where, called] += count
    rows = [
        [where, short(count * per_sample), _called(below, where, per_sample)]
        for where, count in own.most_common(SHOWN)
    ]
    return table(["innermost function of the project", "µs per task", "of it, in"], rows)


def _place(frames: tuple[str, ...]) -> tuple[str, str]:
    """The innermost frame of ours, and the outermost package below it."""
    for index in range(len(frames) - 1, -1, -1):
        if any(part in frames[index] for part in OURS):
            rest = frames[index + 1 :]
            return _name(frames[index]), _package(rest[-1]) if rest else "itself"
    return "(outside)", _package(frames[-1]) if frames else ""


def _name(frame: str) -> str:
    """`claim (django_tasks/store/tasks/claims.py:46)` without its line number."""
    function, _, place = frame.partition(" (")
    file = place.rpartition(":")[0]
    for part in OURS:
        file = part + file.rpartition(part)[2] if part in file else file
    return f"`{file}` {function}"


def _package(frame: str) -> str:
    file = frame.partition(" (")[2].rpartition(":")[0]
    for root in ("site-packages/", "lib/python3"):
        if root in file:
            return file.rpartition(root)[2].split("/")[0 if root[0] == "s" else -1]
    return file


def _called(below: Counter[tuple[str, str]], where: str, per_sample: float) -> str:
    found = [(count, called) for (name, called), count in below.items() if name == where]
    top = sorted(found, reverse=True)[:4]
    return ", ".join(f"{called} {short(count * per_sample)}" for count, called in top)
