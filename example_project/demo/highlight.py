"""Python source as HTML with coloured words, small enough to need no package for it."""

import inspect
import io
import keyword
import tokenize
from collections.abc import Callable, Iterator
from itertools import accumulate

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe


def source_html(function: Callable) -> SafeString:
    """Return a function's source, its decorators included, as HTML for a <pre>."""
    return mark_safe("".join(marked(inspect.getsource(function).rstrip() + "\n")).rstrip())


def marked(source: str) -> Iterator[str]:
    """Yield the source in pieces, escaped; the coloured ones in a <span> with a class."""
    line_starts = [0, *accumulate(len(line) for line in source.splitlines(keepends=True))]
    position, previous = 0, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = css_class(token, previous)
        previous = token.string.strip() or previous
        if not name:
            continue
        start = line_starts[token.start[0] - 1] + token.start[1]
        end = line_starts[token.end[0] - 1] + token.end[1]
        yield escape(source[position:start])
        yield f'<span class="{name}">{escape(source[start:end])}</span>'
        position = end
    yield escape(source[position:])


def css_class(token: tokenize.TokenInfo, previous: str) -> str:
    """Return the class of a token that follows the token `previous`; "" for plain text."""
    if token.type == tokenize.NAME:
        if keyword.iskeyword(token.string):
            return "keyword"
        return {"@": "decorator", "def": "function"}.get(previous, "")
    if token.string == "@":
        return "decorator"
    kinds = {tokenize.COMMENT: "comment", tokenize.STRING: "string", tokenize.NUMBER: "number"}
    return kinds.get(token.type, "")
