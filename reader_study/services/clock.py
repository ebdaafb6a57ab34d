"""When a session may open: the washout, said with its date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from django.db.models import Max
from django.utils import timezone

from leukoweb.core.exceptions import Conflict
from reader_study.models import ReadingSession, SessionCase

CLOCK_TOLERANCE = timedelta(minutes=1)


class NotOpenYet(Conflict):
    code = "E_WASHOUT"


class ClockSetBack(Conflict):
    code = "E_CLOCK"


def zone_of(name: str) -> ZoneInfo:
    """The reader's time zone; UTC where the browser named one that nobody knows."""
    return ZoneInfo(name if name in available_timezones() else "UTC")


@dataclass(frozen=True)
class LastDay:
    """The study's last day, where the reader is. ``over``: it has passed. ``too_early``: the session's pause ends after
    it, so that the session can never be read unless the day is moved."""

    day: date
    over: bool
    too_early: bool

    @property
    def text(self) -> str:
        return day_text(self.day)


def over_everywhere(day: date, now: datetime) -> bool:
    """Whether the day has passed in every time zone; the last one is 12 hours behind UTC."""
    return (now.astimezone(UTC) - timedelta(hours=12)).date() > day


def zone_known(session: ReadingSession) -> bool:
    """A reader's browser tells its zone when the first session begins; until then the stored one is a guess."""
    reader = session.reader
    begun = session.state != ReadingSession.State.PLANNED or reader.consented_at is not None
    return begun or reader.time_zone != "UTC"


def last_day(session: ReadingSession, now: datetime, *, told: bool = False) -> LastDay | None:
    """None where reading has no last day (or the session is read elsewhere and has no rules).

    Until the reader's zone is known, or ``told`` in this request, the day is over when it is over everywhere.
    """
    closes_on = session.rules.get("closes_on")
    if not closes_on:
        return None
    day, zone = date.fromisoformat(closes_on), zone_of(session.reader.time_zone)
    opens = session.opens_at if session.state == ReadingSession.State.PLANNED else None
    too_early = opens is not None and opens.astimezone(zone).date() > day
    over = now.astimezone(zone).date() > day if told or zone_known(session) else over_everywhere(day, now)
    return LastDay(day, over, too_early)


def is_over(session: ReadingSession, now: datetime) -> bool:
    """Whether the study's last day has passed where the reader is."""
    found = last_day(session, now)
    return found is not None and found.over


def day_text(day: date) -> str:
    """``Thursday 2027-01-07``"""
    return f"{day:%A %Y-%m-%d}"


def date_text(at: datetime, zone: str) -> str:
    """``Thursday 2027-01-07, 14:03 (Europe/Berlin)``"""
    local = at.astimezone(zone_of(zone))
    return f"{local:%A %Y-%m-%d, %H:%M} ({local.tzinfo})"


def washout_end(session: ReadingSession) -> datetime | None:
    """When the washout of every case of a finished session is over: the latest look at any, and the days.

    Looks that are dated before the session was opened were made while the clock was set back: then the days count from
    the seal.
    """
    last = SessionCase.objects.filter(session=session).aggregate(last=Max("last_at"))["last"]
    if last is not None and session.opened_at is not None and last < session.opened_at:
        last = session.sealed_at or timezone.now()
    return None if last is None else last + timedelta(days=session.washout_days)


def require_clock(session: ReadingSession, now: datetime) -> None:
    """Refuse to date the opening or the seal of a session before what is on record at the reader's own desk.

    Raises
    ------
    ClockSetBack
        The server's clock was set back. A washout that counted from such a date would end too early.
    """
    known = max(at for at in (session.reader.created_at, session.opened_at, now) if at is not None)
    if known - now > CLOCK_TOLERANCE:
        zone = session.reader.time_zone
        raise ClockSetBack(
            f"The server's clock says {date_text(now, zone)}, but it was {date_text(known, zone)} already.",
            hint="Tell your admin to set the clock. Your answers are kept.",
        )


def require_open_time(session: ReadingSession, now: datetime) -> None:
    """Refuse before the time, with the date.

    Raises
    ------
    NotOpenYet
        The washout runs, or the session before is not sealed.
    """
    zone = session.reader.time_zone
    if session.opens_at is None:
        before = ReadingSession.objects.filter(reader_id=session.reader_id, number__lt=session.number)
        unsealed = before.exclude(state__in=[ReadingSession.State.SEALED, ReadingSession.State.VOID]).exists()
        if unsealed:
            raise NotOpenYet(
                f"Session {session.number} opens after session {session.number - 1} is sealed.",
                hint="Finish and sign the session before.",
            )
    elif now < session.opens_at:
        last = last_day(session, now)
        if last is not None and last.too_early:
            raise NotOpenYet(
                f"The pause before this session ends on {date_text(session.opens_at, zone)}. That is after the last "
                f"day of reading, {last.text}.",
                hint="It can be read only if the last day is moved. Tell the study coordinator.",
            )
        raise NotOpenYet(
            f"This session opens on {date_text(session.opens_at, zone)}.",
            hint="Until then the first reading should fade from memory.",
        )


def require_may_open(session: ReadingSession) -> None:
    """``require_open_time`` now, for a session that has not begun."""
    if session.state == ReadingSession.State.PLANNED:
        require_open_time(session, timezone.now())
