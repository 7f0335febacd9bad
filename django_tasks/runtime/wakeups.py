"""Pipes that wake: between threads of one process, and from the keeper to the processes."""

from __future__ import annotations

import os


class WakeUp:
    """A pipe of single bytes. Writing never blocks; a full pipe is as good as one more byte."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """Return the end to wait on."""
        return self._read

    @property
    def descriptors(self) -> tuple[int, int]:
        """Both ends."""
        return self._read, self._write

    def send(self, count: int = 1) -> None:
        """Wake up to `count` waiters."""
        try:
            os.write(self._write, b"." * count)
        except BlockingIOError:
            return

    def take(self, most: int = 1) -> int:
        """Take up to `most` wake-ups; return how many there were."""
        try:
            return len(os.read(self._read, most))
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Close both ends."""
        os.close(self._read)
        os.close(self._write)
