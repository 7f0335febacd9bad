"""The endpoint that tells the holder of a token how far a task is, and the element's markup."""

import json
import time
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from uuid import uuid4

import django
import pytest
from asgiref.sync import async_to_sync
from django.core import signing
from django.core.management import call_command
from django.db import connections
from django.template import Context, Template
from django.test import AsyncClient, Client, RequestFactory
from django.urls import NoReverseMatch
from django.utils import translation

import django_tasks
from django_tasks import Progress, TaskContext, task
from django_tasks.definitions import progress_tokens
from django_tasks.models import TaskAttempt, TaskRecord
from django_tasks.statuses import AttemptOutcome, Status
from django_tasks.testing import run_pending_tasks

pytestmark = pytest.mark.django_db

DATABASE_BACKEND = "django_tasks.backends.database.DatabaseBackend"
NOW = datetime.now(UTC)
CANARY = "canary-4127"
DAY = 86400


@task(takes_context=True, sensitive=("iban",))
def export(context: TaskContext, rows: int, iban: str = "") -> dict:
    context.progress.set(rows, rows, "all rows")
    return {"rows": rows, "iban": iban, "api_key": iban}


@task(takes_context=True, max_attempts=2, backoff=0)
def break_down(context: TaskContext, message: str) -> None:
    raise (LookupError if context.attempt == 1 else ValueError)(message)


def make(status=Status.READY, **fields):
    """Store a task of this status; return its result."""
    values = {
        "task_path": export.module_path,
        "queue_name": "default",
        "backend": "default",
        "args": json.dumps([CANARY]),
        "kwargs": "{}",
        "metadata": json.dumps({"note": CANARY}),
        "enqueued_at": NOW,
    }
    if status in (Status.SUCCESSFUL, Status.FAILED, Status.CANCELLED):
        values |= {"finished_at": NOW, "attempts": 1, "claims": 1}
    if status == Status.RUNNING:
        values |= {"worker_id": uuid4(), "process": 1, "attempts": 1, "claims": 1}
    if status == Status.SCHEDULED:
        values["run_after"] = NOW + timedelta(days=1)
    record = TaskRecord.objects.create(status=status, **values | fields)
    return export.get_result(str(record.pk))


def add_attempt(result, path, outcome=AttemptOutcome.ERROR):
    TaskAttempt.objects.create(
        task_id=result.id,
        number=1,
        claim=1,
        outcome=outcome,
        finished_at=NOW,
        exception_path=path,
        traceback=f"Traceback: {CANARY}",
    )


def progress_json(done, total=None, message=""):
    return json.dumps([done, total, message])


def ask(result, client=None, headers=None, **options):
    return (client or Client()).get(result.progress_url(**options), headers=headers or {})


def answer(result, **options):
    response = ask(result, **options)
    assert response.status_code == 200, response
    return response.json()


# --- what is told ---------------------------------------------------------------------------------


def test_a_running_task_tells_how_far_it_is():
    """All fields, for a token that allows no more than the progress."""
    result = make(Status.RUNNING, progress=progress_json(421, 1000, "row 421"), meta=f'"{CANARY}"')

    assert answer(result) == {
        "status": "RUNNING",
        "record_status": "RUNNING",
        "state": "STARTED",
        "finished": False,
        "percent": 42.1,
        "done": 421,
        "total": 1000,
        "message": "row 421",
        "label": "Running",
        "text": "Running · 42 % · row 421",
    }


@pytest.mark.parametrize(
    ("record_status", "status", "state", "finished", "percent", "text"),
    [
        (Status.WAITING, "READY", "PENDING", False, None, "Waiting"),
        (Status.SCHEDULED, "READY", "PENDING", False, None, "Waiting"),
        (Status.READY, "READY", "PENDING", False, None, "Waiting"),
        (Status.RUNNING, "RUNNING", "STARTED", False, None, "Running"),
        (Status.SUCCESSFUL, "SUCCESSFUL", "SUCCESS", True, 100.0, "Done"),
        (Status.FAILED, "FAILED", "FAILURE", True, None, "Failed"),
        (Status.CANCELLED, "FAILED", "REVOKED", True, None, "Cancelled"),
    ],
)
def test_each_status_has_its_words(record_status, status, state, finished, percent, text):
    """Django's word, the record's own, Celery's, and a visitor's."""
    told = answer(make(record_status))

    assert told["status"] == status
    assert told["record_status"] == record_status
    assert told["state"] == state
    assert told["finished"] is finished
    assert told["percent"] == percent
    assert told["text"] == told["label"] == text


