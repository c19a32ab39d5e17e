"""An OIDC issuer on loopback: discovery, keys, and ID tokens as the documentation of GitHub and GitLab shows them."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

AUDIENCE = "slurm-gateway"
GITHUB_PUSH = {
    "sub": "repo:octo-org/octo-repo:environment:production",
    "repository": "octo-org/octo-repo",
    "repository_id": "74",
    "environment": "production",
    "event_name": "push",
    "ref": "refs/heads/main",
    "head_ref": "",
}
GITLAB_PUSH = {
    "sub": "project_path:my-group/my-project:ref_type:branch:ref:main",
    "project_id": "22",
    "project_path": "my-group/my-project",
    "pipeline_source": "push",
    "ref": "main",
    "ref_path": "refs/heads/main",
    "ref_protected": "true",
}


class Issuer:
    """An issuer with one key; it serves where it says, until it is stopped."""

    def __init__(self, host: str) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.kid = uuid.uuid4().hex
        self._server = ThreadingHTTPServer((host, 0), self._handler())
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def token(self, claims: dict[str, Any], *, key: Any = None, algorithm: str = "RS256", **more: Any) -> str:
        now = int(time.time())
        standard = {"iss": self.url, "aud": AUDIENCE, "iat": now, "nbf": now, "exp": now + 300, "jti": uuid.uuid4().hex}
        payload = {name: value for name, value in (standard | claims | more).items() if value is not None}
        return jwt.encode(payload, key or self.key, algorithm=algorithm, headers={"kid": self.kid})

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = issuer._documents().get(self.path)
                body = json.dumps(found).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing on standard error."""

        return Handler

    def _documents(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": [{**public, "kid": self.kid, "alg": "RS256", "use": "sig"}]},
        }


@contextmanager
def serving(host: str) -> Iterator[Issuer]:
    issuer = Issuer(host)
    try:
        yield issuer
    finally:
        issuer.stop()
