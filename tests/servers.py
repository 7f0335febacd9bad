"""Find or start the servers that tests need.

`postgresql()`, `mariadb()`, `redis()` and `rabbitmq()` give the first server that works of

1. the one named by TEST_POSTGRESQL_URL, TEST_MARIADB_URL, TEST_REDIS_URL or TEST_RABBITMQ_URL,
2. the one on the default port of this machine,
3. a private one, started from installed binaries in a temporary directory.

`private_postgresql()` and its like always start a private one, which a test may restart or crash.
All are context managers, stop what they started, and raise ServerUnavailable, which skips the
test, when the machine has nothing to offer.
"""

import contextlib
import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from unittest import SkipTest
from urllib.parse import quote, urlsplit, urlunsplit

from tests.database_urls import settings_for
from tests.report import UNAVAILABLE

START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 30.0  # seconds
CONNECT_TIMEOUT = 5  # seconds
POSTGRESQL_MINIMUM = 15  # Django 6.1's
MARIADB_MINIMUM = (10, 11)  # Django 6.1's
SYSTEM_BINARIES = ["/usr/local/sbin", "/usr/sbin", "/sbin"]


class ServerUnavailable(SkipTest):
    """No server was given, found or could be started; says what was tried."""

    def __init__(self, reason):
        super().__init__(UNAVAILABLE + reason)


class ServerFailed(Exception):
    """A server that should work does not."""


class GivenServer:
    """A server that is not ours: to be used, never stopped."""

    def __init__(self, base_url):
        self.base_url = base_url

    def url(self, database):
        """Return the URL of a database on this server."""
        return urlunsplit(
            urlsplit(self.base_url)._replace(path="/" + quote(str(database), safe=""))
        )


