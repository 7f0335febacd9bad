"""Labelled lines of several programs in one terminal."""

from __future__ import annotations

import os
import threading
from typing import TextIO

COLOURS = {"web": 36, "worker": 35, "beat": 34, "demo": 32, "migrate": 33}
WIDTH = max(len(label) for label in COLOURS)


class Terminal:
    """Writes whole lines as ``label │ line``, from any thread; the label coloured on a terminal."""

    def __init__(self, stream: TextIO, *, is_coloured: bool | None = None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        if is_coloured is None:
            is_coloured = stream.isatty() and not os.environ.get("NO_COLOR")
        self.is_coloured = is_coloured

    def write(self, label: str, text: str) -> None:
        for line in text.splitlines() or [""]:
            self._line(label, line)

    def _line(self, label: str, line: str) -> None:
        prefix = f"{label:<{WIDTH}} │"
        if self.is_coloured:
            prefix = f"\x1b[{COLOURS[label]}m{prefix}\x1b[0m"
        with self._lock:
            self._stream.write(f"{prefix} {line}\n".rstrip(" "))
            self._stream.flush()


class LabelledStream:
    """A file for Django commands that write to `stdout`; passes whole lines on."""

    def __init__(self, terminal: Terminal, label: str) -> None:
        self._terminal = terminal
        self._label = label
        self._rest = ""

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._terminal.write(self._label, line)
        return len(text)

    def flush(self) -> None:
        """Keep an unfinished line until its end comes."""
