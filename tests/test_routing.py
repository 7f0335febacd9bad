"""Which queues a worker serves, and in which order."""

import pytest

from django_tasks.routing import QueueSelection, is_queue_name

ALL = ["a", "b", "high", "mail", "mail-bulk", "mailer", "z"]


@pytest.mark.parametrize(
    ("text", "patterns"),
    [
        ("*", ("*",)),
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        (" a , mail* ,* ", ("a", "mail*", "*")),
        ("a,,b,", ("a", "b")),
        ("é/x:1", ("é/x:1",)),
    ],
)
def test_parsing(text, patterns):
    """Commas separate; spaces around names do not count."""
    assert QueueSelection.parse(text).patterns == patterns
    assert str(QueueSelection.parse(text)) == ",".join(patterns)


@pytest.mark.parametrize("text", ["a b", "*a", "a*b", "**", "a\nb", "x" * 101, "ok,mail *"])
def test_what_can_be_no_queue_name_is_refused(text):
    """The message names the part and the rule."""
    with pytest.raises(ValueError, match="is no queue name"):
        QueueSelection.parse(text)


@pytest.mark.parametrize("text", ["", " ", ",", " , "])
def test_no_queue_at_all_is_refused(text):
    """A worker that serves nothing is a mistake."""
    with pytest.raises(ValueError, match="name at least one queue"):
        QueueSelection.parse(text)


@pytest.mark.parametrize(
    ("text", "served"),
    [
        ("*", ALL),
        ("z,a", ["z", "a"]),
        ("mail*", ["mail", "mail-bulk", "mailer"]),
        ("mail-*", ["mail-bulk"]),
        ("high,*", ["high", "a", "b", "mail", "mail-bulk", "mailer", "z"]),
        ("mail*,mail", ["mail", "mail-bulk", "mailer"]),
        ("mailer,mail*", ["mailer", "mail", "mail-bulk"]),
        ("unknown", []),
        ("unknown,b", ["b"]),
        ("a,a", ["a"]),
    ],
)
def test_serving_order(text, served):
    """As given; within one pattern by name; each queue once."""
    selection = QueueSelection.parse(text)

    assert selection.ordered(ALL) == served
    assert selection.ordered(list(reversed(ALL))) == served
    assert {name for name in ALL if selection.matches(name)} == set(served)


def test_queues_of_a_pattern_take_turns():
    """Each turn starts with the next one, so that none starves; fixed places stay."""
    selection = QueueSelection.parse("high,mail*")
    first = [selection.ordered(ALL, turn)[1] for turn in range(4)]

    assert first == ["mail", "mail-bulk", "mailer", "mail"]
    assert {selection.ordered(ALL, turn)[0] for turn in range(4)} == {"high"}


@pytest.mark.parametrize(
    ("text", "only"),
    [
        ("a", "a"),
        ("a,b", None),
        ("*", None),
        ("a*", None),
        ("a,*", None),
    ],
)
def test_selections_without_patterns(text, only):
    """One fixed queue needs no look for queues at all."""
    selection = QueueSelection.parse(text)

    assert selection.only_queue == only


def test_default_serves_every_queue():
    """No --queues: all."""
    assert QueueSelection().ordered(ALL) == ALL


@pytest.mark.parametrize("name", ["a", "A.b-c_d/e:1#x", "é", "漢字", "x" * 100])
def test_queue_names(name):
    """Anything short without spaces, commas and stars."""
    assert is_queue_name(name)


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a,b", "*", "a*", "\t", "a\n", "\0", "x" * 101, None, 5, b"a", ["a"]]
)
def test_no_queue_names(name):
    """Not even those that only end in a line break."""
    assert not is_queue_name(name)
