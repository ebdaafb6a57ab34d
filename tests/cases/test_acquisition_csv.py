"""Import CSVs: what is read, and every problem with its line and code."""

from __future__ import annotations

import contextlib
import csv
import io
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cases.acquisition_csv import ACQUISITION_COLUMNS, CsvRefused, parse_references_csv, parse_slides_csv

TODAY = date(2026, 11, 23)


def slides_refused(data: bytes | str) -> CsvRefused:
    with pytest.raises(CsvRefused) as caught:
        parse_slides_csv(data, today=TODAY)
    assert caught.value.message.isprintable()
    assert caught.value.hint
    return caught.value


def references_refused(data: bytes | str) -> CsvRefused:
    with pytest.raises(CsvRefused) as caught:
        parse_references_csv(data, today=TODAY)
    assert caught.value.message.isprintable()
    return caught.value


FULL = """file,patient,slide,order,reference,camera,microscope,magnification,\
stain,slide_maker,technician,light,captured_on,minutes,pixel_size_um,note
s1/001.jpg,P-1,S1,1,AML,DP73,BX53,1000x,May-Gruenwald Giemsa,DI60,AB,LED 5,2021-01-31,35.5,0.065,thick end
s1/002.jpg,P-1,S1,2,,,,,,,,,,,,
s2\\1.jpg,P-2,S2,,NO_LEUKEMIA,DP25,,,,,,,,,,
"""


def test_a_full_file_is_read_with_types() -> None:
    first, second, third = parse_slides_csv(FULL.encode(), today=TODAY)
    assert (first.line, first.file, first.patient, first.slide, first.order, first.reference) == (
        2, "s1/001.jpg", "P-1", "S1", 1, "AML"
    )  # fmt: skip
    assert first.acquisition == {
        "camera": "DP73",
        "microscope": "BX53",
        "magnification": 1000,
        "stain": "May-Gruenwald Giemsa",
        "slide_maker": "DI60",
        "technician": "AB",
        "light": "LED 5",
        "captured_on": date(2021, 1, 31),
        "minutes": 35.5,
        "pixel_size_um": 0.065,
        "note": "thick end",
    }
    assert set(first.acquisition) == set(ACQUISITION_COLUMNS)
    assert (second.reference, second.acquisition, second.order) == ("", {}, 2)
    assert (third.file, third.order, third.line) == ("s2/1.jpg", None, 4)


def test_only_the_file_column_is_needed() -> None:
    (row,) = parse_slides_csv("file\na.jpg\n")
    assert (row.file, row.patient, row.slide, row.order, row.reference, row.acquisition) == (
        "a.jpg",
        "",
        "",
        None,
        "",
        {},
    )


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbffile,patient\r\na.jpg,P1\r\n",
        "\ufefffile,patient\na.jpg,P1",
        b"file,patient\ra.jpg,P1\r",
        b"\n\nFile , Patient\n\na.jpg,P1\n,\n",
        b'"file","patient"\n"a.jpg","P1"\n',
        b"filename,patient\na.jpg,P1\n",
        "file,patient\na.jpg,P1\n",
    ],
)
def test_marks_line_ends_blank_lines_quotes_and_names_are_forgiven(data: bytes | str) -> None:
    (row,) = parse_slides_csv(data)
    assert (row.file, row.patient) == ("a.jpg", "P1")


def test_header_names_may_be_written_with_blanks_and_dashes() -> None:
    (row,) = parse_slides_csv("file,Slide Maker,pixel-size-um,capture date\na.jpg,DI60,0.1,2022-05-05\n", today=TODAY)
    assert row.acquisition == {"slide_maker": "DI60", "pixel_size_um": 0.1, "captured_on": date(2022, 5, 5)}


