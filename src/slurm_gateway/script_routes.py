"""POST /scripts and GET /scripts/{sha256}: a user's own scripts, staged without being run."""

from __future__ import annotations

import time
from base64 import b64encode
from typing import TYPE_CHECKING

from . import json_body
from .job import rfc3339
from .router import json_response
from .sbatch import LONGEST
from .scripts import is_digest
from .submit_request import is_json, no_query, read_script
from .submit_request import not_valid as _not_valid

if TYPE_CHECKING:
    from collections.abc import Callable

    from .router import Request, Response
    from .scripts import Scripts

UPLOAD_SECONDS = 300


class ScriptRoutes:
    """Answers for scripts. `clock` gives Unix seconds."""

    def __init__(self, scripts: Scripts, *, clock: Callable[[], float] = time.time) -> None:
        self._scripts = scripts
        self._clock = clock

    def stage(self, request: Request) -> Response:
        """Answer POST /scripts: a script is staged; JSON `{sha256, size}` asks where to upload one."""
        no_query(request)
        request.caller.require_unexpired(self._clock())
        if is_json(request.headers()):
            return self._upload(request)
        body = request.body()
        read_script(body)
        digest = self._scripts.stage(request.caller.user, body)
        return json_response(
            201, {"sha256": digest, "size": len(body), "links": {"self": f"/scripts/{digest}"}},
            {"location": f"/scripts/{digest}"},
        )  # fmt: skip

    def read(self, request: Request) -> Response:
        """Answer GET /scripts/{sha256}."""
        no_query(request)
        request.caller.require_unexpired(self._clock())
        script = self._scripts.read(request.caller.user, request.path_parameter("sha256"))
        return {
            "statusCode": 200,
            # What it is never changes. It is the user's own, so no shared cache may have it.
            "headers": {"content-type": "text/plain; charset=utf-8", "cache-control": "private, max-age=300, immutable",
                        "x-content-type-options": "nosniff"},
            "body": b64encode(script).decode(),
            "isBase64Encoded": True,
        }  # fmt: skip

    def _upload(self, request: Request) -> Response:
        asked = json_body.read(request.body(), advice='Send JSON such as {"sha256": "...", "size": 1234}.')
        if not isinstance(asked, dict) or set(asked) != {"sha256", "size"}:
            raise _not_valid('the body should be the script, or JSON such as {"sha256": "...", "size": 1234}')
        digest, size = asked["sha256"], asked["size"]
        if not is_digest(digest):
            raise _not_valid("sha256 should be the script's SHA-256 in 64 small hexadecimal digits")
        if type(size) is not int or not 1 <= size <= LONGEST:
            raise _not_valid(f"size should be the script's length in bytes, 1 to {LONGEST}")
        # It may do no more than its owner's token, and not for longer.
        now = self._clock()
        seconds = int(min(UPLOAD_SECONDS, request.caller.expires_at - now)) or 1
        url, headers = self._scripts.upload_url(request.caller.user, digest, size, seconds)
        return json_response(
            200,
            {
                "sha256": digest,
                "upload": {"method": "PUT", "url": url, "headers": headers, "expires_at": rfc3339(int(now) + seconds)},
                "links": {"self": f"/scripts/{digest}"},
            },
        )
