"""One module writes the status of tasks; the dialects hold the statements for its hot paths."""

import ast
from pathlib import Path

import pytest

import django_tasks

PACKAGE = Path(django_tasks.__file__).parent
#: Workflows have a status of their own; their steps wait again when others run again.
WRITERS = (
    "store/tasks/transitions.py",
    "store/workflows/",
    "store/dialects/",
    "migrations/",
)


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(WRITERS):
            yield path


def texts(node):
    return [found for found in ast.walk(node) if isinstance(found, ast.Constant)]


def writes_status(node):
    """Tell whether this is update(status=...), bulk_update(..., ["status"]) or x.status = ..."""
    match node:
        case ast.Call(func=ast.Attribute(attr="update"), keywords=keywords):
            unpacked = [k.value for keyword in keywords if not keyword.arg for k in texts(keyword)]
            return "status" in {keyword.arg for keyword in keywords}.union(unpacked)
        case ast.Call(func=ast.Attribute(attr="bulk_update" | "save")):
            return "status" in {text.value for text in texts(node)}
        case ast.Assign(targets=targets):
            return any(isinstance(t, ast.Attribute) and t.attr == "status" for t in targets)
    return False


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: path.name)
def test_others_do_not_write_status(path):
    """A status that is written elsewhere has no guard on the status before and on the claim."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert [node.lineno for node in ast.walk(tree) if writes_status(node)] == []


def test_writer_is_noticed():
    """The test above sees the writes of the one module that may."""
    tree = ast.parse((PACKAGE / "store" / "tasks" / "transitions.py").read_text(encoding="utf-8"))

    assert sum(map(writes_status, ast.walk(tree))) >= 2
