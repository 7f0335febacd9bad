"""
A process from which tests fork the commands they start: `python -m tests.worker.template FD`.

Most of what a worker computes in a short test is the import of Django. The template has imported
what needs no settings, and nothing else: no settings, no connection, one thread. What is forked
from it is `python -m django …` in a session of its own that begins sooner. The chaos harness, the
demo and the documents' tests start their commands the long way.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
#: Bytes of one message: the arguments and the environment of a command, or the modules to import.
LARGEST = 1 << 17
#: Whose modules are imported: what every worker imports, and no code of this project.
PACKAGES = sys.stdlib_module_names | {
    "MySQLdb", "asgiref", "croniter", "dateutil", "django", "psycopg", "psycopg_binary",
    "psycopg_pool", "pymysql", "redis", "sqlparse",
}  # fmt: skip


# --- the side of the tests ----------------------------------------------------------------------


class Template:
    """The template, as the tests see it."""

    def __init__(self):
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                env={**os.environ, "DJANGO_SETTINGS_MODULE": ""},
                start_new_session=True,
            )
        atexit.register(self.close)
        self._pids = []
        self._exits = {}
        modules = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
        self._socket.send(json.dumps(modules).encode())

    def fork(self, arguments, *, env, cwd, stdin, stdout):
        """Run `python -m django` with `arguments`; return what acts as its Popen."""
        command = {"arguments": arguments, "env": env, "cwd": str(cwd)}
        socket.send_fds(self._socket, [json.dumps(command).encode()], [stdin, stdout])
        while not self._pids:
            self._receive(None)
        return self._pids.pop()

    def exit_code(self, pid, timeout=0.0):
        """Return a fork's exit code as Popen has it, None if it has none after `timeout`."""
        until = time.monotonic() + timeout
        while pid not in self._exits:
            left = until - time.monotonic()
            if not self._receive(max(0.0, left)) and left <= 0:
                return None
        return self._exits[pid]

    def _receive(self, timeout):
        """Take a message, if one comes within `timeout` seconds."""
        if not select.select([self._socket], [], [], timeout)[0]:
            return False
        told = json.loads(self._socket.recv(LARGEST) or '["gone"]')
        match told:
            case ["forked", pid]:
                self._exits.pop(pid, None)  # of a process that had the number before
                self._pids.append(pid)
            case ["ended", pid, code]:
                self._exits[pid] = code
            case _:
                raise RuntimeError("The template of the workers has died; see its output.")
        return True

    def close(self):
        self._socket.close()
        self._process.wait(10)


class Fork:
    """The part of subprocess.Popen that tests use, for a process that the template forked."""

    def __init__(self, template, arguments, *, env, cwd, stdout):
        theirs, ours = os.pipe()
        self.stdin = open(ours, "wb")  # noqa: SIM115 - closed by whoever closes the process
        try:
            self.pid = template.fork(
                arguments, env=env, cwd=cwd, stdin=theirs, stdout=stdout.fileno()
            )
        finally:
            os.close(theirs)
        self._template = template

    def poll(self):
        return self._template.exit_code(self.pid)

    def wait(self, timeout):
        code = self._template.exit_code(self.pid, timeout)
        if code is None:
            raise subprocess.TimeoutExpired("python -m django", timeout)
        return code

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)


# --- the side of the template -------------------------------------------------------------------


def serve(channel):
    """Fork what the tests ask for and tell how it ended; return in each fork, and at the end."""
    wake, theirs = os.pipe()
    for end in (wake, theirs):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(theirs)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([channel, wake], [], [])
        if wake in ready:
            os.read(wake, LARGEST)
            tell_of_ends(channel)
        if channel in ready:
            message, descriptors, _, _ = socket.recv_fds(channel, LARGEST, 2)
            if not message:
                return None
            if pid := os.fork():
                tell(channel, "forked", pid)
            else:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(wake)
                os.close(theirs)
                become(json.loads(message), descriptors)
                return json.loads(message)["arguments"]
            for descriptor in descriptors:
                os.close(descriptor)


def tell(channel, *words):
    with contextlib.suppress(BrokenPipeError):  # the tests are over
        channel.send(json.dumps(words).encode())


def tell_of_ends(channel):
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            tell(channel, "ended", found[0], os.waitstatus_to_exitcode(found[1]))


def become(command, descriptors):
    """Make this process what Popen would have started."""
    os.setsid()
    stdin, stdout = descriptors
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.dup2(stdout, 2)
    for descriptor in descriptors:
        os.close(descriptor)
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["env"])
    sys.stdout.reconfigure(write_through=True)  # PYTHONUNBUFFERED, which comes too late here


def import_all(names):
    for name in names:
        # Models need settings, and some modules an order of their own: the fork imports them.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


def main():
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        import_all(json.loads(channel.recv(LARGEST)))
        arguments = serve(channel)
    if arguments is not None:
        sys.argv[1:] = arguments
        runpy.run_module("django", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
