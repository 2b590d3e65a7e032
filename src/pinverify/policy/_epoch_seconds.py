"""Moments: conversion between aware datetimes and the whole seconds of the core."""

from __future__ import annotations

import datetime as dt

from pinverify.errors import PolicyError

__all__ = ["checked_moment", "moment", "seconds_of"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND = dt.timedelta(seconds=1)
_FARTHEST = dt.timedelta(hours=23, minutes=59)  # the largest offset that TOML writes


def checked_moment(now: dt.datetime | None) -> dt.datetime:
    """Return the moment that a caller gives; None is the current time.

    Raises:
        TypeError: *now* is no datetime.
        PolicyError: it has no timezone.
    """
    if now is None:
        return dt.datetime.now(dt.UTC)
    if not isinstance(now, dt.datetime):
        msg = f"now: expected a datetime with a timezone, got {now!r}"
        raise TypeError(msg)
    if now.utcoffset() is None:
        msg = f"now: expected a datetime with a timezone, got {now!r}"
        raise PolicyError(msg)
    return now


def seconds_of(aware: dt.datetime) -> int:
    """Return whole seconds since 1970-01-01T00:00:00Z, rounded down."""
    return (aware - _EPOCH) // _SECOND


def moment(seconds: int) -> dt.datetime:
    """Return the moment *seconds* after 1970-01-01T00:00:00Z, in UTC.

    Near the first and the last day of the calendar, the moment may exist in another
    timezone only, and then it is in that.

    Raises:
        PolicyError: the moment has no date in any timezone.
    """
    try:
        return _EPOCH + _SECOND * seconds
    except OverflowError:
        return _moment_of_the_edge(seconds)


def _moment_of_the_edge(seconds: int) -> dt.datetime:
    offset = _FARTHEST if seconds < 0 else -_FARTHEST
    try:
        local = _EPOCH.replace(tzinfo=dt.timezone(offset))
        return local + (_SECOND * seconds + offset)
    except OverflowError:
        msg = (
            f"{seconds} seconds after 1970 is outside the calendar; compile the "
            "policy again, with expires between the years 1 and 9999"
        )
        raise PolicyError(msg) from None
