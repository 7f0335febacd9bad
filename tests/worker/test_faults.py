"""What is taken for an outage of the database, and what for one odd value or row."""

import logging

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from django_tasks.redaction.exceptions import summary
from django_tasks.runtime.duties import Duties, Duty
from django_tasks.runtime.faults import is_outage
from django_tasks.runtime.outages import Outage
from django_tasks.worker.engine.calls import EngineCalls

CANARY = "canary-3366"
#: Statements about a table of its own, and the number of MySQL that each must end with.
ODD = {
    1267: ("SELECT 1 FROM odd WHERE name = %s", "\N{PILE OF POO}"),
    1292: ("INSERT INTO odd (at) VALUES (%s)", CANARY),
    1365: ("UPDATE odd SET number = number / %s", 0),
    1366: ("INSERT INTO odd (name) VALUES (%s)", "\N{PILE OF POO}"),
    1367: ("INSERT INTO odd (number) VALUES (1e999 + %s)", 0),
    1644: ("INSERT INTO odd (name) VALUES (%s)", CANARY),
    4025: ("UPDATE odd SET number = %s", -1),
}
REFUSED = OperationalError(1366, f"Incorrect string value: '{CANARY}'")
LOST = OperationalError(2013, "Lost connection to MySQL server during query")


@pytest.fixture
def odd():
    """A table that refuses what its server, which is well, cannot take."""
    statements = (
        "CREATE TABLE odd (name VARCHAR(40) CHARACTER SET utf8mb3, at DATETIME,"
        " number DOUBLE, CHECK (number >= 0))",
        "INSERT INTO odd (number) VALUES (1)",
        "CREATE TRIGGER picky BEFORE INSERT ON odd FOR EACH ROW"
        f" IF NEW.name = '{CANARY}' THEN"
        f" SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{CANARY}'; END IF",
    )
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS odd")
        for statement in statements:
            cursor.execute(statement)
        yield cursor
        cursor.execute("DROP TABLE odd")


@pytest.mark.skipif(connection.vendor != "mysql", reason="numbers of MySQL and MariaDB")
@pytest.mark.parametrize("number", ODD)
def test_value_that_mysql_refuses_is_no_outage(odd, number):
    """Whichever class its driver files it under; and no log quotes it."""
    statement, value = ODD[number]
    if number in (1367, 4025) and not connection.mysql_is_mariadb:
        pytest.skip("MySQL has another number")

    with pytest.raises(DatabaseError) as caught:
        odd.execute(statement, [value])

    assert caught.value.args[0] == number
    assert not is_outage(caught.value)
    assert CANARY not in summary(caught.value)


@pytest.mark.parametrize("number", [1021, 1040, 1053, 1153, 1205, 1213, 1290, 1927, 2006, 2013])
def test_what_may_pass_is_an_outage(number):
    """Full, overcrowded, stopped, locked, read-only or lost."""
    assert is_outage(OperationalError(number, "said by MySQL"))


def test_other_errors_are_told_by_their_class():
    """PostgreSQL and SQLite put no number first."""
    assert is_outage(OperationalError("server closed the connection unexpectedly"))
    assert is_outage(InterfaceError())
    assert not is_outage(ValueError("of the worker's own"))


def failing(error):
    def odd_one():
        raise error

    return odd_one


@pytest.mark.parametrize("error", [REFUSED, LOST])
def test_only_an_outage_has_all_duties_wait(error, caplog):
    """A duty that meets an odd value is logged by name, and tried again at its next time."""
    done = []
    outage = Outage("the task database")
    odd = Duty(failing(error), 60.0)
    duties = Duties("keeper", [odd, Duty(lambda: done.append("the next"), 60.0)], "default", outage)

    with caplog.at_level(logging.WARNING, "django_tasks"):
        goes_on = duties.do_due()

    is_lost = error is LOST
    assert goes_on is not is_lost
    assert done == ([] if is_lost else ["the next"])
    assert (outage.since is not None) is is_lost
    [record] = caplog.records
    said = "Lost the task database" if is_lost else "The keeper's duty odd_one failed."
    assert record.getMessage().startswith(said)
    assert CANARY not in caplog.text


def test_call_that_meets_an_odd_value_is_answered():
    """It would be done again for ever, and nothing else in the meantime."""
    calls = EngineCalls()
    refused, after = calls.add(failing(REFUSED)), calls.add(lambda: "done")

    calls.run()

    assert refused.exception() is REFUSED
    assert after.result() == "done"


def test_call_that_meets_an_outage_is_kept():
    calls = EngineCalls()
    kept = calls.add(failing(LOST))

    with pytest.raises(OperationalError):
        calls.run()

    assert len(calls) == 1
    assert not kept.done()
