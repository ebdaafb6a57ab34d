"""What happened around the answers: interim looks, void sessions, an early stop, withdrawals, what came late.

From the frozen inputs; documents of the first two editions hold little of it, and then nothing is said. Remarks and
the methods text share these words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from reader_study.protocol.differences import ABSENT

Document = Mapping[str, Any]
NAMED = 12  # cases that a sentence names before it counts
UNADJUSTED = (
    "Intervals, p values and the words on the margin are those of a single look at the full level: nothing is adjusted "
    "for looking more than once."
)


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
    """What was entered after the first look at numbers, when whoever entered it could know them; else nothing.

    The first look is the unblinding or an interim analysis before it; up to the third edition only the unblinding
    counted, and neither imported sessions nor amendments did.
    """
    unblinded, newest = document["study"].get("unblinded"), document.get("edition", 1) > 3
    looks = [e["at"] for e in document.get("audit", ()) if e["action"] == "analysis.interim" and e["at"]]
    interim = min(looks, key=datetime.fromisoformat) if looks and newest else None
    if interim and unblinded and _late(interim, unblinded):
        interim = None
    words = []
    if interim:
        parts = list(_entered_late(document, {"at": interim}, unblinded))
        if parts:
            words.append(f"Later than the first interim analysis on {day(interim)}, so that numbers of the study could "
                         f"be known: {'; '.join(parts)}.")  # fmt: skip
    if unblinded and (parts := list(_entered_late(document, unblinded, None))):
        words.append(f"Later than the unblinding on {day(unblinded['at'])}, so that the answers of the study could be "
                     f"known: {'; '.join(parts)}.")  # fmt: skip
    return " ".join(words)


def _entered_late(document: Document, look: Document, until: Document | None) -> Iterator[str]:
    """What came after ``look`` and, where that is given, not after ``until``, each with its day or its cases."""

    def late(at: Any) -> bool:
        return _late(at, look) and not (until and _late(at, until))

    newest = document.get("edition", 1) > 3
    for evaluator in document["evaluators"]:
        imported = (evaluator.get("provenance") or {}).get("imported_at", "")
        if late(imported):
            yield f"answers of {evaluator['name']} (imported on {day(imported)})"
        cases = [a["case"] for a in evaluator["answers"] if late(a.get("predicted_at"))]
        if cases:
            yield f"predictions of {evaluator['name']} on {_cases(cases)} ({some(cases)})"
        sealed = evaluator.get("sealed_at")
        if newest and evaluator["role"] == "reader" and evaluator["imported"] and late(sealed):
            yield f"readings of {evaluator['name']} (imported on {day(sealed)})"
    if cases := [case["code"] for case in document["cases"] if late(case.get("reference_at"))]:
        yield f"the reference of {_cases(cases)} ({some(cases)})"
    for version in document["protocol"]["versions"] if newest else ():
        if version["version"] > 1 and late(version["locked_at"]):
            new = [c for c in version.get("changes", ()) if c["old"] == ABSENT and isinstance(c["new"], Mapping)]
            added = [c["path"].removeprefix("readers.") for c in new if c["path"].startswith("readers.")]
            who = f", which added {some(added)}" if added else ""
            yield f"protocol version {version['version']} (signed on {day(version['locked_at'])}{who})"


def _late(at: Any, look: Document) -> bool:
    return bool(at) and datetime.fromisoformat(at) > datetime.fromisoformat(look["at"])


def replaced_words(document: Document) -> Iterator[str]:
    """Replaced readers whose primary session counts beside that of whoever took their place; since edition 4."""
    primary = {e["reader"]: e["name"] for e in document["evaluators"] if e["role"] == "reader" and e["primary"]}
    for reader, old in dict.fromkeys((e["reader"], e.get("replaces")) for e in document["evaluators"]):
        if old in primary and reader in primary:
            yield (
                f"{reader} took the place of {old}, whose primary session was sealed all the same: both count, also in "
                "the mean of the readers."
            )


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
