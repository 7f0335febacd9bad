"""JSON of arguments and results: what is accepted comes back equal, the rest is refused by name."""

import enum
import json
import math
import traceback
import uuid
from array import array
from collections import (
    OrderedDict,
    UserDict,
    UserList,
    UserString,
    defaultdict,
    deque,
    namedtuple,
)
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import pytest
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from django_tasks import serializers
from django_tasks.models import TaskRecord
from tests.tasks import echo

try:
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
except ImportError:
    given = None

LIMIT = 1 << 20
SECRET = "correct horse battery staple"

Point = namedtuple("Point", "x y")


class Colour(enum.IntEnum):
    RED = 1


class Level(enum.StrEnum):
    HIGH = "high"


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Plain(enum.Enum):
    A = 1


class Name(str):
    pass


class Metres(float):
    """As the scalars of numeric libraries are: a number that says something else of itself."""

    def __repr__(self):
        return f"Metres({float(self)})"


class Count(int):
    __str__ = __repr__ = lambda self: "many"


class Lines(list):
    pass


@dataclass
class Data:
    a: int = 1


class Model:
    def __repr__(self):
        return SECRET


def dumps(value, limit=LIMIT):
    return serializers.dumps(value, "args", limit)


def nested(levels, inner=0):
    value = inner
    for _ in range(levels):
        value = [value]
    return value


SAME = [
    None,
    True,
    False,
    0,
    -1,
    2**63,
    -(2**200),
    10**4299,
    0.1,
    -0.0,
    1e308,
    5e-324,
    "",
    "plain",
    "é ß 漢字 \N{GRINNING FACE}",
    "quote \" backslash \\ slash / percent %s braces {} 'single'",
    "\\u0000 \\ud800 are only backslashes here",
    "\x01\x1f\x7f\u2028\u2029\ufeff\uffff\U0010ffff",
    "line\r\nbreak\ttab",
    "x" * 100_000,
    [],
    {},
    [[], {}, [None]],
    {"": 1, "a b": {"c": [1, 2, {"d": None}]}},
    {"b": 1, "a": 2},
    nested(63),
    [[0]] * 5000,
]


@pytest.mark.parametrize("value", SAME, ids=lambda v: repr(v)[:20])
def test_json_values_come_back_equal(value):
    """Everything that JSON has, at any size and depth that is allowed."""
    text = dumps(value)
    back = serializers.loads(text)

    assert back == value
    assert type(back) is type(value)
    assert text.isascii()
    if isinstance(value, float):
        assert math.copysign(1, back) == math.copysign(1, value)


def test_key_order_is_kept():
    """The text is the value: databases' own JSON types would sort or drop keys."""
    assert list(serializers.loads(dumps({"b": 1, "a": 2, "c": 3}))) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        (Point(1, 2), [1, 2]),
        (range(3), [0, 1, 2]),
        (Colour.RED, 1),
        (Name("n"), "n"),
        (mark_safe("<b>"), "<b>"),
        (b"bytes \xc3\xa9", "bytes é"),
        (OrderedDict(a=1), {"a": 1}),
        (UserDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (UserList([1]), [1]),
        (deque([1, (2,)]), [1, [2]]),
        (array("i", [1, 2]), [1, 2]),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (Level.HIGH, "high"),
        (Flags.A | Flags.B, 3),
        (Metres(1.5), 1.5),
        (Count(7), 7),
        (Lines(["a"]), ["a"]),
        (10**4000, 10**4000),
        (-0.0, 0.0),
        ({1: "a", 2: "b"}, {"1": "a", "2": "b"}),
        ({None: 1, True: 2, 1.5: 3}, {"null": 1, "true": 2, "1.5": 3}),
        ({"a": (1,)}, {"a": [1]}),
    ],
    ids=lambda v: repr(v)[:24],
)
def test_lookalikes_become_what_json_has(value, stored):
    """
    As docs/reference/task.md lists it: sequences are lists, mappings dicts, UTF-8 is text.

    Subclasses of text and numbers become those, whatever they say of themselves.
    """
    assert serializers.loads(dumps(value)) == stored


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({1, 2}, "args"),
        (frozenset(), "args"),
        (object(), "args"),
        (Model(), "args"),
        (Decimal("1.5"), "args"),
        (Fraction(1, 2), "args"),
        (1j, "args"),
        (datetime.now(UTC), "args"),
        (date.today(), "args"),
        (time(1, 2), "args"),
        (timedelta(1), "args"),
        (uuid.uuid4(), "args"),
        (gettext_lazy("lazy"), "args"),
        (ValueError("x"), "args"),
        (len, "args"),
        (int, "args"),
        ((n for n in ()), "args"),
        (b"\xff\xfe", "args"),
        (bytearray(b"ab"), "args"),
        ([0, memoryview(b"ab")], "args[1]"),
        ({"a": bytearray()}, "args.a"),
        (UserString("text"), "args"),
        (Plain.A, "args"),
        (Data(), "args"),
        (Path("x"), "args"),
        ({}.keys(), "args"),
        ([0, {"when": date.today()}], "args[1].when"),
        ([[], [0, 0, {1}]], "args[1][2]"),
        ({"a": {"b": [Model()]}}, "args.a.b[0]"),
        ({(1, 2): 3}, "a key of args"),
        ([{"deep": {b"k": 1}}], "a key of args[0].deep"),
        ({date(2020, 1, 1): 3}, "a key of args"),
    ],
    ids=lambda v: repr(v)[:24],
)
def test_foreign_types_are_refused_with_their_path(value, where):
    """TypeError says where the value is and of which type, and what to pass instead."""
    with pytest.raises(TypeError, match="Unsupported type") as caught:
        dumps(value)

    message = str(caught.value)
    assert f"{where} is of type" in message
    assert "Pass" in message or "must be text" in message


