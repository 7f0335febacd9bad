"""Redis servers set up as in production: TLS and a password, a sentinel, a cluster."""

import redis as client

from tests.servers import (
    PrivateRedis,
    ServerUnavailable,
    find_program,
)

PASSWORD = "hunter2 & co/?"


class SecureRedis(PrivateRedis):
    """Redis that speaks TLS only, and asks for a password."""

    def initialise(self):
        openssl = find_program("openssl")
        if openssl is None:
            raise ServerUnavailable("openssl is not installed")
        request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        names = ["-subj", "/CN=tests", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", self.directory / "key.pem", "-out", self.certificate]
        self.run([openssl, *request, *names, *files])

    @property
    def certificate(self):
        return self.directory / "certificate.pem"

    def command(self):
        files = ["--tls-cert-file", self.certificate, "--tls-key-file", self.directory / "key.pem"]
        options = ["--tls-port", self.port, "--tls-ca-cert-file", self.certificate]
        secrets = ["--tls-auth-clients", "no", "--requirepass", PASSWORD]
        return [self.server, "--port", 0, *options, *files, *secrets, "--bind", "127.0.0.1",
                "--save", "", "--dir", self.directory]  # fmt: skip

    def accepts_connections(self):
        try:
            return self.client().ping()
        except client.ConnectionError:
            return False

    def client(self):
        options = {"password": PASSWORD, "ssl_ca_certs": str(self.certificate)}
        return client.Redis.from_url(self.url(), **options)

    def url(self, database="0"):
        return f"rediss://127.0.0.1:{self.port}/{database}"

    def cache(self):
        """Return the settings of a cache that uses it."""
        return {
            "LOCATION": self.url(),
            "OPTIONS": {
                "PASSWORD": PASSWORD,
                "CONNECTION_POOL_KWARGS": {"ssl_ca_certs": str(self.certificate)},
            },
        }


class SentinelRedis(PrivateRedis):
    """Redis that a sentinel tells the address of; the sentinel is a process beside it."""

    NAME = "primary"

    def __enter__(self):
        super().__enter__()
        self.sentinel = Sentinel(self.port)
        try:
            self.sentinel.__enter__()
        except BaseException:
            self.discard()
            raise
        return self

    def __exit__(self, *exception):
        self.sentinel.discard()
        super().__exit__(*exception)

    def client(self):
        return client.Redis.from_url(self.url())

    def cache(self):
        return {
            "LOCATION": f"redis://{self.NAME}/0",
            "OPTIONS": {
                "CLIENT_CLASS": "django_redis.client.SentinelClient",
                "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
                "SENTINELS": [("127.0.0.1", self.sentinel.port)],
            },
        }


class Sentinel(PrivateRedis):
    """A sentinel of a server at a port."""

    def __init__(self, watched_port):
        super().__init__()
        self.watched_port = watched_port

    def command(self):
        file = self.directory / "sentinel.conf"  # it writes to it
        watched = f"sentinel monitor {SentinelRedis.NAME} 127.0.0.1 {self.watched_port} 1"
        file.write_text(f"port {self.port}\nbind 127.0.0.1\n{watched}\n")
        file.chmod(0o666)
        self.directory.chmod(0o777)
        return [self.server, file, "--sentinel"]


class ClusteredRedis(PrivateRedis):
    """A cluster of one node, which refuses commands over keys of several slots as others do."""

    def command(self):
        return [*super().command(), "--cluster-enabled", "yes"]

    def start(self):
        super().start()
        self.client().execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in self.client().execute_command("CLUSTER", "INFO"):
            pass

    def client(self):
        return client.Redis.from_url(self.url())

    def cache(self):
        return {"LOCATION": self.url()}
