"""What the kernel says about a tree of processes: CPU seconds and memory."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third on (the second may hold spaces)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def parent_of(pid: int) -> int:
    return int(_stat(pid)[1])


def tree(roots: list[int]) -> list[int]:
    """The roots that are alive and everything below them, each once."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children[parent_of(int(entry.name))].append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found, todo = [], [pid for pid in roots if Path(f"/proc/{pid}").exists()]
    while todo:
        found.append(todo.pop())
        todo += children[found[-1]]
    return list(dict.fromkeys(found))


def cpu_seconds(roots: list[int]) -> float:
    """User and system time of the tree, with that of the children it has already reaped."""
    total = 0
    for pid in tree(roots):
        try:
            total += sum(int(field) for field in _stat(pid)[11:15])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / TICKS


def pss_megabytes(roots: list[int]) -> float:
    """Proportional set size: shared pages are divided among those that map them."""
    total = 0
    for pid in tree(roots):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def busy_seconds() -> float:
    """CPU time of the whole machine that was not idle, with what the host took for others."""
    user, nice, system, _, _, *rest = Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    return sum(int(field) for field in (user, nice, system, *rest[:3])) / TICKS
