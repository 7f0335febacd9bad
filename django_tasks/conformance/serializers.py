"""What backends and workers rely on in a serializer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..definitions.codecs import Serializer
from ..runtime.extensions import load_class
from ..serializers import dumps, loads

if TYPE_CHECKING:
    from unittest import TestCase as _TestCase
else:
    _TestCase = object

#: What schedules have, and tasks that were enqueued before there was a serializer.
PLAIN: Sequence[Any] = (
    None,
    True,
    0,
    -1.5,
    "",
    "text",
    [],
    {},
    [1, ["a", None]],
    {"a": {"b": [1, {}]}},
)


class SerializerConformance(_TestCase):
    """Encodes and decodes values by a serializer, for a `unittest.TestCase`."""

    #: As ``OPTIONS["serializer"]``: the dotted path of the class.
    serializer: str
    #: Values that JSON does not have, of each kind that it encodes.
    values: Sequence[Any]

    def setUp(self) -> None:
        """Make the serializer as a backend does."""
        super().setUp()
        self.in_use: Serializer = load_class("serializer", self.serializer, Serializer)()

    def through(self, value: Any) -> Any:
        """Return what comes back of a value from the database."""
        return self.in_use.decode(loads(dumps(self.in_use.encode(value), "value", 1 << 20)))

    def test_values_come_back_equal_and_of_their_type(self) -> None:
        """Alone, and within lists and dicts."""
        for value in self.values:
            for given in (value, [value, 1], {"a": {"b": [value]}}):
                with self.subTest(given=given):
                    self.assertEqual(self.through(given), given)
            with self.subTest(type_of=value):
                self.assertIs(type(self.through(value)), type(value))

    def test_what_is_encoded_is_plain_json(self) -> None:
        """Without anything that JSON would change or refuse."""
        for value in self.values:
            with self.subTest(value=value):
                encoded = self.in_use.encode(value)
                self.assertEqual(json.loads(json.dumps(encoded, allow_nan=False)), encoded)

    def test_plain_json_comes_through_unchanged(self) -> None:
        """Both ways: arguments of schedules and of older tasks are read with it, too."""
        for value in PLAIN:
            with self.subTest(value=value):
                self.assertEqual(self.in_use.encode(value), value)
                self.assertEqual(self.in_use.decode(value), value)

    def test_what_was_given_is_not_changed(self) -> None:
        """The caller goes on to use its lists and dicts."""
        for value in self.values:
            given = {"a": [value]}
            self.in_use.encode(given)
            self.assertEqual(given, {"a": [value]})
