"""Readings that were made elsewhere, as a CSV file: read strictly, every problem named with its line. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cases.csv_tables import Problems, Row, read_table

REQUIRED = ("case", "reader", "session", "diagnosis")
OPTIONAL = ("reason", "confidence", "recognised", "comment", "seconds", "answered_at", "position")
ALIASES = {"patient": "case", "label": "reader", "session_number": "session", "number": "session"}
CANNOT = ("", "CANNOT_DECIDE")
NOT_READ = "NOT_READ"  # an answer that does not exist is another thing than one that says "cannot decide"
YES, NO = ("yes", "true", "1"), ("", "no", "false", "0")


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """One answer; ``diagnosis`` is empty where the reader could not decide, and ``reason`` says why."""

    line: int
    case: str
    reader: str
    session: int
    diagnosis: str
    reason: str
    confidence: int | None
    recognised: bool
    comment: str
    active_ms: int | None
    answered_at: datetime | None
    position: int
    read: bool = True


@dataclass(frozen=True, slots=True)
class Expected:
    """What the study waits for: case as written in the file -> code of the study, classes, (reader, session); ``now``:
    no answer was given after it; ``gone``: codes of withdrawn patients, whose cases the file may lack."""

    cases: Mapping[str, str]
    classes: Sequence[str]
    sessions: Collection[tuple[str, int]]
    now: datetime
    gone: Collection[str] = ()


def parse_readings(data: bytes | str, expected: Expected) -> list[ReadingRow]:
    """The answers of the file, in its order.

    A session that the file begins must be complete: every case once, those of withdrawn patients at will.
    ``diagnosis`` is a class of the protocol, or empty (or CANNOT_DECIDE) with a ``reason`` where the reader saw the
    case and could not decide, or NOT_READ where the reader never saw it, which is no answer and gives no row.

    Raises
    ------
    CsvRefused
        With every problem and its line; nothing of the file may then be used.
    """
    problems = Problems()
    rows = read_table(data, required=REQUIRED, optional=OPTIONAL, aliases=ALIASES, problems=problems)
    found: list[ReadingRow] = []
    counts: dict[tuple[str, int], int] = defaultdict(int)
    for row in rows:
        reading = _row(row, expected, problems, counts)
        if reading is not None:
            found.append(reading)
    _complete(found, expected, problems)
    problems.raise_if_any()
    return [row for row in found if row.read]


def _row(
    row: Row, expected: Expected, problems: Problems, counts: dict[tuple[str, int], int]
) -> ReadingRow | None:  # fmt: skip
    def wrong(column: str, message: str) -> None:
        problems.add(row.line, column, "E_READING", message)

    reader, code = row.get("reader"), expected.cases.get(row.get("case"))
    number = _whole(row, "session", 1, 99, problems)
    if code is None:
        wrong("case", f"Case {row.get('case')!r:.60} is not in the study.")
    if number is not None and (reader, number) not in expected.sessions:
        wrong("session", f"The study waits for no session {number} of reader {reader!r:.40}.")
    diagnosis = row.get("diagnosis")
    read = diagnosis != NOT_READ or NOT_READ in expected.classes
    if not read:
        diagnosis = ""
        if filled := [name for name in ("confidence", "recognised", "seconds", "answered_at") if row.get(name)]:
            wrong("diagnosis", f"A case that was not read has no {', '.join(filled)}.")
    elif diagnosis in CANNOT:
        diagnosis = ""
        if not row.get("reason"):
            wrong("reason", "No diagnosis and no reason.")
    elif diagnosis not in expected.classes:
        wrong("diagnosis", f"{diagnosis!r:.40} is not one of {', '.join(expected.classes)}.")
    recognised = row.get("recognised").lower()
    if recognised not in YES + NO:
        wrong("recognised", f"{recognised!r:.20} is neither yes nor no.")
    confidence = _whole(row, "confidence", 1, 5, problems)
    milliseconds, at = _milliseconds(row, problems), _time(row, expected.now, problems)
    position = _whole(row, "position", 1, 100_000, problems)
    if code is None or number is None:
        return None
    counts[reader, number] += 1
    return ReadingRow(
        row.line, code, reader, number, diagnosis, row.get("reason")[:300], confidence, recognised in YES,
        row.get("comment"), milliseconds, at, position or counts[reader, number], read,
    )  # fmt: skip


def _whole(row: Row, column: str, low: int, high: int, problems: Problems) -> int | None:
    text = row.get(column)
    if not text and column != "session":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
        problems.add(row.line, column, "E_READING", f"{column} {text!r:.20} is not a number from {low} to {high}.")
        return None
    return int(text)


def _milliseconds(row: Row, problems: Problems) -> int | None:
    text = row.get("seconds")
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 86_400:
        problems.add(row.line, "seconds", "E_READING", f"seconds {text!r:.20} is not between 0 and 86400.")
        return None
    return round(1000 * seconds)


def _time(row: Row, now: datetime, problems: Problems) -> datetime | None:
    text = row.get("answered_at")
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        problems.add(
            row.line, "answered_at", "E_READING", f"{text!r:.40} is not a time such as 2026-01-31T14:05+00:00."
        )
        return None
    if at > now:
        problems.add(row.line, "answered_at", "E_READING", f"{text!r:.40} has not come yet; the server's clock says "
                     f"{now:%Y-%m-%dT%H:%M%z}.")  # fmt: skip
        return None
    return at


def _complete(rows: Sequence[ReadingRow], expected: Expected, problems: Problems) -> None:
    wanted = set(expected.cases.values()) - set(expected.gone)
    for session in sorted({(row.reader, row.session) for row in rows} & set(expected.sessions)):
        own = [row for row in rows if (row.reader, row.session) == session]
        lines: dict[str, int] = {}
        places: dict[int, int] = {}
        for row in own:
            if row.case in lines:
                problems.add(row.line, "case", "E_READING", f"The case stands on line {lines[row.case]} already.")
            if row.position in places:
                message = f"Position {row.position} stands on line {places[row.position]} already."
                problems.add(row.line, "position", "E_READING", message)
            lines.setdefault(row.case, row.line)
            places.setdefault(row.position, row.line)
        if missing := sorted(wanted - set(lines)):
            cases = "case" if len(missing) == 1 else "cases"
            message = (
                f"Session {session[1]} of {session[0]} lacks {len(missing)} {cases}: {', '.join(missing[:10])}. "
                f"Write {NOT_READ} as the diagnosis of a case that the reader never saw; an empty one, with a reason, "
                "says that the reader saw it and could not decide."
            )
            problems.add(0, "case", "E_READING", message)
        elif not any(row.read for row in own):
            message = f"Session {session[1]} of {session[0]} has no answer at all: leave it out of the file."
            problems.add(own[0].line, "diagnosis", "E_READING", message)
