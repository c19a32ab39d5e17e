"""The access document in its SSM parameter: the newest version of it that is valid.

A version that is not valid changes nothing, whether this process has read an earlier one or has only just started:
Parameter Store keeps a parameter's earlier versions, and the one before it holds, or the one before that. So a broken
document neither opens the door nor closes it to everybody, and no second copy of it exists that anything could write.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import metrics
from .access_reader import parse
from .aws import read_versioned_parameter
from .errors import AccessDocumentError, UnavailableError

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from .access import Access

_logger = logging.getLogger(__name__)
# So many versions are looked back at. Each is a call of some milliseconds, in the one request that finds them broken.
_FURTHEST_BACK = 20


@dataclass(frozen=True, slots=True)
class _Held:
    """The rules that are in force; the newest version when that was decided, its text, and whether it is valid."""

    access: Access
    version: int
    text: str
    is_valid: bool


class AccessDocument:
    """The rules in an SSM parameter, as of its newest valid version."""

    def __init__(self, ssm: BaseClient, parameter: str, *, forbidden: frozenset[str]) -> None:
        self._ssm = ssm
        self._parameter = parameter
        self._forbidden = forbidden
        self._held: _Held | None = None

    def read(self) -> Access:
        """Return the rules; UnavailableError if there is no document to read, or no version of it is valid."""
        text, newest = read_versioned_parameter(self._ssm, self._parameter)
        held = self._held
        if held is None or (held.version, held.text) != (newest, text):
            held = self._held = self._decided(text, newest, held)
        if not held.is_valid:
            # At every reading, so that an alarm lasts as long as what it is about.
            metrics.emit({"AccessDocumentNotValid": 1}, parameter=self._parameter, version=newest)
            _logger.warning(
                "the access document is not valid: its last valid version holds until it is mended",
                extra={"parameter": self._parameter, "version": newest},
            )
        return held.access

    def _decided(self, text: str, newest: int, held: _Held | None) -> _Held:
        access = self._parsed(text, newest)
        if access is not None:
            return _Held(access, newest, text, is_valid=True)
        # A parameter that was deleted and made again counts anew: what it held before is over.
        last = held.version if held is not None and held.version < newest else 0
        for version in range(newest - 1, max(last, newest - 1 - _FURTHEST_BACK), -1):
            # Parameter Store keeps the last 100 versions, so that the numbers have no gap here.
            earlier, _ = read_versioned_parameter(self._ssm, self._parameter, version)
            access = self._parsed(earlier, version)
            if access is not None:
                return _Held(access, newest, text, is_valid=False)
        if held is None or not last:
            raise UnavailableError("the access document is not valid, nor is an earlier version of it")
        return _Held(held.access, newest, text, is_valid=False)

    def _parsed(self, text: str, version: int) -> Access | None:
        try:
            return parse(text, forbidden=self._forbidden)
        except AccessDocumentError as exc:
            _logger.error(
                "a version of the access document is not valid",
                extra={"parameter": self._parameter, "version": version, "problems": exc.problems},
            )
            return None
