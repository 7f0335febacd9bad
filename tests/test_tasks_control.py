"""tasks_control: pausing queues, stopping and scaling workers without a browser."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from django_tasks import control
from django_tasks.models import QueueState, WorkerRecord
from django_tasks.statuses import Status
from django_tasks.store.workers import queues
from tests.test_commands import make, make_worker

pytestmark = pytest.mark.django_db


def run(*arguments, command="tasks_control"):
    out = io.StringIO()
    call_command(command, *map(str, arguments), stdout=out, no_color=True)
    return out.getvalue()


def paused():
    return set(queues.paused_names("default", "default"))


# --- queues --------------------------------------------------------------------------------------


def test_pause_and_resume_say_what_changed():
    make(queue_name="mail")

    assert run("pause", "mail", "known-queue") == (
        "Paused queue 'mail'.\nPaused queue 'known-queue'.\nWorkers apply it within 1 s.\n"
    )
    assert paused() == {"mail", "known-queue"}
    assert run("pause", "mail") == "Queue 'mail' was paused already.\n"
    assert run("resume", "mail", "known-queue", "mail") == (
        "Resumed queue 'mail'.\nResumed queue 'known-queue'.\n"
    )
    assert run("resume", "mail") == "Queue 'mail' was not paused.\n"
    assert paused() == set()


def test_pauses_are_told_as_json():
    assert json.loads(run("pause", "default", "--json")) == {
        "queues": [{"name": "default", "changed": True}]
    }


def test_pause_tells_who_did_it():
    run("pause", "default")

    assert "@" in QueueState.objects.get().paused_by


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_unknown_queue_is_refused_and_nothing_changes(action):
    """A pause that is misspelt would look like one that works."""
    make(queue_name="mail")
    with pytest.raises(CommandError, match=r"names a queue 'mial', did you mean 'mail'\?"):
        run(action, "mail", "mial")
    with pytest.raises(CommandError, match="is no queue name") as error:
        run(action, "mail*")

    assert error.value.returncode == 2
    assert paused() == set()


def test_queue_that_nobody_knows_yet_is_paused_on_demand():
    assert "Paused queue 'later'" in run("pause", "--any-name", "later")
    assert run("resume", "later") == "Resumed queue 'later'.\n"


def test_queues_are_known_by_settings_tasks_and_workers():
    make(Status.SCHEDULED, queue_name="scheduled")
    make(Status.RUNNING, queue_name="running")
    make_worker(queues="served,prefix*")

    run("pause", "default", "known-queue", "scheduled", "running", "served")

    assert len(paused()) == 5


# --- workers -------------------------------------------------------------------------------------


def test_worker_is_stopped_by_name_or_by_its_id():
    one, other = make_worker(), make_worker(pid=12)

    assert run("stop", "host1:4711", str(other.id)[:8]) == (
        "Asked host1:4711 to stop: within 1 s it claims no more, and then ends.\n"
        "Asked host1:12 to stop: within 1 s it claims no more, and then ends.\n"
    )
    assert WorkerRecord.objects.filter(stop_requested_at__isnull=False).count() == 2
    assert run("stop", one.id) == "host1:4711 is stopping already.\n"


def test_worker_is_scaled():
    worker = make_worker(max_concurrency=16)

    assert run("scale", "host1:4711", 8) == "Asked host1:4711 to have 8 slots instead of 4.\n"
    assert WorkerRecord.objects.get().wanted_concurrency == 8
    assert "or was asked for them before" in run("scale", "host1:4711", 8)
    assert json.loads(run("scale", "host1:4711", 2, "--json")) == {
        "workers": [{"id": str(worker.id), "worker": "host1:4711", "changed": True}]
    }


def test_refusal_is_told_and_the_others_are_asked():
    make_worker(pid=1, lease=-60.0)
    make_worker(pid=2)

    with pytest.raises(CommandError, match="host1:1 is dead") as error:
        run("stop", "host1:1", "host1:2")

    assert error.value.returncode == 1
    assert WorkerRecord.objects.get(stop_requested_at__isnull=False).pid == 2


@pytest.mark.parametrize(
    ("wanted", "words"), [(17, "1 to 16 slots while it runs, not 17"), (0, "not 0")]
)
def test_impossible_size_is_refused(wanted, words):
    make_worker(max_concurrency=16)
    with pytest.raises(CommandError, match=words):
        run("scale", "host1:4711", wanted)


def test_worker_must_be_one():
    """Unknown, ambiguous, or a beat: nothing is asked of anybody."""
    make_worker()
    make_worker()
    make_worker(pid=3, pool="beat")

    for text, words in [
        ("host1:4712", r"No worker is called 'host1:4712', did you mean 'host1:4711'\?"),
        ("host1:4711", "may be any of host1:4711 .*, host1:4711 .*: give more of the id"),
        ("host1:3", "No worker is called 'host1:3'"),
        ("", "No worker is called ''"),
    ]:
        with pytest.raises(CommandError, match=words):
            run("stop", text)
    assert not WorkerRecord.objects.filter(stop_requested_at__isnull=False).exists()


# --- what tasks_inspect and tasks_purge make of it -----------------------------------------------


def test_inspect_shows_pauses_and_requests():
    make_worker(max_concurrency=16)
    queues.pause("default", "default", "mail", "anna")
    queues.pause("default", "other", "fax")
    run("scale", "host1:4711", 8)

    printed = run(command="tasks_inspect")

    assert "s by anna\n" in printed
    assert "(backend other)" in printed
    assert "4, 8 wanted" in printed
    document = json.loads(run("--json", command="tasks_inspect"))
    by_name = {queue["name"]: queue["paused"] for queue in document["queues"]}
    assert [(p["backend"], p["by"]) for p in by_name["mail"]] == [("default", "anna")]
    assert by_name["default"] == []
    assert [worker["wanted"] for worker in document["workers"]] == [8]


def test_inspect_shows_that_a_worker_was_asked_to_stop():
    make_worker()
    run("stop", "host1:4711")

    [worker] = json.loads(run("--json", command="tasks_inspect"))["workers"]
    assert worker["state"] == "stopping"


def test_purge_leaves_the_tasks_of_other_backends():
    """Backends may share a database, and the names of their queues."""
    make(queue_name="mail")
    make(queue_name="mail", backend="other")

    assert run("mail", "--yes", command="tasks_purge") == "Deleted 1 task of queue 'mail'.\n"
    assert "has no waiting tasks" in run("mail", "--yes", command="tasks_purge")


# --- from Python ---------------------------------------------------------------------------------


def test_control_from_python():
    worker = make_worker(max_concurrency=16)

    assert control.pause_queue("mail", by="deploy")
    assert not control.pause_queue("mail")
    assert control.paused_queues() == {"mail"}
    assert control.resume_queue("mail")
    assert control.scale_worker(worker.id, 2)
    assert control.stop_worker(worker.id, by="deploy")
    with pytest.raises(control.RequestRefused, match="is stopping"):
        control.scale_worker(worker.id, 3)
    with pytest.raises(ValueError, match="is no queue name"):
        control.pause_queue("a b")
