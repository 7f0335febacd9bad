"""
Prove that these tests bite: `python -m tests.reliability.mutations [name ...]`.

Each mutation breaks one promise in a copy of the package, runs the tests that should notice, and
fails if they all pass. Not a part of the normal run: it takes half an hour. It exits with 1 when a
mutation survived, does not fit the code any more, or its tests could not be run.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import servers

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 240.0  # seconds for the tests of one mutation


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """`old` becomes `new` in `file`, once; one of the tests that `select` names must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: str
    select: str = ""


MUTATIONS = [
    Mutation(
        name="success without the fence",
        file="store/dialects/postgresql.py",
        old="WHERE t.id = done.id AND t.claims = done.claims AND t.status = 'RUNNING'",
        new="WHERE t.id = done.id AND t.status = 'RUNNING'",
        tests="test_zombies.py",
        select="still_runs_is_refused",
    ),
    Mutation(
        name="success whatever the status",
        file="store/dialects/postgresql.py",
        old="WHERE t.id = done.id AND t.claims = done.claims AND t.status = 'RUNNING'",
        new="WHERE t.id = done.id",
        tests="test_zombies.py",
        select="outcome_of_a_zombie_is_refused",
    ),
    Mutation(
        name="failure, retry, release and loss without the fence",
        file="store/tasks/transitions.py",
        old="if row.claims != ending.claims or",
        new="if row.claims is None or",
        tests="test_zombies.py",
        select="still_runs_is_refused",
    ),
    Mutation(
        name="a loss judged by the code of who finds it",
        file="worker/keeper/lost_tasks.py",
        old='is_poison or on_lost == "fail"',
        new='is_poison or getattr(registry.find(claim.task_path), "on_lost", None) == "fail"',
        tests="test_releases.py",
        select="on_lost_holds",
    ),
    Mutation(
        name="pruned by the settings of who prunes",
        file="store/tasks/finished.py",
        old="rows = _rows(database).filter(prune_after__isnull=True)",
        new="rows = _rows(database)",
        tests="test_releases.py",
        select="outlive_keepers",
    ),
    Mutation(
        name="a context entered only for tasks that carry one",
        file="worker/engine/engine.py",
        old="job.metadata = metadata.get(claim.id)",
        new="job.metadata = metadata.get(claim.id) or None",
        tests="../worker/test_tenants.py",
        select="left_is_put_back",
    ),
    Mutation(
        name="a coroutine's context entered on another connection than its queries'",
        file="worker/execution/contexts.py",
        old="sync_to_async(context.run, thread_sensitive=True)",
        new="sync_to_async(context.run, thread_sensitive=False)",
        tests="../worker/test_tenants.py",
        select="runs_in_the_schema",
    ),
    Mutation(
        name="an atomic task outside of its context",
        file="worker/execution/runner.py",
        old="with contexts.restored(captured):",
        new="with contexts.restored(None):",
        tests="../worker/test_tenants.py",
        select="runs_in_the_schema",
    ),
    Mutation(
        name="metadata saved without what was captured",
        file="definitions/context.py",
        old='captured = getattr(self.task_result, "propagated", {})',
        new="captured: dict[str, Any] = {}",
        tests="../worker/test_tenants.py",
        select="retries_stay_in_it",
    ),
    Mutation(
        name="lease not renewed",
        file="worker/keeper/keeper.py",
        old="Duty(self._renew, settings.LEASE / BEATS_PER_LEASE),",
        new="Duty(self._renew, settings.LEASE * 100),",
        tests="test_zombies.py",
        select="holds_the_interpreter",
    ),
    Mutation(
        name="lease renewed by the process that runs the body",
        file="worker/keeper/keeper.py",
        old="        asked_at = clock()\n",
        new="        if clock() - min(self.board.beats) > 1.5:\n            return\n"
        "        asked_at = clock()\n",
        tests="test_zombies.py",
        select="holds_the_interpreter",
    ),
    Mutation(
        name="bodies not stopped before the lease ends",
        file="worker/supervisor/supervisor.py",
        old="    def _guard_lease(self) -> None:\n",
        new="    def _guard_lease(self) -> None:\n        return\n\n"
        "    def _unused(self) -> None:\n",
        tests="test_outages.py test_zombies.py",
        select="cut_off or long_outage or when_it_wakes",
    ),
    Mutation(
        name="a lost connection ends the engine",
        file="worker/engine/engine.py",
        old="            self._exchange(room)\n        except CONNECTION_ERRORS as error:\n"
        "            self._cut_off(error)\n",
        new="            self._exchange(room)\n        except CONNECTION_ERRORS:\n"
        "            raise\n",
        tests="test_outages.py",
        select="crashes or terminated",
    ),
    Mutation(
        name="a lost connection ends the keeper",
        file="runtime/duties.py",
        old="        except CONNECTION_ERRORS as error:\n            self.cut_off(error)\n"
        "            return False\n",
        new="        except CONNECTION_ERRORS:\n            raise\n",
        tests="test_outages.py",
        select="crashes or terminated",
    ),
    Mutation(
        name="an id that a caller gave is left to the database",
        file="backends/database.py",
        old="return self._store(new, task.task_id or ids.uuid7(), ",
        new="return self._store(new, ids.uuid7(), ",
        tests="test_outages.py",
        select="blind_retry",
    ),
    Mutation(
        name="quarantined tasks run among others",
        file="worker/engine/engine.py",
        old="            elif claim.lost:\n",
        new="            elif False:\n",
        tests="test_quarantine.py",
        select="takes_no_neighbour or runs_beside",
    ),
    Mutation(
        name="no quarantine is opened",
        file="worker/supervisor/supervisor.py",
        old="            if self.board.has_offers and self._may_spawn:\n",
        new="            if False:\n",
        tests="test_quarantine.py",
        select="runs_beside",
    ),
    Mutation(
        name="an offer is taken over whoever has it",
        file="store/tasks/claims.py",
        old="worker_id=self.worker_id, claims=claims\n",
        new="worker_id=self.worker_id\n",
        tests="test_quarantine.py",
        select="one_of_two",
    ),
    Mutation(
        name="a flag on the board is for any task",
        file="worker/board.py",
        old="return self.cancelled[cell] == self.generations[cell]",
        new="return self.cancelled[cell] > 0",
        tests="../worker/test_board.py",
        select="flag",
    ),
    Mutation(
        name="a death in a body makes the worker pause",
        file="worker/supervisor/supervisor.py",
        old="time.monotonic() - child.started_at < EARLY and not has_worked",
        new="time.monotonic() - child.started_at < EARLY",
        tests="test_bodies.py",
        select="quick_killers",
    ),
    Mutation(
        name="children of bodies keep the worker's signal handlers",
        file="worker/execution/inheritance.py",
        old="        _reset_signals()\n",
        new="",
        tests="../worker/test_body_forks.py",
        select="inherits_nothing and fork",
    ),
    Mutation(
        name="children of bodies keep the worker's connections",
        file="worker/execution/inheritance.py",
        old="        break_transaction(wrapper)\n",
        new="        pass\n",
        tests="../worker/test_body_forks.py",
        select="own_connection",
    ),
    Mutation(
        name="a keeper waits for its pipe to end",
        file="worker/keeper/keeper.py",
        old="not chunk or lost_tasks.LAST in reports",
        new="not chunk",
        tests="../worker/test_body_forks.py",
        select="daemon",
    ),
    Mutation(
        name="claims with a lost answer not adopted",
        file="worker/engine/engine.py",
        old="        self._hand_over(claims[:room])\n",
        new="",
        tests="test_outages.py",
        select="answer_to_a_claim",
    ),
    Mutation(
        name="successes with a lost answer taken for late",
        file="store/tasks/attempts.py",
        old="if status not in (Status.SUCCESSFUL, Status.RUNNING)",
        new="if status != Status.RUNNING",
        tests="test_outages.py",
        select="answer_to_a_success",
    ),
    Mutation(
        name="a dead process is not reported",
        file="worker/supervisor/supervisor.py",
        old="        if left:\n            self._report(child, left, exit_code)\n",
        new="",
        tests="test_bodies.py",
        select="poison or time_limit",
    ),
    Mutation(
        name="no sweep",
        file="worker/keeper/keeper.py",
        old="            Duty(self._sweep, settings.SWEEP_INTERVAL, keeps_to_share=True),\n",
        new="",
        tests="test_stopping.py",
        select="killed_group or survives_the_keeper",
    ),
    Mutation(
        name="looks under a held snapshot never rest",
        file="runtime/duties.py",
        old="ended + pause_after(ended - now)",
        new="ended",
        tests="../worker/test_duties.py ../worker/test_keeper.py",
        select="in_proportion or hurries",
    ),
    Mutation(
        name="due tasks that somebody holds are asked for without end",
        file="worker/keeper/keeper.py",
        old="following if following > 0 else LOCK_PAUSE",
        new="following",
        tests="../worker/test_keeper.py",
        select="somebody_holds",
    ),
    Mutation(
        name="each chunk of what is due begins at the front",
        file="store/locking.py",
        old="ahead = rows if mark is None else",
        new="ahead = rows if True else",
        tests="../conformance/test_held_snapshots.py",
        select="read_once",
    ),
    Mutation(
        name="a lost worker spends a retry",
        file="store/tasks/transitions.py",
        old="EndingKind.LOSE: _Effect(Status.READY, attempts=-1, lost=1)",
        new="EndingKind.LOSE: _Effect(Status.READY, lost=1)",
        tests="test_outages.py test_kills.py",
        select="answer_to_a_loss or random",
    ),
    Mutation(
        name="an interruption is charged",
        file="store/tasks/transitions.py",
        old="EndingKind.RELEASE: _Effect(Status.READY, attempts=-1)",
        new="EndingKind.RELEASE: _Effect(Status.READY)",
        tests="test_stopping.py",
        select="longer_than_the_grace",
    ),
    Mutation(
        name="poison runs for ever",
        file="worker/keeper/lost_tasks.py",
        old="is_poison = ",
        new="is_poison = False and ",
        tests="test_bodies.py",
        select="poison",
    ),
    Mutation(
        name="a loss leaves no attempt",
        file="store/tasks/transitions.py",
        old="rows += attempts.of_ending(ending, ending.attempt, writer)",
        new="pass",
        tests="test_kills.py",
        select="random",
    ),
    Mutation(
        name="children outlive their parent",
        file="runtime/parents.py",
        old="libc.prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)",
        new="pass",
        tests="test_stopping.py",
        select="kill_of_the_parent",
    ),
    Mutation(
        name="forks run on",
        file="worker/execution/runner.py",
        old="        if _forks != self._forks:\n",
        new="        if False:\n",
        tests="test_bodies.py",
        select="fork",
    ),
    Mutation(
        name="open transactions are left to the next body",
        file="worker/execution/connections.py",
        old="            if dialects.is_idle(connection):\n",
        new="            if True:\n",
        tests="test_bodies.py",
        select="transaction_left_open",
    ),
    Mutation(
        name="an outage spends an attempt of an atomic task",
        file="worker/execution/atomic.py",
        old="        if not self._is_lost(error):\n",
        new="        if True:\n",
        tests="test_outages.py ../worker/test_atomic.py",
        select="terminated_backends_fail or (prefork and transaction_is_free)",
    ),
    Mutation(
        name="only what the worker's own statements raise is an outage",
        file="worker/execution/atomic.py",
        old="self.stage is not Stage.BEGINNING and connection.connection is not self._raw",
        new="False",
        tests="../worker/test_atomic.py",
        select="prefork and transaction_is_free",
    ),
    Mutation(
        name="an atomic body is given back for ever",
        file="worker/execution/atomic.py",
        old="        if times >= len(PAUSES):\n            return None\n",
        new="        times = 0\n",
        tests="../worker/test_atomic.py",
        select="prefork and always_loses",
    ),
    Mutation(
        name="an uncertain commit is taken for a failed one",
        file="worker/execution/atomic.py",
        old="        if self.stage is not Stage.COMMITTING or not self._is_success_there():\n",
        new="        if True:\n",
        tests="test_outages.py ../worker/test_atomic.py",
        select="commit_of_a_body or (prefork and after_the_commit)",
    ),
    Mutation(
        name="a worker leaves its commits to AUTOCOMMIT",
        file="store/dialects/base.py",
        old=' | {"AUTOCOMMIT": True}\n',
        new="\n",
        tests="../worker/test_connections.py",
        select="commit_each_statement",
    ),
    Mutation(
        name="an atomic body leaves its commit to AUTOCOMMIT",
        file="worker/execution/atomic.py",
        old="            connection.set_autocommit(True)  # else",
        new="            pass  # else",
        tests="../worker/test_connections.py",
        select="prefork and autocommit_is_off",
    ),
    Mutation(
        name="a worker's own connection remembers its queries",
        file="store/dialects/base.py",
        old="        connection.queries_log = deque(maxlen=0)\n",
        new="",
        tests="../worker/test_connections.py",
        select="remember_no_queries",
    ),
    Mutation(
        name="the threads beside coroutines are not tidied",
        file="worker/execution/side_threads.py",
        old="        done = thread.submit(tidy_connections)\n",
        new="        done = thread.submit(int)\n",
        tests="../worker/test_async_bodies.py",
        select="prefork and sync_to_async and between_bodies",
    ),
    Mutation(
        name="coroutines share a thread, as asgiref has it",
        file="worker/execution/side_threads.py",
        old="        SyncToAsync.thread_sensitive_context.set(key)\n",
        new="",
        tests="../worker/test_async_bodies.py",
        select="asyncio and is_its_own",
    ),
    Mutation(
        name="the threads of a loop's executor are not tidied",
        file="worker/execution/side_threads.py",
        old="        return copy_context().run(call)\n    finally:\n        tidy_connections()\n",
        new="        return copy_context().run(call)\n    finally:\n        pass\n",
        tests="../worker/test_async_bodies.py",
        select="prefork and to_thread and between_bodies",
    ),
    Mutation(
        name="asyncio tasks outlive their body",
        file="worker/execution/side_threads.py",
        old="        await started.end()\n",
        new="        pass\n",
        tests="../worker/test_async_bodies.py",
        select="asyncio_task",
    ),
    Mutation(
        name="no hard time limit",
        file="worker/supervisor/supervisor.py",
        old="    def _enforce_deadlines(self) -> None:\n",
        new="    def _enforce_deadlines(self) -> None:\n        return\n\n"
        "    def _unused(self) -> None:\n",
        tests="test_bodies.py",
        select="time_limit",
    ),
    Mutation(
        name="delays by the worker's clock",
        file="store/dialects/postgresql.py",
        old='return f"({since} + make_interval(secs => {seconds}))"',
        new="return f\"('{datetime.now(UTC)}'::timestamptz + make_interval(secs => {seconds}))\"",
        tests="test_clock.py",
        select="due_times",
    ),
    Mutation(
        name="unknown tasks are imported",
        file="definitions/registry.py",
        old="    task = _tasks.get(path)\n    if task is not None:",
        new="    import importlib\n\n    try:\n"
        '        importlib.import_module(path.rpartition(".")[0])\n'
        "    except (ImportError, ValueError):\n        pass\n    task = _tasks.get(path)\n"
        "    if task is not None:",
        tests="test_rows.py",
        select="imported",
    ),
    Mutation(
        name="an enqueue commits at once",
        file="backends/database.py",
        old="            enqueue.insert(self.database, new, task_id, *own, wake=wake)\n",
        new="            enqueue.insert(self.database, new, task_id, *own, wake=False)\n"
        "            from django.db import connections\n\n"
        "            connections[self.database].connection.commit()\n",
        tests="test_transactions.py",
        select="rolled_back or before_its_commit",
    ),
    Mutation(
        name="a transaction stays open while bodies run",
        file="worker/engine/engine.py",
        old="        self._hand_over(claims)\n\n    def _forget",
        new="        self._hand_over(claims)\n"
        '        self.connection.cursor().execute("BEGIN") if claims else None\n\n    def _forget',
        tests="test_transactions.py",
        select="no_transaction",
    ),
    Mutation(
        name="a lost connection ends the beat",
        file="runtime/duties.py",
        old="        except CONNECTION_ERRORS as error:\n            self.cut_off(error)\n"
        "            return False\n",
        new="        except CONNECTION_ERRORS:\n            raise\n",
        tests="test_beats.py",
        select="crashes or terminated",
    ),
    Mutation(
        name="a beat decides by its own machine's clock",
        file="beat/tick.py",
        old="    now: datetime = row.clock\n",
        new="    now: datetime = datetime.now(row.clock.tzinfo)\n",
        tests="test_beats.py",
        select="clock_of_the_host",
    ),
    Mutation(
        name="ids of scheduled tasks by the machine's clock",
        file="store/schedules/records.py",
        old="        id=uuid7(now),\n",
        new="        id=uuid7(),\n",
        tests="test_beats.py",
        select="clock_of_the_host",
    ),
    Mutation(
        name="a claim takes the broker's word for it",
        file="store/dialects/postgresql.py",
        old="WHERE id = ANY(%s::uuid[]) AND status LIKE 'READY' AND queue_name",
        new="WHERE id = ANY(%s::uuid[]) AND queue_name",
        tests="test_brokers.py",
        select="what_it_likes",
    ),
    Mutation(
        name="nobody publishes what a broker lost",
        file="worker/keeper/reconciler.py",
        old="        if lost and not self.broker.publish(lost):",
        new="        if False:",
        tests="test_brokers.py",
        select="soon_back",
    ),
    Mutation(
        name="workers take the word of a broker that takes nothing in",
        file="worker/keeper/keeper.py",
        old="            self.board.is_broker_refusing = findings.is_refused\n",
        new="            pass\n",
        tests="../brokers/test_refusals.py",
        select="full",
    ),
    Mutation(
        name="nobody hears of tasks that were moved",
        file="store/tasks/moves.py",
        old="        notify_ready(database, ids)\n",
        new="        pass\n",
        tests="../conformance/test_ready.py",
        select="published",
    ),
    Mutation(
        name="workers that read the table hear nothing of what becomes ready",
        file="store/tasks/ready.py",
        old="        wake(database, {name for alias, name in queues if _wakes(alias, name)})\n",
        new="        pass\n",
        tests="../conformance/test_ready.py",
        select="wakes",
    ),
    Mutation(
        name="a run by hand hides the task of the slot",
        file="store/schedules/edits.py",
        old="    return json.dumps(kept[-MOST_IN_HAND:]) if kept else None\n",
        new="    return None\n",
        tests="../schedules/test_tick.py",
        select="by_hand",
    ),
    Mutation(
        name="another keeper's loss is taken for one's own",
        file="store/tasks/attempts.py",
        old="is_anybodys = outcome == AttemptOutcome.LOST",
        new="is_anybodys = False",
        tests="../worker/test_rescues.py",
        select="another_keeper",
    ),
    Mutation(
        name="what may be written is forgotten",
        file="worker/keeper/rescues.py",
        old="        if self._in_hand is None:\n            return True\n",
        new="        return True\n",
        tests="test_rescues.py",
        select="had_no_answer",
    ),
    Mutation(
        name="keepers do the same work",
        file="store/workers/leases.py",
        old="free = lock_available(database, rows.order_by())",
        new="free = lock_all(database, rows.order_by())",
        tests="test_foreign_locks.py",
        select="orphan",
    ),
    Mutation(
        name="endings wait for locks",
        file="store/dialects/postgresql.py",
        old='" ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",',
        new='" ORDER BY id FOR NO KEY UPDATE",',
        tests="test_foreign_locks.py",
        select="follows",
    ),
    Mutation(
        name="successes wait for locks",
        file="store/dialects/postgresql.py",
        old='f"lock_timeout={LOCK_TIMEOUT * 1000:.0f}"',
        new='"lock_timeout=0"',
        tests="test_foreign_locks.py",
        select="follows or cancel",
    ),
    Mutation(
        name="the last claim number stops its queue",
        file="store/dialects/base.py",
        old='NEXT_CLAIM = f"CASE claims WHEN {LAST_CLAIM} THEN {FIRST_CLAIM} ELSE claims + 1 END"',
        new='NEXT_CLAIM = "claims + 1"',
        tests="test_rows.py",
        select="both_ends",
    ),
    Mutation(
        name="attempts below the column's end",
        file="store/dialects/batches.py",
        old="{self._GREATER}(attempts, {_LEAST} - more_attempts) + more_attempts",
        new="attempts + more_attempts",
        tests="test_rows.py",
        select="both_ends",
    ),
]


