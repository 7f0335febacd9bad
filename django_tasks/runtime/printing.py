"""Text that is safe in a log and on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """
    Return `text` with its control characters escaped.

    Names come from rows and messages from anywhere: none may begin a line of the log, or move
    the cursor of the terminal that shows it.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