# Files of which nothing can be read: (bytes, code, part of the message).
UNREADABLE: dict[str, tuple[bytes, str, str]] = {
    "latin-1": (
        "file,technician\na.jpg,Mu\u0308ller\nb.jpg,M\u00fcller\n".encode("cp1252", "ignore"),
        "E_ENCODING",
        "Line 3",
    ),
    "utf-16": ("file\na.jpg\n".encode("utf-16"), "E_ENCODING", "UTF-16"),
    "utf-16 big": (b"\xfe\xff\x00f", "E_ENCODING", "UTF-16"),
    "nul": (b"file\na.jpg\nb\x00.jpg\n", "E_CSV_NUL", "Line 3"),
    "semicolons": (b"file;patient;slide\na;b;c\n", "E_CSV_DELIMITER", "'file;patient;slide'"),
    "tabs": (b"file\tpatient\na\tb\n", "E_CSV_DELIMITER", "'\\t'"),
    "bars": (b"file|patient\na|b\n", "E_CSV_DELIMITER", "'|'"),
    "empty": (b"", "E_CSV_EMPTY", "no header"),
    "blank lines": (b"\n\n \n", "E_CSV_EMPTY", "no header"),
    "no file column": (b"patient,slide\nP1,S1\n", "E_CSV_HEADER", "Column file is missing"),
    "unknown column": (b"file,camra\na.jpg,DP25\n", "E_CSV_HEADER", "did you mean camera?"),
    "unlike any column": (b"file,zzzz\na.jpg,1\n", "E_CSV_HEADER", "Unknown column 'zzzz'"),
    "column twice": (b"file,patient,patient\na.jpg,P1,P2\n", "E_CSV_HEADER", "patient 2 times"),
    "column twice by alias": (b"file,path\na.jpg,b.jpg\n", "E_CSV_HEADER", "file 2 times"),
    "no header": (b"a.jpg,P1,S1\n", "E_CSV_HEADER", "Unknown column 'a.jpg'"),
    "empty column name": (b"file,\na.jpg,1\n", "E_CSV_HEADER", "Unknown column ''"),
    "cell of 200,000 characters": (b"file\n" + b"x" * 200_000, "E_CSV_FIELD", "131,072"),
    "open quotation mark": (b'file,patient\n"a.jpg,P1\nb.jpg,P1\n', "E_CSV_QUOTE", "Line 2"),
    "text after a quotation mark": (b'file\n"a"b\n', "E_CSV_QUOTE", "Line 2"),
    "60,000 rows": (b"file\n" + b"".join(b"%d.jpg\n" % n for n in range(60_000)), "E_ROWS", "60,001"),
    "60 MB": (b"file\n" + b"\n" * 60_000_000, "E_TOO_LARGE", "60 MB"),
    "html": (b"<html><body>sign in</body></html>", "E_CSV_HEADER", "column file is missing"),
    "zip": (b"PK\x03\x04\xff\xfe\x00", "E_ENCODING", "UTF-8"),
}


@pytest.mark.parametrize("what", list(UNREADABLE))
def test_an_unreadable_file_is_refused_with_its_code(what: str) -> None:
    data, code, part = UNREADABLE[what]
    error = slides_refused(data)
    assert error.code == code
    assert part in error.message
    assert error.n_problems == 1
    assert error.status == (413 if code in ("E_ROWS", "E_TOO_LARGE") else 400)


