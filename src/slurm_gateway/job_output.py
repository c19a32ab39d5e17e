"""What jobs printed, and the files that their scripts named, in S3. The head node writes it; nobody else.

    output/{user}/{cluster}/{id}-{submitted}/manifest.json, stdout, stderr, files/{name}     of an ended job
    live/{user}/{cluster}/{id}-{submitted}/{stream}/state, {number of block}                 of a running one

The keys come from the job's record, never from what anybody sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from .aws import error_code, unavailable_on_failure
from .errors import UnavailableError

if TYPE_CHECKING:
    from botocore.client import BaseClient

BLOCK = 256 * 1024
"""Bytes in a block of live output; the head node's live_output.py cuts them."""

_LONGEST_MANIFEST = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class OutputPlace:
    """Where one job's output is: its record's owner and key. `submitted` is in Unix seconds."""

    user: str
    cluster: str
    job_id: str
    submitted: int

    def key(self, name: str) -> str:
        """Return the key of what was collected under a name, such as "stdout"."""
        return f"output/{self._job()}/{name}"

    def live_key(self, stream: str, name: str) -> str:
        """Return the key of a part of a stream's live output."""
        return f"live/{self._job()}/{stream}/{name}"

    def _job(self) -> str:
        return f"{self.user}/{self.cluster}/{self.job_id}-{self.submitted}"


@dataclass(frozen=True, slots=True)
class LiveState:
    """What there is of a running job's stream.

    `seen_at` is when the file was looked at and `until` how long it will be (Unix seconds); `ranges` are the bytes that
    are there, as pairs of offsets; `problem` is why there are none, in the head node's word.
    """

    size: int
    seen_at: float
    until: float
    ranges: tuple[tuple[int, int], ...]
    problem: str

    def end_of(self, offset: int) -> int | None:
        """Return up to where the bytes from an offset on are there, None if nobody keeps them there."""
        return max((end for begin, end in self.ranges if begin <= offset <= end), default=None)


class JobOutputs:
    """Reads output. Every method raises UnavailableError if S3 fails."""

    def __init__(self, s3: BaseClient, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def manifest(self, place: OutputPlace) -> dict[str, Any] | None:
        """Return what was collected of a job and why something was not; None before it is all there."""
        body = self._read(place.key("manifest.json"), _LONGEST_MANIFEST)
        return None if body is None else _parsed(body)

    def part(self, place: OutputPlace, name: str, offset: int, length: int) -> bytes:
        """Return up to `length` collected bytes from an offset on that is within them."""
        return self._read(place.key(name), length, offset) or b""

    def url(self, place: OutputPlace, name: str, seconds: int) -> str:
        """Return a URL that gives what was collected under a name, and works for so many seconds."""
        with unavailable_on_failure("cannot sign a download"):
            url: str = self._s3.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": place.key(name)}, ExpiresIn=seconds
            )
        return url

    def live_state(self, place: OutputPlace, stream: str) -> LiveState | None:
        """Return what there is of a stream, None if the head node never looked at it."""
        body = self._read(place.live_key(stream, "state"), BLOCK)
        if body is None:
            return None
        told = _parsed(body)
        try:
            ranges = tuple((int(begin), int(end)) for begin, end in told["ranges"])
            return LiveState(
                int(told["size"]), float(told["seen_at"]), float(told["until"]), ranges, str(told["problem"])
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise UnavailableError(f"the state of a live output is none: {type(exc).__name__}") from exc

    def live_part(self, place: OutputPlace, stream: str, offset: int, end: int) -> bytes:
        """Return live bytes from an offset to an end, which are there; fewer if they are cut short meanwhile."""
        data = b""
        while offset + len(data) < end:
            number, begin = divmod(offset + len(data), BLOCK)
            block = self._read(place.live_key(stream, f"{number:08d}"), BLOCK)
            piece = (block or b"")[begin : begin + end - offset - len(data)]
            data += piece
            if not piece:
                break
        return data

    def _read(self, key: str, length: int, offset: int = 0) -> bytes | None:
        """Return up to `length` bytes of an object from an offset on, None if there is none."""
        with unavailable_on_failure("cannot read output"):
            try:
                answer = self._s3.get_object(
                    Bucket=self._bucket,
                    Key=key,
                    **({"Range": f"bytes={offset}-{offset + length - 1}"} if offset else {}),
                )
                body: bytes = answer["Body"].read(length)
            except ClientError as exc:
                if error_code(exc) not in {"NoSuchKey", "404"}:
                    raise
                return None
        return body


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError as exc:
        raise UnavailableError("what the head node wrote of an output is no JSON") from exc
    if not isinstance(told, dict):
        raise UnavailableError("what the head node wrote of an output is no object")
    return told
