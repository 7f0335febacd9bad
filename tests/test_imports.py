"""Imports of the package point down the list of its rooms, and none leads back in a circle."""

import ast
from itertools import pairwise
from pathlib import Path

import django_tasks

ROOT = Path(django_tasks.__file__).parent
#: The rooms of docs/explanation/design.md, the highest first. A room uses those below it, and
#: those beside it.
LAYERS = (
    "__init__ base utils apps checks urls migrations pytest_plugin"
    " admin management templatetags contrib celery",
    "monitoring worker control testing conformance progress",
    "beat backends",
    "store",
    "brokers",
    "runtime models workflows",
    "redaction",
    "definitions",
    "statuses serializers exceptions signals",
    "schedules dep14 conf ids routing instrumentation",
)
LEVELS = {room: -level for level, rooms in enumerate(LAYERS) for room in rooms.split()}
#: A room whose modules are split as another package splits them, and know each other as those do.
MIRROR = "celery."
#: Imports that may point up or in a circle, and why.
ALLOWED = {
    ("store.workers.leases", "__init__"): "__version__ stands where packaging tools look for it",
    ("definitions.startable", "workflows.starting"): "canvas.enqueue(), as task.enqueue()",
    ("definitions.canvas", "definitions.canvas_data"): "canvas.to_data(), as its own",
    ("workflows.starting", "store.workflows.create"): "what they hand over to the store",
    ("workflows.starting", "store.workflows.handle"): "and what they get back",
    ("workflows.steps", "workflows.graph"): "a step names its workflow, for type checkers",
    ("definitions.registry", "definitions.built_in"): "decorated when the first is asked for",
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
    """Yield the imports of a room above, and what is wrong with each."""
    for (user, used), place in edges.items():
        rooms = user.partition(".")[0], used.partition(".")[0]
        if unknown := [room for room in rooms if room not in LEVELS]:
            yield (user, used), f"{place}: {unknown[0]} is in no layer of tests/test_imports.py"
        elif LEVELS[rooms[0]] < LEVELS[rooms[1]]:
            yield (user, used), f"{place}: {rooms[1]} is above {rooms[0]}"


def circles(edges):
    """Yield a line for each circle, with the imports that it is made of; a module is in one."""
    uses = uses_of(edges)
    told = set()
    for user, used in edges:
        way = [] if {user, used} & told else way_between(used, user, uses)
        if way:
            told.update(way)
            places = [edges[pair] for pair in pairwise([user, *way])]
            yield "\n    ".join([f"a circle: {' -> '.join([user, *way])}", *places])


def uses_of(edges):
    """Return the modules that each module imports."""
    uses = {}
    for user, used in edges:
        uses.setdefault(user, set()).add(used)
    return uses


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
    """Return what is wrong: an import up, a circle of the others, an exception without use."""
    there = modules(root)
    edges = {}
    for user in there:
        for used, line, text in imports(user, there):
            if used != user:
                edges.setdefault((user, used), f"{there[user]}:{line}: {text}")
    up = dict(pointing_up(edges))
    others = {
        edge: place
        for edge, place in edges.items()
        if edge not in up.keys() | allowed and not all(name.startswith(MIRROR) for name in edge)
    }
    uses = uses_of(others)
    needed = {
        (user, used)
        for user, used in allowed.keys() & edges
        if (user, used) in up or way_between(used, user, uses)
    }
    return [
        *(text for edge, text in up.items() if edge not in allowed),
        *circles(others),
        *(f"{user} -> {used}: allowed without need" for user, used in allowed.keys() - needed),
    ]


def test_imports_point_down_and_lead_in_no_circle():
    """Also those inside of functions, and for type checkers alone."""
    assert not (found := faults(ROOT, ALLOWED)), "\n".join(found)


def test_each_fault_is_told_with_its_place(tmp_path):
    """An import up, a circle, an unknown room, an exception that is not needed any more."""
    for name, text in {
        "store/a.py": "def later():\n    from ..worker import b",
        "worker/b.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .c import C",
        "worker/c.py": "import django_tasks.worker.b\nfrom ..store import a",
        "attic/d.py": "from ..worker.c import C",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    up = "store/a.py:2: from ..worker import b: worker is above store"
    unknown = (
        "attic/d.py:1: from ..worker.c import C: attic is in no layer of tests/test_imports.py"
    )
    circle = "worker/b.py:3: from .c import C", "worker/c.py:1: import django_tasks.worker.b"

    found = [text.replace(f"{tmp_path}/", "") for text in faults(tmp_path, {("conf", "ids"): ""})]

    assert sorted(found[:2]) == [unknown, up]
    assert found[2].startswith("a circle: ")
    assert sorted(found[2].split("\n    ")[1:]) == sorted(circle)
    assert found[3:] == ["conf -> ids: allowed without need"]

    allowed = {("store.a", "worker.b"): "", ("worker.b", "worker.c"): ""}
    found = faults(tmp_path, allowed)
    assert [text.replace(f"{tmp_path}/", "") for text in found] == [unknown]
