"""The child that writes a job's input, as the job's user and with nothing of the service's: no credentials, no files.

It runs as a program of its own, isolated from the environment. Standard input has frames (frames.py): a message with
the `path`, data, and `{"end": SIZE}`. The file is there whole or not at all: it is written under another name beside
its place, and renamed. Standard output gets one message: `{"done": true}` or `{"problem": "No space left on device"}`.
"""

from __future__ import annotations

import contextlib
import os
import sys

# Isolated Python has no path to its own package.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from slurm_gateway_node import child_limits, frames

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Longer than the service takes over a part of a slow download.
_PATIENCE = 300.0


def write(reader: frames.FrameReader) -> None:
    """Write what comes; OSError, or FrameError if not all of it comes."""
    request = reader.read()
    if not isinstance(request, dict):
        raise frames.FrameError("there is no request")
    path = request["path"]
    directory, name = os.path.split(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    partial = os.path.join(directory, f".{name}.partial")
    with contextlib.suppress(FileNotFoundError):
        # An earlier try was killed.
        os.unlink(partial)
    descriptor = os.open(partial, _FLAGS, 0o600)
    try:
        try:
            _copy(reader, descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial)
        raise


def _copy(reader: frames.FrameReader, descriptor: int) -> None:
    written = 0
    while True:
        frame = reader.read()
        if isinstance(frame, bytes):
            view = memoryview(frame)
            while view:
                view = view[os.write(descriptor, view) :]
            written += len(frame)
        elif frame is not None and frame.get("end") == written:
            return
        else:
            raise frames.FrameError("the input ended before its end")


if __name__ == "__main__":
    child_limits.confine()
    try:
        write(frames.FrameReader(0, _PATIENCE))
        frames.send(1, {"done": True})
    except OSError as exc:
        frames.send(1, {"problem": exc.strerror or "failed"})
    except frames.FrameError:
        # The service is gone, or has given up: nobody is there to be told.
        sys.exit(1)