@pytest.mark.parametrize("value", [b"\xff", bytearray(b"ab"), memoryview(b"ab")])
def test_bytes_that_are_no_text_are_told_what_to_be(value):
    """They came back as a list of numbers, or not at all."""
    with pytest.raises(TypeError, match="Pass base64 text, or store the data elsewhere"):
        dumps([value])


@pytest.mark.parametrize("value", [datetime.now(UTC), date.today(), time(1, 2)])
def test_moments_are_told_what_to_be(value):
    with pytest.raises(TypeError, match=r"Pass its isoformat\(\)"):
        dumps([value])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [0, {"a": v}]])
def test_numbers_that_json_lacks_are_refused(value, wrap):
    """NaN and infinity would make text that no other JSON reader takes."""
    with pytest.raises(ValueError, match="JSON does not have") as caught:
        dumps(wrap(value))

    assert "args" in str(caught.value)


def test_nan_as_a_key_is_refused_with_its_path():
    """A float key is text in JSON; NaN and infinity are refused there too."""
    with pytest.raises(ValueError, match=r"args\[0\]"):
        dumps([{math.nan: 1}])


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({1: "a", "1": "b"}, "args"),
        ({"-1": "a", -1: "b"}, "args"),
        ({"1.5": "a", 1.5: "b"}, "args"),
        ({True: "a", "true": "b"}, "args"),
        ({"x": 0, "false": "a", False: "b"}, "args"),
        ({None: "a", "null": "b"}, "args"),
        ({Colour.RED: "a", "1": "b"}, "args"),
        ([0, {"a": [{1: "a", "1": "b"}]}], "args[1].a[0]"),
        (MappingProxyType({1: "a", "1": "b"}), "args"),
        ({"a": ({10**18: 1, str(10**18): 2},)}, "args.a[0]"),
    ],
    ids=repr,
)
def test_keys_that_become_the_same_are_refused(value, where):
    """{1: 'a', '1': 'b'} cannot come back: refused rather than halved."""
    with pytest.raises(ValueError, match="two keys that JSON writes as the same") as caught:
        dumps(value)

    assert str(caught.value).startswith(f"{where} has two keys")


def test_keys_that_look_like_numbers_are_text():
    """Text that reads as a number is as good a key as any."""
    value = {"1": "a", "01": "b", "1.0": "c", "true": 1, "null": 2, "-": 3}

    assert serializers.loads(dumps(value)) == value
    assert dumps({1: {"true": 1, None: 2}}) == '{"1":{"true":1,"null":2}}'


@pytest.mark.parametrize(
    ("value", "where"),
    [("\0", "args"), (["a\0b"], "args[0]"), ({"k": "\0"}, "args.k"), ({"\0": 1}, "a key of args")],
)
def test_nul_is_refused(value, where):
    """PostgreSQL has no NUL in text: the same answer on every database."""
    with pytest.raises(ValueError, match="NUL") as caught:
        dumps(value)

    assert where in str(caught.value)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ("\ud800", "args"),
        ("a\udfffb", "args"),
        (["\udcff"], "args[0]"),
        ({"\ud800": 1}, "a key of args"),
        ("\udc00\ud800", "args"),
    ],
)
def test_lone_surrogates_are_refused(value, where):
    """They are no text: UTF-8 has no way to write them."""
    with pytest.raises(ValueError, match="surrogate") as caught:
        dumps(value)

    assert where in str(caught.value)


def test_depth_is_limited():
    """64 levels, on any database; the error is ours and not a RecursionError."""
    assert serializers.loads(dumps(nested(serializers.MAX_DEPTH))) == nested(64)
    for levels in (serializers.MAX_DEPTH + 1, 500, 100_000):
        with pytest.raises(ValueError, match="deeper than 64 levels"):
            dumps(nested(levels))


def test_brackets_in_text_are_no_depth():
    """Only structure counts."""
    assert serializers.loads(dumps("[{" * 1000)) == "[{" * 1000


