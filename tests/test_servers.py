"""The servers other tests rely on: found, started, restarted and removed."""

import os
from pathlib import Path
from unittest import TestCase, mock, skipUnless

import psycopg

from tests import servers
from tests.report import UNAVAILABLE


class PrivatePostgreSQLTests(TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.enterClassContext(servers.private_postgresql())

    def test_immediate_restart_ends_sessions_and_keeps_committed_rows(self):
        """A restart in immediate mode is a crash: sessions break, what was committed stays."""
        with psycopg.connect(self.server.url()) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        session = psycopg.connect(self.server.url(), autocommit=True)

        self.server.restart("immediate")

        with self.assertRaises(psycopg.OperationalError):
            session.execute("SELECT 1")
        with psycopg.connect(self.server.url()) as connection:
            self.assertEqual(connection.execute("SELECT number FROM kept").fetchone(), (7,))
        self.assertIn("was not properly shut down", self.server.log.read_text())

    def test_keeps_its_address_over_restarts(self):
        """Workers that reconnect find the restarted server where it was."""
        before = self.server.url()

        self.server.restart("fast")
        self.server.restart("smart")

        self.assertEqual(self.server.url(), before)
        self.assertIsNone(servers.postgresql_problem(before))

    def test_stop_refuses_connections_until_start(self):
        """A stopped server is an outage; start() ends it."""
        self.server.stop("immediate")
        problem = servers.postgresql_problem(self.server.url())
        self.server.start()

        self.assertRegex(problem, "refused|failed")
        self.assertIsNone(servers.postgresql_problem(self.server.url()))


class PrivateServerTests(TestCase):
    def test_mariadb_survives_a_crash(self):
        """MariaDB comes back at the same address after SIGKILL."""
        with servers.private_mariadb() as server:
            server.restart("immediate")

            self.assertIsNone(servers.mysql_problem(server.url()))

    def test_redis_answers(self):
        """A private Redis answers, and leaves nothing behind."""
        with servers.private_redis() as server:
            self.assertIsNone(servers.redis_problem(server.url()))

        self.assertFalse(server.directory.exists())
        self.assertIsNotNone(server.process.poll())

    def test_rabbitmq_survives_a_crash(self):
        """RabbitMQ comes back at the same address after SIGKILL, and ends with all it started."""
        with servers.private_rabbitmq() as server:
            server.restart("immediate")

            self.assertIsNone(servers.rabbitmq_problem(server.url()))

        self.assertIsNotNone(servers.rabbitmq_problem(server.url()))
        self.assertIsNotNone(server.epmd.returncode)

    def test_failed_start_is_explained_and_cleaned_up(self):
        """A server that cannot start is unavailable, for the reason it wrote to its log."""
        server = servers.private_postgresql()
        with (
            mock.patch.object(server, "command", lambda: ["/bin/sh", "-c", "echo no room; exit 1"]),
            self.assertRaisesRegex(servers.ServerUnavailable, "no room"),
        ):
            server.__enter__()

        self.assertFalse(server.directory.exists())


class FindTests(TestCase):
    def test_environment_comes_first_and_must_work(self):
        """A server named in the environment is used, or the run fails: it was asked for."""
        nowhere = f"postgresql://postgres@127.0.0.1:{servers.free_port()}/postgres"
        with (
            mock.patch.dict(os.environ, TEST_POSTGRESQL_URL=nowhere),
            self.assertRaisesRegex(servers.ServerFailed, "the server of TEST_POSTGRESQL_URL"),
        ):
            servers.postgresql().__enter__()

    def test_gives_the_server_of_the_environment(self):
        """The URL of another database on the given server keeps its host, user and options."""
        given = servers.GivenServer("mariadb://me:pw@db.example:3307/?charset=utf8mb4")

        self.assertEqual(given.url("x"), "mariadb://me:pw@db.example:3307/x?charset=utf8mb4")

    def test_default_port_comes_before_a_private_server(self):
        """A server that answers on the default port saves starting one."""
        with mock.patch.dict(os.environ):
            os.environ.pop("TEST_REDIS_URL", None)
            with (
                servers.private_redis() as local,
                servers.find(
                    "TEST_REDIS_URL", [local.url()], servers.redis_problem, self.fail
                ) as found,
            ):
                self.assertEqual(found.url(0), local.url())

    def test_reason_tells_everything_that_was_tried(self):
        """When there is no server, the reason names each place that was tried."""
        nowhere = f"redis://127.0.0.1:{servers.free_port()}/0"

        with (
            mock.patch.dict(os.environ, PATH="/nonexistent"),
            mock.patch.object(servers, "SYSTEM_BINARIES", []),
            self.assertRaises(servers.ServerUnavailable) as raised,
        ):
            os.environ.pop("TEST_REDIS_URL", None)
            servers.find(
                "TEST_REDIS_URL", [nowhere], servers.redis_problem, servers.private_redis
            ).__enter__()

        reason = str(raised.exception)
        self.assertTrue(reason.startswith(UNAVAILABLE))
        for part in ("TEST_REDIS_URL is not set", nowhere, "no Redis server is installed"):
            self.assertIn(part, reason)


@skipUnless(os.geteuid() == 0 and Path("/proc/self").exists(), "only root drops privileges")
class UnprivilegedTests(TestCase):
    def test_servers_never_run_as_root(self):
        """Started by root, the server's process belongs to an ordinary account."""
        with servers.private_redis() as server:
            owner = Path(f"/proc/{server.process.pid}").stat().st_uid

        self.assertNotEqual(owner, 0)
