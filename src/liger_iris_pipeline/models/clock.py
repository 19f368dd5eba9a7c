"""The time as products write it: ISO, UTC, milliseconds, no zone."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["seconds_of", "utc"]


def utc(seconds: float | None = None) -> str:
    """Write a time.

    Parameters
    ----------
    seconds : float, optional
        Seconds since 1970-01-01 UTC; default: now.

    Returns
    -------
    str
        Such as ``2026-11-25T04:05:06.789``.
    """
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "")


def seconds_of(text: str) -> float:
    """Read what :func:`utc` wrote.

    Parameters
    ----------
    text : str
        ISO, UTC.

    Returns
    -------
    float
        Seconds since 1970-01-01 UTC.
    """
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
