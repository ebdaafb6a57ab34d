"""A study as one file that checks itself: protocol, readings, orders, predictions, audit extract, results, tables.

The zip is stored without compression in a fixed layout, so that the same study gives the same bytes and every byte
belongs to something that can be named. ``verify`` recomputes everything from ``inputs.json`` and needs no database.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from reader_study.analysis.canonical import canonical_json, sha256_of
from reader_study.analysis.inputs import Inputs, parse
from reader_study.analysis.table_model import flat_header, flat_rows
from reader_study.analysis.tables import result_tables
from reader_study.exports.cells import csv_bytes
from reader_study.exports.readings import marks_text, readings_csv, undecided_cells, undecided_header

SCHEMA = "leukoweb/study-bundle/1"
MANIFEST, INPUTS, RESULTS = "manifest.json", "inputs.json", "results.json"
TABLES = "tables/"
STAMP = (1980, 1, 1, 0, 0, 0)

README = """leukoweb study bundle

{title}
{marks}
Research use only.

inputs.json      everything that the analysis used: protocol, cases, reference, answers (leukoweb/study-inputs/1)
results.json     what was computed from it (leukoweb/study-results/1)
tables/*.csv     every table of the report, ten significant digits, with interval, method, counts and marks
protocol.json    the locked protocol, its versions and hashes
readings.csv     every answer with names and case codes, one row each
orders.csv       the order in which each session was read
predictions.csv  answers of AI with the hashes of models and rules
audit.jsonl      audit events of the study, one a line; each event's own hash can be recomputed
manifest.json    SHA-256 of every file

Check it with: python manage.py verify_bundle FILE
It needs no database. It recomputes results and tables from inputs.json and says which file and table differ.
"""


def derived_files(document: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, bytes]:
    """Every file but the manifest, from the inputs and the result."""
    inputs = parse(document)
    protocol = document["protocol"]
    files = {
        "README.txt": README.format(title=document["study"]["title"], marks=marks_text(inputs)).encode(),
        INPUTS: (canonical_json(document) + "\n").encode(),
        RESULTS: (canonical_json(result) + "\n").encode(),
        "protocol.json": (json.dumps(protocol, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode(),
        "readings.csv": readings_csv(inputs, bom=False),
        "orders.csv": orders_csv(inputs),
        "predictions.csv": predictions_csv(inputs),
        "audit.jsonl": "".join(canonical_json(event) + "\n" for event in document.get("audit", [])).encode(),
    }
    for table in result_tables(result):
        files[f"{TABLES}{table.key}.csv"] = csv_bytes(flat_header(table), flat_rows(table), bom=False)
    return files


def orders_csv(inputs: Inputs) -> bytes:
    """Session, place in its order, case."""
    rows = [
        [e.name, e.reader, e.session, answer.position, answer.case, e.row.get("seed")]
        for e in inputs.evaluators
        if e.role == "reader"
        for answer in sorted(e.answers.values(), key=lambda a: (a.position or 0, a.case))
    ]
    return csv_bytes(["evaluator", "reader", "session", "position", "case", "seed"], rows, bom=False)


def predictions_csv(inputs: Inputs) -> bytes:
    """AI answers at every level with what made them."""
    levels = [level.name for level in inputs.levels]
    header = ["evaluator", "kind", "role", "case", *levels, *undecided_header(inputs), "cannot_decide",
              "images_sha256", "pipeline", "rule_set_sha256", "weights_sha256", "app_version", "engine"]  # fmt: skip
    rows = []
    for e in inputs.evaluators:
        if e.role == "reader":
            continue
        about = e.row.get("provenance") or {}
        weights = " ".join(f"{m['slot']}={m['weights_sha256']}" for m in about.get("models", []))
        for case in inputs.cases:
            answer = e.answers.get(case.code)
            if answer is None:
                continue
            said = [e.label(level, case.code) for level in inputs.levels]
            rows.append(
                [e.name, e.kind, e.role, case.code, *said, *undecided_cells(inputs, e, case.code),
                 answer.cannot_decide, answer.row.get("images_sha256"), about.get("title"),
                 answer.row.get("rule_set_sha256") or about.get("rule_set_sha256"), weights,
                 answer.row.get("app_version"), answer.row.get("engine")]
            )  # fmt: skip
    return csv_bytes(header, rows, bom=False)


def manifest_bytes(document: Mapping[str, Any], result: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """Names, sizes and hashes of all other files."""
    body = {
        "schema": SCHEMA,
        "study": document["study"]["title"],
        "marks": result["marks"]["words"],
        "research_use_only": True,
        "software": result["software"],
        "inputs_sha256": sha256_of(document),
        "results_sha256": sha256_of(result),
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
        },
    }
    return (json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def bundle_files(document: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, bytes]:
    """All files, the manifest first."""
    files = derived_files(document, result)
    return {MANIFEST: manifest_bytes(document, result, files)} | files


def bundle_bytes(document: Mapping[str, Any], result: Mapping[str, Any]) -> bytes:
    """The zip."""
    return pack(bundle_files(document, result))


def pack(files: Mapping[str, bytes]) -> bytes:
    """Files as a zip of fixed layout: stored, no times, the manifest first, the others by name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(files, key=lambda n: (n != MANIFEST, n)):
            info = zipfile.ZipInfo(name, date_time=STAMP)
            info.create_system, info.external_attr = 3, 0o644 << 16
            target.writestr(info, files[name])
    return out.getvalue()