def test_a_task_that_waits_for_another_attempt_says_so():
    """RETRY has words of its own, beside how far the last attempt got."""
    told = answer(make(Status.SCHEDULED, attempts=1, claims=1, progress=progress_json(1, 2)))

    assert told["state"] == "RETRY"
    assert told["text"] == "Waiting to try again · 50 %"


def test_a_state_of_the_task_s_own_is_told():
    """What context.set_state() said, while the task runs; not the data beside it."""
    told = answer(make(Status.RUNNING, custom_state="PACKING", meta=json.dumps(CANARY)))

    assert told["state"] == "PACKING"


@pytest.mark.parametrize(
    ("stored", "percent", "text"),
    [
        (progress_json(1250, None, "row 1250"), None, "Running · 1250 · row 1250"),
        (progress_json(0, 0), None, "Running · 0"),
        (progress_json(3, 2), 100.0, "Running · 100 %"),
        (progress_json(-1, 2), 0.0, "Running · 0 %"),
        (progress_json(999, 1000), 99.9, "Running · 99 %"),
        (progress_json(0.5, 3), 16.7, "Running · 16 %"),
        ("no JSON", None, "Running"),
        ('{"a": 1}', None, "Running"),
        ('["a", "b", "c"]', None, "Running"),
        ("[1e999, 1, 2]", None, "Running"),
        ("[" * 50000, None, "Running"),
    ],
)
def test_progress_of_every_kind(stored, percent, text):
    """A total that is unknown, 0 or passed; a row that holds something else."""
    result = make(Status.RUNNING)
    TaskRecord.objects.update(progress=stored)

    told = answer(result)

    assert (told["percent"], told["text"]) == (percent, text)


def test_the_task_s_own_code_is_followed_to_the_end():
    """From enqueue to the end, by a token that was made before the task ran."""
    result = export.enqueue(7, iban="DE02")
    url = result.progress_url(allows="result")
    before = Client().get(url).json()

    run_pending_tasks()

    after = Client().get(url).json()
    assert (before["finished"], before["result"], before["error"]) == (False, None, None)
    assert (after["finished"], after["percent"], after["message"]) == (True, 100.0, "all rows")
    assert after["result"] == {"rows": 7, "iban": "********", "api_key": "********"}
    assert after["error"] is None


def test_an_error_is_told_by_its_class_alone():
    """Of the last attempt; no message and no traceback, and nothing before the end."""
    result = break_down.enqueue(CANARY)
    run_pending_tasks(limit=1)
    halfway = ask(result, allows="result")

    run_pending_tasks()

    response = ask(result, allows="result")
    assert halfway.json()["error"] is None
    assert response.json()["error"] == "builtins.ValueError"
    assert response.json()["result"] is None
    assert CANARY not in response.content.decode()


@pytest.mark.parametrize(
    ("status", "outcome", "error"),
    [
        (Status.CANCELLED, AttemptOutcome.CANCELLED, "some.Error"),
        (Status.FAILED, AttemptOutcome.LATE, None),
        (Status.SUCCESSFUL, AttemptOutcome.ERROR, None),
    ],
)
def test_which_attempts_are_the_error(status, outcome, error):
    """A refused late result is none of the task's, and a success has no error."""
    result = make(status)
    add_attempt(result, "some.Error", outcome)

    assert answer(result, allows="result")["error"] == error


@pytest.mark.parametrize("status", Status.values)
def test_a_progress_token_tells_nothing_else(status):
    """No arguments, metadata, data of a state, value, log, error or id of anything."""
    worker = uuid4() if status == Status.RUNNING else None
    result = make(
        status, worker_id=worker, return_value=json.dumps(CANARY), meta=f'"{CANARY}"', log=CANARY
    )
    add_attempt(result, CANARY)

    response = ask(result)

    assert {"result", "error"}.isdisjoint(response.json())
    text = response.content.decode()
    assert CANARY not in text
    assert result.id not in text
    assert str(worker) not in text


