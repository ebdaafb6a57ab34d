"""Reporting checklists in our own words: what the record can answer is filled in, the rest is the author's.

Numbers are those of the published lists: STARD-AI (doi:10.1038/s41591-025-03953-8), TRIPOD+AI
(doi:10.1136/bmj-2023-078378), CLAIM 2024 (doi:10.1148/ryai.240300), GRRAS (doi:10.1016/j.jclinepi.2010.03.002). The
published wording is the binding one. The readers of a study are neither those who annotated the data nor those who
set the reference standard, so items about these are the author's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from reader_study.analysis.table_model import Column, Table
from reader_study.analysis.tables_shared import main_names
from reader_study.report.methods import measured_washout

Document = Mapping[str, Any]
AUTHOR: Final = "author"

# item, in short, key of the fact that answers it ("" = the author)
STARD_AI: Final = """
1|Title or abstract says: diagnostic accuracy of AI, and one measure|
2|Structured abstract|
3|Background, intended use, place in the workflow|
4|Objectives and hypotheses|question
5|Prospective or retrospective data|
6|Ethics approval|
7|Inclusion and exclusion, of people and of data|eligibility
8|How participants were found|
9|Setting, place, dates|
10|Consecutive, random or convenience series|
11|Where the data come from|cohort
12|Who annotated the data, with which experience, how|
13|Capture devices and software with versions|devices
14|Acquisition and preprocessing|preprocessing
15a|The index test, to be repeated|ai
15b|How it was developed, with sample sizes|
15c|Result categories, pre-specified or exploratory|classes
15d|Who is to use it, with which expertise|
16a|The reference standard, to be repeated|
16b|Why this reference standard|
16c|Categories of the reference standard|classes
17a|Were clinical data and reference hidden from readers of the index test|blinding
17b|Were index results hidden from those who set the reference|
18|Statistical methods|statistics
19|Indeterminate results|missing
20|Missing data|missing
21|Analyses of variability, pre-specified or exploratory|variability
22|Intended sample size and its reason|sample_size
23|Error analysis, bias and fairness, methods|subgroups
24|Flow diagram|flow
25|Baseline characteristics of each set|table1
26a|Severity of disease|table1
26b|Alternative diagnoses|table1
27|Time and treatment between index test and reference|
28|Does the test set represent the intended population|
29|How the external set differs from the development sets|
30|Cross-tabulation against the reference|confusion
31|Accuracy with precision|accuracy
32|Adverse events|
33|Limitations|remarks
34|Meaning for practice|
35|Ethics and fairness of use|
36|Registration|
37|Where the protocol is|protocol
38|Funding|
39|Commercial interests|
40a|Availability of data and code|bundle
40b|Are outputs stored and auditable|bundle
"""
TRIPOD_AI: Final = """
1|Title names development or evaluation, population, outcome|
2|Abstract by its own checklist|
3a|Context and reason|
3b|Target population, purpose, users|
3c|Known health inequalities|
4|Objectives|question
5a|Data sources of development and evaluation|cohort
5b|Dates of the data|
6a|Setting and centres|
6b|Eligibility|eligibility
6c|Treatments|
7|Preprocessing and quality checks|preprocessing
8a|Outcome, how and when assessed|classes
8b|Who assessed the outcome|
8c|Blinding of the outcome assessment|
9a|Choice of predictors (development)|
9b|Predictors, how and when measured, blinding of their assessment|
9c|Who assessed predictors that need judgement|
10|Study size and its reason|sample_size
11|Missing data|missing
12a|How the data were used and split (development)|
12b|Handling of predictors (development)|
12c|Type and building of the model (development)|
12d|Heterogeneity over clusters|subgroups
12e|Measures of performance and comparison|statistics
12f|Model updating|
12g|How predictions were computed|ai
13|Class imbalance|
14|Fairness|
15|Model output and thresholds|ai
16|Differences of development and evaluation data|
17|Ethics approval and consent|
18a|Funding|
18b|Conflicts of interest|
18c|Protocol|protocol
18d|Registration|
18e|Data sharing|bundle
18f|Code sharing|
19|Patient and public involvement|
20a|Flow of participants|flow
20b|Characteristics|table1
20c|Comparison with development data|
21|Numbers in each analysis|table1
22|Full specification of the model|ai
23a|Performance with intervals, also in subgroups|accuracy
23b|Heterogeneity over clusters|subgroups
24|Results of updating|
25|Interpretation|
26|Limitations|remarks
27a|Poor or missing input in use|
27b|User interaction and expertise|
27c|Next steps|
"""
CLAIM: Final = """
1|Title names AI and its kind|
2|Structured abstract|
3|Background and intended role|
4|Aims and hypotheses|question
5|Prospective or retrospective|
6|Goal of the study|question
7|Data sources|cohort
8|Eligibility of data|eligibility
9|Preprocessing|preprocessing
10|Selection of subsets, if any|eligibility
11|Methods of de-identification|deidentification
12|How missing data were handled|missing
13|Acquisition protocol|devices
14|Definition of the reference standard, to be repeated|
15|Why this reference standard|
16|Who annotated for the reference standard, their qualification and preparation|
17|How the test set was annotated, with which tools|
18|Variability between and within annotators, how discrepancies were resolved|
19|How data were assigned to partitions, with proportions|
20|Level at which partitions are disjoint|cohort
21|Intended size of the test set and its reason|sample_size
22|Architecture, inputs and outputs|
23|Software and versions|software
24|Initial parameters|
25|Training: augmentation, hyperparameters, number of models|
26|Choice of the best model|
27|Ensembling, if any|ai
28|Metrics|statistics
29|Uncertainty and tests|statistics
30|Robustness and sensitivity|sensitivity
31|Explainability and its validation|
32|Testing on internal data|
33|Testing on external data, or why not|cohort
34|Registration|
35|Numbers included and excluded, flow|flow
36|Characteristics of each partition|table1
37|Performance against the reference, subgroups|accuracy
38|Accuracy with intervals|accuracy
39|Failures, confusion matrix, examples|confusion
40|Limitations|remarks
41|Implications for practice, intended use|
42|Full protocol|protocol
43|Availability of software, model, data|bundle
44|Funding and other support, role of funders|
"""
GRRAS: Final = """
1|Title or abstract names reliability or agreement|
2|The method of measurement|ai
3|The population of subjects|cohort
4|The population of raters|readers
5|What is known, and why this study|
6|How the numbers of subjects, raters and repeats were chosen|sample_size
7|How subjects and raters were sampled|
8|The rating process: interval, information, blinding|blinding
9|Were ratings independent|independence
10|Statistical analysis|statistics
11|Actual numbers of raters, subjects and repeats|numbers
12|Characteristics of raters and subjects|readers
13|Estimates with their uncertainty|variability
14|Practical relevance|
15|Detailed results|bundle
"""
CHECKLISTS: Final[tuple[tuple[str, str, str], ...]] = (
    ("stard_ai", "STARD-AI", STARD_AI), ("tripod_ai", "TRIPOD+AI", TRIPOD_AI), ("claim", "CLAIM 2024", CLAIM),
    ("grras", "GRRAS", GRRAS),
)  # fmt: skip


def checklist_tables(inputs: Document, result: Document) -> list[Table]:
    """One table for each checklist: item, in short, and the record's answer or ``author``."""
    known = facts(inputs, result)
    columns = Column("item", "Item"), Column("asks", "In short"), Column("answer", "From the record")
    note = "Paraphrased; the published wording binds. 'author' marks what no record can answer."
    out = []
    for key, title, text in CHECKLISTS:
        rows = []
        for line in text.strip().splitlines():
            item, asks, fact = line.split("|")
            rows.append({"item": item, "asks": asks, "answer": known.get(fact) or AUTHOR})
        out.append(Table(f"checklist_{key}", title, "checklists", columns, tuple(rows), notes=(note,),
                         stamps=tuple(result["marks"]["words"])))  # fmt: skip
    return out


