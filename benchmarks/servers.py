"""The PostgreSQL and Redis to measure on: given, private, or on the default local port.

A private server is preferred to a local one: nobody else uses its CPU, and its settings are
those of the packaged defaults, with pg_stat_statements loaded to count queries.
"""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis

from benchmarks import measure

LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"
LOCAL_REDIS = "redis://127.0.0.1:6379"
LOCAL_RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"
NOT_FOUND = (
    "benchmarks need PostgreSQL: set BENCH_POSTGRES_URL, install its server (initdb), "
    "or start one on port 5432."
)


@dataclass
class Server:
    """One running server. `pid` is 0 where its CPU cannot be read (another machine)."""

    url: str
    pid: int
    private: bool = False
    stop: Callable[[], None] = field(default=lambda: None, repr=False)


def postgres() -> Server:
    if url := os.environ.get("BENCH_POSTGRES_URL"):
        return Server(url, _postmaster(url))
    if binaries := _postgres_binaries():
        return _private_postgres(binaries)
    if _listens(LOCAL_POSTGRES):
        return Server(LOCAL_POSTGRES, _postmaster(LOCAL_POSTGRES))
    raise SystemExit(NOT_FOUND)


def rabbitmq_url() -> str | None:
    """Return the RabbitMQ to use, given or on the default local port; its CPU is not measured."""
    if url := os.environ.get("BENCH_RABBITMQ_URL"):
        return url
    return LOCAL_RABBITMQ if _listens(LOCAL_RABBITMQ) else None


def redis_server() -> Server | None:
    if url := os.environ.get("BENCH_REDIS_URL"):
        return Server(url, _redis_pid(url))
    if binary := shutil.which("redis-server"):
        return _private_redis(binary)
    if _listens(LOCAL_REDIS):
        return Server(LOCAL_REDIS, _redis_pid(LOCAL_REDIS))
    return None


def _postgres_binaries() -> Path | None:
    found = [shutil.which("initdb"), *sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))]
    paths = [Path(path).parent for path in found if path]
    return paths[-1] if paths else None


def _private_postgres(binaries: Path) -> Server:
    """initdb in a new directory on disk (not in memory: fsync is part of what is measured)."""
    directory, port, account = tempfile.mkdtemp(dir="/var/tmp"), _free_port(), _account()
    os.chown(directory, account.pw_uid, account.pw_gid)
    who = {"user": account.pw_uid, "group": account.pw_gid} if os.getuid() == 0 else {}
    initdb = [binaries / "initdb", "-D", directory, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    subprocess.run([*initdb, "--no-sync"], check=True, stdout=subprocess.DEVNULL, **who)
    process = subprocess.Popen(
        [binaries / "postgres", "-D", directory, "-p", str(port), "-k", directory, *_options()],
        stdout=subprocess.DEVNULL,
        stderr=(Path(directory) / "server.log").open("w"),
        **who,
    )
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    server = Server(url, process.pid, True, lambda: _end(process, directory))
    _wait_until_listening(url, process)
    return server


def _options() -> list[str]:
    settings = ["listen_addresses=127.0.0.1", "max_connections=200"]
    settings += ["shared_preload_libraries=pg_stat_statements"]
    return [part for setting in settings for part in ("-c", setting)]


def _private_redis(binary: str) -> Server:
    directory, port = tempfile.mkdtemp(dir="/var/tmp"), _free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", ""]
    process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}"
    _wait_until_listening(url, process)
    return Server(url, process.pid, True, lambda: _end(process, directory))


def _end(process: subprocess.Popen[bytes], directory: str) -> None:
    process.send_signal(2)  # PostgreSQL: disconnect everyone and stop. Redis: stop.
    process.wait(timeout=30)
    shutil.rmtree(directory, ignore_errors=True)


def _account() -> pwd.struct_passwd:
    """PostgreSQL refuses to run as root."""
    return pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


def _postmaster(url: str) -> int:
    """The parent of our own backend, where the server shares our process table."""
    with psycopg.connect(url) as connection:
        backend = connection.info.backend_pid
        try:
            is_ours = b"postgres" in Path(f"/proc/{backend}/cmdline").read_bytes()
            return measure.parent_of(backend) if is_ours else 0
        except FileNotFoundError:
            return 0


def _redis_pid(url: str) -> int:
    pid = int(redis.Redis.from_url(url).info("server")["process_id"])
    try:
        return pid if b"redis" in Path(f"/proc/{pid}/cmdline").read_bytes() else 0
    except FileNotFoundError:
        return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname or "127.0.0.1", parts.port or 0)) == 0


def _wait_until_listening(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while not _accepts(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"A private server did not start: {process.args!r}")
        time.sleep(0.1)


def _accepts(url: str) -> bool:
    try:
        if url.startswith("redis"):
            return bool(redis.Redis.from_url(url).ping())
        psycopg.connect(url, connect_timeout=2).close()
    except (psycopg.OperationalError, redis.ConnectionError):
        return False
    return True
