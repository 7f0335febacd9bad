"""The mutations of tests/reliability fit the code: one that does not proves nothing."""

import ast

import pytest

from tests.reliability import mutations


@pytest.mark.parametrize("mutation", mutations.MUTATIONS, ids=lambda mutation: mutation.name)
def test_text_to_change_is_there_once(mutation):
    """Who changes the text that a mutation changes has to change the mutation, too."""
    assert mutations.occurrences(mutations.ROOT, mutation) == 1


@pytest.mark.parametrize("mutation", mutations.MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutated_module_is_python(mutation):
    """A mutation is noticed for what it breaks, not for a module that cannot be imported."""
    text = (mutations.ROOT / "django_tasks" / mutation.file).read_text(encoding="utf-8")

    ast.parse(text.replace(mutation.old, mutation.new))


@pytest.mark.parametrize("mutation", mutations.MUTATIONS, ids=lambda mutation: mutation.name)
def test_tests_of_a_mutation_are_there(mutation):
    """The files that should notice it exist."""
    folder = mutations.ROOT / "tests" / "reliability"

    assert [name for name in mutation.tests.split() if not (folder / name).exists()] == []


def test_names_of_mutations_are_their_own():
    """One outcome is kept per name."""
    names = [mutation.name for mutation in mutations.MUTATIONS]

    assert len(set(names)) == len(names)