def _not_decided(inputs: Document, result: Document) -> tuple[int, int]:
    """Undecided answers and such that were not given, each once: at the level of the endpoints, of those whom they are
    about and who were asked there."""
    level = inputs["plan"]["levels"][0]["name"]
    first = result["levels"][level]
    asked = {e["name"] for e in inputs["evaluators"] if e.get("levels") is None or level in e["levels"]}
    counted = main_names(result) & asked
    undecided = sum(row["n_undecided"] for row in first["undecided"] if row["evaluator"] in counted)
    return undecided, sum(first["evaluators"][name]["missing"] for name in counted) - undecided


def facts(inputs: Document, result: Document) -> dict[str, str]:
    """What the record says, by key; a key is absent where the record is silent."""
    protocol, plan, study = inputs["protocol"]["document"], inputs["plan"], inputs["study"]
    sessions = [e for e in inputs["evaluators"] if e["role"] == "reader"]
    here = [e for e in sessions if not e["imported"]]
    ai = [e for e in inputs["evaluators"] if e["role"] != "reader"]
    n_readers = len({e["reader"] for e in sessions})
    rule = "left out" if plan["missing"] == "exclude" else "counted as wrong"
    undecided, unread = _not_decided(inputs, result)
    fields = result["table1"][0]["fields"]
    software = result["software"]
    found: dict[str, str] = {
        "classes": "; ".join(f"{level['title']}: {', '.join(level['classes'])}" for level in plan["levels"]),
        "statistics": "Methods, Statistical analysis",
        "missing": f"AI and primary sessions, {plan['levels'][0]['title']}: {undecided} undecided answers, {rule} in "
        f"the main analysis, best and worst case in a table; {unread} answers that were not given, left out",
        "table1": "Table 1",
        "confusion": "Confusion matrix of each evaluator; table of discordant cases",
        "accuracy": "Tables and figures of evaluators, every number with an interval",
        "subgroups": f"Subgroup tables: {', '.join(['images per case', *map(str.lower, fields), 'reference class'])}",
        "remarks": f"{len(result['remarks'])} remarks at the end of the tables, to be completed by the author",
        "protocol": f"Locked protocol version {result['protocol']['version']}, SHA-256 {result['protocol']['sha256']}",
        "bundle": "Bundle with answers, predictions, hashes, audit extract and results; it recomputes itself",
        "software": f"leukoweb {software['leukoweb']}, numpy {software['numpy']}, scipy {software['scipy']}",
        "sensitivity": "Undecided answers best and worst case; with and without recognised cases",
        "cohort": f"{study['cohort']}: {study['purpose']}" if study.get("cohort") else "",
        "question": str(protocol.get("question", "")).strip(),
        "numbers": f"{n_readers} readers, {len(sessions)} sessions, {len(inputs['cases'])} cases",
    }
    if sessions:
        found["readers"] = "; ".join(f"{e['name']}: {_profile(e)}" for e in sessions if e["primary"])
        found["variability"] = "Kappa of all pairs and repeated sessions with intervals; changed and discordant cases"
    if ai:
        found["ai"] = "; ".join(_pipeline(e) for e in ai)
    if here:
        aided = ", ".join(e["name"] for e in here if e["arm"] == "ai_assisted")
        found["blinding"] = "Reference, AI result, other answers and file names were out of reach of readers"
        if aided:
            found["blinding"] = (
                "In blinded sessions reference, AI result, other answers and file names were out of reach of readers; "
                f"{aided} showed the AI result by design, and none of the rest"
            )
        washout = f"{protocol['washout_days']} days between sessions of a reader by protocol"
        measured = measured_washout(result)
        known = "; ".join(filter(None, ("Own random order and codes in each session", washout, measured)))
        found["independence"] = known
        found["deidentification"] = "Pseudonyms; metadata stripped from images; file names out of reach"
    if fields.get("Camera"):
        found["devices"] = "; ".join(row["value"] for row in fields["Camera"])
    if any(e.get("provenance", {}).get("models") for e in ai):
        found["preprocessing"] = "Recipe stored with each model version: padding, resampling, normalisation"
    if result["flow"].get("steps"):
        found["flow"] = "Figure and table of participant flow"
        left = [step for step in result["flow"]["steps"] if step.get("why")]
        found["eligibility"] = "; ".join(f"{s['why']}: {s['n']}" for s in left)
    justification = protocol.get("planning", {}).get("justification", "").strip()
    if justification:
        found["sample_size"] = justification
    return found


def _profile(evaluator: Document) -> str:
    profile = evaluator.get("profile") or {}
    years = f"{profile['years']} years" if profile.get("years") is not None else ""
    return ", ".join(filter(None, (years, profile.get("specialty"), profile.get("training")))) or "profile not recorded"


def _pipeline(evaluator: Document) -> str:
    about = evaluator.get("provenance") or {}
    weights = ", ".join(f"{m['slot']} {m['weights_sha256'][:12]}" for m in about.get("models", []))
    title = about.get("title") or evaluator["name"]
    return f"{title} ({weights})" if weights else f"{title} ({about.get('source') or 'imported'})"