# One bad row each: (header, row, code, part of the message).
BAD_ROWS: dict[str, tuple[str, str, str, str]] = {
    "too many cells": ("file,patient", "a.jpg,P1,S1,x", "E_CSV_ROW", "4 cells, 2 expected"),
    "too few cells": ("file,patient", "a.jpg", "E_CSV_ROW", "1 cells, 2 expected"),
    "no file": ("file,patient", " ,P1", "E_REQUIRED", "file"),
    "file climbs": ("file", "../a.jpg", "E_PATH", "leaves the imported folder"),
    "file climbs with backslashes": ("file", "..\\a.jpg", "E_PATH", "leaves"),
    "file absolute": ("file", "/data/a.jpg", "E_PATH", "leaves"),
    "file with drive": ("file", "C:\\a.jpg", "E_PATH", "leaves"),
    "file without stem": ("file", "s/.jpg", "E_NAME", "nothing before its extension"),
    "file with bell": ("file", "a\x07.jpg", "E_NAME", "control"),
    "patient formula": ("file,patient", "a.jpg,=HYPERLINK(1)", "E_CODE_CHARS", "'=HYPERLINK(1)'"),
    "patient plus": ("file,patient", "a.jpg,+1", "E_CODE_CHARS", "patient"),
    "patient minus": ("file,patient", "a.jpg,-1", "E_CODE_CHARS", "patient"),
    "patient at": ("file,patient", "a.jpg,@x", "E_CODE_CHARS", "patient"),
    "patient full-width": ("file,patient", "a.jpg,\uff1d1", "E_CODE_CHARS", "patient"),
    "patient of 61": ("file,patient", "a.jpg," + "x" * 61, "E_CODE_CHARS", "1 to 60"),
    "slide formula": ("file,slide", "a.jpg,=1+1", "E_CODE_CHARS", "slide"),
    "order 0": ("file,order", "a.jpg,0", "E_RANGE", "1 to 100,000"),
    "order -1": ("file,order", "a.jpg,-1", "E_RANGE", "'-1'"),
    "order 1.5": ("file,order", "a.jpg,1.5", "E_RANGE", "whole"),
    "order in words": ("file,order", "a.jpg,first", "E_RANGE", "first"),
    "order of 400 digits": ("file,order", "a.jpg," + "9" * 400, "E_RANGE", "order"),
    "order in other digits": ("file,order", "a.jpg,\u0663", "E_RANGE", "order"),
    "reference lower": ("file,patient,reference", "a.jpg,P1,aml", "E_CLASS", "Did you mean AML?"),
    "reference blanks": ("file,patient,reference", "a.jpg,P1, AML ", "E_CLASS", "Did you mean AML?"),
    "reference mixed": ("file,patient,reference", "a.jpg,P1,Aml", "E_CLASS", "Did you mean AML?"),
    "reference invisible": ("file,patient,reference", "a.jpg,P1,AML\u200b", "E_CLASS", "Did you mean AML?"),
    "reference APML": ("file,patient,reference", "a.jpg,P1,APML", "E_CLASS", "is not one of"),
    "reference unknown": ("file,patient,reference", "a.jpg,P1,Ewing", "E_CLASS", "'Ewing'"),
    "reference without patient": ("file,patient,reference", "a.jpg,,AML", "E_REQUIRED", "needs a patient"),
    "date 31/02": ("file,captured_on", "a.jpg,31/02/2023", "E_DATE", "'31/02/2023' is not a date"),
    "date month 13": ("file,captured_on", "a.jpg,2023-13-01", "E_DATE", "2023-13-01"),
    "date 30 February": ("file,captured_on", "a.jpg,2023-02-30", "E_DATE", "2023-02-30"),
    "date year 1": ("file,captured_on", "a.jpg,0001-01-01", "E_DATE", "1990-01-01"),
    "date tomorrow": ("file,captured_on", "a.jpg,2026-11-24", "E_DATE", "2026-11-23"),
    "date as a number": ("file,captured_on", "a.jpg,44927", "E_DATE", "44927"),
    "magnification words": ("file,magnification", "a.jpg,high", "E_RANGE", "high"),
    "magnification 0": ("file,magnification", "a.jpg,0x", "E_RANGE", "1 to 5,000"),
    "minutes -1": ("file,minutes", "a.jpg,-1", "E_RANGE", "0 to 1440"),
    "minutes 99999": ("file,minutes", "a.jpg,99999", "E_RANGE", "1440"),
    "minutes nan": ("file,minutes", "a.jpg,nan", "E_RANGE", "nan"),
    "minutes infinite": ("file,minutes", "a.jpg,1e999", "E_RANGE", "1e999"),
    "pixel size with a comma": ("file,pixel_size_um", 'a.jpg,"0,065"', "E_RANGE", "with a point"),
    "pixel size 0": ("file,pixel_size_um", "a.jpg,0", "E_RANGE", "micrometres"),
    "camera of 81 characters": ("file,camera", "a.jpg," + "x" * 81, "E_TEXT", "81 characters, at most 80"),
    "camera with a line break": ("file,camera", 'a.jpg,"DP\n73"', "E_TEXT", "control character"),
}


