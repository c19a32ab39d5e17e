"""KMS and SSM as moto has them, and a clock that stands until told."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.client import BaseClient

LogLines = Callable[[], list[dict[str, Any]]]


@dataclass
class Clock:
    """A clock that moves only when a test moves it."""

    seconds: float = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Aws:
    """The emulated services' clients, and what tests ask of them."""

    kms: BaseClient
    ssm: BaseClient
    keys: list[str] = field(default_factory=list)

    def key(self, index: int = 0) -> str:
        """Return the id of a signing key; the same for the same index, since making one takes long."""
        while len(self.keys) <= index:
            made = self.kms.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
            self.keys.append(made["KeyMetadata"]["KeyId"])
        return self.keys[index]

    def parameter(self, value: str, name: str | None = None) -> str:
        """Put a parameter, a new one unless named; return its name."""
        name = name or f"/test/{uuid.uuid4()}"
        self.ssm.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
        return name


class PublishedUsers:
    """A server that answers every GET with the head node's list of users, as S3 does."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.users: list[Any] = ["alice", "alice-test", "bob", "carol"]
        self.body: bytes | None = None
        self.status = 200
        self.age = 0.0
        self.asked: list[tuple[str, str]] = []

    @classmethod
    @contextmanager
    def served(cls) -> Iterator[PublishedUsers]:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                published.asked.append((self.path, self.headers.get("Authorization", "")))
                body = published.body
                if body is None:
                    body = json.dumps({"users": published.users}).encode()
                self.send_response(published.status)
                self.send_header("Last-Modified", formatdate(time.time() - published.age, usegmt=True))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing on standard error."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        published = cls(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield published
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
