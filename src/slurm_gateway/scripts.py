"""Users' scripts in S3, each under the SHA-256 of its bytes: scripts/{user}/{sha256}.

A script that is there once cannot become another: S3 checks what is written against the hash in its name. The
bucket encrypts, and its lifecycle forgets.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from .aws import error_code, unavailable_on_failure
from .problem import Problem
from .sbatch import LONGEST

if TYPE_CHECKING:
    from botocore.client import BaseClient

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Scripts:
    """Scripts in a bucket. Every method raises UnavailableError if S3 fails."""

    def __init__(self, s3: BaseClient, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def stage(self, user: str, script: bytes) -> str:
        """Keep a user's script; return its SHA-256 in hexadecimal."""
        digest = sha256(script)
        with unavailable_on_failure("cannot stage the script"):
            self._s3.put_object(
                Bucket=self._bucket,
                Key=_key(user, digest.hexdigest()),
                Body=script,
                ContentType="text/plain; charset=utf-8",
                ChecksumSHA256=b64encode(digest.digest()).decode(),
            )
        return digest.hexdigest()

    def read(self, user: str, digest: str) -> bytes:
        """Return a user's own script; Problem 404 if there is none with this SHA-256."""
        if not is_digest(digest):
            raise _no_such_script(digest)
        with unavailable_on_failure("cannot read the script"):
            try:
                answer = self._s3.get_object(Bucket=self._bucket, Key=_key(user, digest))
                # One more byte than a script has at most: nobody's mistake fills the function's memory.
                script: bytes = answer["Body"].read(LONGEST + 1)
            except ClientError as exc:
                if error_code(exc) not in {"NoSuchKey", "404"}:
                    raise
                raise _no_such_script(digest) from exc
        if sha256(script).hexdigest() != digest:
            raise _no_such_script(digest)
        return script

    def upload_url(self, user: str, digest: str, size: int, seconds: int) -> tuple[str, dict[str, str]]:
        """Return a URL for one PUT of the script with this SHA-256 and size in bytes, and the headers it must have.

        The URL works for `seconds`; S3 refuses another length, another hash, another key.
        """
        checksum = b64encode(bytes.fromhex(digest)).decode()
        with unavailable_on_failure("cannot sign an upload"):
            url: str = self._s3.generate_presigned_url(
                "put_object",
                Params={
                    "Bucket": self._bucket,
                    "Key": _key(user, digest),
                    "ContentLength": size,
                    "ChecksumSHA256": checksum,
                },
                ExpiresIn=seconds,
                HttpMethod="PUT",
            )
        return url, {"content-length": str(size), "x-amz-checksum-sha256": checksum}


def is_digest(text: object) -> bool:
    """Tell whether a text is a SHA-256 in small hexadecimal digits."""
    return isinstance(text, str) and bool(_SHA256.fullmatch(text))


def _key(user: str, digest: str) -> str:
    return f"scripts/{user}/{digest}"


def _no_such_script(digest: str) -> Problem:
    return Problem(
        404,
        "script-not-found",
        title="No such script",
        detail=f"You have staged no script with the SHA-256 {digest[:64]}, or it was forgotten since. Stage it with "
        "POST /scripts.",
    )
