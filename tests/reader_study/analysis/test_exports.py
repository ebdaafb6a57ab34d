"""Files that leave: formula-safe, complete, marked, and the same bytes for the same snapshot."""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from typing import Any

import pytest
from openpyxl import load_workbook

from reader_study.analysis.canonical import canonical_json
from reader_study.analysis.inputs import parse
from reader_study.analysis.run import analyse
from reader_study.analysis.table_model import Column, Table, find, flat_header
from reader_study.analysis.tables import result_tables
from reader_study.exports import readings
from reader_study.exports.cells import csv_bytes
from reader_study.exports.tables import FORMATS, latex_text
from reader_study.exports.workbook import workbook_bytes
from tests.reader_study.analysis.documents import HOSTILE, changed, small

Document = dict[str, Any]


def rows_of(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_every_table_has_rows_as_wide_as_its_header(result: Document) -> None:
    tables = result_tables(result)
    keys = [table.key for table in tables]
    assert len(set(keys)) == len(keys)
    assert {"endpoints", "metrics_five", "pairs_three", "discordance_five", "arms_five", "comparators_five"} <= set(
        keys
    )
    for table in tables:
        shown = rows_of(FORMATS["csv"][1](table))
        assert len(shown) == len(table.rows)
        assert list(shown[0]) == flat_header(table)


def test_tables_do_not_depend_on_the_order_of_keys(result: Document) -> None:
    again = json.loads(canonical_json(result))
    assert [FORMATS["csv"][1](t) for t in result_tables(again)] == [FORMATS["csv"][1](t) for t in result_tables(result)]


def test_an_exported_estimate_carries_counts_interval_method_and_level(result: Document) -> None:
    table = find(result_tables(result), "metrics_five")
    assert table is not None
    row = rows_of(FORMATS["csv"][1](table))[0]
    found = result["levels"]["five"]["evaluators"]["AI"]["accuracy"]
    assert float(row["accuracy"]) == pytest.approx(found["estimate"], rel=1e-9)
    assert (row["accuracy_numerator"], row["accuracy_denominator"]) == (
        str(found["numerator"]),
        str(found["denominator"]),
    )
    assert (row["accuracy_method"], row["accuracy_level"]) == (found["method"], "0.95")


@pytest.mark.parametrize("kind", FORMATS)
def test_marks_stand_in_every_format(document: Document, kind: str) -> None:
    interim = changed(document, "marks", to={"interim": True, "interim_reason": "safety", "left_out": []})
    result = analyse(interim)
    for table in result_tables(result):
        data = FORMATS[kind][1](table)
        text = _words(data) if kind == "xlsx" else data.decode("utf-8-sig")
        assert "INTERIM" in text, table.key
        assert "SYNTHETIC" in text, table.key
        mark = table.mark.split(" ")[0]
        assert mark in text, (table.key, mark)


def _words(data: bytes) -> str:
    book = load_workbook(io.BytesIO(data))
    return "\n".join(str(cell.value) for sheet in book for row in sheet for cell in row if cell.value is not None)


def test_the_same_tables_give_the_same_workbook_a_second_later(result: Document) -> None:
    tables = result_tables(result)
    first = workbook_bytes(tables)
    time.sleep(1.1)  # the workbook's own clock has seconds
    assert workbook_bytes(tables) == first
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_no_format_lets_a_spreadsheet_compute_a_name() -> None:
    column = Column("who", "Who")
    table = Table("t", HOSTILE, "cases", (column, Column("n", "n", "int")), ({"who": HOSTILE, "n": -1},))
    text = FORMATS["csv"][1](table).decode("utf-8-sig")
    assert "'=HYPERLINK" in text
    assert ",-1," in text  # a number stays a number
    sheet = load_workbook(io.BytesIO(FORMATS["xlsx"][1](table))).active
    cells = [cell for row in sheet for cell in row if isinstance(cell.value, str) and cell.value.startswith("=")]
    assert cells
    assert all(cell.data_type == "s" and cell.quotePrefix for cell in cells)
    html = FORMATS["html"][1](table).decode()
    assert "&quot;http://x&quot;" in html
    assert csv_bytes(["a"], [["@x"], ["\t=1"], ["-"]], bom=False) == b"a\n'@x\n'\t=1\n-\n"


def test_latex_escapes_its_own_characters(result: Document) -> None:
    assert latex_text(r"50 % of A_B & C\d") == r"50 \% of A\_B \& C\textbackslash{}d"
    table = find(result_tables(result), "metrics_five")
    assert table is not None
    text = FORMATS["tex"][1](table).decode()
    assert text.count(r" \\") == len(table.rows) + 1
    assert r"\caption{Evaluators, 5 classes. SYNTHETIC" in text


def test_18000_answers_are_one_file_with_names_and_cases(document: Document) -> None:
    big = small(750, seed=5, resamples=0)
    session = big["evaluators"][2]
    big["evaluators"] = [
        session | {"name": f"P{reader}-{number}", "reader": f"P{reader}", "session": number, "primary": number == 1}
        for reader in range(1, 13)
        for number in (1, 2)
    ]  # fmt: skip
    inputs = parse(big)
    data = readings.readings_csv(inputs)
    rows = rows_of(data)
    assert len(rows) == 18_000
    assert {row["evaluator"] for row in rows} == {f"P{r}-{n}" for r in range(1, 13) for n in (1, 2)}
    assert len({row["case"] for row in rows}) == 750
    assert all(row["reference_five"] and row["study"] == "A small study" for row in rows)
    assert data == readings.readings_csv(parse(json.loads(canonical_json(big))))


def test_imrmc_has_truth_once_and_one_score_per_reader_case_and_modality(document: Document) -> None:
    text = readings.imrmc_text(parse(document)).decode()
    head, _, body = text.partition("BEGIN DATA:\n")
    assert "SYNTHETIC" in head
    assert "undecided answers have no row." in head
    wrong = readings.imrmc_text(parse(changed(document, "plan", "missing", to="wrong"))).decode()
    assert "undecided answers have no row, though the endpoints of the study count them as wrong." in wrong
    assert "N0: 4\nN1: 16\nNR: 4\nNM: 4\n" in head
    rows = [line.split(",") for line in body.splitlines()]
    assert all(len(row) == 4 and row[3] in ("0", "1") for row in rows)
    assert len({tuple(row[:3]) for row in rows}) == len(rows)
    assert sum(row[0] == "-1" for row in rows) == 20
    assert {row[2] for row in rows} == {"0", "blinded", "with_ai", "ai", "comparator Single"}
    assert {row[0] for row in rows} == {"-1", "P1", "P2", "AI", "Single"}


def test_redcap_records_use_only_fields_and_codes_of_their_dictionary(document: Document) -> None:
    inputs = parse(document)
    dictionary = rows_of(readings.redcap_dictionary(inputs))
    records = rows_of(readings.redcap_records(inputs))
    names = {row["Variable / Field Name"] for row in dictionary}
    assert set(records[0]) - {"redcap_repeat_instrument", "redcap_repeat_instance"} == names
    choices = {
        row["Variable / Field Name"]: {part.split(",")[0].strip() for part in row[dictionary_choices].split("|")}
        for row in dictionary
        if row[(dictionary_choices := "Choices, Calculations, OR Slider Labels")]
    }
    for record in records:
        for name, allowed in choices.items():
            assert record[name] in allowed | {""}
    answers = sum(len(e["answers"]) for e in document["evaluators"])
    assert len(records) == len(document["cases"]) + answers
