"""The two CSV files of an import: which file is which image of whom, and the patients' reference diagnoses."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeVar

from cases.csv_tables import CsvProblem, CsvRefused, Problems, Row, read_table
from cases.naming import NameRefused, base_name, printable, require_code
from cases.taxonomy import FIVE_CLASSES, UnknownClass, require_class

__all__ = [
    "ACQUISITION_COLUMNS",
    "CsvProblem",
    "CsvRefused",
    "ReferenceRow",
    "SlideRow",
    "parse_references_csv",
    "parse_slides_csv",
]

Value = str | int | float | date
T = TypeVar("T")

TEXT_MAX: Final = 80
NOTE_MAX: Final = 2000
_EARLIEST: Final = date(1990, 1, 1)
_TRUE: Final = frozenset({"yes", "true", "1", "y"})
_FALSE: Final = frozenset({"no", "false", "0", "n", ""})

_SLIDE_ALIASES: Final = {
    "filename": "file",
    "path": "file",
    "capture_order": "order",
    "diagnosis": "reference",
    "capture_date": "captured_on",
    "capture_minutes": "minutes",
    "minutes_per_slide": "minutes",
}
_REFERENCE_ALIASES: Final = {"reference": "diagnosis", "date": "decided_on"}


@dataclass(frozen=True)
class SlideRow:
    """One image file of a slide.

    Attributes
    ----------
    file
        Path relative to the imported folder or archive, with forward slashes.
    patient, slide, reference
        Empty where the file says nothing; `reference` is one of the allowed diagnoses.
    order
        Position in the capture sequence, from 1; None where not stated.
    acquisition
        Stated acquisition fields only, converted: ``captured_on`` is a date, ``magnification`` an integer,
        ``minutes`` and ``pixel_size_um`` are floats, the others text.
    """

    line: int
    file: str
    patient: str
    slide: str
    order: int | None
    reference: str
    acquisition: dict[str, Value]


@dataclass(frozen=True)
class ReferenceRow:
    """A patient's reference diagnosis; `source` and `note` are empty and `decided_on` None where not stated."""

    line: int
    patient: str
    diagnosis: str
    source: str
    decided_on: date | None
    transformed: bool
    note: str


def _text(cell: str, limit: int = TEXT_MAX) -> str:
    if len(cell) > limit:
        raise _CellFault("E_TEXT", f"{len(cell)} characters, at most {limit}")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in cell):
        raise _CellFault("E_TEXT", f"'{printable(cell)}' has a line break or control character")
    return cell


def _note(cell: str) -> str:
    return _text(re.sub(r"\s+", " ", cell), NOTE_MAX)


