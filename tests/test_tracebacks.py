"""Tracebacks as text: those of the standard library to the byte, made once per place."""

import importlib.util
import sys
import traceback
from functools import partial

import pytest

from django_tasks.redaction import tracebacks
from django_tasks.redaction.tracebacks import text_of


@pytest.fixture(autouse=True)
def frames(monkeypatch):
    """Begin without any frames that other tests left."""
    kept = {}
    monkeypatch.setattr(tracebacks, "_frames", kept)
    return kept


def nested(depth, fail):
    if depth:
        return nested(depth - 1, fail) + 1
    return fail()


def value_error():
    raise ValueError("ünïcode\nin lines")


def operator():
    return 1 + {"ä": 1}["ä"] / (2 - 2)


def call_over_lines():
    return int(
        "not"
        + " a"
        + " number",
        base=10,
    )  # fmt: skip


def wide_characters():
    return "漢字" + "漢字" + 1


def unsaid():
    raise ValueError


def noted():
    error = ValueError("said")
    error.add_note("one\ntwo")
    error.add_note("three")
    raise error


def odd_notes():
    error = ValueError("said")
    error.__notes__ = 5
    raise error


def misspelt_attribute():
    return "".uper()


def misspelt_name():
    misspelt_nam  # noqa: B018, F821


def missing_import():
    from os import pth  # noqa: F401


def module_without_import():
    xml.dom  # noqa: B018, F821


def syntax_error():
    compile("a = = 1", "some.py", "exec")


def syntax_error_without_text():
    raise SyntaxError("odd", (None, None, None, None))


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError


def unspeakable():
    raise Unspeakable


class Exiting(Exception):
    def __str__(self):
        raise SystemExit


def exiting():
    raise Exiting


class Said(str):
    def __str__(self):
        return self

    def __format__(self, spec):
        return "formatted"


class OddlySaid(Exception):
    def __str__(self):
        return Said("oddly said")


def oddly_said():
    raise OddlySaid


def nowhere():
    raise type("Nowhere", (Exception,), {"__module__": 5})("said")


def in_main():
    raise type("Script", (Exception,), {"__module__": "__main__"})("said")


def caused():
    try:
        operator()
    except ZeroDivisionError as error:
        raise ValueError("caused") from error


def in_context():
    try:
        caused()
    except ValueError:
        raise TypeError("in a context")  # noqa: B904


def suppressed():
    try:
        caused()
    except ValueError:
        raise TypeError("alone") from None


def cycle():
    first, second = ValueError(1), ValueError(2)
    first.__cause__, second.__cause__ = second, first
    raise first


def group():
    members = [raised_by(fail) for fail in (in_context, noted, syntax_error)]
    try:
        raise ExceptionGroup("inner", members)
    except ExceptionGroup as inner:
        raise BaseExceptionGroup("outer", [inner, KeyboardInterrupt(), *members]) from members[0]


def wide_group():
    raise ExceptionGroup("wide", [raised_by(value_error) for _ in range(20)])


def deep_group():
    error = raised_by(value_error)
    for number in range(15):
        error = ExceptionGroup(f"{number}", [error])
    raise error


def recursion():
    nested(1000000, value_error)


def lambdas():
    one, other = lambda: 1 / 0, lambda fail: fail()
    other(lambda: other(lambda: other(lambda: other(lambda: other(one)))))


def generated():
    exec("def f():\n    1 / 0\nf()")


def comprehended():
    return [1 / number for number in (1, 0)]


def raised_again():
    error = raised_by(value_error)
    for _ in range(3):
        try:
            raise error
        except ValueError:
            pass
    raise error


def raised_by(fail):
    """Return what `fail` raises, with its traceback."""
    try:
        fail()
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("nothing was raised")


SHAPES = [
    value_error, operator, call_over_lines, wide_characters, unsaid, noted, odd_notes,
    misspelt_attribute, misspelt_name, missing_import, module_without_import, syntax_error,
    syntax_error_without_text, unspeakable, exiting, oddly_said, nowhere, in_main, caused,
    in_context, suppressed, cycle, group, wide_group, deep_group, recursion, lambdas, generated,
    comprehended, raised_again,
]  # fmt: skip


def expected(exception):
    return "".join(traceback.format_exception(exception))


@pytest.mark.parametrize("fail", SHAPES)
@pytest.mark.parametrize("depth", [0, 2, 3, 4, 50])
def test_texts_are_those_of_the_standard_library(fail, depth):
    """The first time, and again from what is kept."""
    error = raised_by(lambda: nested(depth, fail))
    for _ in range(2):
        assert text_of(error) == expected(error)
    again = raised_by(lambda: nested(depth, fail))
    assert text_of(again) == expected(again)


@pytest.mark.parametrize("error", [ValueError("x"), KeyError(), SystemExit(1), SyntaxError("x")])
def test_exceptions_need_not_have_been_raised(error):
    assert text_of(error) == expected(error)


def test_limits_of_tracebacks_are_kept(monkeypatch):
    error = raised_by(lambda: nested(5, value_error))
    for limit in (0, 2, -1):
        monkeypatch.setattr(sys, "tracebacklimit", limit, raising=False)
        assert text_of(error) == expected(error)


def test_tracebacks_may_be_cut():
    error = raised_by(lambda: nested(5, value_error))
    error.__traceback__ = error.__traceback__.tb_next.tb_next
    assert text_of(error) == expected(error)


def test_places_are_told_apart():
    """Instructions on one line, and codes that are equal but for their files."""
    for number in (0, 1):
        error = raised_by(lambda: (1 / number) + [][number])  # noqa: B023
        assert text_of(error) == expected(error)
    for number in range(20):
        code = compile("1 / 0", f"{number}.py", "exec")
        assert f'File "{number}.py", line 1' in text_of(raised_by(partial(exec, code)))
        del code  # its address is free for the next


def test_reloaded_modules_show_their_new_source(tmp_path):
    file = tmp_path / "reloaded.py"
    for body in ("1 / 0", "1 /  0  # changed"):
        file.write_text(f"def fail():\n    return {body}\n")
        spec = importlib.util.spec_from_file_location("reloaded", file)
        module = importlib.util.module_from_spec(spec)
        exec(compile(file.read_text(), str(file), "exec"), vars(module))
        error = raised_by(module.fail)
        assert text_of(error) == expected(error)
        assert body in text_of(error)


def test_a_failure_in_the_same_place_is_not_read_again(monkeypatch):
    text_of(raised_by(in_context))
    monkeypatch.setattr(traceback, "extract_tb", None)

    assert "in a context" in text_of(raised_by(in_context))


def test_few_frames_are_kept(frames, monkeypatch):
    """Code that is made anew for each task would otherwise fill the memory."""
    monkeypatch.setattr(tracebacks, "MOST_FRAMES", 10)
    for _ in range(20):
        error = raised_by(lambda: exec("1 / 0"))
        assert text_of(error) == expected(error)
        assert len(frames) <= 10


def test_hostile_exceptions_raise_what_they_raise():
    class Hostile(Exception):
        @property
        def __cause__(self):
            raise RuntimeError("hostile")

    with pytest.raises(RuntimeError, match="hostile"):
        text_of(Hostile())
