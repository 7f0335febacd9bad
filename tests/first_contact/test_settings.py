"""What wrong settings say, and when nothing is set."""

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_tasks import InvalidTaskBackend, task
from tests.tasks import add

BACKEND = "django_tasks.backends.database.DatabaseBackend"
GOOD = {"BACKEND": BACKEND}
PASTE = f'Set TASKS = {{"default": {{"BACKEND": "{BACKEND}"}}}}'


def test_without_tasks_any_queue_may_be_named(project):
    project.append("hello/tasks.py", "@task(queue_name='emails')\ndef mail(): pass")

    assert project.said("check") == (0, "System check identified no issues (0 silenced).\n")


def decorated(a: int):
    return a


MISTAKES = [
    (
        {"default": {"BACKEND": BACKEND.replace("database", "databse")}},
        "TASKS['default']['BACKEND'] is 'django_tasks.backends.databse.DatabaseBackend', which"
        " cannot be imported (No module named 'django_tasks.backends.databse'), did you mean"
        f" '{BACKEND}'?",
    ),
    (
        {"default": {"BACKEND": BACKEND + "s"}},
        f"TASKS['default']['BACKEND'] is '{BACKEND}s', which cannot be imported (Module"
        ' "django_tasks.backends.database" does not define a "DatabaseBackends" attribute/class),'
        f" did you mean '{BACKEND}'?",
    ),
    (
        {"default": {"BACKEND": 5}},
        "TASKS['default']['BACKEND'] must be the dotted path of a backend, not 5.",
    ),
    (
        {"default": {"BACKND": BACKEND}},
        f"TASKS['default'] has no 'BACKEND', did you mean 'BACKND'? {PASTE}",
    ),
    (
        {"default": BACKEND},
        f"TASKS['default'] must be a dict with the key 'BACKEND', not '{BACKEND}'. {PASTE}",
    ),
    (["x"], f"TASKS must be a dict of aliases and backends, not ['x']. {PASTE}"),
    (None, f"TASKS must be a dict of aliases and backends, not None. {PASTE}"),
    (
        {"defualt": GOOD},
        "TASKS has no 'default', the backend of tasks that name none, did you mean 'defualt'?",
    ),
    (
        {"default": GOOD | {"OPTION": {"max_attempts": 3}}},
        "TASKS['default'] has an unknown key 'OPTION', did you mean 'OPTIONS'? It takes 'BACKEND',"
        " 'QUEUES' and 'OPTIONS'.",
    ),
    (
        {"default": GOOD | {"QUEUES": "mail"}},
        "TASKS['default']['QUEUES'] must be a list of names, not 'mail'. Set"
        ' "QUEUES": ["mail"].',
    ),
    (
        {"default": GOOD | {"QUEUES": None}},
        "TASKS['default']['QUEUES'] must be a list of names, not None.",
    ),
    (
        {"default": GOOD | {"OPTIONS": ["max_attempts"]}},
        "TASKS['default']['OPTIONS'] must be a dict, not list.",
    ),
    (
        {"default": GOOD | {"OPTIONS": {"databse": "x"}}},
        "TASKS['default']['OPTIONS'] has an unknown option 'databse', did you mean 'database'? It"
        " takes 'database', 'max_attempts', 'backoff', 'broker' and 'serializer'.",
    ),
    (
        {"default": GOOD | {"OPTIONS": {"retension": 3}}},
        "TASKS['default']['OPTIONS'] has an unknown option 'retension', did you mean"
        " DJANGO_TASKS['RETENTION_FAILED']? It takes 'database', 'max_attempts', 'backoff',"
        " 'broker' and 'serializer'.",
    ),
]


@pytest.mark.parametrize(("setting", "text"), MISTAKES)
def test_e016_a_mistake_in_tasks_is_found_by_check_and_told_at_use(setting, text):
    """It keeps no decorator from its work: a project can be imported with it."""
    with override_settings(TASKS=setting):
        made = task(decorated)
        messages = [m for m in checks.run_checks() if m.is_serious()]
        with pytest.raises(ImproperlyConfigured) as caught:
            made.enqueue(1)

    assert [(m.id, m.msg) for m in messages] == [("django_tasks.E016", text)]
    assert str(caught.value) == text


