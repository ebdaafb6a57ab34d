"""The report as PDF (reportlab). The same report gives the same bytes: no dates, no random identifiers."""

from __future__ import annotations

import io
import threading
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import escape  # nosec B406  it parses nothing

import matplotlib
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Frame,
    Image,
    KeepTogether,
    LongTable,
    PageTemplate,
    Paragraph,
    Spacer,
    TableStyle,
)

from reader_study.analysis.table_model import Column, Table, cell_parts
from reader_study.report.document import Block, Heading, Picture, Report, Text

MARGIN: Final = 16 * mm
ROOM: Final = A4[0] - 2 * MARGIN
WIDE: Final = 8  # columns from which the type is smaller and an interval stands under its number
INK, GREY, LINE = colors.HexColor("#1a1a1a"), colors.HexColor("#555555"), colors.HexColor("#b5b5b5")
_lock = threading.Lock()  # fonts are registered and subset in tables of the process


@cache
def _fonts() -> tuple[str, str]:
    """DejaVu, which comes with matplotlib and knows more than Latin letters."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    pdfmetrics.registerFont(TTFont("Body", str(folder / "DejaVuSans.ttf")))
    pdfmetrics.registerFont(TTFont("BodyBold", str(folder / "DejaVuSans-Bold.ttf")))
    pdfmetrics.registerFontFamily("Body", normal="Body", bold="BodyBold", italic="Body", boldItalic="BodyBold")
    return "Body", "BodyBold"


def report_pdf(report: Report) -> bytes:
    """The document on A4, column headings repeated on every page of a table."""
    with _lock:
        normal, bold = _fonts()
        styles = _styles(normal, bold)
        out = io.BytesIO()
        document = BaseDocTemplate(
            out, pagesize=A4, title=report.title, author="leukoweb", subject="Reader study. Research use only.",
            invariant=1, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN,
        )  # fmt: skip
        document.addPageTemplates([_template(report, normal)])
        document.build(_story(report, styles))
        return out.getvalue()


def _template(report: Report, font: str) -> PageTemplate:
    width, height = A4
    frame = Frame(MARGIN, MARGIN, ROOM, height - 2 * MARGIN - 4 * mm, leftPadding=0, rightPadding=0, topPadding=0,
                  bottomPadding=0)  # fmt: skip

    def furniture(canvas: Any, document: Any) -> None:
        canvas.saveState()
        canvas.setFont(font, 6.5)
        canvas.setFillColor(GREY)
        canvas.drawString(MARGIN, height - 11 * mm, "; ".join(report.stamps)[:170])
        canvas.drawString(MARGIN, 9 * mm, f"{report.title[:90]}. Research use only. Not for diagnosis.")
        canvas.drawRightString(width - MARGIN, 9 * mm, str(document.page))
        canvas.restoreState()

    return PageTemplate(id="page", frames=[frame], onPage=furniture, pagesize=A4)


def _styles(normal: str, bold: str) -> dict[str, ParagraphStyle]:
    def style(name: str, font: str, size: float, **more: Any) -> ParagraphStyle:
        return ParagraphStyle(name, fontName=font, fontSize=size, leading=size * 1.35, textColor=INK, **more)

    return {
        "title": style("title", bold, 17, spaceAfter=6),
        "h1": style("h1", bold, 13, spaceBefore=14, spaceAfter=5),
        "h2": style("h2", bold, 9.5, spaceBefore=8, spaceAfter=2),
        "text": style("text", normal, 8.5, spaceAfter=4),
        "caption": style("caption", normal, 8, spaceBefore=8, spaceAfter=3),
        "note": style("note", normal, 6.8, spaceAfter=2),
        "cell": style("cell", normal, 6.6),
        "number": style("number", normal, 6.6, alignment=2),
        "head": style("head", bold, 6.6),
        "headnumber": style("headnumber", bold, 6.6, alignment=2),
        "cellsmall": style("cellsmall", normal, 5.8),
        "numbersmall": style("numbersmall", normal, 5.8, alignment=2),
        "headsmall": style("headsmall", bold, 5.8),
        "headnumbersmall": style("headnumbersmall", bold, 5.8, alignment=2),
        "stamp": style("stamp", bold, 9, borderColor=colors.HexColor("#8a4b00"), borderWidth=1, borderPadding=4,
                       spaceBefore=6, spaceAfter=8),
    }  # fmt: skip


def _story(report: Report, styles: dict[str, ParagraphStyle]) -> list[Any]:
    story: list[Any] = [Paragraph(escape(report.title), styles["title"])]
    story.append(Paragraph("Report of a reader study. Research use only. Not for diagnosis.", styles["text"]))
    story += [Paragraph(escape(text), styles["stamp"]) for text in report.stamps]
    story += [Paragraph(f"<b>{escape(n)}</b>: {escape(v)}", styles["note"]) for n, v in report.facts]
    for block, following in zip_longest(report.blocks, report.blocks[1:]):
        if isinstance(block, Heading):
            story.append(CondPageBreak(_room_for(following)))
            story.append(Paragraph(escape(block.text), styles["h1" if block.depth == 1 else "h2"]))
        elif isinstance(block, Text):
            story.append(Paragraph(escape(block.text), styles["text"]))
        elif isinstance(block, Picture):
            story.append(_picture(block, styles))
        else:
            story += _table(block, styles)
    return story


def _room_for(block: Block | None) -> float:
    """What has to fit under a heading, so that it does not stand alone at the foot of a page."""
    return 20 * mm + _height(block) if isinstance(block, Picture) else 45 * mm


def _height(block: Picture) -> float:
    width, height = ImageReader(io.BytesIO(block.png)).getSize()
    return float(ROOM * height / width)


def _picture(block: Picture, styles: dict[str, ParagraphStyle]) -> KeepTogether:
    image = Image(io.BytesIO(block.png), width=ROOM, height=_height(block))
    said = " ".join(filter(None, (f"{block.spec.marks}.", block.spec.note, block.spec.where)))
    caption = f"<b>Figure {block.number}. {escape(block.spec.title)}.</b> {escape(said)}"
    return KeepTogether([Spacer(1, 4 * mm), image, Paragraph(caption, styles["caption"])])


def _table(table: Table, styles: dict[str, ParagraphStyle]) -> list[Any]:
    size = "small" if len(table.columns) >= WIDE else ""
    heads = [styles[f"headnumber{size}" if c.numeric else f"head{size}"] for c in table.columns]
    looks = [styles[f"number{size}" if c.numeric else f"cell{size}"] for c in table.columns]
    head = [Paragraph(escape(c.title), look) for c, look in zip(table.columns, heads, strict=True)]
    rows = [
        [Paragraph(_cell(c, row.get(c.key), bool(size)), look) for c, look in zip(table.columns, looks, strict=True)]
        for row in table.rows
    ]
    grid = LongTable([head, *rows], colWidths=_widths(table), repeatRows=1, hAlign="LEFT")
    grid.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LINEABOVE", (0, 0), (-1, 0), 0.8, INK),
                ("LINEBELOW", (0, 0), (-1, 0), 0.5, INK), ("LINEBELOW", (0, -1), (-1, -1), 0.8, INK),
                ("LINEBELOW", (0, 1), (-1, -2), 0.25, LINE), ("LEFTPADDING", (0, 0), (-1, -1), 2.5),
                ("RIGHTPADDING", (0, 0), (-1, -1), 2.5), ("TOPPADDING", (0, 0), (-1, -1), 1.8),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1.8),
            ]
        )
    )  # fmt: skip
    caption = Paragraph(f"<b>{escape(table.title)}.</b> {escape(table.marks)}.", styles["caption"])
    return [CondPageBreak(40 * mm), caption, grid, Spacer(1, 1.5 * mm),
            *(Paragraph(escape(note), styles["note"]) for note in table.notes)]  # fmt: skip


def _cell(column: Column, value: Any, stacked: bool) -> str:
    main, interval = cell_parts(column, value)
    if not interval:
        return escape(main)
    return f"{escape(main)}{'<br/>' if stacked else ' '}{escape(interval)}"


def _width(text: str, font: str, size: float) -> float:
    return float(pdfmetrics.stringWidth(text, font, size))


def _widths(table: Table) -> list[float]:
    """Every column gets its longest word; what is left is shared by the length of the texts."""
    stacked = len(table.columns) >= WIDE
    size = 5.8 if stacked else 6.6
    least, wish = [], []
    for column in table.columns:
        whole: list[tuple[str, str]] = [(column.title, "BodyBold")]  # texts and their fonts
        kept: list[tuple[str, str]] = [(word, "BodyBold") for word in column.title.split()]
        for row in table.rows:
            main, interval = cell_parts(column, row.get(column.key))
            parts = [main, interval] if stacked or not interval else [f"{main} {interval}"]
            whole += [(part, "Body") for part in parts]
            kept += [(word, "Body") for part in parts for word in ([part] if interval else part.split())]
        least.append(max(_width(text, font, size) for text, font in kept or [("", "Body")]) + 7)
        wish.append(min(max(_width(text, font, size) for text, font in whole), 70 * size * 0.6) + 7)
    spare = ROOM - sum(least)
    if spare <= 0:
        return [ROOM * width / sum(least) for width in least]
    more = [max(w - a, 0.0) for a, w in zip(least, wish, strict=True)]
    share = min(1.0, spare / sum(more)) if sum(more) else 0.0
    widths = [a + share * m for a, m in zip(least, more, strict=True)]
    return [width * ROOM / sum(widths) for width in widths] if sum(widths) > 0.7 * ROOM else widths
