"""Three hosts, worker, worker and database, and the cables between them."""

import time

import pytest

from tests.reliability import audit, hosts, tasks
from tests.reliability.databases import PostgreSQLDatabases
from tests.reliability.faults import Repeating
from tests.reliability.harness import wait_until

#: What happens to a cable, and how it is made good.
FAULTS = {
    "pulled": (hosts.Cable.pull, hosts.Cable.plug_in),
    "switched off": (hosts.Cable.switch_off, hosts.Cable.switch_on),
    "answers lost": (hosts.Cable.lose_answers, hosts.Cable.give_answers),
}
#: Seconds: the bodies that are to end while cut off must do so well within it.
LEASE = 5.0


@pytest.fixture(scope="module")
def network():
    hosts.require_namespaces()
    with hosts.Network() as network:
        yield network


@pytest.fixture(scope="module")
def databases(network, tmp_path_factory, django_db_blocker):
    """Databases on a host of its own, which is this process's host, too, in the meantime."""
    with network.database, hosts.DatabaseServer() as server, django_db_blocker.unblock():
        yield PostgreSQLDatabases(server, tmp_path_factory.mktemp("template"))


@pytest.mark.parametrize("fault", FAULTS)
def test_host_that_is_cut_off_is_replaced_once(project, network, fault):
    """Cut off past its lease: another rescues its tasks once, its results come too late."""
    cut, mend = FAULTS[fault]
    cable, other_cable = network.cables
    lonely = network.worker(project, cable, "--concurrency", 4, LEASE=LEASE)
    may_end, may_stop = project.directory / "may-end", project.directory / "may-stop"
    ending = project.enqueue(tasks.wait_for, ["ending-1", "ending-2"], str(may_end))
    running = project.enqueue(tasks.beat_until_there, ["running-1", "running-2"], str(may_stop))
    wait_until(lambda: project.ledger.count("start") == 4, "the bodies run")
    heir = network.worker(project, other_cable, "--concurrency", 4, LEASE=LEASE)

    cut(cable)
    may_end.touch()
    wait_until(lambda: project.ledger.count("end") == 2, "bodies end that cannot say so")
    meanwhile = project.enqueue(tasks.work, range(20))
    wait_until(lambda: project.ledger.count("start") == 28, "the other host takes over")
    may_stop.touch()
    project.drain()
    mend(cable)
    late = {key: ["LOST", "LATE"] for key in ending}
    wait_until(lambda: project.outcomes_of(ending) == late, "late results are refused")

    assert project.outcomes_of(running) == {key: ["LOST"] for key in running}
    for task_id in [*ending.values(), *running.values()]:
        row = project.records.get(pk=task_id)
        # Not its claims: one that may kill its process is given back until there is room for it.
        assert (row.status, row.lost, row.worker_id) == ("SUCCESSFUL", 1, heir.row.id)
    for key in running:
        assert_stopped_before_it_was_replaced(project.ledger, key)
    report = audit.check(project, ending | running | meanwhile)
    assert not report.mistakes, report.figures()
    assert heir.stop() == 0
    [after] = project.enqueue(tasks.work, ["after"]).values()
    wait_until(lambda: project.status(after) == "SUCCESSFUL", "the lonely host serves again")
    assert lonely.stop() == 0


def assert_stopped_before_it_was_replaced(ledger, key):
    """The first body wrote nothing any more when the second one started."""
    first, second = ledger.events("start", key)
    beats = [event.at for event in ledger.events("beat", key) if event.pid == first.pid]
    assert beats[-1] < second.at


def test_short_breaks_cost_nothing(project, network, is_full):
    """Cables that are pulled for moments, much shorter than a lease: each task runs once."""
    workers = [
        network.worker(project, cable, "--concurrency", 2, LEASE=30.0) for cable in network.cables
    ]
    rounds = 30 if is_full else 3
    acknowledged = project.enqueue(tasks.retried, range(rounds * 60), 0.05)

    def flap():
        for cable in network.cables:
            cable.pull()
            time.sleep(0.3)
            cable.plug_in()

    with Repeating(flap, 0.7) as repeating:
        wait_until(lambda: repeating.rounds >= rounds, "so many rounds", timeout=rounds * 3 + 60)
    project.drain()

    report = audit.check(project, acknowledged)
    assert not report.mistakes, report.figures()
    assert report.starts == report.tasks and not report.outcomes, report.figures()
    assert [worker.stop() for worker in workers] == [0, 0]
