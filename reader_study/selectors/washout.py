"""What the times of imported sessions say about the washout, for whoever imports them."""

from __future__ import annotations

from datetime import datetime

from reader_study.models import Reading, ReadingSession, Study
from reader_study.selectors.studies import protocol_current
from reader_study.washout import Span, gaps, of_answers


def washout_warnings(study: Study) -> list[str]:
    """A sentence for each two sealed imported sessions of a reader that lie closer than the protocol asks, or whose
    times are not known. 2 queries."""
    protocol = protocol_current(study)
    if protocol is None:
        return []
    sessions: dict[int, tuple[str, int]] = {}
    times: dict[int, list[datetime | None]] = {}
    rows = Reading.objects.filter(
        session__reader__study=study, session__imported=True, session__state=ReadingSession.State.SEALED,
        study_case__training=False, reread=False,
    )  # fmt: skip
    for pk, label, number, at in rows.order_by("session__reader__label", "session__number").values_list(
        "session", "session__reader__label", "session__number", "answered_at"
    ):
        sessions[pk] = (label, number)
        times.setdefault(pk, []).append(at)
    spans = [
        Span(label, number, f"session {number} of {label}", *of_answers(times[pk]))
        for pk, (label, number) in sessions.items()
    ]
    planned = protocol.document["washout_days"]
    return [words[:1].upper() + words[1:] for gap in gaps(spans) if (words := gap.words(planned))]
