"""Inputs: an object of the inbox copied to where a held job looks for it, written by a child that is the job's user.

The service streams from S3 to the child through a pipe, so the child needs no credentials and neither holds more than a
piece in memory.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Callable

from . import frames, job_user, output_files
from .orders import OrderError
from .slurm_job import SlurmError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from botocore.client import BaseClient
    from botocore.response import StreamingBody

    from .bandwidth import Bandwidth
    from .files_settings import FilesSettings
    from .orders import InputOrder
    from .slurm_job import SlurmJob, SlurmJobs

_logger = logging.getLogger(__name__)
_PATIENCE = 60.0
_KEEP_ALIVE = 10.0
_PREFIX = "inbox/"


class InputError(Exception):
    """An input is not where it should be; it may be tried again."""


class Inputs:
    """Copies inputs."""

    def __init__(self, settings: FilesSettings, slurm: SlurmJobs, s3: BaseClient, bandwidth: Bandwidth) -> None:
        self._settings = settings
        self._slurm = slurm
        self._s3 = s3
        self._bandwidth = bandwidth
        self._under_way: set[str] = set()
        self._lock = threading.Lock()

    def copy(self, order: InputOrder, *, keep_alive: Callable[[], None]) -> None:
        """Carry an order out; nothing is left to do when it has been before, or when its job is gone.

        A job that an administrator holds gets its input too, and waits for him: he may release it at any time.
        `keep_alive` is called now and then while it lasts. Raises OrderError, InputError, SlurmError, and what AWS
        raises.
        """
        job = self._held_job(order)
        if job is None:
            return
        with self._alone(order):
            begin = time.monotonic()
            try:
                self._write(order, keep_alive)
            except Exception as exc:
                # Its owner sees by this why the job is still held.
                with contextlib.suppress(SlurmError):
                    self._slurm.remark(job.number, f"slurm-gateway: the input is not there yet: {exc}")
                raise
            self._release(order)
        _logger.info(
            "input of job %s of %s: %d bytes in %.2f s", order.job_id, order.user, order.size, time.monotonic() - begin
        )

    def _held_job(self, order: InputOrder) -> SlurmJob | None:
        if order.bucket != self._settings.bucket or not order.key.startswith(_PREFIX):
            raise OrderError("its object is not in the inbox")
        if not output_files.is_below(order.path, self._settings.shared):
            raise OrderError(f"{order.path} is not shared with the compute nodes")
        job = self._slurm.find(order.job_id)
        if job is None:
            _logger.info("job %s is gone, and needs no input", order.job_id)
            return None
        if job.user != order.user or job.marker() != order.marker:
            raise OrderError(f"job {order.job_id} is not the one that it names")
        return job if job.is_held else None

    def _release(self, order: InputOrder) -> None:
        # A copy may take hours: who holds the job is asked again.
        job = self._held_job(order)
        if job is None:
            return
        if job.is_held_by_admin:
            _logger.warning("job %s of %s stays held: an administrator holds it", order.job_id, order.user)
            return
        self._slurm.release(job.number)

    @contextlib.contextmanager
    def _alone(self, order: InputOrder) -> Iterator[None]:
        with self._lock:
            if order.path in self._under_way:
                raise InputError("it is being copied already")
            self._under_way.add(order.path)
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(order.path)

    def _write(self, order: InputOrder, keep_alive: Callable[[], None]) -> None:
        user = job_user.find(order.user)
        answer = self._s3.get_object(Bucket=order.bucket, Key=order.key, VersionId=order.version)
        with contextlib.closing(answer["Body"]) as body:
            if answer["ContentLength"] != order.size:
                raise OrderError("its size is not the object's")
            try:
                child = job_user.start(user, "write_child")
            except OSError as exc:
                raise InputError(f"no child could be started as {user.name}: {exc.strerror}") from exc
            try:
                self._pump(body, child, order, keep_alive)
            finally:
                job_user.end(child)

    def _pump(
        self, body: StreamingBody, child: subprocess.Popen[bytes], order: InputOrder, keep_alive: Callable[[], None]
    ) -> None:
        assert child.stdin is not None  # noqa: S101 - pipes, as job_user makes them
        assert child.stdout is not None  # noqa: S101
        alive_at = time.monotonic()
        try:
            # A child that hangs up first has said why, or is dead: its answer tells.
            with contextlib.suppress(BrokenPipeError):
                frames.send(child.stdin.fileno(), {"path": order.path}, _PATIENCE)
                while data := body.read(frames.CHUNK):
                    self._bandwidth.use(len(data))
                    frames.send(child.stdin.fileno(), data, _PATIENCE)
                    if time.monotonic() - alive_at > _KEEP_ALIVE:
                        keep_alive()
                        alive_at = time.monotonic()
                frames.send(child.stdin.fileno(), {"end": order.size}, _PATIENCE)
            said = frames.FrameReader(child.stdout.fileno(), _PATIENCE).read()
        except frames.FrameError as exc:
            raise InputError(f"the child was given up: {exc}") from exc
        if not isinstance(said, dict) or said.get("done") is not True:
            problem = said.get("problem") if isinstance(said, dict) else None
            raise InputError(str(problem)[:200] if problem else "the child died")
