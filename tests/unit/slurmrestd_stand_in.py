"""A slurmrestd of few words: an HTTP server on this machine that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

META = {"slurm": {"release": "24.11.5", "cluster": "parallelcluster"}}
NO_PATH = (404, b"Unable find requested URL. Please view /openapi/v3 for API reference.")
HANG_UP = (0, b"")


def answer(status: int = 200, *, release: str = "24.11.5", **document: Any) -> tuple[int, bytes]:
    meta = {"slurm": META["slurm"] | {"release": release}}
    return status, json.dumps({"meta": meta, "errors": [], "warnings": [], **document}).encode()


def refusal(number: int, words: str, status: int = 500) -> tuple[int, bytes]:
    return answer(status, errors=[{"error_number": number, "error": words, "description": "It failed"}])


@dataclass
class StandIn:
    """Answers by method and path, with a list in turn; what is not told is a path that is not there."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def speak(self, *versions: str, release: str = "24.11.5") -> None:
        """Have these API versions and no other."""
        self.answers = {key: value for key, value in self.answers.items() if "/ping/" not in key}
        self.answers |= {f"GET /slurm/{version}/ping/": answer(release=release) for version in versions}

    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _, _ in self.requests]

    def next(self, key: str) -> tuple[int, bytes]:
        found = self.answers.get(key, NO_PATH)
        given: tuple[int, bytes] = found.pop(0) if isinstance(found, list) else found
        return given


@contextmanager
def slurmrestd() -> Iterator[StandIn]:
    told = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            told.requests.append((self.command, self.path, dict(self.headers), body))
            status, data = told.next(f"{self.command} {self.path}")
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
