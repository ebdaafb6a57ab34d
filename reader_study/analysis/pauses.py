"""The washout between the sessions of a reader, measured from the times in the inputs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from reader_study.analysis.inputs import Evaluator, Inputs
from reader_study.washout import Gap, Span, gaps, of_answers


def session_gaps(inputs: Inputs) -> list[Gap]:
    """Between all sealed sessions of each reader, with and without the AI result."""
    return gaps(_span(e) for e in inputs.evaluators if e.role == "reader")


def pauses_report(inputs: Inputs) -> list[dict[str, Any]]:
    """``{reader, first, second, days, planned}``; ``days`` is None where a time is not known."""
    planned = inputs.plan["washout_days"]
    return [
        {"reader": gap.reader, "first": gap.first, "second": gap.second, "days": gap.days, "planned": planned}
        for gap in session_gaps(inputs)
    ]


def _span(evaluator: Evaluator) -> Span:
    """An imported session is dated by its answers; one read here by its opening and the last look at any case, as the
    washout itself is (a look that is dated before the opening was made while a clock was set back: the seal counts)."""
    row = evaluator.row
    begun, ended = of_answers(_time(answer.row.get("answered_at")) for answer in evaluator.answers.values())
    if not evaluator.imported:
        opened, look, sealed = (_time(row.get(name)) for name in ("opened_at", "last_look_at", "sealed_at"))
        if opened and look and look < opened:
            look = None
        begun, ended = opened or begun, look or sealed or ended
    return Span(evaluator.reader, evaluator.session, evaluator.name, begun, ended)


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
