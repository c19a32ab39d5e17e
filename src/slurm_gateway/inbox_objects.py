"""Objects of the inbox as S3 knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from .aws import error_code, unavailable_on_failure
from .errors import DeadLetterError

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from .inbox_message import InboxObject

# S3's words for a version that is not there, or cannot be one; a delete marker is none that could be read.
_GONE = {"404", "NoSuchKey", "NoSuchVersion", "400", "InvalidArgument", "405", "MethodNotAllowed"}


class InboxObjects:
    """Looks objects up."""

    def __init__(self, s3: BaseClient) -> None:
        self._s3 = s3

    def size(self, thing: InboxObject) -> int:
        """Return a version's size in bytes; DeadLetterError if there is no such version, UnavailableError."""
        with unavailable_on_failure("cannot look up an object of the inbox"):
            try:
                answer = self._s3.head_object(Bucket=thing.bucket, Key=thing.key, VersionId=thing.version)
            except ClientError as exc:
                if error_code(exc) not in _GONE:
                    raise
                raise DeadLetterError(
                    f"There is no {thing} in {thing.bucket}: it was removed since, or was never written."
                ) from exc
        return int(answer["ContentLength"])