class PrivateServer:
    """A server in a temporary directory, on a free port of 127.0.0.1, without durability."""

    name = ""
    accounts = ()  # the users to run as when this process is root, the first that exists
    stop_signals = {"fast": signal.SIGTERM, "immediate": signal.SIGKILL}

    def __init__(self):
        self.directory = temporary_directory(self.name.lower())
        self.account = account_among(self.accounts)
        if self.account:
            os.chown(self.directory, self.account.pw_uid, self.account.pw_gid)
        self.log = self.directory / "server.log"
        self.port = None
        self.process = None

    def __enter__(self):
        try:
            self.initialise()
            self.start()
        except ServerFailed as error:
            self.discard()
            raise ServerUnavailable(str(error)) from error
        except BaseException:
            self.discard()
            raise
        return self

    def __exit__(self, *_exception):
        self.discard()

    def initialise(self):
        """Make the data directory."""

    def command(self):
        """Return the command that runs the server in the foreground."""
        raise NotImplementedError

    def accepts_connections(self):
        raise NotImplementedError

    def start(self):
        """Start the server and wait until it answers; it keeps its port over restarts."""
        is_first = self.port is None
        for _attempt in range(3):
            self.port = free_port() if is_first else self.port
            with self.log.open("ab") as log:
                self.process = self.popen(self.command(), stdout=log, stderr=log)
            if self.wait_until_ready():
                return
            time.sleep(0.5)  # after a crash the last children may still hold shared memory
        raise ServerFailed(f"{self.name} did not start:\n{self.log_tail()}")

    def wait_until_ready(self):
        """Return whether the server came up; False if it exited, as when its port was taken."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            if self.accepts_connections():
                return True
            time.sleep(0.05)
        self.stop("immediate")
        return False

    def stop(self, mode="fast"):
        """Stop the server: "fast" shuts down in order, "immediate" is a crash."""
        if self.process is None or self.process.poll() is not None:
            return
        self.send_signal(self.stop_signals[mode])
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def send_signal(self, signal_number):
        self.process.send_signal(signal_number)

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def discard(self):
        self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database):
        """Return the URL of a database on this server."""
        raise NotImplementedError

    def log_tail(self, lines=15):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def popen(self, command, **options):
        if self.account:
            options |= {"user": self.account.pw_uid, "group": self.account.pw_gid}
            options |= {"extra_groups": []}
        return subprocess.Popen(
            [str(argument) for argument in command],
            cwd=self.directory,
            env=os.environ | {"HOME": str(self.directory), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            # Ctrl+C in the terminal is for the test run; it stops the servers in its own time.
            start_new_session=True,
            **options,
        )

    def run(self, command):
        """Run a command to its end; raise ServerFailed with its output if it fails."""
        process = self.popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = process.communicate(timeout=START_TIMEOUT)
        if process.returncode:
            raise ServerFailed(f"{command[0]} failed:\n{output.decode(errors='replace')}")


class PrivatePostgreSQL(PrivateServer):
    name = "PostgreSQL"
    accounts = ("postgres", "nobody")
    addresses = "127.0.0.1"
    stop_signals = {
        "smart": signal.SIGTERM,
        "fast": signal.SIGINT,
        "immediate": signal.SIGQUIT,
    }

    def __init__(self):
        self.binaries = postgresql_binaries()
        super().__init__()

    def initialise(self):
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"]
        target = ["--no-sync", "--pgdata", self.directory / "data"]
        self.run([self.binaries / "initdb", *options, *target])

    def command(self):
        settings = {
            "port": self.port,
            "listen_addresses": self.addresses,
            "unix_socket_directories": "",  # a socket's path may not be longer than 107 bytes
            "fsync": "off",  # the machine does not crash under the tests, only the server does
            "full_page_writes": "off",
            "synchronous_commit": "on",
            "max_connections": 200,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [self.binaries / "postgres", "-D", self.directory / "data", *options]

    def accepts_connections(self):
        check = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", "postgres", "-q"]
        return subprocess.run([self.binaries / "pg_isready", *check], check=False).returncode == 0

    def url(self, database="postgres"):
        return f"postgresql://postgres@127.0.0.1:{self.port}/{quote(database)}"


class PrivateMariaDB(PrivateServer):
    name = "MariaDB"
    accounts = ("mysql", "nobody")

    def __init__(self):
        self.server = required_program("MariaDB", "mariadbd", "mysqld")
        self.install = required_program("MariaDB", "mariadb-install-db", "mysql_install_db")
        super().__init__()

    def initialise(self):
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        target = f"--datadir={self.directory / 'data'}"
        self.run([self.install, "--no-defaults", target, *options])

    def command(self):
        return [
            self.server,
            "--no-defaults",
            f"--datadir={self.directory / 'data'}",
            f"--socket={self.directory / 's'}",
            f"--pid-file={self.directory / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=64M",
            "--max-connections=200",
        ]

    def accepts_connections(self):
        return mysql_problem(self.url()) is None

    def url(self, database=""):
        return f"mariadb://root@127.0.0.1:{self.port}/{quote(database)}"


class PrivateRedis(PrivateServer):
    name = "Redis"
    accounts = ("redis", "nobody")

    def __init__(self):
        self.server = required_program("Redis", "redis-server", "valkey-server")
        super().__init__()

    def command(self):
        options = ["--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        return [self.server, *options, "--dir", self.directory]

    def accepts_connections(self):
        return redis_problem(self.url()) is None

    def url(self, database="0"):
        return f"redis://127.0.0.1:{self.port}/{database}"


class PrivateRabbitMQ(PrivateServer):
    name = "RabbitMQ"
    accounts = ("rabbitmq", "nobody")

    def __init__(self):
        self.server = rabbitmq_binary()
        self.epmd_program = required_program("Erlang", "epmd")
        self.epmd = None
        super().__init__()

    def initialise(self):
        (self.directory / "rabbitmq.conf").write_text(
            "disk_free_limit.absolute = 1MB\nvm_memory_high_watermark.relative = 0.9\n"
        )
        (self.directory / "plugins").write_text("[].")
        # Erlang starts one by itself otherwise, and leaves it behind.
        self.epmd_port = free_port()
        options = ["-port", self.epmd_port, "-address", "127.0.0.1"]
        self.epmd = self.popen([self.epmd_program, *options], stdout=subprocess.DEVNULL)

    @property
    def environment(self):
        return {
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": self.epmd_port,
            "ERL_FLAGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": self.directory / "rabbitmq.conf",
            "RABBITMQ_DIST_PORT": free_port(),
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.directory / "plugins",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_MNESIA_BASE": self.directory / "data",
            "RABBITMQ_NODENAME": f"tests{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_PID_FILE": self.directory / "pid",
        }

    def command(self):
        return self.with_environment(self.server)

    def with_environment(self, *command):
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        return ["/usr/bin/env", *settings, *command]

    def control(self, *arguments):
        """Run rabbitmqctl against this server."""
        program = Path(self.server).with_name("rabbitmqctl")
        command = self.with_environment(program, "--quiet", *arguments)
        assert self.popen(command).wait(START_TIMEOUT) == 0, command

    def accepts_connections(self):
        return rabbitmq_problem(self.url()) is None

    def send_signal(self, signal_number):
        if signal_number == signal.SIGKILL:  # a script, and the server as its child
            os.killpg(self.process.pid, signal_number)
        else:
            self.process.send_signal(signal_number)

    def discard(self):
        super().discard()
        if self.epmd is not None:
            self.epmd.kill()
            self.epmd.wait()

    def url(self, database="/"):
        """Return the URL of a virtual host."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{quote(database, safe='')}"