@pytest.mark.parametrize("what", list(BAD_ROWS))
def test_a_bad_row_is_refused_with_its_line_and_code(what: str) -> None:
    header, row, code, part = BAD_ROWS[what]
    good = ",".join({"file": "good.jpg", "patient": "P0"}.get(column, "") for column in header.split(","))
    error = slides_refused(f"{header}\n{good}\n{row}\n")
    assert error.code == code
    assert error.n_problems == 1
    assert error.problems[0].line == 3
    assert error.message.startswith("Line 3: ")
    assert part in error.message


CONFLICTS: dict[str, tuple[str, str]] = {
    "file,patient\na.jpg,P1\nb.jpg,P2\na.jpg,P1\n": ("E_DUPLICATE", "already in line 2"),
    "file\ns/a.jpg\nx.jpg\ns\\.\\a.jpg\n": ("E_DUPLICATE", "'s/a.jpg' is already in line 2"),
    "file,patient\na.jpg,P1\nb.jpg,P2\nc.jpg,p1\n": ("E_CODE_CASE", "'P1' in line 2, 'p1' here"),
    "file,slide\na.jpg,S1\nb.jpg,S2\nc.jpg,s1\n": ("E_CODE_CASE", "'S1' in line 2"),
    "file,patient,reference\na.jpg,P1,AML\nb.jpg,P1,\nc.jpg,P1,ALL\n": (
        "E_TRUTH_CONFLICT",
        "'AML' in line 2, 'ALL' here",
    ),
    "file,patient,slide\na.jpg,P1,S1\nb.jpg,P1,S1\nc.jpg,P2,S1\n": ("E_SLIDE_CONFLICT", "slide S1"),
    "file,slide,order\na.jpg,S1,1\nb.jpg,S2,1\nc.jpg,S1,1\n": ("E_ORDER_CONFLICT", "place 1 of slide S1"),
    "file,slide,camera\na.jpg,S1,DP73\nb.jpg,S1,\nc.jpg,S1,DP74\n": ("E_FIELD_CONFLICT", "camera of slide S1"),
}


@pytest.mark.parametrize("text", list(CONFLICTS))
def test_rows_that_contradict_each_other_are_refused_naming_both_lines(text: str) -> None:
    code, part = CONFLICTS[text]
    error = slides_refused(text)
    assert (error.code, error.n_problems, error.problems[0].line) == (code, 1, 4)
    assert part in error.message
    assert error.status == (409 if code.endswith("_CONFLICT") else 400)


def test_all_problems_are_told_at_once_and_in_order() -> None:
    error = slides_refused("file,patient,reference,minutes\n,P1,AML,5\nb.jpg,=x,aml,-1\nc.jpg\n")
    assert error.code == "E_CSV"
    assert [(p.line, p.code) for p in error.problems] == [
        (2, "E_REQUIRED"), (3, "E_RANGE"), (3, "E_CLASS"), (3, "E_CODE_CHARS"), (4, "E_CSV_ROW")
    ]  # fmt: skip
    assert error.message.startswith("5 problems. Line 2: file: the cell is empty.")


def test_the_list_of_problems_is_bounded_and_the_count_is_not() -> None:
    error = slides_refused("file,order\n" + "".join(f"{n}.jpg,x\n" for n in range(500)))
    assert (error.n_problems, len(error.problems), error.code) == (500, 100, "E_RANGE")
    assert error.message.count("Line ") == 20
    assert error.message.endswith("And 480 more.")


def test_line_numbers_count_the_lines_of_the_file_even_after_quoted_line_breaks() -> None:
    error = slides_refused('file,note\na.jpg,"one\ntwo\nthree"\nb.jpg,"x"\nc.jpg\n')
    assert [p.line for p in error.problems] == [6]


def test_line_breaks_in_a_note_become_blanks() -> None:
    (row,) = parse_slides_csv('file,note\na.jpg,"one\ntwo"\n')
    assert row.acquisition == {"note": "one two"}


