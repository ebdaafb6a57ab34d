"""Every answer of a study in one long table, and in the list formats of iMRMC and REDCap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from leukoweb.statistics.cells import safe_text
from reader_study.analysis.inputs import Evaluator, Inputs
from reader_study.analysis.remarks import marks_in_words
from reader_study.exports.cells import csv_bytes, csv_text

ANSWER_FIELDS = (
    "cannot_decide", "reason", "confidence", "recognised", "recognised_note", "comment", "n_images", "n_viewed",
    "active_ms", "answered_at",
)  # fmt: skip


def marks_text(inputs: Inputs) -> str:
    """Marks of the study for a column; readings themselves are neither pre-specified nor exploratory."""
    return "; ".join(marks_in_words(inputs))


def readings_header(inputs: Inputs) -> list[str]:
    levels = [level.name for level in inputs.levels]
    return [
        "study", "evaluator", "kind", "role", "reader", "session", "primary", "arm", "imported", "case", "position",
        *(f"reference_{name}" for name in levels), *(f"answer_{name}" for name in levels),
        *(f"right_{name}" for name in levels), *undecided_header(inputs), *ANSWER_FIELDS, "key_images", "marks",
    ]  # fmt: skip


def undecided_header(inputs: Inputs) -> list[str]:
    """One column for each level since the third edition; ``cannot_decide`` speaks of the answer as a whole."""
    return [f"undecided_{level.name}" for level in inputs.levels] if inputs.edition > 2 else []


def undecided_cells(inputs: Inputs, evaluator: Evaluator, case: str) -> list[bool]:
    """In the order of ``undecided_header``; no, too, where nobody asked."""
    return [inputs.undecided(evaluator, level, case) for level in inputs.levels] if inputs.edition > 2 else []


def readings_rows(inputs: Inputs) -> Iterator[list[Any]]:
    """Evaluators in their order; the answers of a session in the order in which it was read."""
    marks = marks_text(inputs)
    references = [dict(zip((c.code for c in inputs.cases), inputs.reference(lv), strict=True)) for lv in inputs.levels]
    codes = [case.code for case in inputs.cases]
    for e in inputs.evaluators:
        about = [
            inputs.study["title"], e.name, e.kind, e.role, e.reader, e.session or None,
            e.primary if e.role == "reader" else None, e.arm, e.imported,
        ]  # fmt: skip
        for code in sorted(e.answers, key=lambda c: (e.answers[c].position or 0, codes.index(c))):
            answer = e.answers[code]
            said = [e.label(level, code) for level in inputs.levels]
            right = [None if s is None else s == r[code] for s, r in zip(said, references, strict=True)]
            row = answer.row
            yield [
                *about, code, answer.position, *(r[code] for r in references), *said, *right,
                *undecided_cells(inputs, e, code), *(row.get(name) for name in ANSWER_FIELDS),
                " ".join(map(str, row.get("key_images") or ())), marks,
            ]  # fmt: skip


def readings_csv(inputs: Inputs, *, bom: bool = True) -> bytes:
    """All answers with names, case codes, references and marks, in one file."""
    return csv_bytes(readings_header(inputs), readings_rows(inputs), bom=bom)


def imrmc_text(inputs: Inputs) -> bytes:
    """List format of iMRMC: truth rows, then one score per reader, case and modality (1 = positive class).

    Primary sessions only, for the format allows one reading per reader, case and modality; undecided answers are
    absent. The AI is a reader of a modality of its own. Header lines before ``BEGIN DATA:`` are free text, but for the
    counts, which are those of the data: normal and diseased cases, readers and modalities.
    """
    level = inputs.levels[0]
    positive = set(level.positive) or set(level.classes[:-1])
    reference = dict(zip((c.code for c in inputs.cases), inputs.reference(level), strict=True))
    truth = [["-1", code, "0", str(int(label in positive))] for code, label in reference.items()]
    scores, undecided = [], 0
    for evaluator, modality in _imrmc_evaluators(inputs):
        for code in reference:
            undecided += inputs.undecided(evaluator, level, code)
            said = evaluator.label(level, code)
            if said is not None:
                scores.append([evaluator.reader or evaluator.name, code, modality, str(int(said in positive))])
    rows = [[_imrmc_name(cell) for cell in row] for row in (*truth, *scores)]
    given = rows[len(truth) :]
    absent = f"{undecided} undecided answers have no row"
    absent += ", though the endpoints of the study count them as wrong." if inputs.undecided_wrong else "."
    lines = [
        _one_line(str(inputs.study["title"])),
        f"Positive: {', '.join(c for c in level.classes if c in positive)}. Score 1 = called positive, 0 = not.",
        *([absent] if undecided else []),
        *(f"{mark}." for mark in marks_in_words(inputs)),
        "Research use only. Written by leukoweb.",
        f"N0: {sum(row[3] == '0' for row in truth)}",
        f"N1: {sum(row[3] == '1' for row in truth)}",
        f"NR: {len({row[0] for row in given})}",
        f"NM: {len({row[2] for row in given})}",
        "BEGIN DATA:",
    ]
    return ("\n".join(lines) + "\n" + "\n".join(map(",".join, rows)) + "\n").encode()


def _imrmc_evaluators(inputs: Inputs) -> Iterator[tuple[Evaluator, str]]:
    for evaluator in inputs.primaries:
        yield evaluator, "blinded"
    readers = {evaluator.reader for evaluator in inputs.assisted}
    for reader in sorted(readers):
        yield min((e for e in inputs.assisted if e.reader == reader), key=lambda e: e.session), "with_ai"
    for evaluator in inputs.evaluators:
        if evaluator.role != "reader":
            yield evaluator, "ai" if evaluator.role == "ai" else f"comparator {evaluator.name}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _imrmc_name(text: str) -> str:
    """The format has no quoting, so a comma in a name becomes a blank. Truth rows keep reader -1, modality 0."""
    return text if text == "-1" else safe_text(_one_line(text.replace(",", " ")))


DICTIONARY_HEADER = (
    "Variable / Field Name", "Form Name", "Section Header", "Field Type", "Field Label",
    "Choices, Calculations, OR Slider Labels", "Field Note", "Text Validation Type OR Show Slider Number",
    "Text Validation Min", "Text Validation Max", "Identifier?", "Branching Logic (Show field only if...)",
    "Required Field?", "Custom Alignment", "Question Number (surveys only)", "Matrix Group Name", "Matrix Ranking?",
    "Field Annotation",
)  # fmt: skip


def redcap_fields(inputs: Inputs) -> list[tuple[str, str, str, str, str, str, str]]:
    """(name, form, type, label, choices, note, validation) of each field."""
    classes = _choices(inputs.levels[0].classes)
    names = _choices([e.name for e in inputs.evaluators])
    yes = "0, No | 1, Yes"
    marks = marks_text(inputs)
    return [
        ("record_id", "case", "text", "Case code", "", f"Random code of the study. {marks}".strip(), ""),
        ("reference", "case", "radio", "Reference diagnosis", classes, "", ""),
        ("n_images", "case", "text", "Images of the case", "", "", "integer"),
        ("case_marks", "case", "text", "Marks of this export", "", "interim, synthetic, reconstruction", ""),
        ("evaluator", "reading", "dropdown", "Evaluator", names, "Session of a reader, or AI", ""),
        ("session", "reading", "text", "Session number", "", "", "integer"),
        ("primary_session", "reading", "radio", "Primary session", yes, "", ""),
        ("position", "reading", "text", "Place in the session's order", "", "", "integer"),
        ("diagnosis", "reading", "radio", "Diagnosis", classes, "Empty: cannot decide, or not asked for these", ""),
        ("cannot_decide", "reading", "radio", "Cannot decide", yes, "", ""),
        ("reason", "reading", "text", "Reason", "", "", ""),
        ("confidence", "reading", "text", "Confidence, 1 guess to 5 certain", "", "", "integer"),
        ("recognised", "reading", "radio", "Recognised the case or saw information", yes, "", ""),
        ("active_seconds", "reading", "text", "Active reading time in seconds", "", "", "number"),
        ("answered_at", "reading", "text", "Answered at, UTC", "", "", "datetime_seconds_ymd"),
    ]


def _choices(names: Sequence[str]) -> str:
    return " | ".join(f"{number}, {name.replace('|', '/').replace(',', ' ')}" for number, name in enumerate(names, 1))


def redcap_dictionary(inputs: Inputs) -> bytes:
    """The data dictionary that goes with ``redcap_records``; ``reading`` is a repeating instrument."""
    rows = [
        [name, form, "", kind, label, choices, note, check, "", "", "", "", "", "", "", "", "", ""]
        for name, form, kind, label, choices, note, check in redcap_fields(inputs)
    ]
    return csv_text(DICTIONARY_HEADER, rows).encode()


def redcap_records(inputs: Inputs) -> bytes:
    """Cases, then readings as instances of a repeating instrument, coded as the dictionary says."""
    fields = [field[0] for field in redcap_fields(inputs)]
    header = ["record_id", "redcap_repeat_instrument", "redcap_repeat_instance", *fields[1:]]
    level, marks = inputs.levels[0], marks_text(inputs)
    code_of = {name: number for number, name in enumerate(level.classes, 1)}
    rows = []
    for case in inputs.cases:
        own = {"reference": code_of[case.reference], "n_images": case.n_images, "case_marks": marks}
        rows.append([case.code, None, None, *(own.get(name) for name in fields[1:])])
        for instance, (number, evaluator) in enumerate(_with_answer(inputs, case.code), 1):
            undecided = inputs.undecided(evaluator, level, case.code)
            answer = _redcap_answer(evaluator, number, case.code, level.name, code_of)
            answer["cannot_decide"] = int(undecided)
            rows.append([case.code, "reading", instance, *(answer.get(name) for name in fields[1:])])
    return csv_text(header, rows).encode()


def _with_answer(inputs: Inputs, case: str) -> list[tuple[int, Evaluator]]:
    return [(number, e) for number, e in enumerate(inputs.evaluators, 1) if case in e.answers]


def _redcap_answer(
    evaluator: Evaluator, number: int, case: str, level: str, code_of: Mapping[str, int]
) -> dict[str, Any]:
    answer = evaluator.answers[case]
    at = str(answer.row.get("answered_at") or "")[:19].replace("T", " ")
    return {
        "evaluator": number, "session": evaluator.session or None, "primary_session": int(evaluator.primary),
        "position": answer.position, "diagnosis": code_of.get(answer.given.get(level, "")),
        "reason": answer.row.get("reason"),
        "confidence": answer.row.get("confidence"), "recognised": int(answer.recognised),
        "active_seconds": answer.seconds, "answered_at": at or None,
    }  # fmt: skip
