"""
Hosts as far as the network goes: namespaces, joined by cables that can be pulled.

What a thread starts within `with host:` is on that host: it has that host's interfaces alone. The
namespaces have no names and end with the processes in them, so that nothing is left behind.
"""

import os
import subprocess
import sys
import threading

import pytest

from tests import servers
from tests.report import UNAVAILABLE


def require_namespaces():
    """Skip the test where this process may not make hosts."""
    if not (sys.platform.startswith("linux") and hasattr(os, "setns")):
        pytest.skip("hosts as network namespaces need Linux and Python 3.12")
    if servers.find_program("ip") is None:
        pytest.skip(f"{UNAVAILABLE}the command `ip` (iproute2) is missing: no network namespaces")
    try:
        os.close(_new_namespace())
    except PermissionError:
        # Nothing that an installation could mend: many containers forbid it.
        pytest.skip("hosts as network namespaces need root and the right to administer networks")


def _new_namespace():
    """Return a descriptor of a new one; it is made by a thread that ends there."""
    made = []

    def make():
        try:
            os.unshare(os.CLONE_NEWNET)
            made.append(_current_namespace())
        except OSError as error:
            made.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


def _current_namespace():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


class Host:
    """A host with nothing but itself on its network."""

    def __init__(self):
        self.descriptor = _new_namespace()
        self._way_back = []
        self.ip("link", "set", "lo", "up")

    def __enter__(self):
        self._way_back.append(_current_namespace())
        os.setns(self.descriptor, os.CLONE_NEWNET)
        return self

    def __exit__(self, *_exception):
        descriptor = self._way_back.pop()
        os.setns(descriptor, os.CLONE_NEWNET)
        os.close(descriptor)

    def ip(self, *arguments):
        """Run the command `ip` on this host."""
        program = servers.find_program("ip")
        with self:
            subprocess.run([program, *arguments], check=True)

    def close(self):
        os.close(self.descriptor)


class Cable:
    """
    Joins a host to the database's, on a network of their own.

    `address`: the database's on it.
    """

    def __init__(self, database, host, number):
        self.database = database
        self.host = host
        self.name = f"cable{number}"
        self.address, self.host_address = f"10.77.{number}.1", f"10.77.{number}.2"
        peer = ["peer", "name", "eth0", "netns", f"/proc/{os.getpid()}/fd/{host.descriptor}"]
        database.ip("link", "add", self.name, "type", "veth", *peer)
        database.ip("address", "add", f"{self.address}/24", "dev", self.name)
        host.ip("address", "add", f"{self.host_address}/24", "dev", "eth0")
        self.plug_in()
        self.switch_on()

    def pull(self):
        """Let what the host sends be lost, without a word."""
        self.database.ip("link", "set", self.name, "down")

    def plug_in(self):
        self.database.ip("link", "set", self.name, "up")

    def switch_off(self):
        """Take down the host's own interface: it knows that it has no way out."""
        self.host.ip("link", "set", "eth0", "down")

    def switch_on(self):
        self.host.ip("link", "set", "eth0", "up")

    def lose_answers(self):
        """Let what the host sends arrive, and lose what the database answers."""
        self.database.ip("route", "add", "blackhole", f"{self.host_address}/32")

    def give_answers(self):
        self.database.ip("route", "del", "blackhole", f"{self.host_address}/32")


class DatabaseServer(servers.PrivatePostgreSQL):
    """A PostgreSQL server that listens to other hosts, too."""

    addresses = "*"

    def initialise(self):
        super().initialise()
        with (self.directory / "data" / "pg_hba.conf").open("a") as file:
            file.write("host all all 10.77.0.0/16 trust\n")


class Network:
    """Three hosts: the database's, and two for workers. Use in a `with`."""

    def __init__(self):
        self.database = Host()
        self.hosts = [Host(), Host()]
        self.cables = [
            Cable(self.database, host, number) for number, host in enumerate(self.hosts, 1)
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        for host in [self.database, *self.hosts]:
            host.close()

    def worker(self, project, cable, *options, **settings):
        """Start a worker at the far end of a cable."""
        # Lines that are dark are given up soon: the worker's processes look up again meanwhile.
        url = project.url.replace("127.0.0.1", cable.address) + "&tcp_user_timeout=1500"
        with cable.host:
            worker = project.worker(
                *options, url=f"{url}&connect_timeout=2", settings=settings, ready=False
            )
        worker.wait_until_ready()
        return worker