def test_cycles_are_refused():
    """A list or dict that contains itself is endlessly deep."""
    ring = []
    ring.append(ring)
    loop = {}
    loop["a"] = [loop, loop]
    for value in (ring, loop):
        with pytest.raises(ValueError, match="deeper than"):
            dumps(value)


def test_shared_values_are_no_cycles():
    """The same object twice is written twice."""
    shared = {"a": 1}

    assert serializers.loads(dumps([shared, shared])) == [shared, shared]


@pytest.mark.parametrize("value", [10**4300, -(10**5000), [10**4300]], ids=["big", "-", "inside"])
def test_integers_that_python_would_not_read_back_are_refused(value):
    """Python limits the digits of integers that it reads from text."""
    with pytest.raises(ValueError, match="too many digits"):
        dumps(value)


def test_size_is_limited():
    """The limit is in bytes of JSON; the error names both sizes and the way out."""
    dumps("x" * 98, limit=100)

    with pytest.raises(ValueError, match="101 bytes of JSON, more than the 100 allowed") as caught:
        dumps("x" * 99, limit=100)

    assert "pass its id" in str(caught.value)
    with pytest.raises(ValueError, match="bytes of JSON"):
        dumps("é" * 17, limit=100)  # six bytes each


@pytest.mark.parametrize(
    "value",
    [
        Model(),
        {SECRET},
        [SECRET.encode() + b"\xff"],
        f"{SECRET}\0",
        f"{SECRET}\ud800",
        {"k": [f"{SECRET}\0"]},
        nested(70, SECRET),
        SECRET * 50_000,
        {"a": deque([SECRET])},
    ],
    ids=lambda v: type(v).__name__,
)
def test_errors_do_not_show_values(value):
    """Arguments may be secret: the message has names, types and sizes only."""
    with pytest.raises((TypeError, ValueError)) as caught:
        dumps(value if not isinstance(value, dict) or "a" not in value else {"a": {SECRET}})

    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True))


# --- through the real database ------------------------------------------------------------------


def stored(*args, **kwargs):
    """Enqueue, and return the arguments as the database gives them back."""
    result = echo.enqueue(*args, **kwargs)
    found = echo.get_result(result.id)
    assert (found.args, found.kwargs) == (result.args, result.kwargs)
    return found


@pytest.mark.django_db
def test_values_survive_the_database():
    """One task with every value of the list above, and one task each in bulk."""
    assert stored(*SAME).args == SAME
    results = echo.enqueue_many([([value], {"k": value}) for value in SAME])

    for result, value in zip(results, SAME, strict=True):
        assert echo.get_result(result.id).args == result.args == [value]
        assert echo.get_result(result.id).kwargs == {"k": value}


@pytest.mark.django_db
def test_a_megabyte_survives_the_database():
    """The largest arguments that are allowed."""
    value = "\\" + '"' * ((LIMIT - 20) // 2)

    assert stored(value).args == [value]


@pytest.mark.django_db
def test_refused_arguments_write_nothing():
    """The error comes before the row; the transaction of the caller goes on."""
    for args, kwargs in ([({1},), {}], [(), {"a": math.nan}], [("\0",), {}]):
        with pytest.raises((TypeError, ValueError)):
            echo.enqueue(*args, **kwargs)

    assert not TaskRecord.objects.exists()
    stored("fine")


if given is None:

    @pytest.mark.skip(reason="hypothesis is not installed: no property-based round trips")
    def test_any_json_survives_the_database():
        """Any JSON value comes back equal from the database."""

else:
    numbers = st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False)
    texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
    values = st.recursive(
        st.none() | st.booleans() | numbers | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=20,
    )
    anything = st.recursive(
        st.none() | st.floats() | st.text() | st.binary(max_size=9) | st.dates() | st.decimals(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.tuples(inner, inner)
            | st.dictionaries(st.text() | st.integers() | st.floats(), inner, max_size=4)
        ),
        max_leaves=10,
    )
    quick = settings(
        max_examples=80,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    @pytest.mark.django_db
    @quick
    @given(args=st.lists(values, max_size=4), kwargs=st.dictionaries(texts, values, max_size=3))
    def test_any_json_survives_the_database(args, kwargs):
        """Any JSON value comes back equal from the database."""
        [result] = echo.enqueue_many([(args, kwargs)])
        found = echo.get_result(result.id)

        assert (found.args, found.kwargs) == (args, kwargs)

    @quick
    @given(value=anything)
    def test_anything_is_stored_or_refused(value):
        """No input makes an error of another kind, or text that cannot be read back."""
        try:
            text = dumps(value)
        except (TypeError, ValueError) as error:
            assert "args" in str(error)
        else:
            again = serializers.loads(text)
            assert serializers.loads(dumps(again)) == again
            assert json.dumps(again, allow_nan=False)
