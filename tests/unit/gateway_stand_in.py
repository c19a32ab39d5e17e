"""A gateway that says what a test wants it to say, over real HTTP on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class StandIn:
    """Answers in turn what is in `answers`: status, headers, and a body as bytes or JSON. The last one stays.

    A body may be a function that gives it, when it is asked for.
    """

    url: str = ""
    answers: list[tuple[int, dict[str, str], Any]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def says(self, status: int, body: Any = b"", **headers: str) -> StandIn:
        """Add an answer; underscores in a header's name stand for hyphens."""
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, body))
        return self


@contextmanager
def gateway() -> Iterator[StandIn]:
    """Serve on a free port of loopback."""
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            stand_in.asked.append(Asked(self.command, self.path, dict(self.headers), body))
            answers = stand_in.answers
            status, headers, said = answers.pop(0) if len(answers) > 1 else answers[0]
            if callable(said):
                said = said()
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            # Who asked may have left.
            with suppress(ConnectionError):
                self.tell(status, headers, data)

        def tell(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if status != 304:
                self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_PATCH = answer  # noqa: N815 (the library's names)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