def test_no_default_is_right_where_no_task_needs_it(monkeypatch):
    from django_tasks import checks as our_checks

    monkeypatch.setattr(our_checks, "known_tasks", lambda: iter([add.restored(backend="mail")]))
    with override_settings(TASKS={"mail": GOOD | {"QUEUES": []}}):
        assert our_checks.check_tasks() == []


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"TASK_MODULE": ["jobs"]}, "unknown setting 'TASK_MODULE', did you mean 'TASK_MODULES'?"),
        (
            {"RESULT_TTL": 3},
            "unknown setting 'RESULT_TTL'; use RETENTION_SUCCESSFUL and RETENTION_FAILED for all"
            " tasks, or result_ttl of @task",
        ),
        (
            {"MAX_ATTEMPTS": 3},
            "unknown setting 'MAX_ATTEMPTS'; use max_attempts in TASKS['default']['OPTIONS'] for"
            " all tasks, or the same option of @task",
        ),
    ],
)
def test_e003_names_of_settings_that_are_elsewhere(setting, text):
    with override_settings(DJANGO_TASKS=setting):
        messages = [m for m in checks.run_checks() if m.is_serious()]

    assert [(m.id, m.msg) for m in messages] == [
        ("django_tasks.E003", f"DJANGO_TASKS has an {text}")
    ]


SETTINGS = [
    (
        f'TASKS = {{"default": {{"BACKEND": "{BACKEND}s"}}}}',
        f"TASKS['default']['BACKEND'] is '{BACKEND}s', which cannot be imported",
    ),
    (
        f'TASKS = {{"default": {{"BACKEND": "{BACKEND}", "OPTIONS": {{"retries": 3}}}}}}',
        "TASKS['default']['OPTIONS'] has an unknown option 'retries'",
    ),
    (
        'DJANGO_TASKS = {"LAESE": 3}',
        "DJANGO_TASKS has an unknown setting 'LAESE', did you mean 'LEASE'?",
    ),
    (
        'DJANGO_TASKS = {"TASK_MODULES": ["hello.jobz"]}',
        "DJANGO_TASKS['TASK_MODULES'] has 'hello.jobz', but there is no such module.",
    ),
    ("DJANGO_TASKS = 3", "DJANGO_TASKS must be a dict, not int."),
]


@pytest.mark.parametrize(("line", "text"), SETTINGS)
def test_commands_stop_with_one_line(project, line, text):
    """Also Django's own, and with the admin's URLs; nobody reads a traceback."""
    project.append("settings.py", line)

    for command in ("check", "migrate", "runworker", "tasks_inspect"):
        code, said = project.said(command)
        assert code == 1 and said.count(text) == 1 and "Traceback" not in said, said


@pytest.mark.parametrize(
    ("command", "line", "text"),
    [
        *(("runworker", *each) for each in SETTINGS if "jobz" not in each[0]),
        *(("tasks_inspect", *each) for each in SETTINGS if each[0].startswith("TASKS")),
    ],
)
def test_commands_that_skip_checks_stop_with_that_line_alone(project, command, line, text):
    project.run("migrate")
    project.append("settings.py", line)

    code, said = project.said(command, "--skip-checks")

    assert code == 1 and said.startswith(f"CommandError: {text}") and said.count("\n") == 1


def test_a_module_that_lacks_what_it_imports_is_no_mistake_in_the_settings(project):
    """It ends as any module does that cannot be imported: with the place."""
    project.write("hello/jobs.py", "import no_such_package")
    project.append("settings.py", 'DJANGO_TASKS = {"TASK_MODULES": ["hello.jobs"]}')

    code, said = project.said("check")

    assert code == 1 and said.endswith("ModuleNotFoundError: No module named 'no_such_package'\n")


def test_a_call_cannot_be_sent_to_a_backend_that_cannot_be_made():
    """Decorators let it be; using() is of one call, which raises what Django does."""
    with (
        override_settings(TASKS={"default": GOOD, "gone": {"BACKEND": "no.such.Backend"}}),
        pytest.raises(InvalidTaskBackend, match=r"find backend 'no\.such\.Backend'"),
    ):
        add.using(backend="gone")
