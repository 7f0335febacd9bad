"""HTTP probes: /livez (the loops turn) and /readyz (the database answers)."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

logger = logging.getLogger("django_tasks.worker")

#: Seconds without a sign of life from one of the loops after which the worker is not live.
LONGEST_SILENCE = 30.0


def serve(
    silence: Callable[[], float],
    is_ready: Callable[[], bool],
    host: str,
    port: int,
    remark: Callable[[], str] = str,
) -> ThreadingHTTPServer:
    """
    Answer probes on `host`:`port` in a thread of this process.

    `silence`: seconds since the most silent of the loops gave a sign of life.
    `remark`: a line that /readyz adds for people, whatever it answers; empty for none.

    /livez never depends on the database: restarting workers does not bring it back. No other
    path, no payload, no change of state.
    """

    class Probe(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/livez":
                self._answer(silence() < LONGEST_SILENCE)
            elif path == "/readyz":
                self._answer(is_ready(), remark())
            else:
                self.send_error(404)

        def _answer(self, is_well: bool, remark: str = "") -> None:
            lines = ["ok" if is_well else "not ok", remark]
            body = "".join(f"{line}\n" for line in lines if line).encode()
            self.send_response(200 if is_well else 503)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            logger.debug(format, *args)

    server = _server_class(host)((host, port), Probe)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server


def family_of(host: str) -> socket.AddressFamily:
    """Return the address family of a host's name or address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _server_class(host: str) -> type[ThreadingHTTPServer]:
    return type("ProbeServer", (ThreadingHTTPServer,), {"address_family": family_of(host)})