def test_other_diagnoses_can_be_allowed() -> None:
    (row,) = parse_slides_csv("file,patient,reference\na.jpg,P1,APML\n", diagnoses=("APML", "AML"))
    assert row.reference == "APML"


# --- References ---


def test_references_are_read() -> None:
    text = (
        "patient,diagnosis,source,decided_on,transformed,note\n"
        "P1,AML,flow cytometry,2021-02-03,yes,was CML\n"
        "P2,NO_LEUKEMIA,,,,\n"
    )
    first, second = parse_references_csv(text, today=TODAY)
    assert (first.patient, first.diagnosis, first.source) == ("P1", "AML", "flow cytometry")
    assert (first.decided_on, first.transformed, first.note) == (date(2021, 2, 3), True, "was CML")
    assert (second.source, second.decided_on, second.transformed, second.line) == ("", None, False, 3)


def test_references_may_call_the_column_reference() -> None:
    (row,) = parse_references_csv("patient,reference\nP1,CLL\n")
    assert row.diagnosis == "CLL"


REFERENCE_FAULTS: dict[str, tuple[str, str]] = {
    "patient,diagnosis\nP1,AML\nP1,ALL\n": ("E_TRUTH_CONFLICT", "is AML in line 2 and ALL here"),
    "patient,diagnosis\nP1,AML\nP1,AML\n": ("E_DUPLICATE", "already in line 2"),
    "patient,diagnosis\nP1,AML\np1,AML\n": ("E_CODE_CASE", "differ only in case"),
    "patient,diagnosis\nP0,AML\n,AML\n": ("E_REQUIRED", "patient"),
    "patient,diagnosis\nP0,AML\nP1,\n": ("E_REQUIRED", "diagnosis"),
    "patient,diagnosis\nP0,AML\nP1,AMLL\n": ("E_CLASS", "Did you mean AML?"),
    "patient,diagnosis\nP0,AML\nP1,REACTIVE\n": ("E_CLASS", "not one of ALL, AML, CLL, CML, NO_LEUKEMIA"),
    "patient,diagnosis\nP0,AML\n=1+1,AML\n": ("E_CODE_CHARS", "'=1+1'"),
    "patient,diagnosis,decided_on\nP0,AML,\nP1,AML,2030-01-01\n": ("E_DATE", "2030-01-01"),
    "patient,diagnosis,transformed\nP0,AML,\nP1,AML,maybe\n": ("E_RANGE", "neither yes nor no"),
    "patient,diagnosis,source\nP0,AML,\nP1,AML," + "x" * 201 + "\n": ("E_TEXT", "at most 200"),
}


@pytest.mark.parametrize("text", list(REFERENCE_FAULTS))
def test_a_bad_reference_is_refused_with_its_line_and_code(text: str) -> None:
    code, part = REFERENCE_FAULTS[text]
    error = references_refused(text)
    assert (error.code, error.problems[0].line, error.n_problems) == (code, 3, 1)
    assert part in error.message


def test_a_reference_file_needs_its_columns() -> None:
    error = references_refused("patient,diagnos\nP1,AML\n")
    assert error.code == "E_CSV_HEADER"
    assert "did you mean diagnosis?" in error.message


# --- Properties ---


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for parse in (parse_slides_csv, parse_references_csv):
        with contextlib.suppress(CsvRefused):
            parse(b"file,patient,reference,order\n" + data if parse is parse_slides_csv else data)


_CODES = st.text("ABCabc019._-", min_size=1, max_size=8).filter(lambda c: c[0].isalnum())


@given(
    st.lists(st.tuples(_CODES, st.sampled_from(["ALL", "AML", ""])), max_size=12, unique_by=lambda t: t[0].casefold())
)
@settings(deadline=None)
def test_what_is_written_by_the_csv_module_comes_back(patients: list[tuple[str, str]]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["patient", "file", "reference"])
    writer.writerows([code, f"{code}, 1.jpg", reference] for code, reference in patients)
    rows = parse_slides_csv(buffer.getvalue())
    assert [(row.patient, row.file, row.reference) for row in rows] == [
        (code, f"{code}, 1.jpg", reference) for code, reference in patients
    ]
