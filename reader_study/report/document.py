"""The report as a list of blocks, which the HTML page and the PDF both walk through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reader_study.analysis.canonical import sha256_of
from reader_study.analysis.table_model import Table
from reader_study.analysis.tables import SECTIONS, result_tables
from reader_study.report.checklists import checklist_tables
from reader_study.report.figures import FigureSpec, figure_bytes, figure_list
from reader_study.report.methods import methods_text

Document = Mapping[str, Any]
Draw = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """``number`` counts figures through the report; ``png`` is the picture at 300 dots per inch."""

    number: int
    spec: FigureSpec
    png: bytes


Block = Heading | Text | Picture | Table


@dataclass(frozen=True, slots=True)
class Report:
    """``facts`` are name and value pairs under the title."""

    title: str
    stamps: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    blocks: tuple[Block, ...]


def report_document(inputs: Document, result: Document, picture: Draw | None = None) -> Report:
    """Methods, then every section with its figures and tables, then the checklists.

    ``picture`` gives the PNG of a figure by its key, for callers that keep drawn figures.
    """
    study, protocol = inputs["study"], inputs["protocol"]
    facts = (
        ("Cases", str(len(inputs["cases"]))),
        ("Evaluators", ", ".join(e["name"] for e in inputs["evaluators"])),
        ("Protocol", f"version {protocol['version']}, SHA-256 {protocol['sha256']}"),
        ("Inputs", f"SHA-256 {result['inputs_sha256']}"),
        ("Results", f"SHA-256 {sha256_of(result)}"),
        ("Software", ", ".join(f"{name} {version}" for name, version in sorted(result["software"].items()))),
    )
    blocks = [
        *_methods(inputs, result),
        *_sections(result, picture or (lambda key: figure_bytes(result, key, "png"))),
        Heading("Reporting checklists"),
    ]
    blocks += checklist_tables(inputs, result)
    return Report(study["title"], tuple(result["marks"]["words"]), facts, tuple(blocks))


def _methods(inputs: Document, result: Document) -> Iterator[Block]:
    yield Heading("Methods")
    for title, paragraphs in methods_text(inputs, result):
        yield Heading(title, 2)
        for paragraph in paragraphs:
            yield Text(paragraph)


def _sections(result: Document, picture: Draw) -> Iterator[Block]:
    tables, figures = result_tables(result), figure_list(result)
    number = 0
    for key, title in SECTIONS:
        own = [table for table in tables if table.section == key]
        if not own:
            continue
        yield Heading(title)
        for table in own:
            for spec in figures:
                if spec.table == table.key and spec.section == key:
                    png = picture(spec.key)
                    if png is not None:
                        number += 1
                        yield Picture(number, spec, png)
            yield table
