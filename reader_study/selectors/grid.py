"""How far everybody is: reader x session x case, with states and times. Never an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from django.db.models import Exists, OuterRef, Q

from leukoweb.core.words import when_text
from reader_study.answers import CONFIDENCE
from reader_study.models import CaseIdentity, Reading, ReadingSession, SessionImage, Study, StudyCase
from reader_study.selectors.studies import PANEL

WORDS = {
    "": "not begun", "opened": "opened", "answered": "answered", "done": "sealed", "void": "void",
    "gone": "patient withdrawn",
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One case in one session. ``seconds`` of active time; ``at`` of the answer, or of the first look until then."""

    code: str
    state: str = ""
    seconds: float | None = None
    at: datetime | None = None

    @property
    def words(self) -> str:
        time = f", {self.seconds:.0f} s" if self.seconds else ""
        at = f", {when_text(self.at)}" if self.at else ""
        return f"{self.code}: {WORDS[self.state]}{time}{at}"


@dataclass
class Row:
    """One session with a cell for each case, in the order of the codes (which is nobody's reading order)."""

    session: ReadingSession
    cells: list[Cell] = field(default_factory=list)

    @property
    def n_done(self) -> int:
        return sum(cell.state in ("answered", "done", "gone") for cell in self.cells)

    @property
    def first_at(self) -> datetime | None:
        return min((cell.at for cell in self.cells if cell.at), default=None)

    @property
    def last_at(self) -> datetime | None:
        return max((cell.at for cell in self.cells if cell.at), default=None)

    @property
    def median_seconds(self) -> float | None:
        times = [cell.seconds for cell in self.cells if cell.seconds and cell.state in ("answered", "done")]
        return median(times) if times else None

    @property
    def minutes_left(self) -> int | None:
        if self.session.state != ReadingSession.State.OPEN or self.median_seconds is None:
            return None
        return round((len(self.cells) - self.n_done) * self.median_seconds / 60)


def session_lines(study: Study) -> list[str]:
    """Every session in one line, the unfinished ones first: what a coordinator wants to know before ending a study."""
    _, rows = study_grid(study)
    ended = (ReadingSession.State.SEALED, ReadingSession.State.VOID)
    return [
        f"{row.session.reader.label}, session {row.session.number}: {row.session.get_state_display().lower()}, "
        f"{row.n_done} of {len(row.cells)} cases"
        for row in sorted(rows, key=lambda row: row.session.state in ended)
    ]


def _answered(sure: set[int]) -> Q:
    """Nothing is missing (``answer_missing``), asked of the database. ``sure``: sessions that ask for a confidence."""
    answer = "case__draft__answer__"
    undecided = Q(**{f"{answer}cannot_decide": True})
    reason = Q(**{f"{answer}has_key": "reason"}) & ~Q(**{f"{answer}reason": ""})
    diagnosis = Q(**{f"{answer}has_key": "diagnosis"}) & ~Q(**{f"{answer}diagnosis": ""})
    confident = Q(**{f"{answer}confidence__in": list(CONFIDENCE)}) | ~Q(case__session__in=sure)
    return (undecided & reason) | (diagnosis & confident)


def study_grid(study: Study) -> tuple[list[str], list[Row]]:
    """Codes of the cases and a row for each session. 4 queries, whatever the number of readers and cases.

    Whether an open case is answered is asked of the database, so that no answer even reaches this process. Where the
    protocol asks that all fields are seen, a case with one that was not is still open, as its reader is told too.
    """
    cases = list(StudyCase.objects.filter(study=study, training=False).order_by("code").values_list("pk", "code"))
    sessions = (
        ReadingSession.objects.filter(reader__study=study)
        .exclude(reader__label=PANEL)
        .select_related("reader__user", "reader__replaces")
        .order_by("reader__label", "number")
    )
    rows = {session.pk: Row(session) for session in sessions}
    found: dict[tuple[int, int], dict[str, Any]] = {}
    identities = CaseIdentity.objects.filter(case__session__reader__study=study, case__training=False)
    sure = {pk for pk, row in rows.items() if row.session.rules.get("answers", {}).get("confidence")}
    decided = set(identities.filter(_answered(sure)).values_list("case", flat=True))
    # A session that waits for a file has no rules: nobody reads it here.
    whole = {pk for pk, row in rows.items() if row.session.rules.get("require_all_viewed")}
    identities = identities.annotate(unseen=Exists(SessionImage.objects.filter(case=OuterRef("case"), seen_at=None)))
    columns = ("case", "case__session", "study_case", "case__opened_at", "case__active_ms", "unseen", "case__gone_at")
    for case, session, study_case, opened, active, open_fields, gone in identities.values_list(*columns):
        complete = case in decided and not (open_fields and session in whole)
        state = "gone" if gone else "answered" if complete else "opened" if opened else ""
        found[session, study_case] = {"state": state, "seconds": active / 1000 if opened else None, "at": opened}
    readings = Reading.objects.filter(session__reader__study=study, reread=False, study_case__training=False)
    for session, study_case, active, at in readings.values_list("session", "study_case", "active_ms", "answered_at"):
        found[session, study_case] = {"state": "done", "seconds": active / 1000 if active else None, "at": at}
    for pk, row in rows.items():
        void = row.session.state == ReadingSession.State.VOID
        for case, code in cases:
            cell = found.get((pk, case), {"state": ""})
            row.cells.append(Cell(code, **(cell | ({"state": "void"} if void else {}))))
    return [code for _, code in cases], list(rows.values())
