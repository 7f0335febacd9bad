"""python -m benchmarks: measure side by side, print the tables, write them to RESULTS.md."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = (
    "psycopg",
    "django_redis",
    "asyncpg",
    "celery",
    "django_celery_results",
    "huey",
    "pgqueuer",
)
WORKLOADS = (
    *(
        "enqueue",
        "drain",
        "failures",
        "latency",
        "memory",
        "idle",
        "naps",
        "flat",
        "held",
        "profile",
    ),
)
ONCE = {"failures", "idle", "flat", "held", "profile"}  # slow, and steady: in the first run only
Runs = dict[str, list[dict[str, Any]]]


def main() -> int:
    arguments = parse()
    ensure_environment()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped, too
    from benchmarks import facts, report, servers

    postgres, redis = servers.postgres(), servers.redis_server()
    os.environ["BENCH_RABBITMQ_URL"] = servers.rabbitmq_url() or ""
    started = time.time()
    try:
        found = facts.collect(postgres, redis)
        for number, runs in enumerate(measure(arguments, postgres, redis), start=1):
            done = {"runs": number, "minutes": (time.time() - started) / 60}
            text = report.render(found, runs, vars(arguments) | done)
            arguments.out.write_text(text)  # after each run: a later one may be interrupted
    finally:
        for server in filter(None, (postgres, redis)):
            server.stop()
    print(text)
    return 1 if any("error" in numbers for all_runs in runs.values() for numbers in all_runs) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--systems", type=_names, help="comma-separated (default: all)")
    parser.add_argument("--workloads", type=_names, default=list(WORKLOADS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.workloads) - set(WORKLOADS):
        parser.error(f"unknown workloads {sorted(unknown)}; there are {', '.join(WORKLOADS)}")
    return arguments


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def ensure_environment() -> None:
    """Where the peers are not installed, go on in an environment that has them."""
    if all(importlib.util.find_spec(name) for name in PEERS):
        return
    python = HERE / ".venv" / "bin" / "python"
    if Path(sys.executable) == python:
        raise SystemExit(f"{HERE / '.venv'} is incomplete: delete it and run again.")
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", HERE / ".venv"], check=True)
    install = [python, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"]
    subprocess.run(install, check=True)
    os.execv(python, [python, "-m", "benchmarks", *sys.argv[1:]])


def measure(arguments: argparse.Namespace, postgres: Any, redis: Any) -> Iterator[Runs]:
    """
    Yield all that was measured after each run.

    The systems take turns within a run, so that a slow minute hits all alike.
    """
    systems = chosen(arguments.systems, redis is not None)
    pids = {
        name: server.pid for name, server in (("postgres", postgres), ("redis", redis)) if server
    }
    runs: Runs = {system: [] for system in systems}
    for number in range(arguments.runs):
        for system in systems:
            order = {
                "system": system,
                "workloads": [w for w in arguments.workloads if number == 0 or w not in ONCE],
                "quick": arguments.quick,
                "postgres_url": postgres.url,
                "redis_url": redis and redis.url,
                "pids": pids,
            }
            runs[system].append(measure_quietness(order))
            print(f"run {number + 1}: {system}: {brief(runs[system][-1])}", flush=True)
        yield runs


def chosen(names: list[str] | None, has_redis: bool) -> list[str]:
    from benchmarks.systems import SYSTEMS, system_class

    everything = ["raw", *SYSTEMS]
    has_rabbitmq = bool(os.environ["BENCH_RABBITMQ_URL"])
    if unknown := set(names or ()) - set(everything):
        raise SystemExit(f"unknown systems {sorted(unknown)}; there are {', '.join(everything)}")
    kept = [
        name
        for name in names or everything
        if name == "raw"
        or (
            (has_redis or not system_class(name).uses_redis)
            and (has_rabbitmq or not system_class(name).uses_rabbitmq)
        )
    ]
    if left_out := set(names or everything) - set(kept):
        names = ", ".join(sorted(left_out))
        print(f"NOT MEASURED, no server (BENCH_REDIS_URL, BENCH_RABBITMQ_URL) found: {names}")
    return kept


def measure_quietness(order: dict[str, Any]) -> dict[str, Any]:
    """Measure, and tell what share of a core others took in the meantime."""
    from benchmarks import measure as kernel

    roots = [os.getpid(), *filter(None, order["pids"].values())]
    start, busy, ours = time.perf_counter(), kernel.busy_seconds(), kernel.cpu_seconds(roots)
    numbers = measure_one(order)
    foreign = kernel.busy_seconds() - busy - (kernel.cpu_seconds(roots) - ours)
    seconds = time.perf_counter() - start
    return numbers | {"seconds": seconds, "foreign": max(foreign, 0.0) / seconds * 100}


def measure_one(order: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        given, told = Path(directory) / "order.json", Path(directory) / "numbers.json"
        given.write_text(json.dumps(order))
        command = [sys.executable, "-m", "benchmarks.one", given, told]
        with subprocess.Popen(command, cwd=HERE.parent, stderr=subprocess.PIPE, text=True) as child:
            try:
                _, errors = child.communicate()
            finally:
                child.terminate()  # when we are stopped: it stops its workers first
        if child.returncode:
            return {"error": errors or f"exit code {child.returncode}"}
        numbers: dict[str, Any] = json.loads(told.read_text())
        return numbers


def brief(numbers: dict[str, Any]) -> str:
    if "error" in numbers:
        return f"FAILED\n{numbers['error']}"
    told = {name: value for name, value in numbers.items() if isinstance(value, (int, float))}
    return " ".join(f"{name}={value:.4g}" for name, value in told.items())


if __name__ == "__main__":
    sys.exit(main())