@pytest.mark.parametrize("stored", [None, "null", "no JSON", "9" * 400, f'"{"x" * 1000}"'])
def test_any_stored_value_is_told(stored):
    """One that was not kept, and one that is no JSON, do not break the page that asks."""
    result = make(Status.SUCCESSFUL)
    TaskRecord.objects.update(return_value=stored)

    response = ask(result, allows="result")

    assert response.status_code == 200
    assert "result" in response.json()


# --- tokens ---------------------------------------------------------------------------------------


def forged(result, **changes):
    """Return a token signed in another way than this project's."""
    content = [result.id.replace("-", ""), "default", "result", None]
    return signing.Signer(**{"salt": "django_tasks.progress"} | changes).sign_object(content)


def with_signature_of(token, other):
    return token.partition(":")[0] + ":" + other.partition(":")[2]


ID = "0" * 32
#: What an older release, another program with the key, or a mistake may have signed.
OTHER_SHAPES = [
    None, 7, "text", [], {}, [ID], [ID, "default", "progress"],
    [ID, "default", "progress", None, 1], {"id": ID, "backend": "b", "allows": "a", "expires": 1},
    [7, "default", "progress", None], ["no id", "default", "progress", None],
    [[ID], "default", "progress", None], [None, "default", "progress", None],
    [ID, None, "progress", None], [ID, ["default"], "progress", None],
    [ID, "default", "everything", None], [ID, "default", ["result"], None],
    [ID, "default", None, None], [ID, "default", "progress", "tomorrow"],
    [ID, "default", "progress", [1]], [ID, "default", "progress", {}],
    [ID, "default", "progress", float("nan")], [ID, "default", "progress", 10**400],
]  # fmt: skip


def signer():
    return signing.Signer(salt="django_tasks.progress")


def signed(content):
    return lambda result: signer().sign_object(content)


