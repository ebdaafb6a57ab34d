"""What happened around the answers: interim looks, void sessions, an early stop, withdrawals, what came late.

From the frozen inputs; documents of the first two editions hold little of it, and then nothing is said. Remarks and
the methods text share these words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

Document = Mapping[str, Any]
NAMED = 12  # cases that a sentence names before it counts


def some(codes: list[str]) -> str:
    """The first codes, and how many more."""
    more = f" and {len(codes) - NAMED} more" if len(codes) > NAMED else ""
    return f"{', '.join(codes[:NAMED])}{more}"


def day(at: str) -> str:
    """The date of a time in ISO 8601."""
    return at[:10]


def interim_looks(document: Document) -> list[str]:
    """``date (reason)`` of each interim analysis that was asked for before the unblinding, in order."""
    unblinded = document["study"].get("unblinded")
    return [
        f"{day(event['at'] or '')} ({event['reason'].strip().rstrip('.') or 'no reason given'})"
        for event in document.get("audit", ())
        if event["action"] == "analysis.interim" and not (unblinded and _late(event["at"], unblinded))
    ]


def stopped_words(document: Document) -> str:
    """A sentence where the study was stopped early, else nothing."""
    stopped = document["study"].get("stopped")
    if not stopped:
        return ""
    return f"The study was stopped early on {day(stopped['at'])}: {_sentence(stopped['reason'])}"


def void_words(document: Document) -> list[str]:
    """A sentence on the void sessions, and one on readers who have no other session and so appear in no table."""
    void = document.get("void", ())
    if not void:
        return []
    named = [f"{row['reader']} session {row['session']}{_why(row, document)}" for row in void]
    one = len(named) == 1
    out = [f"Void and in no table: {'; '.join(named)}. Answers that were given in {'it' if one else 'them'} do not "
           "count."]  # fmt: skip
    if lost := list(dict.fromkeys(row["reader"] for row in void if row.get("all_void"))):
        out.append(f"No session of {' or '.join(lost)} is left: {'this reader is' if len(lost) == 1 else 'they are'} "
                   "in no table.")  # fmt: skip
    return out


def _why(row: Document, document: Document) -> str:
    """The reason of one session, unless it is the stop's, which has a sentence of its own."""
    stopped = document["study"].get("stopped")
    if not row.get("reason") or (stopped and row["reason"] == f"study stopped early: {stopped['reason']}"):
        return ""
    return f" ({row['reason'].strip().rstrip('.')})"


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text or 'no reason given'}."


def withdrawn_words(document: Document) -> Iterator[str]:
    """Cases that left with their patients, and answers of AI that withdrawn patients lack."""
    if gone := list(document.get("withdrawn", ())):
        yield (
            f"{_cases(gone)} left the analysis, for the patient was withdrawn before a reference diagnosis stood: "
            f"{some(gone)}."
        )
    withdrawn = [case["code"] for case in document["cases"] if case.get("withdrawn")]
    for evaluator in document["evaluators"]:
        answered = {answer["case"] for answer in evaluator["answers"]}
        lacking = [code for code in withdrawn if code not in answered]
        if evaluator["role"] != "reader" and lacking:
            yield (
                f"{evaluator['name']} has no answer on {_cases(lacking)} of withdrawn patients ({some(lacking)}), "
                "which nothing can be run on any more; comparisons with it leave them out."
            )


def _cases(codes: list[str]) -> str:
    return f"{len(codes)} case{'s' * (len(codes) != 1)}"


def late_words(document: Document) -> str:
    """What was entered after the unblinding, when whoever entered it could know the answers; else nothing."""
    unblinded = document["study"].get("unblinded")
    if not unblinded:
        return ""
    parts = []
    for evaluator in document["evaluators"]:
        imported = (evaluator.get("provenance") or {}).get("imported_at", "")
        if _late(imported, unblinded):
            parts.append(f"answers of {evaluator['name']} (imported on {day(imported)})")
        late = [a["case"] for a in evaluator["answers"] if _late(a.get("predicted_at"), unblinded)]
        if late:
            parts.append(f"predictions of {evaluator['name']} on {_cases(late)} ({some(late)})")
    if late := [case["code"] for case in document["cases"] if _late(case.get("reference_at"), unblinded)]:
        parts.append(f"the reference of {_cases(late)} ({some(late)})")
    if not parts:
        return ""
    return (
        f"Later than the unblinding on {day(unblinded['at'])}, so that the answers of the study could be known: "
        f"{'; '.join(parts)}."
    )


def _late(at: Any, unblinded: Document) -> bool:
    return bool(at) and datetime.fromisoformat(at) > datetime.fromisoformat(unblinded["at"])


RULES = {
    "margin": "margin", "missing": "rule for undecided answers", "level": "level of the intervals",
    "primary_session": "primary session", "ai_primary": "AI under test",
    "ai_comparators": "comparators",
}  # fmt: skip


def amended_rules(plan: Document, concerned: Collection[str] = tuple(RULES)) -> list[str]:
    """``margin by amendment 2`` for each rule that does not stand as it was locked; amendments count as versions do."""
    since = plan.get("since", {})
    gone = {"margin"} if plan.get("margin", 0) is None else set()
    return [f"{words}{' taken out' * (n in gone)} by amendment {since[n]}" for n, words in RULES.items()
            if n in concerned and since.get(n, 1) > 1]  # fmt: skip
