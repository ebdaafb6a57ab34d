"""What a reader of the report must know before believing a number, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leukoweb.statistics.intervals import clopper_pearson
from leukoweb.statistics.ratings_report import printed
from reader_study.analysis.conduct import (
    UNADJUSTED,
    amended_rules,
    interim_looks,
    late_words,
    replaced_words,
    stopped_words,
    void_words,
    withdrawn_words,
)
from reader_study.analysis.inputs import Inputs, Level
from reader_study.analysis.levels import FEW_PATIENTS
from reader_study.analysis.pauses import session_gaps
from reader_study.protocol.document import MARGIN_COMPARISONS

FEW_READERS = 5


def marks_in_words(inputs: Inputs) -> list[str]:
    """Marks that stand on every page, table, figure and file of the analysis."""
    out = []
    if inputs.study.get("reconstruction"):
        out.append("RECONSTRUCTION: rebuilt from published tables, not the original data")
    if inputs.study.get("synthetic"):
        out.append("SYNTHETIC: drawn phantoms, not patients")
    if inputs.interim:
        out.append("INTERIM: made before the study was complete")
    return out


def remarks(inputs: Inputs, levels: Mapping[str, Any]) -> list[dict[str, str]]:
    """``{level, text}``; an empty level concerns the whole study."""
    out = [{"level": "", "text": text} for text in _study_remarks(inputs)]
    for level in inputs.levels:
        out += [{"level": level.name, "text": text} for text in _level_remarks(inputs, level, levels[level.name])]
    return out


def _study_remarks(inputs: Inputs) -> Iterator[str]:
    if inputs.interim:
        reason = inputs.document["marks"].get("interim_reason") or "no reason given"
        left_out = inputs.document["marks"].get("left_out", [])
        without = f" Sessions that are not sealed are left out: {', '.join(left_out)}." if left_out else ""
        if unanswered := inputs.document["marks"].get("without_answers", []):
            without += f" AI without any answer is left out: {', '.join(unanswered)}."
        yield f"Interim analysis ({reason}). Its numbers may change and must not steer the readers.{without}"
        if inputs.edition > 3:
            yield UNADJUSTED
    if inputs.study.get("reconstruction"):
        yield (
            "The answers were rebuilt so that they agree with published tables; other answers would do so too. "
            "Intervals are right for these answers, not for the original data."
        )
    if inputs.edition > 2:
        yield from _conduct(inputs)
    yield from _no_primary(inputs)
    yield from _margin(inputs)
    if inputs.edition > 1:
        down = inputs.edition > 3
        said = (gap.words(inputs.plan["washout_days"], down=down) for gap in session_gaps(inputs))
        yield from (words for words in said if words)
    n_readers = len(inputs.primaries)
    if inputs.ai and 0 < n_readers < FEW_READERS:
        yield (
            f"{n_readers} reader{'s' if n_readers > 1 else ''}: how far readers differ is estimated from very few, so "
            "a statement about readers in general rests on little. Intervals for these readers alone stand beside it."
        )
    imported = [e.name for e in inputs.evaluators if e.imported]
    if imported:
        yield f"Imported, not read or run here: {', '.join(imported)}. Blinding, order and times rest on the importer."
    for evaluator in inputs.evaluators:
        other = sum(answer.row.get("same_images") is False for answer in evaluator.answers.values())
        if other:
            yield f"{evaluator.name} saw other images than the readers in {other} cases (excluded or not chosen)."
        if (evaluator.row.get("provenance") or {}).get("synthetic"):
            yield f"{evaluator.name} is a demonstration pipeline, trained on drawn images. Its numbers mean nothing."
    shown = (*inputs.sessions, *(inputs.assisted if inputs.edition > 2 else ()), *inputs.outside)  # as in the table
    recognised = sum(a.recognised for e in shown for a in e.answers.values())
    if recognised:
        yield f"{recognised} answers are on cases that the reader recognised; a table shows accuracy without them."


def _conduct(inputs: Inputs) -> Iterator[str]:
    """What happened around the answers, and which rules an amendment set."""
    document = inputs.document
    if looks := interim_looks(document):
        unadjusted = f" {UNADJUSTED}" if inputs.edition > 3 and not inputs.interim else ""
        yield f"Interim analyses before the unblinding: {'; '.join(looks)}.{unadjusted}"
    yield from filter(None, (stopped_words(document), *void_words(document), *withdrawn_words(document)))
    if inputs.edition > 3:
        yield from replaced_words(document)
    if late := late_words(document):
        yield late
    if rules := amended_rules(inputs.plan):
        words = "Changed after the lock" if inputs.edition > 3 else "Not as in protocol version 1"
        yield f"{words}: {', '.join(rules)}. Endpoints that this concerns say so."


def _margin(inputs: Inputs) -> Iterator[str]:
    """A margin that gives no verdict; such protocols can no longer be locked."""
    margin = inputs.plan["margin"]
    if margin is None or inputs.edition < 2:
        return
    primary = [e for e in inputs.plan["endpoints"] if e["role"] == "primary"]
    if inputs.margin is None:
        yield f"The protocol's margin of {margin:g} excludes nothing, so nothing is said about non-inferiority."
    elif not any(e["comparison"] in MARGIN_COMPARISONS and not e["metric"].endswith("_kappa") for e in primary):
        yield (
            f"The margin of {margin:g} belongs to a primary endpoint over the readers, and the protocol's is none: "
            "there is no confirmatory statement about non-inferiority."
        )
    elif inputs.edition > 3 and any(e["comparison"] == "with_vs_without_ai" for e in primary):
        both = {e.reader for e in inputs.assisted} & {e.reader for e in inputs.primaries}
        if len(both) < 2:
            yield (
                f"The margin of {margin:g} belongs to the mean over the readers who read with and without the AI "
                f"result, and {'only one reader' if both else 'no reader'} did: there is no such mean and no statement "
                "about non-inferiority."
            )


def _no_primary(inputs: Inputs) -> Iterator[str]:
    """Readers whom no main analysis can hold, and which sessions of theirs are shown all the same."""
    if inputs.edition < 2:
        return
    main = {e.reader for e in inputs.primaries}
    for reader in dict.fromkeys(e.reader for e in inputs.evaluators if e.role == "reader" and e.reader not in main):
        own = [e.name for e in inputs.evaluators if e.role == "reader" and e.reader == reader]
        yield (
            f"{reader} has no sealed primary session and is in no comparison, agreement or mean of readers. "
            f"{', '.join(own)} {'is' if len(own) == 1 else 'are'} shown alone; no other session takes the primary "
            "one's place."
        )


def _level_remarks(inputs: Inputs, level: Level, report: Mapping[str, Any]) -> Iterator[str]:
    reference = inputs.reference(level)
    for name in level.classes:
        n = reference.count(name)
        if n == 0:
            yield f"No patient has {name}: its sensitivity is undefined and left out of macro averages."
        elif n < FEW_PATIENTS:
            low = float(clopper_pearson(n, n, inputs.plan["level"])[0])
            yield (
                f"Only {n} patient{'s have' if n > 1 else ' has'} {name}. Even {n} of {n} right has an interval from "
                f"{printed(low)} to 1: these data cannot tell a good evaluator of {name} from a mediocre one."
            )
    few = [f"{name} {reference.count(name)}" for name in level.classes if 0 < reference.count(name) < FEW_PATIENTS]
    if few and inputs.plan["resamples"]:
        yield (
            f"Classes with fewer than {FEW_PATIENTS} patients ({', '.join(few)}) make bootstrap intervals of macro "
            "sensitivity and macro PPV too narrow: these two have analytic intervals (MOVER) here"
            f"{'; differences within pairs keep the bootstrap' if inputs.edition > 2 else ''}."
        )
    asked: dict[str, list[str] | None] = {e.name: e.row.get("levels") for e in inputs.evaluators}
    for name, found in report["evaluators"].items():
        if inputs.edition > 3 and level.name not in (asked[name] or [level.name]):
            continue  # nobody asked it for these classes
        lost = [label for label in level.classes if found["per_class"][label]["ppv"]["estimate"] is None]
        if lost:
            yield f"{name} never gave {', '.join(lost)}: the PPV of that class is undefined and not in the macro PPV."
    for metric in ("accuracy", "macro_f1"):
        note = ((report["ai_vs_readers"] or {}).get(metric) or {}).get("note")
        if note:
            yield f"AI against readers, {metric.replace('_', ' ')}: {note}"
    dropped = ((report["ai_vs_readers"] or {}).get("accuracy") or {}).get("n_dropped")
    if dropped and inputs.edition > 2:
        yield (
            f"AI against readers: {dropped} of {len(inputs.cases)} cases are left out, for the AI or a primary session "
            "gave no class, so the AI's numbers there are not those of its own row."
        )
