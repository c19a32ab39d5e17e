"""Ctrl-C, and a CI runner's SIGTERM, while jobs are waited for."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from .errors import Interrupt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Ends sleeping in every thread at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._number = int(signal.SIGINT)

    def wait(self, seconds: float) -> None:
        """Sleep; raises Interrupt as soon as a signal came, and at once if one had come."""
        if self._event.wait(seconds):
            raise Interrupt(self._number)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Raise Interrupt in the main thread when a signal comes; the others end at their next sleep."""

        def stop(number: int, _frame: FrameType | None) -> NoReturn:
            self._number = number
            self._event.set()
            raise Interrupt(number)

        before = {number: signal.signal(number, stop) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
