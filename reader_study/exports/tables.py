"""One table as CSV, JSON, LaTeX and HTML that a word processor takes; several as one workbook (``workbook``)."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from typing import Any

from reader_study.analysis.table_model import Table, cell_text, flat_header, flat_rows
from reader_study.exports.cells import csv_bytes

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def table_csv(table: Table) -> bytes:
    return csv_bytes(flat_header(table), flat_rows(table))


def table_json(table: Table) -> bytes:
    """Title, marks, notes, columns, and rows with estimates as objects."""
    body = {
        "key": table.key, "title": table.title, "marks": [*table.stamps, table.mark], "notes": list(table.notes),
        "research_use_only": True,
        "columns": [{"key": c.key, "title": c.title, "kind": c.kind} for c in table.columns],
        "rows": [{c.key: row.get(c.key) for c in table.columns} | _row_mark(row) for row in table.rows],
    }  # fmt: skip
    return (json.dumps(body, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _row_mark(row: Mapping[str, Any]) -> dict[str, str]:
    return {"mark": row["mark"]} if row.get("mark") else {}


def latex_text(text: str) -> str:
    """Text with LaTeX's own characters escaped.

    Example
    -------
    >>> latex_text("NO_LEUKEMIA 50 %")
    'NO\\\\_LEUKEMIA 50 \\\\%'
    """
    return "".join(LATEX.get(character, character) for character in text)


def table_latex(table: Table) -> bytes:
    """A ``table`` environment with booktabs rules; caption with marks, notes below."""
    align = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [
        "% Research use only. Needs \\usepackage{booktabs}.",
        "\\begin{table}",
        f"\\caption{{{latex_text(table.title)}. {latex_text(table.marks)}.}}",
        f"\\label{{tab:{table.key.replace('_', '-')}}}",
        "\\small",
        f"\\begin{{tabular}}{{{align}}}",
        "\\toprule",
        " & ".join(latex_text(column.title) for column in table.columns) + r" \\",
        "\\midrule",
    ]
    for row in table.rows:
        lines.append(" & ".join(latex_text(cell_text(c, row.get(c.key))) for c in table.columns) + r" \\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    lines += [f"\\par\\footnotesize {latex_text(note)}" for note in table.notes]
    return ("\n".join([*lines, "\\end{table}"]) + "\n").encode()


def table_html(table: Table) -> bytes:
    """A page with one table that Word, LibreOffice and mail programs paste as a table."""
    body = (
        f"<p><strong>{html.escape(table.title)}</strong></p>\n{table_markup(table)}\n"
        + "".join(f"<p><small>{html.escape(note)}</small></p>\n" for note in table.notes)
        + f"<p><small>{html.escape(table.marks)}. Research use only.</small></p>\n"
    )
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(table.title)}</title></head>\n<body>\n{body}</body></html>\n"
    )
    return page.encode()


def table_markup(table: Table) -> str:
    """The table alone; the first cell of a row is its heading."""
    head = "".join(f'<th scope="col"{_align(c.numeric)}>{html.escape(c.title)}</th>' for c in table.columns)
    lines = [f'<table border="1" cellpadding="4" cellspacing="0"><thead><tr>{head}</tr></thead><tbody>']
    for row in table.rows:
        cells = []
        for index, column in enumerate(table.columns):
            tag = 'th scope="row"' if index == 0 else "td"
            text = html.escape(cell_text(column, row.get(column.key)))
            cells.append(f"<{tag}{_align(column.numeric)}>{text}</{tag.split()[0]}>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def _align(numeric: bool) -> str:
    return ' align="right"' if numeric else ' align="left"'


def table_xlsx(table: Table) -> bytes:
    from reader_study.exports.workbook import workbook_bytes  # openpyxl, for those who ask for it

    return workbook_bytes([table])


FORMATS: dict[str, tuple[str, Callable[[Table], bytes]]] = {
    "csv": ("text/csv; charset=utf-8", table_csv),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", table_xlsx),
    "json": ("application/json", table_json),
    "tex": ("text/x-tex; charset=utf-8", table_latex),
    "html": ("text/html; charset=utf-8", table_html),
}
