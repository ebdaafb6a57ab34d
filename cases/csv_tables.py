"""CSV files from people: read strictly, every problem named with its line, all of them at once.

A spreadsheet's user mends a file in one go when told everything that is wrong with it, so only what makes the rest
unreadable (encoding, delimiter, header) ends the reading; the rest is collected in one `CsvRefused`.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cases.naming import printable
from leukoweb.core.exceptions import DomainError

ROWS_MAX: Final = 50_000
BYTES_MAX: Final = 50_000_000
PROBLEMS_KEPT_MAX: Final = 100
_PROBLEMS_IN_MESSAGE: Final = 20
_CONFLICT_CODES: Final = frozenset({"E_TRUTH_CONFLICT", "E_SLIDE_CONFLICT", "E_ORDER_CONFLICT", "E_FIELD_CONFLICT"})


@dataclass(frozen=True)
class CsvProblem:
    """What is wrong in one place; `line` counts from 1, the header included, and is 0 for the whole file."""

    line: int
    column: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"Line {self.line}: {self.message}" if self.line else self.message


class CsvRefused(DomainError):
    """A CSV file with one or more problems; nothing of it was taken.

    Attributes
    ----------
    problems
        The first 100, by line.
    n_problems
        How many there are.
    code
        That of the problems where all have the same, else ``E_CSV``.
    """

    code = "E_CSV"

    def __init__(self, problems: Sequence[CsvProblem], *, hint: str = "") -> None:
        shown = [str(problem) for problem in problems[:_PROBLEMS_IN_MESSAGE]]
        message = shown[0] if len(problems) == 1 else f"{len(problems):,} problems. " + " ".join(shown)
        if len(problems) > len(shown):
            message += f" And {len(problems) - len(shown):,} more."
        codes = {problem.code for problem in problems}
        code = codes.pop() if len(codes) == 1 else type(self).code
        super().__init__(
            message,
            code=code,
            hint=hint or "Mend the file and import it again; nothing was imported.",
            field=problems[0].column if len(problems) == 1 else "",
        )
        self.problems = tuple(problems[:PROBLEMS_KEPT_MAX])
        self.n_problems = len(problems)
        if code in _CONFLICT_CODES:
            self.status = 409
        elif code in ("E_ROWS", "E_TOO_LARGE"):
            self.status = 413


class Problems:
    """Collects problems while rows are read."""

    def __init__(self) -> None:
        self._found: list[CsvProblem] = []

    def add(self, line: int, column: str, code: str, message: str) -> None:
        self._found.append(CsvProblem(line, column, code, message))

    def raise_if_any(self) -> None:
        """Raise `CsvRefused` with all problems in the order of their lines."""
        if self._found:
            raise CsvRefused(sorted(self._found, key=lambda problem: problem.line))


@dataclass(frozen=True)
class Row:
    """One row: its line in the file and its cells, by column; columns that the file lacks are absent."""

    line: int
    cells: Mapping[str, str]

    def get(self, column: str) -> str:
        """The cell without surrounding blanks; empty where the file has no such column."""
        return self.cells.get(column, "").strip()


def _single(code: str, message: str, *, line: int = 0, column: str = "", hint: str = "") -> CsvRefused:
    return CsvRefused([CsvProblem(line, column, code, message)], hint=hint)


def _decoded(data: bytes | str) -> str:
    if len(data) > BYTES_MAX:
        message = f"The file has {len(data) / 1e6:.0f} MB; the limit is {BYTES_MAX / 1e6:.0f} MB."
        raise _single("E_TOO_LARGE", message, hint="Split it.")
    if isinstance(data, str):
        text = data.removeprefix("\ufeff")
    elif data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise _single("E_ENCODING", "The file is UTF-16, not UTF-8.", hint="Save it as 'CSV UTF-8'.")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            message = f"Byte {data[error.start]:#04x} is not UTF-8."
            raise _single("E_ENCODING", message, line=line, hint="Save it as 'CSV UTF-8'.") from None
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise _single("E_CSV_NUL", "A NUL character.", line=line, hint="Export the file again as CSV UTF-8.")
    return text


def read_table(
    data: bytes | str,
    *,
    required: Sequence[str],
    optional: Sequence[str],
    aliases: Mapping[str, str],
    problems: Problems,
) -> Iterator[Row]:
    """The rows of a comma-separated UTF-8 file (a byte-order mark is accepted), blank lines left out.

    Header names are compared in lower case with blanks and dashes as underscores; `aliases` maps further names to
    columns. Rows of the wrong length go to `problems` and are passed over.

    Raises
    ------
    CsvRefused
        E_TOO_LARGE, E_ENCODING, E_CSV_NUL, E_CSV_EMPTY, E_CSV_DELIMITER, E_CSV_HEADER, E_CSV_FIELD, E_CSV_QUOTE,
        E_ROWS.
    """
    text = _decoded(data)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    line, n_rows = 0, 0
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _csv_error(error, line) from None
        if cells is None:
            break
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = _header(cells, line, required, optional, aliases)
            continue
        n_rows += 1
        if n_rows > ROWS_MAX:
            found = max(n_rows, text.count("\n"))
            raise _single("E_ROWS", f"The file has about {found:,} rows; the limit is {ROWS_MAX:,}.", hint="Split it.")
        if len(cells) != len(header):
            problems.add(line, "", "E_CSV_ROW", f"{len(cells)} cells, {len(header)} expected.")
            continue
        yield Row(line, dict(zip(header, cells, strict=True)))
    if header is None:
        raise _single("E_CSV_EMPTY", "The file has no header line.", hint=f"Columns: {', '.join(required)}.")


def _csv_error(error: csv.Error, line: int) -> CsvRefused:
    if "field limit" in str(error):
        message = f"A cell is longer than {csv.field_size_limit():,} characters."
        return _single("E_CSV_FIELD", message, line=line, hint="A quotation mark may be missing.")
    return _single("E_CSV_QUOTE", f"{printable(str(error))}.", line=line, hint="Check the quotation marks.")


def _header(
    cells: Sequence[str], line: int, required: Sequence[str], optional: Sequence[str], aliases: Mapping[str, str]
) -> list[str]:
    known = (*required, *optional)
    normal = [re.sub(r"[\s-]+", "_", cell.strip().lower()) for cell in cells]
    names = [aliases.get(name, name) for name in normal]
    shown = printable(",".join(cells), 200)
    if len(cells) == 1 and names[0] not in known and (found := [d for d in ";\t|" if d in cells[0]]):
        message = f"The header is one cell '{shown}': the cells are not separated by commas but by {found[0]!r}."
        raise _single("E_CSV_DELIMITER", message, line=line, hint="Save the file as comma-separated CSV.")
    faults = []
    for name in dict.fromkeys(names):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            faults.append(f"unknown column '{printable(name)}'" + (f" (did you mean {near[0]}?)" if near else ""))
        elif names.count(name) > 1:
            faults.append(f"column {name} {names.count(name)} times")
    faults += [f"column {name} is missing" for name in required if name not in names]
    if faults:
        message = f"{'; '.join(faults[:_PROBLEMS_IN_MESSAGE]).capitalize()}. The header is '{shown}'."
        hint = f"Needed: {', '.join(required)}. Possible: {', '.join(optional)}."
        raise _single("E_CSV_HEADER", message, line=line, hint=hint)
    return names
