"""The Python of the how-to runs, and says what comes out."""

import sys
from types import ModuleType

import pytest

from tests.test_docs import DOCS, FENCE

BLOCKS = FENCE.findall((DOCS / "howto" / "workflows.md").read_text(encoding="utf-8"))


@pytest.fixture
def module(monkeypatch):
    """A module whose functions can be tasks."""
    made = ModuleType("workflows_howto")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def test_howto_runs(module, capsys):
    for language, text in BLOCKS:
        assert language == "python"
        exec(compile(text, "workflows.md", "exec"), module.__dict__)

    assert capsys.readouterr().out == "unreadable builtins.OSError a.jpg cannot be read\n"
