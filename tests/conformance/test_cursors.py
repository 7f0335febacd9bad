"""A connection that claims keeps its cursor; others make one per statement, as Django does."""

from unittest import mock

import pytest
from django.db import connection, connections

from tests.conformance.steps import IS_POSTGRESQL, claimer, ids_of, make

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not IS_POSTGRESQL, reason="where a cursor is dear"),
]


@pytest.fixture
def own_line():
    """Stand a new connection in for this thread's, and count the cursors that it makes."""
    line = connection.copy()
    before, connections["default"] = connections["default"], line
    with mock.patch.object(line, "create_cursor", wraps=line.create_cursor) as made:
        line.made = made
        yield line
    line.close()
    connections["default"] = before


def test_claims_share_one_cursor_per_line(own_line):
    """The server may go and come back: the cursor of a line that is gone is not used again."""
    claiming = claimer()
    claiming.dialect.prepare_claiming_connection(own_line)
    made = make(3)

    claimed = claiming.claim(1)
    own_line.made.reset_mock()
    claimed += claiming.claim(1)
    assert own_line.made.call_count == 0

    own_line.close()
    claimed += claiming.claim(1)

    assert ids_of(claimed) == made
    assert own_line.made.call_count == 1


def test_cursors_of_others_are_not_kept(own_line):
    claiming = claimer()
    make(2)
    own_line.made.reset_mock()

    claiming.claim(1)
    claiming.claim(1)

    assert own_line.made.call_count == 2
