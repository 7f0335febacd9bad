"""Every word of the glossary is a word of the code."""

import re
from pathlib import Path

import pytest

import django_tasks

PACKAGE = Path(django_tasks.__file__).parent
GLOSSARY = PACKAGE.parent / "docs" / "explanation" / "glossary.md"
ROW = re.compile(r"^\| (.+?) \| .+ \|$", re.MULTILINE)


def words_of(text):
    """Return the words that the first cells of a table explain."""
    cells = [cell for cell in ROW.findall(text) if cell != "Word"]
    return [word.strip("` ") for cell in cells for word in cell.split(",")]


def pattern_of(word):
    """Return what finds a word in code: also in names, and with the endings that it takes there."""
    stem = re.escape(word.removesuffix("e")).replace(r"\ ", r"[\s_-]?")
    return re.compile(stem, re.IGNORECASE)


@pytest.fixture(scope="module")
def code():
    sources = PACKAGE.rglob("*.py")
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(sources))


@pytest.mark.parametrize("word", words_of(GLOSSARY.read_text(encoding="utf-8")))
def test_word_occurs_in_the_code(word, code):
    """A word that nobody uses any more leaves the glossary."""
    assert pattern_of(word).search(code), word


def test_no_word_is_explained_twice():
    """One entry per word."""
    words = words_of(GLOSSARY.read_text(encoding="utf-8"))

    assert sorted(set(words)) == sorted(words)


def test_lost_word_is_noticed(code):
    """The test above can fail: these were words of the code once."""
    assert [word for word in ("lookout", "companion") if pattern_of(word).search(code)] == []