BAD_TOKENS = {
    "its plain id": lambda result: result.id,
    "no token": lambda result: "nothing",
    "one sign less": lambda result: result.progress_token()[:-1],
    "one sign more": lambda result: result.progress_token() + "A",
    "no signature": lambda result: result.progress_token().partition(":")[0],
    "no content": lambda result: ":" + result.progress_token().partition(":")[2],
    "more rights": lambda result: with_signature_of(
        result.progress_token(allows="result"), result.progress_token()
    ),
    "another key": lambda result: forged(result, key="another key"),
    "another purpose": lambda result: forged(result, salt="django.core.signing"),
    "expired and forged": lambda result: result.progress_token(max_age=1e-9)[:-1] + "!",
    "signs of many kinds": lambda result: "%00é%F0%9F%90%8D:..:\u2028",
    "very long": lambda result: "a:" * 4000,
    **{f"signed: {content!r}": signed(content) for content in OTHER_SHAPES},
    "signed, no JSON": lambda result: signer().sign("e30x"),
    "signed, no base64": lambda result: signer().sign("é"),
    "signed, not compressed": lambda result: signer().sign(".e30"),
    "signed, nested too deep": lambda result: signer().sign(
        urlsafe_b64encode(b"[" * 100_000).decode().rstrip("=")
    ),
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_a_bad_token_is_told_nothing(kind, django_assert_num_queries):
    """404 without a query, and the same answer as for a task that is not there."""
    result = make(Status.SUCCESSFUL)
    unknown = export.get_result(result.id)
    object.__setattr__(unknown, "id", str(uuid4()))
    nothing_there = ask(unknown)

    with django_assert_num_queries(0):
        response = Client().get(f"/tasks/progress/{BAD_TOKENS[kind](result)}/")

    assert response.status_code == nothing_there.status_code == 404
    assert response.content == nothing_there.content
    assert response.headers == nothing_there.headers


def test_a_token_of_a_backend_that_is_gone(settings):
    """404: the alias is no longer in TASKS, or keeps no rows."""
    url = make().progress_url()

    settings.TASKS = {"other": {"BACKEND": DATABASE_BACKEND}}
    gone = Client().get(url)
    settings.TASKS = {"default": {"BACKEND": "django_tasks.backends.dummy.DummyBackend"}}
    elsewhere = Client().get(url)

    assert (gone.status_code, elsewhere.status_code) == (404, 404)


def test_a_token_expires(monkeypatch, django_assert_num_queries):
    """After a day, or after what it was made for, it is 410, without a query."""
    result = make()
    urls = {
        "default": result.progress_url(),
        "short": result.progress_url(max_age=60),
        "timedelta": result.progress_url(max_age=timedelta(minutes=1)),
        "never": result.progress_url(max_age=None),
    }
    now = time.time()

    def statuses(after):
        monkeypatch.setattr(time, "time", lambda: now + after)
        return {name: Client().get(url).status_code for name, url in urls.items()}

    assert set(statuses(58).values()) == {200}
    assert statuses(62) == {"default": 200, "short": 410, "timedelta": 410, "never": 200}
    assert statuses(DAY + 2) == {"default": 410, "short": 410, "timedelta": 410, "never": 200}
    with django_assert_num_queries(0):
        assert Client().get(urls["short"]).status_code == 410


def test_a_token_outlives_a_change_of_the_key(settings):
    """SECRET_KEY_FALLBACKS are obeyed."""
    url = make().progress_url()
    old, settings.SECRET_KEY = settings.SECRET_KEY, "a new key"
    refused = Client().get(url).status_code

    settings.SECRET_KEY_FALLBACKS = [old]

    assert (refused, Client().get(url).status_code) == (404, 200)


@pytest.mark.parametrize("max_age", [0, -1, float("inf"), float("nan"), True, timedelta(0)])
def test_a_wrong_max_age_is_an_error(max_age):
    """Nobody gets a token that never expires, or has expired, by mistake."""
    with pytest.raises(ValueError, match="max_age must be a number of seconds above 0"):
        make().progress_token(max_age=max_age)


def test_a_wrong_scope_is_an_error():
    """The message has the two that there are."""
    with pytest.raises(ValueError, match="'progress' or 'result', not 'all'"):
        make().progress_token(allows="all")


def test_a_token_is_read_as_it_was_made():
    """Task, backend and rights; `now` is an argument."""
    task_id = uuid4()
    text = progress_tokens.issue(str(task_id), "bulk", max_age=10, allows="result", now=100.5)

    assert progress_tokens.read(text, now=110) == progress_tokens.Token(
        task_id=task_id, backend="bulk", allows="result"
    )
    with pytest.raises(signing.SignatureExpired):
        progress_tokens.read(text, now=111)


def test_urls_with_and_without_a_host():
    """A path; with a request, the whole address."""
    result = make()
    request = RequestFactory().get("/", headers={"host": "example.org"}, secure=True)

    path, address = result.progress_url(max_age=None), result.progress_url(request, max_age=None)

    assert path.startswith("/tasks/progress/")
    assert address == f"https://example.org{path}"


@pytest.mark.urls("django.contrib.auth.urls")
def test_urls_that_are_not_included_are_an_error():
    """Django's own error, which names the namespace."""
    result = make()

    with pytest.raises(NoReverseMatch, match="django_tasks"):
        result.progress_url()
    assert result.progress_token()


# --- HTTP -----------------------------------------------------------------------------------------


def test_nothing_new_is_304():
    """The ETag changes with the answer, and with nothing else."""
    result = make(Status.RUNNING, progress=progress_json(1, 2))
    first = ask(result)
    etag = first.headers["ETag"]

    same = ask(result, headers={"If-None-Match": etag})
    weak = ask(result, headers={"If-None-Match": f"W/{etag}"})
    TaskRecord.objects.update(progress=progress_json(2, 2))
    changed = ask(result, headers={"If-None-Match": etag})

    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", etag)
    assert weak.status_code == 304
    assert changed.status_code == 200
    assert changed.headers["ETag"] != etag
    assert changed.json()["percent"] == 100.0


@pytest.mark.parametrize(
    ("status", "fields", "seconds"),
    [
        (Status.READY, {}, "1"),
        (Status.RUNNING, {}, "1"),
        (Status.SCHEDULED, {}, "30"),
        (Status.SCHEDULED, {"run_after": NOW - timedelta(hours=1)}, "1"),
        (Status.SUCCESSFUL, {}, None),
        (Status.FAILED, {}, None),
        (Status.CANCELLED, {}, None),
    ],
)
def test_it_says_when_to_ask_again(status, fields, seconds):
    """Retry-After: soon, when it is due, or, at the end, not at all; with 304 too."""
    result = make(status, **fields)
    full = ask(result)

    unchanged = ask(result, headers={"If-None-Match": full.headers["ETag"]})

    assert unchanged.status_code == 304
    assert full.headers.get("Retry-After") == unchanged.headers.get("Retry-After") == seconds


def test_it_is_not_asked_more_often_than_progress_is_written(settings):
    """A project that writes progress every five seconds is asked every five."""
    settings.DJANGO_TASKS = {"PROGRESS_INTERVAL": 4.5}

    assert ask(make(Status.RUNNING)).headers["Retry-After"] == "5"


def test_answers_are_kept_by_nobody():
    """No cache, shared or not, keeps an answer of any status; no session is read."""
    result = make()
    etag = ask(result).headers["ETag"]
    expired = progress_tokens.issue(result.id, "default", max_age=1, allows="progress", now=0)
    responses = [
        ask(result),
        ask(result, headers={"If-None-Match": etag}),
        Client().get("/tasks/progress/nothing/"),
        Client().get(f"/tasks/progress/{expired}/"),
    ]

    assert [response.status_code for response in responses] == [200, 304, 404, 410]
    for response in responses:
        assert set(response.headers["Cache-Control"].split(", ")) == {"private", "no-store"}
        assert "Cookie" not in response.headers.get("Vary", "")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_there_is_nothing_to_send(method):
    """GET and HEAD only; nothing changes."""
    result = make()

    response = getattr(Client(), method)(result.progress_url())

    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD"
    assert export.get_result(result.id) == result


def test_head_is_get_without_a_body():
    """The same headers, the ETag among them."""
    url = make(Status.RUNNING).progress_url()

    head, get = Client().head(url), Client().get(url)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers


@pytest.mark.parametrize("allows", ["progress", "result"])
@pytest.mark.parametrize("status", [Status.RUNNING, Status.FAILED, Status.SUCCESSFUL])
def test_it_costs_one_query(allows, status, django_assert_num_queries):
    """One by primary key, whatever is told, with or without a change; no arguments are read."""
    result = make(status)
    add_attempt(result, "some.Error")
    etag = ask(result, allows=allows).headers["ETag"]

    with django_assert_num_queries(1) as captured:
        ask(result, allows=allows)
    with django_assert_num_queries(1):
        ask(result, allows=allows, headers={"If-None-Match": etag})

    sql = captured.captured_queries[0]["sql"]
    assert "kwargs" not in sql
    assert ("return_value" in sql) is (allows == "result")


def test_it_reads_the_database_of_the_backend(settings, tmp_path, transactional_db):
    """Each alias in TASKS has its own."""
    connections.settings["elsewhere"] = connections["default"].settings_dict | {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "tasks.sqlite3"),
        "OPTIONS": {},
    }
    connections["elsewhere"].connect()  # the test case forbids it to open by itself
    settings.TASKS = {
        "default": {"BACKEND": DATABASE_BACKEND},
        "bulk": {"BACKEND": DATABASE_BACKEND, "OPTIONS": {"database": "elsewhere"}},
    }
    try:
        call_command("migrate", "django_tasks", database="elsewhere", verbosity=0)
        here, there = export.enqueue(1), export.using(backend="bulk").enqueue(2)
        TaskRecord.objects.using("elsewhere").update(progress=progress_json(1, 4))

        assert answer(here)["percent"] is None
        assert answer(there)["percent"] == 25.0
    finally:
        connections["elsewhere"].close()
        del connections["elsewhere"]
        del connections.settings["elsewhere"]


