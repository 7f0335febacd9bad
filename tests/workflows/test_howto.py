"""The Python of the how-to runs, and says what comes out."""

import doctest
import sys
from types import ModuleType

import pytest

from django_tasks.testing import run_pending_tasks
from tests.test_docs import DOCS, FENCE

BLOCKS = FENCE.findall((DOCS / "howto" / "workflows.md").read_text(encoding="utf-8"))


@pytest.fixture
def module(monkeypatch):
    """A module whose functions can be tasks."""
    made = ModuleType("workflows_howto")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


class Runner(doctest.DocTestRunner):
    """Runs examples with a worker beside them, as far as one that waits can tell."""

    def run_session(self, text, names):
        for example in doctest.DocTestParser().get_examples(text):
            if ".wait(" in example.source:
                run_pending_tasks()
            session = doctest.DocTest([example], names, "workflows.md", None, 0, None)
            self.run(session, clear_globs=False)
            names.update(session.globs)  # it has a copy


@pytest.mark.django_db(transaction=True)
def test_howto_runs(module, capsys):
    runner = Runner(optionflags=doctest.ELLIPSIS)
    for language, text in BLOCKS:
        if language == "pycon":
            runner.run_session(text, module.__dict__)
        else:
            assert language == "python"
            exec(compile(text, "workflows.md", "exec"), module.__dict__)

    said = capsys.readouterr().out
    assert not runner.failures, said
    assert runner.tries == 8
    assert said == "unreadable builtins.OSError a.jpg cannot be read\n"
