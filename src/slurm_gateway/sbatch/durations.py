"""Time limits as sbatch reads them: `90`, `1:30`, `1:30:00`, `1-12`, `1-12:30:00`, `UNLIMITED`."""

from __future__ import annotations

import re

from .errors import ValueRefusedError

UNLIMITED = -1
_FORM = re.compile(
    r"(?P<days>[0-9]+)-(?:(?P<h>[0-9]+)(?::(?P<m>[0-9]+)(?::(?P<s>[0-9]+))?)?)?"
    r"|(?P<first>[0-9]+)(?::(?P<second>[0-9]+)(?::(?P<third>[0-9]+))?)?",
    re.ASCII,
)


def seconds(text: str) -> int:
    """Return a duration in seconds, or UNLIMITED.

    Numbers may be larger than their unit (`90:00` is 90 minutes, `0:90` is 90 seconds). Raises
    ValueRefusedError.
    """
    if text.upper() in ("-1", "INFINITE", "UNLIMITED"):
        return UNLIMITED
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueRefusedError(
            f'"{text}" is no duration; write minutes, minutes:seconds, hours:minutes:seconds, days-hours, '
            "days-hours:minutes or days-hours:minutes:seconds"
        )
    part = {name: int(value or 0) for name, value in found.groupdict().items()}
    if found["days"] is not None:
        total = part["days"] * 86400 + part["h"] * 3600 + part["m"] * 60 + part["s"]
    elif found["third"] is not None:
        total = part["first"] * 3600 + part["second"] * 60 + part["third"]
    else:
        total = part["first"] * 60 + part["second"]
    if total >= 2**31:
        raise ValueRefusedError(f'"{text}" is too long')
    return total


def minutes(text: str) -> int:
    """Return a duration in minutes, rounded up, or UNLIMITED; 0 is UNLIMITED too. Raises ValueRefusedError."""
    total = seconds(text)
    return UNLIMITED if total in (0, UNLIMITED) else -(-total // 60)