def test_it_can_be_asked_under_asgi():
    """Async code makes the URL, and the view is served beside an event loop."""

    async def use():
        result = await export.aenqueue(1)
        url = result.progress_url()
        return await AsyncClient().get(url), await AsyncClient().get(url + "x")

    found, not_found = async_to_sync(use)()

    assert found.json()["text"] == "Waiting"
    assert not_found.status_code == 404


# --- the element ----------------------------------------------------------------------------------


class Tags(HTMLParser):
    """The tags of a page in order, with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def attributes(self, tag):
        [found] = [attributes for name, attributes in self.tags if name == tag]
        return found


def render(text, **context):
    return Template("{% load task_progress %}" + text).render(Context(context))


def element(result, text="{% task_progress result label=label %}", **context):
    return render(text, result=result, **{"label": "Import"} | context)


def test_the_element_shows_the_state_without_a_script(django_assert_num_queries):
    """What is known when the page is made is there, and costs no query."""
    result = make(Status.RUNNING, progress=progress_json(17, 40, "row 17"))

    with django_assert_num_queries(0):
        html = element(result)

    tags = Tags(html)
    assert tags.attributes("task-progress")["status"] == "running"
    assert tags.attributes("progress") == {
        "class": "task-progress-bar",
        "max": "100",
        "value": "42.5",
        "aria-label": "Import",
    }
    assert "Running · 42 % · row 17" in html
    assert "Reload the page" in html


def test_the_element_asks_with_the_rights_it_was_given(monkeypatch):
    """`allows` and `max_age` are those of the token in src."""
    html = element(make(), "{% task_progress result allows='result' max_age=60 %}")

    url = Tags(html).attributes("task-progress")["src"]
    assert Client().get(url).json()["result"] is None
    later = time.time() + 62
    monkeypatch.setattr(time, "time", lambda: later)
    assert Client().get(url).status_code == 410


@pytest.mark.parametrize("status", [Status.SUCCESSFUL, Status.FAILED, Status.CANCELLED])
def test_the_element_of_a_finished_task_asks_nothing(status):
    """No address, so no event either: a page that reloads itself at the end does it once."""
    attributes = Tags(element(make(status))).attributes("task-progress")

    assert attributes == {"status": status.lower(), "finished": None}


def test_the_bar_of_an_unknown_total_has_no_value():
    """A running task is at work; one that waits is not."""
    running = Tags(element(make(Status.RUNNING))).attributes("progress")
    waiting = Tags(element(make(Status.READY))).attributes("progress")

    assert "value" not in running
    assert waiting["value"] == "0"


def test_numbers_in_markup_are_not_localized():
    """German writes 42,5, HTML does not."""
    result = make(Status.RUNNING, progress=progress_json(17, 40))

    with translation.override("de"):
        assert Tags(element(result)).attributes("progress")["value"] == "42.5"


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_text_stays_text(text):
    """Labels and messages, from wherever they come, are escaped."""
    html = element(make(Status.RUNNING, progress=progress_json(1, 2, text)), label=text)

    assert {tag for tag, _ in Tags(html).tags} == {"task-progress", "span", "progress", "noscript"}
    assert text not in html


def test_the_markup_needs_no_inline_anything():
    """No style, no handler, no script with a text: a strict CSP has nothing to refuse."""
    html = element(make(), "{% task_progress_assets %}{% task_progress result %}")

    for tag, attributes in Tags(html).tags:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert tag != "style"
    assert Tags(html).attributes("script") == {
        "type": "module",
        "src": "/static/django_tasks/task-progress.js",
    }
    assert "></script>" in html


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django 5.2 has no nonces")
def test_the_files_carry_the_nonce():
    """Where the middleware makes one, for policies that allow nothing else."""
    from django.middleware.csp import ContentSecurityPolicyMiddleware, get_nonce

    request = RequestFactory().get("/")
    ContentSecurityPolicyMiddleware(lambda request: None).process_request(request)

    tags = Tags(render("{% task_progress_assets %}", request=request))

    nonce = str(get_nonce(request))
    assert tags.attributes("script")["nonce"] == tags.attributes("link")["nonce"] == nonce


def test_results_of_other_backends_are_shown(settings):
    """In tests with the immediate backend a page still renders; there is nobody to ask."""
    settings.TASKS = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}
    result = export.enqueue(3)

    html = element(result)

    assert Tags(html).attributes("task-progress") == {"status": "successful", "finished": None}
    assert "Done" in html


@pytest.mark.parametrize("value", [None, "0198c5a4", {}])
def test_what_is_no_result_is_an_error(value):
    """The tag says what it wants."""
    with pytest.raises(TypeError, match="takes a TaskResult"):
        element(value)


def test_the_package_has_the_files():
    """The two that the tag names are static files of the app."""
    static = Path(django_tasks.__file__).parent / "static" / "django_tasks"

    assert (static / "task-progress.js").is_file()
    assert (static / "task-progress.css").is_file()


def test_progress_is_the_one_of_the_result():
    """The endpoint and the object agree."""
    result = make(Status.RUNNING, progress=progress_json(1, 3, "a"))

    told = answer(result)

    assert result.progress == Progress(done=1, total=3, message="a")
    assert told["percent"] == result.progress.percent
    assert told["state"] == result.state
    assert told["status"] == result.status
