"""Whether a protocol says enough, and nothing contradictory, to be locked.

Checks of the document alone. What needs the database (does the cohort exist, may this person read) stands in
`reader_study.services`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from cases.taxonomy import FIVE_CLASSES
from reader_study.protocol.document import CLASS_MAPS, clean, primary_number, reference_map
from reader_study.protocol.nodes import Problem

Document = dict[str, Any]


def validate(document: Any) -> list[Problem]:
    """What this document lacks or contradicts; empty when there is nothing. `computable` has the rest of a lock."""
    cleaned, problems = clean(document)
    for check in (_texts, _classes, _cases, _readers, _sessions, _answers, _ai, _endpoints):
        problems += check(cleaned)
    return problems


def notices(document: Any) -> list[Problem]:
    """What a reviewer would ask about; none of it stops a lock."""
    cleaned, _ = clean(document)
    found: list[Problem] = []
    repeats = any(len(reader["sessions"]) > 1 for reader in cleaned["readers"])
    if repeats and cleaned["washout_days"] < 14:
        found.append(
            Problem("washout_days", f"{cleaned['washout_days']} days of washout are very short for a repeat reading.",
                    "14 days is the least that validation guidelines accept; 28 and 42 are common.")
        )  # fmt: skip
    if not repeats:
        found.append(Problem("readers", "Nobody reads twice, so agreement within a reader cannot be measured."))
    crossed = [reader["sessions"] for reader in cleaned["readers"] if len(set(reader["sessions"])) > 1]
    if crossed and len({reader.index("ai_assisted") < reader.index("blinded") for reader in crossed}) == 1:
        found.append(
            Problem("readers", "Everybody reads in the same order with and without the AI, so a change over time "
                    "cannot be told from the effect of the AI.", "Let about half of the readers begin with the AI.")
        )  # fmt: skip
    if len(cleaned["readers"]) == 1:
        found.append(Problem("readers", "With one reader nothing can be said about readers in general."))
    if not cleaned["planning"]["justification"]:
        found.append(Problem("planning.justification", "The number of patients is not justified.",
                             "STARD-AI 22 and GRRAS 6 ask for it; the planner gives the figures."))  # fmt: skip
    if cleaned["images_per_case"]["rule"] == "all":
        found.append(
            Problem("images_per_case", "The number of fields differs from case to case and may give a class away.",
                    "Look at the confounder report; a fixed number hides it.")
        )  # fmt: skip
    return found


def _texts(document: Document) -> list[Problem]:
    wanted = {"title": "a title", "question": "the question that the study answers",
              "consent": "the text that a reader agrees to", "instructions": "instructions to the reader"}  # fmt: skip
    return [Problem(key, f"The protocol needs {what}.") for key, what in wanted.items() if not document[key]]


def _duplicates(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1 and value]


def _classes(document: Document) -> list[Problem]:
    classes, problems = document["classes"], []
    names: list[str] = classes["names"]
    if len(names) < 2 or "" in names:
        problems.append(Problem("classes.names", "At least two classes with a name are needed."))
    problems += [Problem("classes.names", f"{name} stands twice.") for name in _duplicates(names)]
    if (fixed := CLASS_MAPS.get(classes["map"])) is not None and tuple(names) != fixed:
        problems.append(
            Problem("classes.names", f"The map {classes['map']} has the classes {', '.join(fixed)}, in this order.",
                    "Choose the map custom for other classes or another order.")
        )  # fmt: skip
    if classes["map"] != "custom" and classes["reference_map"]:
        problems.append(Problem("classes.reference_map", f"The map {classes['map']} is fixed.", "Leave this empty."))
    if classes["map"] == "custom":
        mapping = reference_map(document)
        where = "classes.reference_map"
        problems += [
            Problem(where, f"Says nothing about {name}.") for name in FIVE_CLASSES if name not in mapping
        ]  # fmt: skip
        problems += [
            Problem(f"{where}.{name}", f"{name} is no reference diagnosis.", f"Those are {', '.join(FIVE_CLASSES)}.")
            for name in mapping
            if name not in FIVE_CLASSES
        ]
        problems += [
            Problem(f"{where}.{name}", f"{target} is not one of the classes.")
            for name, target in mapping.items()
            if target not in names
        ]
    return problems


def _cases(document: Document) -> list[Problem]:
    cases, problems = document["cases"], []
    patients, training = cases["patients"], cases["training"]
    if not cases["cohort"]:
        problems.append(Problem("cases.cohort", "The protocol names no cohort."))
    if patients != "all":
        if not patients:
            problems.append(Problem("cases.patients", "The list of patients is empty.", "Write all, or codes."))
        problems += [Problem("cases.patients", f"Patient {code} stands twice.") for code in _duplicates(patients)]
        both = sorted(set(patients) & set(training))
        problems += [Problem("cases.training", f"Patient {code} is a training case and a real one.") for code in both]
    problems += [Problem("cases.training", f"Patient {code} stands twice.") for code in _duplicates(training)]
    images = document["images_per_case"]
    if images["rule"] == "fixed" and images["k"] is None:
        problems.append(Problem("images_per_case.k", "A fixed number of fields needs the number k."))
    if images["rule"] == "all" and images["k"] is not None:
        problems.append(Problem("images_per_case.k", "All fields are shown, so k has no meaning.", "Leave it empty."))
    return problems


def _readers(document: Document) -> list[Problem]:
    readers, problems = document["readers"], []
    if not readers:
        problems.append(Problem("readers", "The study has no reader."))
    for number, reader in enumerate(readers, start=1):
        path = f"readers.{number}"
        if not reader["label"]:
            problems.append(Problem(f"{path}.label", "The reader needs a label for the tables, such as P1."))
        if not reader["sessions"]:
            problems.append(Problem(f"{path}.sessions", "The reader needs at least one session."))
        problems += [
            Problem(f"{path}.sessions", f"Session {index} is {arm}, which is not among the arms of the study.")
            for index, arm in enumerate(reader["sessions"], start=1)
            if arm not in document["arms"]
        ]
    for key in ("label", "username"):
        twice = _duplicates(reader[key].casefold() for reader in readers)
        problems += [Problem("readers", f"The {key} {value} stands twice.") for value in twice]
    return problems


def _sessions(document: Document) -> list[Problem]:
    problems = []
    arms, readers = document["arms"], document["readers"]
    if not arms:
        problems.append(Problem("arms", "At least one arm is needed.", "Write blinded."))
    problems += [Problem("arms", f"The arm {arm} stands twice.") for arm in _duplicates(arms)]
    used = {arm for reader in readers for arm in reader["sessions"]}
    if readers:
        problems += [Problem("arms", f"Nobody reads in the arm {arm}.") for arm in arms if arm not in used]
    first = document["primary_session"]
    for number, reader in enumerate(readers, start=1):
        if reader["sessions"] and first > len(reader["sessions"]):
            problems.append(
                Problem("primary_session", f"Reader {reader['label'] or number} has no session {first}.",
                        "The primary session is the one that the main analysis takes, so everybody has to have it.")
            )  # fmt: skip
        elif reader["sessions"] and primary_number(reader["sessions"], first) is None:
            problems.append(
                Problem("primary_session", f"Reader {reader['label'] or number} has no blinded session.",
                        "The main analysis needs blinded readings.")
            )  # fmt: skip
    return problems


def _answers(document: Document) -> list[Problem]:
    answers, problems = document["answers"], []
    if answers["cannot_decide"] and not [reason for reason in answers["reasons"] if reason]:
        problems.append(Problem("answers.reasons", "Readers who cannot decide need reasons to choose from."))
    problems += [Problem("answers.reasons", f"{text!r} stands twice.") for text in _duplicates(answers["reasons"])]
    return problems


def _ai(document: Document) -> list[Problem]:
    ai, problems = document["ai"], []
    named = ([ai["primary"]] if ai["primary"] else []) + ai["comparators"]
    for pipeline in named:
        if not (pipeline["name"] and pipeline["version"]):
            problems.append(Problem("ai", "A pipeline is given by its name and its version."))
    twice = _duplicates(f"{pipeline['name']} {pipeline['version']}" for pipeline in named)
    problems += [Problem("ai", f"The pipeline {name} stands twice.") for name in twice]
    if ai["comparators"] and not ai["primary"]:
        problems.append(Problem("ai.primary", "There are comparators but no primary pipeline."))
    if "ai_assisted" in document["arms"] and not ai["primary"]:
        problems.append(Problem("ai.primary", "The arm with AI needs the primary pipeline."))
    return problems


def _endpoints(document: Document) -> list[Problem]:
    endpoints, problems = document["endpoints"], []
    if sum(endpoint["role"] == "primary" for endpoint in endpoints) != 1:
        problems.append(Problem("endpoints", "Exactly one endpoint has to be primary."))
    keys = [f"{endpoint['metric']} ({endpoint['comparison']})" for endpoint in endpoints]
    problems += [Problem("endpoints", f"The endpoint {key} stands twice.") for key in _duplicates(keys)]
    compared = {endpoint["comparison"] for endpoint in endpoints}
    needs_ai = [metric for metric in endpoints if metric["comparison"].startswith("ai_")]
    if (needs_ai or any(e["metric"] == "ai_reader_kappa" for e in endpoints)) and not document["ai"]["primary"]:
        problems.append(Problem("ai.primary", "An endpoint compares with an AI, but the protocol names no pipeline."))
    if "ai_vs_comparators" in compared and not document["ai"]["comparators"]:
        problems.append(Problem("ai.comparators", "An endpoint needs comparators, but none is named."))
    if "with_vs_without_ai" in compared and set(document["arms"]) != {"blinded", "ai_assisted"}:
        problems.append(Problem("arms", "Comparing with and without AI needs both arms."))
    repeated = any(len(reader["sessions"]) > 1 for reader in document["readers"])
    if any(endpoint["metric"] == "intra_observer_kappa" for endpoint in endpoints) and not repeated:
        problems.append(Problem("endpoints", "Agreement within a reader needs a reader with two sessions."))
    if any(endpoint["metric"] == "inter_observer_kappa" for endpoint in endpoints) and len(document["readers"]) < 2:
        problems.append(Problem("endpoints", "Agreement between readers needs two readers."))
    expected = document["planning"]["expected_per_class"]
    if expected and len(expected) != len(document["classes"]["names"]):
        problems.append(
            Problem("planning.expected_per_class", f"{len(expected)} numbers for "
                    f"{len(document['classes']['names'])} classes.", "Give one for each class, or none.")
        )  # fmt: skip
    return problems
