"""A table as a spreadsheet program saves it, made into what `read_table` reads strictly. Pure.

Programs write semicolons or tabs where the computer's language has a decimal comma, UTF-16 for "Unicode text", and
Windows-1252 where nobody chose. What was assumed is told, so that a person can see whether it was right.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Final

from cases.csv_tables import CsvProblem, CsvRefused

DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True, slots=True)
class Spreadsheet:
    """``text`` is separated by commas, line by line as in the file; ``assumed`` says what was taken for granted."""

    text: str
    assumed: tuple[str, ...] = ()


def spreadsheet_text(data: bytes, *, bytes_max: int) -> Spreadsheet:
    """Decode, and put commas between the cells. Lines keep their numbers, so problems can be found in the file.

    Raises
    ------
    CsvRefused
        E_TOO_LARGE, E_ENCODING, E_CSV_NUL, E_CSV_QUOTE, E_CSV_FIELD.
    """
    if len(data) > bytes_max:
        message = f"The file has {len(data) / 1e6:.1f} MB; the limit is {bytes_max / 1e6:.0f} MB."
        raise _refused("E_TOO_LARGE", message, "Split it, or ask an admin to import it on the server.")
    text, encoding = _decoded(data)
    if "\x00" in text:
        raise _refused("E_CSV_NUL", "The file holds a NUL character.", "Save it as 'CSV UTF-8'.")
    header = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(DELIMITERS, key=header.count)  # commas where there is none at all
    assumed = [f"The file was read as {encoding}."] if encoding else []
    if delimiter == ",":
        return Spreadsheet(text, tuple(assumed))
    assumed.append(f"Its cells are separated by {DELIMITERS[delimiter]}.")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            writer.writerow(cells)
    except csv.Error as error:
        raise _refused("E_CSV_QUOTE", f"The table cannot be read: {error}.", "Check the quotation marks.") from None
    return Spreadsheet(out.getvalue(), tuple(assumed))


def _decoded(data: bytes) -> tuple[str, str]:
    """The text and, where it is not plain UTF-8, what it was taken for."""
    try:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return data.decode("utf-16"), "UTF-16"
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), "Windows-1252, for it is not UTF-8: look at umlauts and accents"
    except UnicodeDecodeError:
        raise _refused("E_ENCODING", "The file is not text in UTF-8.", "Save it as 'CSV UTF-8'.") from None


def _refused(code: str, message: str, hint: str) -> CsvRefused:
    return CsvRefused([CsvProblem(0, "", code, message)], hint=hint)