def private_postgresql():
    """Return a PostgreSQL server to use in a `with`, started on entry and removed on exit."""
    return PrivatePostgreSQL()


def private_mariadb():
    """Return a MariaDB server to use in a `with`, started on entry and removed on exit."""
    return PrivateMariaDB()


def private_redis():
    """Return a Redis server to use in a `with`, started on entry and removed on exit."""
    return PrivateRedis()


def private_rabbitmq():
    """Return a RabbitMQ server to use in a `with`, started on entry and removed on exit."""
    return PrivateRabbitMQ()


def postgresql():
    """Return a usable PostgreSQL server to use in a `with`."""
    users = dict.fromkeys([os.environ.get("PGUSER"), "postgres", getpass.getuser()])
    local = [f"postgresql://{quote(user)}@127.0.0.1:5432/postgres" for user in users if user]
    return find("TEST_POSTGRESQL_URL", local, postgresql_problem, private_postgresql)


def mariadb():
    """Return a usable MariaDB (or MySQL) server to use in a `with`."""
    local = ["mariadb://root@127.0.0.1:3306/"]
    return find("TEST_MARIADB_URL", local, mysql_problem, private_mariadb)


def redis():
    """Return a usable Redis server to use in a `with`: share it, never flush it."""
    return find("TEST_REDIS_URL", ["redis://127.0.0.1:6379/0"], redis_problem, private_redis)


def rabbitmq():
    """Return a usable RabbitMQ server to use in a `with`: share it, never reset it."""
    local = ["amqp://guest:guest@127.0.0.1:5672/%2F"]
    return find("TEST_RABBITMQ_URL", local, rabbitmq_problem, private_rabbitmq)


@contextlib.contextmanager
def find(variable, local_urls, problem_with, private):
    """Give the server of the environment, of this machine, or a private one, in this order.

    Raise ServerFailed if the one of the environment does not work: it was asked for.
    """
    if given := os.environ.get(variable):
        if problem := problem_with(given):
            raise ServerFailed(f"the server of {variable}: {problem}")
        yield GivenServer(given)
        return
    tried = [f"{variable} is not set"]
    for url in local_urls:
        problem = problem_with(url)
        if problem is None:
            yield GivenServer(url)
            return
        tried.append(f"{url}: {problem}")
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(private())
        except ServerUnavailable as error:
            tried.append(str(error).removeprefix(UNAVAILABLE))
            raise ServerUnavailable("; ".join(tried)) from error
        yield server


