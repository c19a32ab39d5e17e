"""Points in time as sbatch reads them for --begin and --deadline.

sbatch reads them on the machine it runs on, in its time zone. Here both the zone and the moment that relative
ones start from are given. A time without a date is the next such time, a date without a year the next such
date, and a date without a time its midnight.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from .errors import ValueRefusedError

_NAMED_HOURS = {"midnight": 0, "noon": 12, "elevenses": 11, "fika": 15, "teatime": 16}
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}
_NOW = re.compile(r"now[ \t]*(?:(?P<sign>[+-])\s*(?P<count>[0-9][0-9\s]*)(?P<unit>[a-z]*))?", re.IGNORECASE | re.ASCII)
_TIME = re.compile(
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2}))?\s*(?P<half>am|pm)?", re.IGNORECASE | re.ASCII
)
_ISO_DATE = re.compile(r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})", re.ASCII)
_DATE = re.compile(r"(?P<month>[0-9]{1,2})[./]?(?P<day>[0-9]{1,2})(?:[./]?(?P<year>[0-9]{2}))?", re.ASCII)


@dataclass(frozen=True)
class Clock:
    """The moment and the time zone that relative and local times are read in."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    zone: tzinfo = UTC

    def local(self, later: timedelta = timedelta()) -> datetime:
        """Return this moment, or one that much later, in the zone."""
        return (self.now + later).astimezone(self.zone)


@dataclass
class _Parts:
    date: tuple[int | None, int, int] | None = None
    time: tuple[int, int, int] | None = None


def timestamp(text: str, clock: Clock) -> int:
    """Return a point in time as seconds since 1970.

    Takes `2027-01-31T13:00`, `13:00`, `1pm` is none but `1:00pm` is, `noon`, `tomorrow`, `now+2hours`,
    `01/31/27-13:00`, `uts1800000000`. Raises ValueRefusedError.
    """
    if text[:3].lower() == "uts":
        if not re.fullmatch(r"[0-9]{7,18}", text[3:]):
            raise _refusal(text, 3)
        return int(text[3:])
    parts = _Parts()
    position = 0
    while position < len(text):
        if text[position] in " \t-T":
            position += 1
            continue
        position = _read(text, position, parts, clock)
    if parts.date is None and parts.time is None:
        raise _refusal(text, 0)
    return _resolve(text, parts, clock)


def _read(text: str, position: int, parts: _Parts, clock: Clock) -> int:
    """Read the next part and return the position after it."""
    rest = text[position:].lower()
    for word, days in (("today", 0), ("tomorrow", 1)):
        if rest.startswith(word):
            day = clock.local(timedelta(days=days))
            parts.date = (day.year, day.month, day.day)
            return position + len(word)
    for word, hour in _NAMED_HOURS.items():
        if rest.startswith(word):
            parts.time = (hour, 0, 0)
            return position + len(word)
    if found := _NOW.match(text, position):
        delta = _delta(text, found)
        try:
            moment = clock.local(timedelta(seconds=delta))
        except OverflowError as exc:
            raise _refusal(text, position) from exc
        parts.date = (moment.year, moment.month, moment.day)
        parts.time = (moment.hour, moment.minute, moment.second)
        return found.end()
    if ":" in text[position + 1 : position + 3] and (found := _TIME.match(text, position)):
        parts.time = _time(text, found)
        return found.end()
    if found := _ISO_DATE.match(text, position):
        parts.date = (int(found["year"]), int(found["month"]), int(found["day"]))
        return found.end()
    if found := _DATE.match(text, position):
        year = 2000 + int(found["year"]) if found["year"] and int(found["year"]) else None
        parts.date = (year, int(found["month"]), int(found["day"]))
        return found.end()
    raise _refusal(text, position)


def _delta(text: str, found: re.Match[str]) -> int:
    if found["sign"] is None:
        return 0
    unit = (found["unit"] or "second").lower()
    factor = _UNITS.get(unit.removesuffix("s"))
    if factor is None:
        raise _refusal(text, found.start("unit"))
    amount = int("".join(found["count"].split())) * factor
    return -amount if found["sign"] == "-" else amount


def _time(text: str, found: re.Match[str]) -> tuple[int, int, int]:
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
    half = (found["half"] or "").lower()
    if hour > 23 or minute > 59 or second > 59 or (half and hour > 12):
        raise _refusal(text, found.start())
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return hour, minute, second


def _resolve(text: str, parts: _Parts, clock: Clock) -> int:
    now = clock.local()
    time = parts.time or (0, 0, 0)
    if parts.date is None:
        day = now if time[:2] > (now.hour, now.minute) else clock.local(timedelta(days=1))
        date = (day.year, day.month, day.day)
    else:
        year, month, monthday = parts.date
        if year is None:
            later = (month, monthday, *time[:2]) > (now.month, now.day, now.hour, now.minute)
            year = now.year if later else now.year + 1
        date = (year, month, monthday)
    try:
        # mktime carries a 31st of a shorter month over into the next one.
        first = datetime(date[0], date[1], 1, *time, tzinfo=clock.zone)
        if not 1 <= date[2] <= 31:
            raise _refusal(text, 0)
        return int((first + timedelta(days=date[2] - 1)).timestamp())
    except (ValueError, OverflowError) as exc:
        if isinstance(exc, ValueRefusedError):
            raise
        raise _refusal(text, 0) from exc


def _refusal(text: str, position: int) -> ValueRefusedError:
    return ValueRefusedError(
        f'"{text}" is no point in time (character {position + 1}); write 2027-01-31T13:00, 13:00, tomorrow, noon '
        "or now+2hours"
    )
