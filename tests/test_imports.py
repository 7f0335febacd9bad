"""Imports of the package point down the list of its rooms, and none leads back in a circle."""

import ast
from pathlib import Path

import django_tasks

ROOT = Path(django_tasks.__file__).parent
#: The rooms of docs/explanation/design.md, the highest first. A room uses those below it, and
#: those beside it.
LAYERS = (
    "__init__ base utils apps checks urls migrations pytest_plugin"
    " admin management templatetags contrib celery",
    "monitoring worker control testing progress workflows",
    "beat backends",
    "store",
    "brokers",
    "runtime models",
    "redaction",
    "definitions",
    "statuses serializers exceptions signals",
    "schedules dep14 conf ids routing instrumentation",
)
LEVELS = {room: -level for level, rooms in enumerate(LAYERS) for room in rooms.split()}
#: Imports that may point up, and why.
ALLOWED = {
    ("store.workers.leases", "__init__"): "__version__ stands where packaging tools look for it",
}


def modules(root):
    """Return the files of all modules by their dotted names, of packages by `__init__`'s."""
    return {".".join(p.relative_to(root).with_suffix("").parts): p for p in root.rglob("*.py")}


def imports(name, there, package="django_tasks"):
    """Yield (module, line, text) of each import of the package, wherever in the file it is."""
    for node in ast.walk(ast.parse(there[name].read_text())):
        if isinstance(node, ast.Import):
            paths = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = [package, *name.split(".")][: -node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            paths = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for path in paths:
            if path.partition(".")[0] == package:
                yield module_of(path.split(".")[1:], there), node.lineno, ast.unparse(node)


def module_of(parts, there):
    """Return the module that a dotted path leads to: itself, its package, or what defines it."""
    name = ".".join(parts)
    if name in there:
        return name
    package = ".".join([*parts, "__init__"])
    return package if package in there else module_of(parts[:-1], there)


def pointing_up(edges):
    """Yield what is wrong with imports of a room above."""
    for (user, used), (place, text) in edges.items():
        rooms = user.partition(".")[0], used.partition(".")[0]
        if unknown := [room for room in rooms if room not in LEVELS]:
            yield (
                (user, used),
                f"{place}: {text}: {unknown[0]} is in no layer of tests/test_imports",
            )
        elif LEVELS[rooms[0]] < LEVELS[rooms[1]]:
            yield (user, used), f"{place}: {text}: {rooms[1]} is above {rooms[0]}"


def circles(edges):
    """Yield what is wrong with imports that lead back to the module they stand in."""
    uses = {}
    for user, used in edges:
        uses.setdefault(user, set()).add(used)
    for (user, used), (place, text) in edges.items():
        way = way_between(used, user, uses)
        if way:
            yield (user, used), f"{place}: {text}: a circle: {' -> '.join([user, *way])}"


def way_between(start, end, uses):
    """Return the modules on the shortest way from one to another; none if there is no way."""
    ways = {start: [start]}
    for module in (queue := [start]):
        if module == end:
            return ways[module]
        for following in sorted(uses.get(module, set()) - ways.keys()):
            ways[following] = [*ways[module], following]
            queue.append(following)
    return []


def faults(root, allowed):
    """Return a line for each import that should not be, and for each exception without use."""
    there = modules(root)
    edges = {}
    for user in there:
        for used, line, text in imports(user, there):
            if used != user:
                edges.setdefault((user, used), (f"{there[user]}:{line}", text))
    found = [*pointing_up(edges), *circles(edges)]
    unused = allowed.keys() - {edge for edge, _ in found}
    return [text for edge, text in found if edge not in allowed] + [
        f"{user} -> {used}: allowed, and not there any more" for user, used in unused
    ]


def test_imports_point_down_and_lead_in_no_circle():
    """Also those inside of functions, and for type checkers alone."""
    assert not (found := faults(ROOT, ALLOWED)), "\n".join(found)


def test_each_fault_is_told_with_its_place(tmp_path):
    """An import up, a circle, an unknown room, an exception that is not needed any more."""
    for name, text in {
        "store/a.py": "def later():\n    from ..worker import b",
        "worker/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .c import C",
        "worker/c.py": "import django_tasks.worker.b",
        "attic/d.py": "from ..worker.c import C",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    found = faults(tmp_path, {("conf", "models.tasks"): "because"})

    assert [line.removeprefix(f"{tmp_path}/") for line in sorted(found)] == [
        "attic/d.py:1: from ..worker.c import C: attic is in no layer of tests/test_imports",
        "store/a.py:2: from ..worker import b: worker is above store",
        "worker/b.py:3: from .c import C: a circle: worker.b -> worker.c -> worker.b",
        "worker/c.py:1: import django_tasks.worker.b: a circle: worker.c -> worker.b -> worker.c",
        "conf -> models.tasks: allowed, and not there any more",
    ]
