"""Starting a beat as a process of its own. A worker's beat: see `worker.beat`."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

from ..runtime.exit_codes import EXIT_FORCED, EXIT_GRACEFUL
from ..runtime.health import serve
from .loop import Beat, BeatConfig

#: Seconds within which two signals count as one: wrappers forward the terminal's Ctrl+C.
SAME_SIGNAL = 0.1


def run_beat(config: BeatConfig, health: tuple[str, int] | None) -> int:
    """Beat until a signal says to stop; return the exit code."""
    beat = Beat(config)
    stop_at(beat, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if health is not None:
        serve(beat.silence, beat.is_ready, *health)
    run(beat)
    return EXIT_GRACEFUL


def run(beat: Beat) -> None:
    """
    Beat in a thread, so that this one, the main thread, can run the handlers of signals.

    A driver written in C keeps the thread that waits for the database from running them.
    """
    with ThreadPoolExecutor(1, "beat") as executor:
        executor.submit(beat.run).result()


def stop_at(beat: Beat, *numbers: signal.Signals) -> None:
    """Stop gently at the first of these signals, at once at the second."""
    stopped_at = float("inf")

    def on_stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped_at
        if time.monotonic() - stopped_at > SAME_SIGNAL:
            os._exit(EXIT_FORCED)  # the transaction in hand is rolled back
        stopped_at = min(stopped_at, time.monotonic())
        beat.stop()

    for number in numbers:
        signal.signal(number, on_stop)