def postgresql_problem(url):
    """Return why the server at this URL cannot be used, or None if it can."""
    try:
        import psycopg
    except ImportError as error:
        return str(error)
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT) as connection:
            if connection.info.server_version < POSTGRESQL_MINIMUM * 10000:
                return f"its version is below {POSTGRESQL_MINIMUM}"
            may_create = connection.execute(
                "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
            return None if may_create[0] else "its user may not create databases"
    except psycopg.Error as error:
        return one_line(error)


def mysql_problem(url):
    """Return why the server at this URL cannot be used, or None if it can."""
    driver = mysql_driver()
    if driver is None:
        return "neither mysqlclient nor PyMySQL is installed"
    settings = settings_for(url)
    try:
        connection = driver.connect(
            host=settings["HOST"],
            port=int(settings["PORT"] or 3306),
            user=settings["USER"],
            password=settings["PASSWORD"],
            connect_timeout=CONNECT_TIMEOUT,
        )
    except driver.Error as error:
        return one_line(error)
    try:
        return mysql_shortcoming(connection)
    finally:
        connection.close()


def mysql_shortcoming(connection):
    cursor = connection.cursor()
    cursor.execute("SELECT VERSION()")
    (version,) = cursor.fetchone()
    numbers = tuple(int(number) for number in version.split("-")[0].split(".")[:2])
    if "MariaDB" in version and numbers < MARIADB_MINIMUM:
        return f"its version is {version}"
    cursor.execute("SHOW GRANTS")
    grants = " ".join(row[0] for row in cursor.fetchall())
    if "ALL PRIVILEGES ON *.*" in grants or " CREATE," in grants:
        return None
    return "its user may not create databases"


def mysql_driver():
    """Return the driver that Django would use, as tests.settings has it."""
    with contextlib.suppress(ImportError):
        import MySQLdb

        return MySQLdb
    with contextlib.suppress(ImportError):
        import pymysql

        return pymysql
    return None


def redis_problem(url):
    """Return why the server at this URL cannot be used, or None if it can."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 6379)
    try:
        with socket.create_connection(address, timeout=CONNECT_TIMEOUT) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(100)
    except OSError as error:
        return one_line(error)
    return None if answer.startswith((b"+PONG", b"-NOAUTH")) else f"it answered {answer!r}"


def rabbitmq_problem(url):
    """Return why the server at this URL cannot be used, or None if it can."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 5672)
    try:
        with socket.create_connection(address, timeout=CONNECT_TIMEOUT) as connection:
            connection.sendall(b"AMQP\0\0\x09\1")
            answer = connection.recv(100)
    except OSError as error:
        return one_line(error)
    return None if answer.startswith(b"\1\0\0") else f"it answered {answer!r}"


def rabbitmq_binary():
    """Return the server's own script: Debian's in PATH is a wrapper that changes accounts."""
    debian = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    return debian if debian.exists() else required_program("RabbitMQ", "rabbitmq-server")


def postgresql_binaries():
    """Return the directory of the newest PostgreSQL server's programs."""
    # Debian keeps the server's programs out of PATH.
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    found = sorted(debian, key=lambda path: float(path.parts[-2]), reverse=True)
    if initdb := shutil.which("initdb"):
        found.insert(0, Path(initdb).resolve().parent)
    for directory in found:
        if all((directory / name).exists() for name in ("initdb", "postgres", "pg_isready")):
            return directory
    raise ServerUnavailable(
        "no PostgreSQL server is installed (initdb in PATH or /usr/lib/postgresql/*/bin)"
    )


def required_program(server, *names):
    for name in names:
        if program := find_program(name):
            return program
    raise ServerUnavailable(f"no {server} server is installed ({' or '.join(names)} in PATH)")


def find_program(name):
    """Return the path of a program, also of one that only root has in PATH; None without it."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_BINARIES])
    return shutil.which(name, path=path)


def account_among(names):
    """Return the account to run a server as, or None to keep this process's own.

    Servers refuse to run as root, or should.
    """
    if os.geteuid() != 0:
        return None
    for name in names:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerUnavailable(f"a server must not run as root, and none of {names} is a user here")


def temporary_directory(prefix):
    """Make a directory that an unprivileged account can reach, with a path short enough to hold
    a socket."""
    parent = Path(tempfile.gettempdir()).resolve()
    reachable = all(path.stat().st_mode & 0o001 for path in (parent, *parent.parents))
    if not reachable or len(str(parent)) > 60:
        parent = Path("/tmp")
    return Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=parent))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def one_line(error):
    return " ".join(str(error).split())
