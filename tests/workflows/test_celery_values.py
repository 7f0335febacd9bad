"""Where Celery is installed, its own eager canvas has the same values for the same shapes."""

import random

import pytest

from django_tasks.workflows import chain, chord, chunks, group, map, starmap

from .random_canvases import Canvases
from .tasks import add, mix, total

celery = pytest.importorskip("celery")
KINDS = (celery.chain, celery.group, celery.chord)


@pytest.fixture(scope="module")
def app():
    app = celery.Celery("values")
    app.conf.task_always_eager = True
    app.conf.task_eager_propagates = True
    for task in (add, mix, total):
        app.task(name=task.module_path)(task.func)
    return app


def shapes(kinds, add, mix, total):
    """Return canvases made by these classes of these tasks."""
    chain, group, chord = kinds
    return [
        add.s(1, 2),
        chain(add.s(1, 2), add.s(3), add.si(5, 6), add.s(7)),
        group(add.s(1, 2), add.s(3, 4)),
        group(add.s(1, 2), add.s(3, 4)) | total.s(),
        group(add.s(1, 2), add.s(3, 4)) | group(total.s(), mix.s(1)),
        add.s(1, 2) | group(add.s(3), add.s(4)) | total.s() | add.s(1),
        chord([add.s(1, 2), chain(add.s(1, 2), add.s(3))], total.s()),
        add.s(1, 2) | chord([add.s(3), add.s(4)], total.s() | add.s(1)),
        group(mix.s(1), group(mix.s(2), mix.s(3))) | mix.s(),
        group(group(mix.s(1), group()), chain(mix.s(2), group(mix.s(3), mix.s(4)))) | mix.s(),
        chord([chord([mix.s(1), mix.s(2)], mix.s()), mix.s()], mix.s()),
        chord([], total.s()),
    ]


OURS = shapes((chain, group, chord), add, mix, total)


@pytest.mark.parametrize("index", range(len(OURS)))
def test_shape(index, app):
    theirs = shapes(KINDS, *(app.tasks[task.module_path] for task in (add, mix, total)))[index]

    assert OURS[index].call() == theirs.apply().get()


def test_maps(app):
    task = app.tasks[add.module_path]
    pairs = [(1, 2), (3, 4), (5, 6)]

    assert starmap(add, pairs).call() == task.starmap(pairs).apply().get()
    assert chunks(add, pairs, 2).call() == task.chunks(pairs, 2).group().apply().get()
    assert map(total, pairs).call() == app.tasks[total.module_path].map(pairs).apply().get()


def test_random_shapes(app):
    """Without groups of one or none: Celery takes those out of chains, see the how-to."""
    task = app.tasks[mix.module_path]
    for seed in range(300):
        ours = Canvases(random.Random(seed), empty=False).one(3)
        theirs = Canvases(random.Random(seed), empty=False, kinds=KINDS, mix=task).one(3)

        assert ours.call() == theirs.apply().get(), seed
