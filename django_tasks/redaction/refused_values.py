"""Recognise errors of one value or row that MySQL drivers file under lost connections."""

from __future__ import annotations

#: By number, those that a driver raises as OperationalError though the server is well. Django makes
#: IntegrityErrors of 1048, 1690, 3819 and 4025, the broken constraints; PyMySQL has DataErrors for
#: some of these, mysqlclient for none. 1153 is not here: after it the connection is gone.
_NUMBERS = frozenset(
    {
        1267,  # a comparison with characters that the column's character set does not have
        1270,  # ... of three values,
        1271,  # ... or more
        1292,  # not a moment or number
        1300,  # invalid characters
        1301,  # a function's result is too long
        1365,  # division by zero
        1366,  # not of the column's type, or characters that it does not have
        1367,  # a number that cannot be read
        1411,  # ... or a moment, for a function
        1644,  # a trigger refused the row
        3140,  # invalid JSON
        3988,  # characters that the column's character set does not have
    }
)

# The slot of BaseException itself: no code of a subclass runs.
_arguments = vars(BaseException)["args"].__get__


def number_of(error: BaseException) -> int | None:
    """Return the number that MySQL and MariaDB put first."""
    first = next(iter(_arguments(error)), None)
    return first if isinstance(first, int) else None


def is_refusal(error: BaseException) -> bool:
    """Tell whether the number is one of a refused value: the text quotes it, no wait helps."""
    return number_of(error) in _NUMBERS
