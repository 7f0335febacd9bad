"""On what the numbers were measured."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psycopg
import redis

from benchmarks.servers import Server

PACKAGES = (
    "Django", "psycopg", "pgqueuer", "asyncpg", "uvloop", "celery", "django-celery-results",
    "huey", "django-tasks-db", "redis", "django-redis", "kombu",
)  # fmt: skip
SETTINGS = (
    "server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_level",
    "shared_buffers", "max_wal_size", "autovacuum", "jit", "shared_preload_libraries",
)  # fmt: skip


def collect(postgres: Server, redis_server: Server | None) -> dict[str, str]:
    return {
        "Date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Commit": _commit(),
        "Machine": f"{os.cpu_count()} × {_processor()}, {_memory()} GB, {platform.release()}",
        "Python": platform.python_version(),
        "Packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        f"PostgreSQL ({_kind(postgres)})": _postgres_settings(postgres.url),
        f"Redis ({_kind(redis_server)})": _redis_settings(redis_server),
    }


def _kind(server: Server | None) -> str:
    if server is None:
        return "none"
    return "private, default settings" if server.private else "given"


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip() or "not a git checkout"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _postgres_settings(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = [connection.execute(f"SHOW {name}").fetchone() for name in SETTINGS]
    return ", ".join(f"{name}={row[0]}" for name, row in zip(SETTINGS, rows, strict=True) if row)


def _redis_settings(server: Server | None) -> str:
    if server is None:
        return "not measured"
    client = redis.Redis.from_url(server.url)
    appendonly = client.config_get("appendonly")["appendonly"]
    return f"{client.info('server')['redis_version']}, appendonly={appendonly}"
