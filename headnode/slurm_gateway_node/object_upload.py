"""An object in S3 written piece by piece in bounded memory: it is there when it is finished, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from botocore.client import BaseClient

PART = 8 * 1024 * 1024
"""Bytes held in memory for one object. S3 takes 10,000 parts, more than configure.sh lets a job have."""


class ObjectUpload:
    """One object. Every method raises ClientError or BotoCoreError."""

    def __init__(self, s3: BaseClient, bucket: str, key: str, content_type: str) -> None:
        self._s3 = s3
        self._object = {"Bucket": bucket, "Key": key}
        self._type = content_type
        self._buffer = bytearray()
        self._upload = ""
        self._parts: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        """Take the next bytes, at most PART of them."""
        self._buffer += data
        if len(self._buffer) >= PART:
            self._send_part(bytes(self._buffer[:PART]))
            del self._buffer[:PART]

    def finish(self) -> None:
        """Make the object of what was written."""
        if not self._upload:
            self._s3.put_object(**self._object, Body=bytes(self._buffer), ContentType=self._type)
            return
        if self._buffer:
            self._send_part(bytes(self._buffer))
        self._s3.complete_multipart_upload(
            **self._object, UploadId=self._upload, MultipartUpload={"Parts": self._parts}
        )

    def abandon(self) -> None:
        """Forget what was written. Where that fails the bucket's lifecycle does it."""
        if self._upload:
            try:
                self._s3.abort_multipart_upload(**self._object, UploadId=self._upload)
            except (ClientError, BotoCoreError):
                return

    def _send_part(self, data: bytes) -> None:
        if not self._upload:
            self._upload = self._s3.create_multipart_upload(**self._object, ContentType=self._type)["UploadId"]
        number = len(self._parts) + 1
        answer = self._s3.upload_part(**self._object, UploadId=self._upload, PartNumber=number, Body=data)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
