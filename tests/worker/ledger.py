"""Ledgers: files that tasks append lines to. The truth about what ran, whatever the queue says."""

import os
import time

#: Seconds that a test waits for something that must happen. Long: the machine may be loaded, and
#: only a test that fails waits for all of it.
PATIENCE = 60.0


def write(path, line):
    """Append a line, in one write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def lines(path):
    """Return the lines written so far."""
    try:
        with open(path) as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def until(condition, what, timeout=PATIENCE):
    """Return what `condition` returns once it is true; raise AssertionError when it never is."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(0.01)
    return value


def await_lines(path, count, timeout=PATIENCE):
    """Return the lines as soon as there are `count`."""
    return until(
        lambda: found if len(found := lines(path)) >= count else None,
        f"{count} lines in {path}, which has {lines(path)}",
        timeout,
    )