def _number(cell: str, low: float, high: float, unit: str) -> float:
    try:
        value = float(cell) if re.fullmatch(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?", cell) else math.nan
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise _CellFault(
            "E_RANGE", f"'{printable(cell)}' is not a number from {low:g} to {high:g}{unit} (with a point)"
        )
    return value


def _whole(cell: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", cell) or not low <= int(cell) <= high:
        raise _CellFault("E_RANGE", f"'{printable(cell)}' is not a whole number from {low:,} to {high:,}")
    return int(cell)


def _date(cell: str, today: date) -> date:
    try:
        value = date.fromisoformat(cell) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", cell) else None
    except ValueError:
        value = None
    if value is None:
        raise _CellFault("E_DATE", f"'{printable(cell)}' is not a date; write 2023-01-31")
    if not _EARLIEST <= value <= today:
        raise _CellFault("E_DATE", f"{value} is not between {_EARLIEST} and {today}")
    return value


class _CellFault(Exception):
    """A cell that cannot be read; caught by `_Cells`, which knows line and column."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Cells:
    """Reads the cells of one row and sends what is wrong to the collector."""

    def __init__(self, row: Row, problems: Problems) -> None:
        self.row = row
        self.problems = problems

    def fault(self, column: str, code: str, message: str) -> None:
        self.problems.add(self.row.line, column, code, f"{column}: {message}.")

    def read(self, column: str, convert: Callable[[str], T], empty: T) -> T:
        """The converted cell; `empty` where it is blank or cannot be read (then a problem is noted)."""
        cell = self.row.get(column)
        if not cell:
            return empty
        try:
            return convert(cell)
        except _CellFault as fault:
            self.fault(column, fault.code, str(fault))
        except NameRefused as refused:
            self.fault(column, refused.code, refused.message.rstrip("."))
        return empty

    def diagnosis(self, column: str, allowed: Sequence[str]) -> str:
        """The cell exactly as one of `allowed`: a diagnosis is never repaired, not even by trimming a blank."""
        cell = self.row.cells.get(column, "")
        if not cell.strip():
            return ""
        try:
            return require_class(cell, allowed)
        except UnknownClass as error:
            self.fault(column, error.code, f"{error.message.rstrip('.')}. {error.hint.rstrip('.')}")
        return ""


def _path(cell: str) -> str:
    pieces = re.split(r"[/\\]", cell)
    if cell[0] in "/\\" or re.match(r"[A-Za-z]:", cell) or ".." in pieces:
        raise _CellFault("E_PATH", f"'{printable(cell)}' leaves the imported folder; write it relative to that folder")
    return "/".join([piece for piece in pieces[:-1] if piece not in ("", ".")] + [base_name(cell)])


def _patient(cell: str) -> str:
    return require_code(cell, "patient")


def _slide(cell: str) -> str:
    return require_code(cell, "slide")


def _order(cell: str) -> int:
    return _whole(cell, 1, 100_000)


def _magnification(cell: str) -> int:
    return _whole(re.sub(r"\s*[xX\u00d7]$", "", cell), 1, 5000)


def _minutes(cell: str) -> float:
    return _number(cell, 0, 1440, " minutes")


def _pixel_size(cell: str) -> float:
    return _number(cell, 0.001, 100, " micrometres")


def _flag(cell: str) -> bool:
    if cell.lower() not in _TRUE | _FALSE:
        raise _CellFault("E_RANGE", f"'{printable(cell)}' is neither yes nor no")
    return cell.lower() in _TRUE


_ACQUISITION: Final[dict[str, Callable[[str], Value]]] = {
    "camera": _text,
    "microscope": _text,
    "magnification": _magnification,
    "stain": _text,
    "slide_maker": _text,
    "technician": _text,
    "light": _text,
    "minutes": _minutes,
    "pixel_size_um": _pixel_size,
    "note": _note,
}
ACQUISITION_COLUMNS: Final = (*_ACQUISITION, "captured_on")
"""Everything about a slide's capture that may be stated; all optional."""


def parse_slides_csv(
    data: bytes | str, *, diagnoses: Sequence[str] = FIVE_CLASSES, today: date | None = None
) -> tuple[SlideRow, ...]:
    """Rows of an import file: ``file`` (needed), ``patient, slide, order, reference`` and acquisition columns.

    Blank cells say nothing; an acquisition field holds for the whole slide, so it need not be repeated, but two
    different values for one slide are a conflict.

    Parameters
    ----------
    diagnoses
        Allowed values of ``reference``.
    today
        Dates after it are refused; by default the current day.

    Raises
    ------
    CsvRefused
        With all problems: those of `read_table`, E_REQUIRED, E_PATH, E_NAME, E_CODE_CHARS, E_RANGE, E_DATE, E_TEXT,
        E_CLASS, E_DUPLICATE, E_CODE_CASE, E_ORDER_CONFLICT, E_SLIDE_CONFLICT, E_FIELD_CONFLICT, E_TRUTH_CONFLICT.
    """
    problems = Problems()
    day = today or date.today()
    optional = ("patient", "slide", "order", "reference", *ACQUISITION_COLUMNS)
    rows = []
    for row in read_table(data, required=("file",), optional=optional, aliases=_SLIDE_ALIASES, problems=problems):
        cells = _Cells(row, problems)
        if not row.get("file"):
            cells.fault("file", "E_REQUIRED", "the cell is empty")
        acquisition: dict[str, Value | None] = {
            column: cells.read(column, convert, None) for column, convert in _ACQUISITION.items()
        }
        acquisition["captured_on"] = cells.read("captured_on", lambda cell: _date(cell, day), None)
        reference = cells.diagnosis("reference", diagnoses)
        patient = cells.read("patient", _patient, "")
        if reference and not row.get("patient"):
            cells.fault("reference", "E_REQUIRED", "a reference diagnosis needs a patient")
        rows.append(
            SlideRow(
                line=row.line,
                file=cells.read("file", _path, ""),
                patient=patient,
                slide=cells.read("slide", _slide, ""),
                order=cells.read("order", _order, None),
                reference=reference,
                acquisition={column: value for column, value in acquisition.items() if value is not None},
            )
        )
    _check_slides(rows, problems)
    problems.raise_if_any()
    return tuple(rows)


class _Once:
    """Notes the first value under a key, and a problem for each later row that says something else."""

    def __init__(self, problems: Problems, column: str, code: str) -> None:
        self.problems, self.column, self.code = problems, column, code
        self.first: dict[object, tuple[object, int]] = {}

    def put(self, line: int, key: object, value: object, what: str) -> None:
        if key in ("", None) or value in ("", None):
            return
        known, where = self.first.setdefault(key, (value, line))
        if known != value:
            self.problems.add(line, self.column, self.code, f"{what}: '{known}' in line {where}, '{value}' here.")


def _check_slides(rows: Sequence[SlideRow], problems: Problems) -> None:
    """What no row shows alone: duplicates and contradictions."""
    files: dict[str, int] = {}
    orders = _Once(problems, "order", "E_ORDER_CONFLICT")
    slides = _Once(problems, "slide", "E_SLIDE_CONFLICT")
    fields = _Once(problems, "", "E_FIELD_CONFLICT")
    truths = _Once(problems, "reference", "E_TRUTH_CONFLICT")
    patient_case = _Once(problems, "patient", "E_CODE_CASE")
    slide_case = _Once(problems, "slide", "E_CODE_CASE")
    for row in rows:
        line = row.line
        if row.file and files.setdefault(row.file, line) != line:
            message = f"file: '{printable(row.file)}' is already in line {files[row.file]}."
            problems.add(line, "file", "E_DUPLICATE", message)
        patient_case.put(line, row.patient.casefold(), row.patient, "patient codes that differ only in case")
        slide_case.put(line, row.slide.casefold(), row.slide, "slide codes that differ only in case")
        truths.put(line, row.patient, row.reference, f"reference of patient {row.patient}")
        slides.put(line, row.slide, row.patient, f"patient of slide {row.slide}")
        if row.slide and row.order:
            orders.put(line, (row.slide, row.order), row.file, f"place {row.order} of slide {row.slide}")
        for column, value in row.acquisition.items():
            if row.slide:
                fields.put(line, (row.slide, column), value, f"{column} of slide {row.slide}")


def parse_references_csv(
    data: bytes | str, *, diagnoses: Sequence[str] = FIVE_CLASSES, today: date | None = None
) -> tuple[ReferenceRow, ...]:
    """Rows of a file of reference diagnoses, one per patient.

    Columns: ``patient`` and ``diagnosis`` (needed), ``source``, ``decided_on``, ``transformed`` (yes or no: chronic
    leukemia that turned acute) and ``note``.

    Raises
    ------
    CsvRefused
        With all problems: those of `read_table`, E_REQUIRED, E_CODE_CHARS, E_CLASS, E_DATE, E_RANGE, E_TEXT,
        E_DUPLICATE (one patient twice), E_CODE_CASE, E_TRUTH_CONFLICT (one patient with two diagnoses).
    """
    problems = Problems()
    day = today or date.today()
    optional = ("source", "decided_on", "transformed", "note")
    required = ("patient", "diagnosis")
    seen: dict[str, ReferenceRow] = {}
    rows = []
    for row in read_table(data, required=required, optional=optional, aliases=_REFERENCE_ALIASES, problems=problems):
        cells = _Cells(row, problems)
        for column in required:
            if not row.get(column):
                cells.fault(column, "E_REQUIRED", "the cell is empty")
        reference = ReferenceRow(
            line=row.line,
            patient=cells.read("patient", _patient, ""),
            diagnosis=cells.diagnosis("diagnosis", diagnoses),
            source=cells.read("source", lambda cell: _text(cell, 200), ""),
            decided_on=cells.read("decided_on", lambda cell: _date(cell, day), None),
            transformed=cells.read("transformed", _flag, False),
            note=cells.read("note", _note, ""),
        )
        _compare_reference(seen, reference, cells)
        rows.append(reference)
    problems.raise_if_any()
    return tuple(rows)


def _compare_reference(seen: dict[str, ReferenceRow], row: ReferenceRow, cells: _Cells) -> None:
    if not row.patient:
        return
    first = seen.setdefault(row.patient.casefold(), row)
    if first is row:
        return
    if first.patient != row.patient:
        message = f"'{first.patient}' in line {first.line} and '{row.patient}' here differ only in case"
        cells.fault("patient", "E_CODE_CASE", message)
    elif first.diagnosis != row.diagnosis and first.diagnosis and row.diagnosis:
        message = f"patient {row.patient} is {first.diagnosis} in line {first.line} and {row.diagnosis} here"
        cells.fault("diagnosis", "E_TRUTH_CONFLICT", message)
    else:
        cells.fault("patient", "E_DUPLICATE", f"patient {row.patient} is already in line {first.line}")
