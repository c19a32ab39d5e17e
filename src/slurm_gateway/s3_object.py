"""One object of S3, read without S3's client.

That client's description of S3 is botocore's largest by far: to load it would cost the function's cold start as much as
everything else it does. A GET signed by botocore's own SigV4 is all that is needed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, NoCredentialsError
from botocore.httpsession import URLLib3Session

from .errors import UnavailableError

if TYPE_CHECKING:
    from botocore.session import Session


@dataclass(frozen=True, slots=True)
class Content:
    """What an object holds, and when it was last written by S3's own clock (Unix seconds)."""

    body: bytes
    written_at: float


class S3Object:
    """An object that is read again and again."""

    def __init__(self, session: Session, bucket: str, key: str) -> None:
        self._session = session
        self._region = str(session.get_config_variable("region"))
        self._url = _url(bucket, key, self._region)
        self._name = f"s3://{bucket}/{key}"
        self._http = URLLib3Session(timeout=(1, 2))

    def read(self, *, longest: int) -> Content:
        """Return the object; UnavailableError if it cannot be had, or has more than `longest` bytes."""
        doing = f"cannot read {self._name}"
        request = AWSRequest("GET", self._url)
        try:
            credentials = self._session.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            S3SigV4Auth(credentials, "s3", self._region).add_auth(request)
            answer = self._http.send(request.prepare())
        except BotoCoreError as exc:
            raise UnavailableError(f"{doing}: {type(exc).__name__}") from exc
        if answer.status_code != 200:
            # Without the permission to list the bucket S3 says 403 of what is not there.
            raise UnavailableError(f"{doing}: S3 answered {answer.status_code}; it is missing, or not to be read")
        if len(answer.content) > longest:
            raise UnavailableError(f"{doing}: it has more than {longest} bytes")
        written = parsedate_to_datetime(answer.headers["Last-Modified"])
        return Content(answer.content, written.timestamp())


def _url(bucket: str, key: str, region: str) -> str:
    # What the SDKs read too: another endpoint for S3, or for all services.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}/{quote(key)}"
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://{bucket}.s3.{region}.{suffix}/{quote(key)}"
