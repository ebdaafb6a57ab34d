"""Frozen inputs drawn at random, with everything that a study can hold."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from typing import Any

from reader_study.analysis.plan import plan_of
from reader_study.protocol import default_document, differing

FIVE = ["ALL", "AML", "CLL", "CML", "NO_LEUKEMIA"]
THREE = ["ACUTE", "CHRONIC", "NO_LEUKEMIA"]
TO_THREE = dict(zip(FIVE, ["ACUTE", "ACUTE", "CHRONIC", "CHRONIC", "NO_LEUKEMIA"], strict=True))
UNBLINDED = "2026-03-01T00:00:00+00:00"
LATER = "2026-04-02T00:00:00+00:00"
SOME_AT_THREE = range(0, 20, 4)  # cases on which the outside AI says a class of three and none of five
HOSTILE = "=HYPERLINK(\"http://x\") \u00e9 'quoted', \u0639"


def answer(case: str, label: str | None, position: int | None = None, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "case": case, "position": position, "answers": {"five": label} if label else {}, "cannot_decide": not label,
        "reason": "" if label else "Too few cells", "recognised": False, "n_images": 12,
    }  # fmt: skip
    return row | more


def small(n: int = 20, seed: int = 1, resamples: int = 40) -> dict[str, Any]:
    """Two readers, the first twice and once with AI; a pipeline and a comparator; undecided and recognised cases."""
    rng = random.Random(seed)
    truth = [FIVE[i % 5] for i in range(n)]
    codes = [f"C{i:03d}" for i in range(n)]

    def noisy(right: float) -> list[str]:
        return [t if rng.random() < right else rng.choice(FIVE) for t in truth]

    def session(name: str, reader: str, number: int, right: float, **more: Any) -> dict[str, Any]:
        order = list(range(n))
        rng.shuffle(order)
        answers = [
            answer(
                code, None if rng.random() < 0.08 else label, place + 1, active_ms=rng.randint(3_000, 90_000),
                answered_at=f"2026-01-{1 + place % 28:02d}T10:00:00+00:00", confidence=rng.randint(1, 5),
                recognised=rng.random() < 0.1, n_viewed=12, key_images=[1, 3],
            )
            for code, label, place in zip(codes, noisy(right), order, strict=True)
        ]  # fmt: skip
        row: dict[str, Any] = {
            "name": name, "kind": "session", "role": "reader", "reader": reader, "session": number,
            "primary": number == 1, "arm": "blinded", "imported": False, "state": "sealed", "seed": 7,
            "profile": {"years": 5, "specialty": "Haematology", "training": ""}, "answers": answers,
        }  # fmt: skip
        return row | more

    def machine(name: str, role: str, right: float) -> dict[str, Any]:
        return {
            "name": name, "kind": "pipeline", "role": role, "reader": "", "session": 0, "primary": False, "arm": "",
            "imported": False, "state": "sealed",
            "answers": [answer(code, label) for code, label in zip(codes, noisy(right), strict=True)],
            "provenance": {"title": f"{name} 1", "rules": "paper-fig2", "rule_set_sha256": "b" * 64,
                           "models": [{"slot": "model_1", "name": "m 1", "weights_sha256": "c" * 64}]},
        }  # fmt: skip

    steps = [{"step": "Patients in the cohort", "n": n + 2}, {"step": "Training", "n": 2, "why": "read for practice"},
             {"step": "Cases of the study", "n": n}]  # fmt: skip
    return {
        "schema": "leukoweb/study-inputs/1",
        "edition": 4,
        "study": {"id": "s", "title": "A small study", "question": "?", "cohort": "C", "purpose": "External",
                  "synthetic": True, "reconstruction": False, "state": "Unblinded", "unblinded": None},
        "protocol": {
            "version": 1, "sha256": "a" * 64,
            "document": {"question": "How good?", "washout_days": 42, "navigation": "free",
                         "images_per_case": {"rule": "all"}, "answers": {"cannot_decide": True},
                         "planning": {"justification": ""}},
            "versions": [{"version": 1, "sha256": "a" * 64, "locked_at": "2026-01-01T00:00:00+00:00",
                          "signed_name": "C", "meaning": "lock", "amendment_reason": ""}],
        },
        "plan": {
            "levels": [
                {"name": "five", "title": "5 classes", "classes": FIVE, "map": {c: c for c in FIVE},
                 "positive": FIVE[:4]},
                {"name": "three", "title": "3 classes", "classes": THREE, "map": TO_THREE, "positive": THREE[:2]},
            ],
            "endpoints": [
                {"metric": m, "role": r, "comparison": c, "since_version": v}
                for m, r, c, v in (
                    ("macro_f1", "primary", "ai_vs_reader_mean", 1), ("accuracy", "secondary", "ai_vs_each_reader", 1),
                    ("accuracy", "secondary", "none", 1), ("accuracy", "secondary", "ai_vs_comparators", 1),
                    ("accuracy", "secondary", "with_vs_without_ai", 1),
                    ("inter_observer_kappa", "secondary", "none", 1),
                    ("intra_observer_kappa", "secondary", "none", 1), ("ai_reader_kappa", "secondary", "none", 2),
                )
            ],
            "margin": 0.1, "missing": "exclude", "level": 0.95, "resamples": resamples, "seed": 3,
            "primary_session": 1, "washout_days": 42,
        },
        "cases": [
            {"code": c, "reference": t, "n_images": rng.randint(3, 150),
             "subgroups": {"Camera": rng.choice(["DP25", "DP73"])}}
            for c, t in zip(codes, truth, strict=True)
        ],
        "evaluators": [
            machine("AI", "ai", 0.75), machine("Single", "comparator", 0.6), session("P1-1", "P1", 1, 0.85),
            session("P1-2", "P1", 2, 0.85), session("P1-3", "P1", 3, 0.95, arm="ai_assisted"),
            session("P2", "P2", 1, 0.8),
        ],
        "marks": {"interim": False, "interim_reason": "", "left_out": []},
        "flow": {"steps": steps},
        "audit": [],
    }  # fmt: skip


def changed(document: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    """A copy with one value replaced."""
    out = copy.deepcopy(document)
    place = out
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return out


def add_aided(document: dict[str, Any], alone: str, number: int, seed: int = 5) -> str:
    """One more session with the AI result: the answers of the session ``alone``, some changed, some now decided."""
    rng = random.Random(seed)
    found = next(e for e in document["evaluators"] if e["name"] == alone)
    extra = copy.deepcopy(found) | {"session": number, "primary": False, "arm": "ai_assisted"}
    extra["name"] = f"{extra['reader']}-{number}"
    for row in extra["answers"]:
        if rng.random() < 0.25:
            row |= {"answers": {"five": rng.choice(FIVE)}, "cannot_decide": False, "reason": ""}
    last = max(i for i, e in enumerate(document["evaluators"]) if e["reader"] == extra["reader"])
    document["evaluators"].insert(last + 1, extra)
    return str(extra["name"])


def event(action: str, at: str, reason: str) -> dict[str, Any]:
    return {"action": action, "at": at, "reason": reason, "actor_name": "C", "target": "study:1", "data": {}}


def outside(like: dict[str, Any]) -> dict[str, Any]:
    """An imported AI whose file has columns for five and three classes; some cells of five are empty."""
    row = copy.deepcopy(like) | {"name": "Outside 1", "kind": "imported", "imported": True, "levels": ["five", "three"],
                                 "provenance": {"title": "Outside 1", "imported_at": LATER}}  # fmt: skip
    for index, answer in enumerate(row["answers"]):
        five = answer["answers"].get("five") or "AML"
        answer |= {"answers": {"five": five, "three": TO_THREE[five]}, "cannot_decide": False}
        if index in SOME_AT_THREE:
            del answer["answers"]["five"]
    return row


def told_study() -> dict[str, Any]:
    """A study in which much happened around the answers (``test_conduct``)."""
    document = small(20, resamples=20)
    document["evaluators"].insert(2, outside(document["evaluators"][1]))
    document["evaluators"][0] = outside(document["evaluators"][0]) | {"name": "AI"}
    document["plan"] |= {"missing": "wrong", "since": {"margin": 2, "missing": 1, "level": 1, "primary_session": 1,
                                                       "ai_primary": 1, "ai_comparators": 1}}  # fmt: skip
    document["evaluators"][2]["in_protocol"] = False
    document["plan"]["endpoints"] += [
        {"metric": metric, "role": "secondary", "comparison": comparison, "since_version": 1}
        for metric, comparison in (("macro_ppv", "none"), ("accuracy", "ai_vs_reader_mean"))
    ]
    document["protocol"]["versions"].append(
        {"version": 2, "sha256": "b" * 64, "locked_at": "2026-01-02T00:00:00+00:00", "signed_name": "C",
         "meaning": "amend", "amendment_reason": "a better margin",
         "changes": [{"path": "non_inferiority_margin", "old": 0.05, "new": 0.1},
                     {"path": "readers.P9", "old": "(absent)", "new": {"username": "secret"}}]}
    )  # fmt: skip
    document["study"] |= {"unblinded": {"at": UNBLINDED, "by": "C", "reason": "done"},
                          "stopped": {"at": "2026-02-01T00:00:00+00:00", "reason": "no money"}}  # fmt: skip
    document["void"] = [
        {"reader": "P2", "session": 2, "arm": "blinded", "reason": "study stopped early: no money", "all_void": False},
        {"reader": "P3", "session": 1, "arm": "blinded", "reason": "left the house", "all_void": True},
    ]
    document["audit"] = [event("analysis.interim", "2026-01-20T00:00:00+00:00", "a question of safety"),
                         event("analysis.interim", LATER, "after all was open")]  # fmt: skip
    document["withdrawn"] = ["C900"]
    document["cases"][5] |= {"withdrawn": True, "reference_at": LATER}
    code = document["cases"][5]["code"]
    document["evaluators"][1]["answers"] = [a for a in document["evaluators"][1]["answers"] if a["case"] != code]
    return document


def with_protocol(document: dict[str, Any]) -> dict[str, Any]:
    """A copy whose protocol is a whole one that leads to its plan, one version for each amendment that the plan names;
    the hashes are true ones. Before an amendment endpoints were not there and the margin was another. Since edition 4
    it holds the documents of all versions."""
    out = copy.deepcopy(document)
    plan, told = out["plan"], out["protocol"]
    since = plan.get("since", {})
    written = default_document() | told["document"] | {
        "primary_session": plan["primary_session"], "washout_days": plan["washout_days"],
        "analysis": {key: plan[key] for key in ("level", "resamples", "seed", "missing")},
    }  # fmt: skip
    versions: list[dict[str, Any]] = []
    documents: list[dict[str, Any]] = []
    for number in range(1, max([e["since_version"] for e in plan["endpoints"]] + [*since.values(), 1]) + 1):
        endpoints = [{key: e[key] for key in ("metric", "role", "comparison")} for e in plan["endpoints"]
                     if e["since_version"] <= number]  # fmt: skip
        margin = plan["margin"] if since.get("margin", 1) <= number else 0.05
        documents.append(written | {"endpoints": endpoints, "non_inferiority_margin": margin})
        text = json.dumps(documents[-1], sort_keys=True, separators=(",", ":"))
        known = told["versions"][number - 1] if number <= len(told["versions"]) else told["versions"][-1]
        versions.append(known | {"version": number, "sha256": hashlib.sha256(text.encode()).hexdigest()})
    if out.get("edition", 1) > 3:
        for row, before, after in zip(versions, [None, *documents], documents, strict=False):
            row["changes"] = [change.as_dict() for change in differing(before, after)] if before else []
            row |= {"document": after} if row is not versions[-1] else {}
        out["plan"] = plan_of(documents)
    out["protocol"] = {"version": versions[-1]["version"], "sha256": versions[-1]["sha256"], "document": documents[-1],
                       "versions": versions}  # fmt: skip
    return out
