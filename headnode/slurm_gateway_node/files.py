"""The files service: python -m slurm_gateway_node.files, started by slurm-gateway-files.service.

It brings inputs in and output out. It runs as root because it acts as any user of the cluster, by children that are
that user; it opens no file of a user's itself.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Callable

from . import aws, live_output, logs
from .bandwidth import Bandwidth
from .collection import Collector
from .ends import Ends
from .files_settings import FilesSettings
from .inputs import Inputs
from .orders import Orders
from .output_event import OutputEvents
from .reading import FileReading
from .settings import ENDS_DIRECTORY, SettingsError
from .slurm_job import SlurmJobs

if TYPE_CHECKING:
    from threading import Event

_logger = logging.getLogger(__name__)


def main() -> int:
    """Run until SIGTERM; return the exit status."""
    logs.configure()
    try:
        settings = FilesSettings.from_environ(os.environ)
    except SettingsError as exc:
        _logger.error("%s", exc)
        return 1
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    _logger.info("shared directories: %s", " ".join(settings.shared) or "none")
    for part in _parts(settings):
        threading.Thread(target=_run, args=(part, ending), daemon=True).start()
    while not ending.wait(1.0):
        pass
    return 0


def _parts(settings: FilesSettings) -> list[Callable[[Event], None]]:
    region = settings.common.region
    s3 = aws.client("s3", region)
    slurm = SlurmJobs(settings.common.command("scontrol"))
    reading = FileReading(settings.shared, files=settings.output_files)
    bandwidth = Bandwidth(settings.bandwidth)
    collector = Collector(settings, slurm, reading, s3, bandwidth)
    soon = FileReading(
        settings.shared, files=settings.output_files, patience=live_output.PATIENCE, longest=live_output.LONGEST
    )
    live = live_output.LiveOutput(settings, slurm, soon, s3, bandwidth)
    inputs = Inputs(settings, slurm, s3, bandwidth)
    # A long poll lasts longer than other calls may.
    sqs = aws.client("sqs", region, read_timeout=30)
    return [
        Ends(ENDS_DIRECTORY, collector, reading, OutputEvents(aws.client("events", region), settings.common)).run,
        live.run,
        Orders(sqs, settings.queue_url, settings.common.cluster, inputs, live).run,
    ]


def _run(part: Callable[[Event], None], ending: Event) -> None:
    """Do a part's work. One that nobody foresaw the end of takes the service along: systemd starts it anew."""
    try:
        part(ending)
    except BaseException:
        _logger.exception("a part of the service has failed")
        logging.shutdown()
        # At once: an exit waits for all that other parts have under way, and a copy may take hours.
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
