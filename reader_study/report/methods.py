"""The methods section as the protocol and the frozen inputs tell it, in sentences that an author can take over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from reader_study.analysis.endpoints import COMPARISON_TITLES, METRIC_TITLES
from reader_study.protocol.differences import ABSENT
from reader_study.washout import days_text

Document = Mapping[str, Any]
Part = tuple[str, list[str]]


def methods_text(inputs: Document, result: Document) -> list[Part]:
    """(heading, paragraphs) of each part. What nobody entered is not made up; the author adds it."""
    protocol = inputs["protocol"]["document"]
    parts = [
        ("Design and cases", _design(inputs, result, protocol)),
        ("Readers and reading", _reading(inputs, result, protocol)),
        ("AI", _ai(inputs)),
        ("Endpoints", _endpoints(inputs, result)),
        ("Statistical analysis", _statistics(inputs, result)),
        ("Changes after the lock", _changes(inputs)),
    ]
    return [(title, [text for text in texts if text]) for title, texts in parts if any(texts)]


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _design(inputs: Document, result: Document, protocol: Document) -> list[str]:
    study, level = inputs["study"], inputs["plan"]["levels"][0]
    counts = {row["class"]: row["patients"] for row in result["table1"][0]["rows"]}
    held = ", ".join(f"{name} {counts[name]}" for name in level["classes"])
    images = result["table1"][0]["rows"]
    total = sum(row["images"] for row in images) if all(row["images"] is not None for row in images) else None
    pictures = f" with {total} images" if total else ""
    question = protocol.get("question", "").strip()
    fixed = protocol.get("images_per_case", {})
    chosen = ""
    if fixed.get("rule") == "fixed":
        chosen = f"From each case {fixed['k']} images were shown, drawn by a stored seed."
    cohort = f" of the cohort {study['cohort']} ({study['purpose'].lower()})" if study.get("cohort") else ""
    return [
        f"Question: {question}" if question else "",
        f"{len(inputs['cases'])} patients{cohort} were cases{pictures}. By the reference standard: {held}.",
        f"The unit of analysis is the patient. {chosen}".strip(),
        "The answers were rebuilt from published tables and are not original data." if study["reconstruction"] else "",
        "The images are drawn phantoms, not patients." if study["synthetic"] else "",
    ]


def measured_washout(result: Document) -> str:
    """The shortest measured washout in words, and how many are not known; empty where nobody read twice."""
    rows = result.get("washout", [])
    known = sorted((r["days"], r["first"], r["second"], r["planned"]) for r in rows if r["days"] is not None)
    unknown = [f"{row['first']} to {row['second']}" for row in rows if row["days"] is None]
    parts = []
    if known:
        days, first, second, planned = known[0]
        parts.append(f"shortest washout on record {days_text(days, planned)} days ({first} to {second})")
    if unknown:
        parts.append(f"washout not known: {', '.join(unknown)}")
    return "; ".join(parts)


def _reading(inputs: Document, result: Document, protocol: Document) -> list[str]:
    sessions = [e for e in inputs["evaluators"] if e["role"] == "reader"]
    if not sessions:
        return [*void_words(inputs), _undecided(inputs, result, protocol)]
    readers = list(dict.fromkeys(e["reader"] for e in sessions))
    twice = [r for r in readers if sum(e["reader"] == r and e["arm"] != "ai_assisted" for e in sessions) > 1]
    here = [e for e in sessions if not e["imported"]]
    measured = measured_washout(result)
    out = [f"{len(readers)} reader{'s' * (len(readers) != 1)} ({_list(readers)}) gave one diagnosis for each patient."]
    if twice:
        out.append(
            f"{_list(twice)} read again, {protocol['washout_days']} days or more after the first reading by protocol"
            f"{f' ({measured})' if measured else ''}. Sessions of one reader are not pooled; the primary session "
            "enters the main analysis."
        )
    elif measured:
        out.append(f"Between the sessions of a reader: {measured}.")
    main = {e["reader"] for e in sessions if e["primary"]}
    if lost := [reader for reader in readers if reader not in main]:
        verb = "is" if len(lost) == 1 else "are"
        out.append(f"{_list(lost)} had no sealed primary session and {verb} left out of the main analysis.")
    out += [*replaced_words(inputs), *void_words(inputs)]
    if here:
        forward = "forward only" if protocol["navigation"] == "forward_only" else "free until the session was sealed"
        aided = [e["name"] for e in here if e["arm"] == "ai_assisted"]
        hidden = (
            f"In blinded sessions readers saw neither reference nor AI result nor other answers nor file names; in "
            f"{_list(aided)} they saw the AI result by design, and none of the rest. Cases"
            if aided
            else "Readers saw neither reference nor AI result nor other answers nor file names; cases"
        )
        out.append(
            f"{hidden} had random codes and an order of their own in each session, stored with its seed. Navigation "
            f"was {forward}. Reading time is active time. A sealed session cannot be changed."
        )
    if any(e["imported"] for e in sessions):
        out.append("Readings were imported; how they were made is for the author to say.")
    if any(e["arm"] == "ai_assisted" for e in sessions):
        out.append(_assisted(sessions))
    return [*out, _undecided(inputs, result, protocol)]


def _undecided(inputs: Document, result: Document, protocol: Document) -> str:
    """The rule for undecided answers, where readers could give any or anybody has some."""
    asked = protocol["answers"]["cannot_decide"] and any(e["role"] == "reader" for e in inputs["evaluators"])
    had = [e["name"] for e in result["evaluators"] if e["n_undecided"]]
    if not asked and not had:
        return ""
    rule = "left out" if inputs["plan"]["missing"] == "exclude" else "counted as wrong"
    agree = " Agreement is that of the classes given." if rule == "counted as wrong" else ""
    who = f"Answers without a class (of {_list(had)})" if had else ""
    who = 'Readers could answer "cannot decide"; such answers' if asked else who
    return f"{who} are {rule} in the main analysis, with best and worst case beside it.{agree}"


def _assisted(sessions: list[dict[str, Any]]) -> str:
    """What was shown in the arm with AI, and in which order the readers met the arms."""
    assisted = [e for e in sessions if e["arm"] == "ai_assisted"]
    named = sorted({e["assistance"]["pipeline"] for e in assisted if e.get("assistance")})
    whose = f" of {_list(named)}, frozen when the session was laid out," if named else ""
    text = f"In sessions of the AI-assisted arm the AI result{whose} was shown with the images."
    blinded = {e["reader"]: e["session"] for e in reversed(sessions) if e["arm"] != "ai_assisted"}
    first = {e["reader"]: e["session"] for e in sorted(assisted, key=lambda e: -e["session"])}
    pairs = [(number, blinded[reader]) for reader, number in first.items() if reader in blinded]
    began = sum(with_ai < without for with_ai, without in pairs)
    return f"{text} {began} of {len(pairs)} readers who read both ways began with the AI." if pairs else text


def _ai(inputs: Document) -> list[str]:
    out = []
    for e in inputs["evaluators"]:
        if e["role"] == "reader":
            continue
        about = e.get("provenance") or {}
        named = [f"{m['slot']} {m['name']} (SHA-256 {m['weights_sha256'][:12]})" for m in about.get("models", [])]
        models = "; ".join(named)
        what = "the AI under test" if e["role"] == "ai" else "a comparator"
        what += "" if e.get("in_protocol", True) else " that the protocol does not name"
        rules = f" Rules: {about['rules']}." if about.get("rules") else ""
        origin = f" Imported: {about['source']}." if about.get("source") else ""
        out.append(f"{e['name']} is {about.get('title') or e['name']}, {what}.{rules}{origin}"
                   f"{f' Models: {models}.' if models else ''}")  # fmt: skip
    return out


def _endpoints(inputs: Document, result: Document) -> list[str]:
    out = []
    for endpoint in inputs["plan"]["endpoints"]:
        metric = METRIC_TITLES.get(endpoint["metric"], endpoint["metric"])
        how = COMPARISON_TITLES.get(endpoint["comparison"], "")
        late = f" (added by amendment {endpoint['since_version']})" if endpoint["since_version"] > 1 else ""
        out.append(f"{endpoint['role'].capitalize()}: {metric}{f', {how}' if how else ''}{late}.")
    margin = inputs["plan"]["margin"]
    since = inputs["plan"].get("since", {}).get("margin", 1)
    if margin:
        when = "set in the protocol" if since == 1 else f"set by amendment {since}"
        out.append(f"Non-inferiority margin: {margin:g}, {when}.")
    elif since > 1:
        out.append(f"The margin was taken out by amendment {since}.")
    if others := [rule for rule in amended_rules(inputs["plan"]) if not rule.startswith("margin ")]:
        out.append(f"Set after the lock: {', '.join(others)}.")
    out += [f"Endpoint {row['number']}, {row['what']}: {row['estimate']['n_dropped']} cases are left out that not "
            "everybody who is compared answered." for row in result["endpoints"]
            if (row["estimate"] or {}).get("n_dropped")]  # fmt: skip
    return [*out, "All other analyses are exploratory."] if out else []


def _statistics(inputs: Document, result: Document) -> list[str]:
    plan, software = inputs["plan"], result["software"]
    percent = f"{100 * plan['level']:g}"
    arms = any(e["arm"] == "ai_assisted" for e in inputs["evaluators"])
    return [
        f"Intervals are two-sided at {percent} %. Proportions have Wilson intervals, or Clopper-Pearson intervals when "
        "fewer than 30 cases count or the proportion is 0 or 1.",
        f"Macro averages, F1 and kappa have bootstrap intervals (BCa, {plan['resamples']} resamples of patients within "
        f"the reference classes, seed {plan['seed']}; percentile where BCa is not estimable). Where a class has fewer "
        f"than 10 patients, macro sensitivity and macro PPV have analytic intervals (MOVER)"
        f"{', but for differences within pairs' if result.get('edition', 1) > 2 else ''}.",
        "Agreement of pairs is unweighted Cohen's kappa. The AI is one fixed evaluator, compared with the readers' "
        "mean with readers and cases random (one-treatment Obuchowski-Rockette). Pairs are compared by McNemar's exact "
        "test, adjusted over the readers by Holm. Classes without a case or prediction are left out of macro averages.",
        "With and without the AI result are compared in the mean over the readers, readers and cases random "
        "(Obuchowski-Rockette, degrees of freedom of Hillis; macro metrics by linearised values)." if arms else "",
        f"Software: leukoweb {software['leukoweb'] or '-'}, numpy {software['numpy']}, scipy {software['scipy']}.",
    ]


def _changes(inputs: Document) -> list[str]:
    versions = inputs["protocol"]["versions"]
    out = [
        f"Protocol version {v['version']} was locked on {v['locked_at'][:10]} by {v['signed_name']}"
        f"{': ' + v['amendment_reason'] if v['amendment_reason'] else ''} (SHA-256 {v['sha256'][:12]})."
        f"{_differences(v.get('changes', []))}"
        for v in versions
    ]
    if looks := interim_looks(inputs):
        out.append(f"Interim analyses before the unblinding: {'; '.join(looks)}. {UNADJUSTED}")
    out += [words for words in (stopped_words(inputs), *withdrawn_words(inputs)) if words]
    unblinded = inputs["study"].get("unblinded")
    if unblinded:
        out.append(f"Unblinded on {unblinded['at'][:10]} by {unblinded['by']}: {unblinded['reason']}.")
    return [*out, late_words(inputs)]


def _differences(changes: list[dict[str, Any]]) -> str:
    """What a version changed: single values with before and after, everything longer by its name."""
    said = [_difference(change["path"], change["old"], change["new"]) for change in changes]
    return f" Changed: {'; '.join(said)}." if said else ""


def _difference(path: str, old: Any, new: Any) -> str:
    if ABSENT in (old, new):
        return f"{path} {'added' if old == ABSENT else 'taken out'}"
    if any(isinstance(value, (dict, list)) or len(str(value)) > 60 for value in (old, new)):
        return path
    return f"{path} from {'none' if old in (None, '') else old} to {'none' if new in (None, '') else new}"
