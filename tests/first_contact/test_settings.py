"""What wrong settings say, and when nothing is set."""


def test_without_tasks_any_queue_may_be_named(project):
    project.append("hello/tasks.py", "@task(queue_name='emails')\ndef mail(): pass")

    assert project.said("check") == (0, "System check identified no issues (0 silenced).\n")
