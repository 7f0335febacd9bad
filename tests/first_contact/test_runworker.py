"""What `runworker` says to a queue that is misspelt, and with -v."""

import re

import pytest

from django_tasks.routing import QueueSelection


@pytest.fixture
def ready(project):
    """A migrated project with one task that is ready."""
    assert project.run("migrate").returncode == 0
    project.append("hello/tasks.py", "@task(queue_name='mail')\ndef send(): pass")
    code = "from hello.tasks import add; add.enqueue(1, 2)"
    assert project.run("shell", "-v0", "-c", code).returncode == 0
    return project


@pytest.mark.parametrize(
    ("queues", "unknown"),
    [
        ("*", []),
        ("default,mail", []),
        ("ma*,*", []),
        ("defualt,mail", ["defualt"]),
        ("mial*,default", ["mial*"]),
    ],
)
def test_names_and_prefixes_that_fit_no_known_queue(queues, unknown):
    assert QueueSelection.parse(queues).not_among(["default", "mail"]) == unknown


def test_a_misspelt_queue_is_warned_about_with_the_known_names(ready):
    code, said = ready.said("runworker", "--burst", "-c", 1, "--queues", "defualt,mail")

    assert code == 0
    assert (
        "WARNING --queues has 'defualt', but neither QUEUES in TASKS['default'] nor a task names"
        " such a queue, did you mean 'default'? Known: default, mail.\n"
    ) in said
    assert said.count("WARNING") == 1


def lines_of(project, verbosity):
    code, said = project.said("runworker", "--burst", "-c", 1, "-v", verbosity)
    assert code == 0
    return said


def test_each_verbosity_says_more(ready):
    said = {}
    for verbosity in (0, 1, 2, 3):
        code = "from hello.tasks import add; add.enqueue(1, 2)"
        assert ready.run("shell", "-v0", "-c", code).returncode == 0
        said[verbosity] = lines_of(ready, verbosity)

    task = r"hello\.tasks\.add [0-9a-f-]{36}"
    assert said[0] == ""
    assert re.search(rf"^[0-9:]{{8}} INFO {task} succeeded in", said[1], re.MULTILINE)
    assert "claimed" not in said[1]
    claimed = rf"{task} claimed from queue default, attempt 1$"
    assert re.search(rf"^[0-9:]{{8}} DEBUG {claimed}", said[2], re.MULTILINE)
    who = r"django_tasks\.worker\[\d+\]"
    assert re.search(rf"^[0-9:]{{8}}\.\d{{3}} DEBUG {who} {claimed}", said[3], re.MULTILINE)
    assert re.search(rf"INFO {who} {task} succeeded in", said[3])