def main(names):
    chosen = [m for m in MUTATIONS if not names or any(name in m.name for name in names)]
    with servers.postgresql() as server:
        url = server.url("django_tasks")
        outcomes = {mutation.name: outcome(mutation, url) for mutation in chosen}
    survived = [name for name, word in outcomes.items() if word != "noticed"]
    print(f"\n{len(outcomes) - len(survived)} of {len(outcomes)} mutations were noticed")
    return int(bool(survived))


def outcome(mutation, url):
    """Return "noticed", "SURVIVED", "NOT RUN" or "DOES NOT FIT", and print it."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
        copy = Path(directory)
        for folder in ("django_tasks", "docs", "tests"):
            skip = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / folder, copy / folder, ignore=skip)
        shutil.copy(ROOT / "pyproject.toml", copy)
        word, detail = "DOES NOT FIT", "the text to change is not there once"
        if mutate(copy, mutation):
            word, detail = judge(copy, mutation, url)
    print(f"{word:<12} {mutation.name}: {detail}", flush=True)
    return word


def mutate(copy, mutation):
    """Change the copy; return whether the text to change was there once."""
    if occurrences(copy, mutation) != 1:
        return False
    path = copy / "django_tasks" / mutation.file
    text = path.read_text(encoding="utf-8").replace(mutation.old, mutation.new)
    path.write_text(text, encoding="utf-8")
    return True


def occurrences(root, mutation):
    """Return how often the text that a mutation changes is in its file."""
    path = root / "django_tasks" / mutation.file
    return path.read_text(encoding="utf-8").count(mutation.old) if path.exists() else 0


def judge(copy, mutation, url):
    """Run the tests in the mutated copy."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", "-p", "no:cacheprovider"]
    command += [f"tests/reliability/{name}" for name in mutation.tests.split()]
    command += ["-k", mutation.select] if mutation.select else []
    environment = os.environ | {"TEST_DATABASE_URL": url, "TEST_CHAOS": "smoke"}
    environment.pop("TEST_REPORT", None)
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return "noticed", f"the tests did not end within {TIMEOUT:g} s"
    failed = re.findall(r"^FAILED \S*?::(\S+)", done.stdout, re.MULTILINE)
    if failed:
        return "noticed", ", ".join(failed)
    said = (done.stdout + done.stderr).strip().splitlines()
    word = "SURVIVED" if done.returncode == pytest.ExitCode.OK else "NOT RUN"
    return word, f"exit code {done.returncode}, {said[-1] if said else 'no output'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
