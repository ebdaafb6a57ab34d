"""Tables that concern the study as a whole: endpoints, participants, readers, sessions, remarks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reader_study.analysis.table_model import Column, Table
from reader_study.analysis.tables_shared import EXPLORATORY, Result, undecided_note


def study_tables(result: Result) -> Iterator[Table]:
    yield endpoints_table(result)
    yield flow_table(result)
    for part in result["table1"]:
        yield table_one(result, part)
    yield evaluators_about(result)


def endpoints_table(result: Result) -> Table:
    rows = [
        {
            "number": row["number"], "role": row["role"], "endpoint": row["title"], "what": row["what"],
            "estimate": row["estimate"], "p": row["p"], "margin": row["margin"], "verdict": row["verdict"],
            "origin": row["origin"], "mark": _mark(row),
        }
        for row in result["endpoints"]
    ]  # fmt: skip
    columns = (
        Column("number", "No.", "int"), Column("role", "Role"), Column("endpoint", "Endpoint"),
        Column("what", "Comparison or evaluator"), Column("estimate", "Estimate", "estimate"), Column("p", "p", "p"),
        Column("margin", "Margin", "number"), Column("verdict", "Reading"), Column("origin", "Origin"),
    )  # fmt: skip
    level = result["plan"]["levels"][0]["title"]
    note = f"At the level of the protocol, {level}. p values are two-sided and not adjusted unless the row says so."
    lacking = [
        f"No. {row['number']}, {row['what']}: on the {row['estimate']['n']} cases that everybody who is compared "
        f"answered; {row['estimate']['n_dropped']} left out."
        for row in result["endpoints"]
        if (row["estimate"] or {}).get("n_dropped")
    ]
    every = all(row["mark"] == "pre-specified" for row in rows)
    words = "pre-specified" if every else "pre-specified save where the origin says otherwise"
    return Table("endpoints", "Endpoints of the protocol", "endpoints", columns, tuple(rows), words, (note, *lacking))


def _mark(row: Mapping[str, Any]) -> str:
    """An endpoint of version 1 some of whose rules an amendment set is neither; its mark names the rules."""
    if row["prespecified"]:
        return "pre-specified"
    _, _, amended = row["origin"].partition("protocol version 1; ")
    return f"pre-specified but for {amended.replace('; ', ', ')}" if amended else EXPLORATORY


def flow_table(result: Result) -> Table:
    steps = result["flow"].get("steps", [])
    rows = [{"step": step["step"], "n": step["n"], "why": step.get("why", "")} for step in steps]
    columns = Column("step", "Step"), Column("n", "Patients", "int"), Column("why", "Reason")
    return Table("flow", "Participant flow", "participants", columns, tuple(rows))


def table_one(result: Result, part: Mapping[str, Any]) -> Table:
    classes = part["classes"]
    columns = (Column("item", "Item"), *(Column(name, name, "int") for name in classes), Column("all", "All", "int"))
    by_class = {row["class"]: row for row in part["rows"]}
    rows: list[dict[str, Any]] = []
    for key, title in (("patients", "Patients"), ("images", "Images"), ("fewest", "Fewest images of a patient"),
                       ("most", "Most images of a patient")):  # fmt: skip
        values = [by_class[name][key] for name in classes]
        known = [value for value in values if value is not None]
        if not known:
            continue
        complete = len(known) == len(values)
        whole = {"fewest": min, "most": max}.get(key, sum)(known) if complete or key in ("fewest", "most") else None
        rows.append({"item": title, "all": whole} | dict(zip(classes, values, strict=True)))
    for field, values in part["fields"].items():
        for value in values:
            counts = dict(zip(classes, value["counts"], strict=True))
            rows.append({"item": f"{field}: {value['value']}", "all": sum(value["counts"])} | counts)
    title = f"Table 1. Patients and images, {_level(result, part['level'])}"
    return Table(f"table1_{part['level']}", title, "participants", columns, tuple(rows), level=part["level"])


def _level(result: Result, name: str) -> str:
    return next(str(row["title"]) for row in result["plan"]["levels"] if row["name"] == name)


def evaluators_about(result: Result) -> Table:
    rows = []
    for e in result["evaluators"]:
        profile, provenance = e["profile"], e["provenance"]
        who = ", ".join(filter(None, (
            f"{profile['years']} years" if profile.get("years") is not None else "", profile.get("specialty", ""),
            profile.get("training", ""),
        )))  # fmt: skip
        rows.append(
            {
                "name": e["name"], "kind": _kind(e), "reader": e["reader"], "session": e["session"] or None,
                "primary": e["primary"] if e["role"] == "reader" else None, "n": e["n_answers"],
                "undecided": e["n_undecided"], "first": (e["first_at"] or "")[:10], "last": (e["last_at"] or "")[:10],
                "about": who or provenance.get("title", ""),
            }
        )  # fmt: skip
    columns = (
        Column("name", "Evaluator"), Column("kind", "What"), Column("reader", "Reader"),
        Column("session", "Session", "int"), Column("primary", "Primary", "bool"), Column("n", "Answers", "int"),
        Column("undecided", "Undecided", "int"), Column("first", "First answer"), Column("last", "Last answer"),
        Column("about", "Profile or pipeline"),
    )  # fmt: skip
    note = (
        "Sessions of one reader are never pooled; the primary session enters the main analysis. Undecided: at one "
        "level or more."
    )
    return Table("evaluators", "Evaluators", "participants", columns, tuple(rows), notes=(note,))


def _kind(evaluator: Mapping[str, Any]) -> str:
    if evaluator["role"] == "reader":
        words = "reading with AI result" if evaluator["arm"] == "ai_assisted" else "blinded reading"
    else:
        words = "AI" if evaluator["role"] == "ai" else "comparator"
        words += "" if evaluator.get("in_protocol", True) else ", not in the protocol"
    return f"{words}, imported" if evaluator["imported"] else words


def session_tables(result: Result) -> Iterator[Table]:
    sessions = result["sessions"]
    undecided = undecided_note(result, result["levels"][result["plan"]["levels"][0]["name"]], wrong_here=False)
    columns: tuple[Column, ...] = (
        Column("evaluator", "Session"), Column("part", "Part of the order"), Column("from", "From", "int"),
        Column("to", "To", "int"), Column("accuracy", "Accuracy", "estimate"),
        Column("median_s", "Median time, s", "number", 1),
    )  # fmt: skip
    note = "Accuracy that rises points to learning, accuracy that falls to fatigue; intervals of parts overlap widely."
    yield Table("order", "Order and fatigue", "sessions", columns, tuple(sessions["order"]), EXPLORATORY,
                (note, *undecided))  # fmt: skip
    columns = (
        Column("reader", "Reader"), Column("first", "First"), Column("second", "Next"),
        Column("days", "Days between", "number", 2), Column("planned", "Protocol asks", "int"),
    )  # fmt: skip
    note = "From the last look at any case (imported: last answer) to the next opening (imported: first answer)."
    yield Table("washout", "Washout", "sessions", columns, tuple(result.get("washout", ())), EXPLORATORY, (note,))
    columns = (
        Column("evaluator", "Session"), Column("n", "Timed", "int"), Column("median_s", "Median, s", "number", 1),
        Column("q1_s", "Lower quartile", "number", 1), Column("q3_s", "Upper quartile", "number", 1),
        Column("shortest_s", "Shortest", "number", 1), Column("longest_s", "Longest", "number", 1),
        Column("median_right_s", "Median when right", "number", 1),
        Column("median_wrong_s", "Median when wrong", "number", 1), Column("total_h", "Total, h", "number"),
        Column("n_quick", "Under 5 s", "int"),
    )  # fmt: skip
    note = "Active time: pauses and other windows do not count. Under 5 s: on cases of three or more images."
    yield Table("times", "Reading times", "sessions", columns, tuple(sessions["times"]), EXPLORATORY, (note,))
    rows = [row | {"cases": ", ".join(row["cases"])} for row in sessions["recognised"]]
    columns = (
        Column("evaluator", "Session"), Column("n_recognised", "Recognised", "int"),
        Column("all", "Accuracy, all", "estimate"), Column("rest", "Accuracy without them", "estimate"),
        Column("cases", "Cases"),
    )  # fmt: skip
    title = "With and without recognised cases"
    yield Table("recognised", title, "sessions", columns, tuple(rows), EXPLORATORY, undecided)


def remarks_table(result: Result) -> Table:
    titles = {row["name"]: row["title"] for row in result["plan"]["levels"]}
    rows = [{"level": titles.get(row["level"], "whole study"), "text": row["text"]} for row in result["remarks"]]
    columns = Column("level", "Concerns"), Column("text", "Remark")
    return Table("remarks", "What to know before believing a number", "remarks", columns, tuple(rows))
