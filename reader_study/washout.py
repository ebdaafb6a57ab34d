"""How many days lay between the sessions of a reader, as far as their times are known. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import floor

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Span:
    """A finished session. ``begun`` is its opening or first answer, ``ended`` the last look or answer; None where one
    of its times is not known."""

    reader: str
    number: int
    name: str
    begun: datetime | None
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Two sessions of a reader, one after the other. ``days``: from the end of the first to the beginning of the
    second, negative where they overlap or changed places; no two answers on one case are closer than that. None: not
    known. A measured time, not an estimate, so it has no interval."""

    reader: str
    first: str
    second: str
    days: float | None

    def words(self, planned: int, *, down: bool = True) -> str:
        """What is to be said of it where the protocol asks for ``planned`` days; empty where it was kept.

        ``down``: too few days never read as enough (``days_text``).
        """
        if self.days is None:
            return (
                f"The time between {self.first} and {self.second} is not known, so nobody can check the washout of "
                f"{planned} days."
            )
        if self.days >= planned:
            return ""
        if self.days < 0:
            return f"{self.second} began before {self.first} had ended; the protocol asks for {planned} days between."
        days = days_text(self.days, planned) if down else f"{self.days:.1f}"
        return f"{self.second} began {days} days after {self.first}; the protocol asks for {planned}."


def days_text(days: float, planned: int) -> str:
    """Days with one decimal, rounded down where they would read as the planned ones and are fewer.

    Example
    -------
    >>> days_text(13.96, 14), days_text(13.96, 42), days_text(14.0, 14)
    ('13.9', '14.0', '14.0')
    """
    text = f"{days:.1f}"
    return f"{floor(days * 10) / 10:.1f}" if days < planned <= float(text) else text


def gaps(spans: Iterable[Span]) -> list[Gap]:
    """The gap between each session of a reader and the next one by number, readers in their order.

    Example
    -------
    >>> one = Span("P1", 1, "P1-1", datetime(2026, 1, 1), datetime(2026, 1, 3))
    >>> gaps([one, Span("P1", 2, "P1-2", datetime(2026, 1, 13), None)])[0].days
    10.0
    """
    by_reader: dict[str, list[Span]] = {}
    for span in spans:
        by_reader.setdefault(span.reader, []).append(span)
    return [
        Gap(first.reader, first.name, second.name, _days(first.ended, second.begun))
        for own in by_reader.values()
        for first, second in pairwise(sorted(own, key=lambda span: span.number))
    ]


def _days(ended: datetime | None, begun: datetime | None) -> float | None:
    return None if ended is None or begun is None else (begun - ended).total_seconds() / DAY_S


def of_answers(times: Iterable[datetime | None]) -> tuple[datetime | None, datetime | None]:
    """First and last of the times of a session's answers; None and None where one of them is not known."""
    found = list(times)
    known = [at for at in found if at is not None]
    return (min(known), max(known)) if known and len(known) == len(found) else (None, None)
