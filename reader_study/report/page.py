"""The report as one HTML file that needs nothing else: figures inside, for browsers and word processors."""

from __future__ import annotations

import base64
import html

from reader_study.analysis.table_model import Table
from reader_study.exports.tables import table_markup
from reader_study.report.document import Block, Heading, Picture, Report, Text

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;max-width:64rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.7rem}h2{font-size:1.3rem;margin-top:2.2rem;border-bottom:1px solid #bbb}h3{font-size:1.05rem}
table{border-collapse:collapse;font-size:.82rem;font-variant-numeric:tabular-nums}
th,td{border:0;border-bottom:1px solid #ccc;padding:.3rem .5rem;vertical-align:top}
thead th{border-bottom:2px solid #333}
th[scope=row]{font-weight:400}.scroll{overflow-x:auto}figure{margin:1.2rem 0}img{max-width:100%;height:auto}
figcaption,.caption{font-size:.9rem;margin:.4rem 0}.note{font-size:.8rem;color:#444;margin:.2rem 0}
.stamp{border:2px solid #8a4b00;background:#fff6e5;padding:.5rem .8rem;font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;font-size:.85rem;overflow-wrap:anywhere}
dd{margin:0}
@media print{body{margin:0;max-width:none;font-size:10pt}figure,tr{break-inside:avoid}}
"""


def report_html(report: Report) -> bytes:
    """The page."""
    title = html.escape(report.title)
    facts = "".join(f"<dt>{html.escape(n)}</dt><dd>{html.escape(v)}</dd>" for n, v in report.facts)
    stamps = "".join(f'<p class="stamp">{html.escape(text)}</p>' for text in report.stamps)
    body = "\n".join(_block(block) for block in report.blocks)
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><h1>{title}</h1>\n<p>Report of a reader study. "
        f"<strong>Research use only. Not for diagnosis.</strong></p>\n{stamps}<dl>{facts}</dl>\n"
        f"{body}\n</body></html>\n"
    )
    return page.encode()


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.depth + 1}>{html.escape(block.text)}</h{block.depth + 1}>"
    if isinstance(block, Text):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Picture):
        data = base64.b64encode(block.png).decode()
        words = html.escape(f"{block.spec.title}. {block.spec.where}")
        said = " ".join(filter(None, (f"{block.spec.marks}.", block.spec.note, block.spec.where)))
        caption = f"Figure {block.number}. {html.escape(block.spec.title)}. {html.escape(said)}"
        return (f'<figure><img src="data:image/png;base64,{data}" alt="{words}">'
                f"<figcaption>{caption}</figcaption></figure>")  # fmt: skip
    return _table(block)


def _table(table: Table) -> str:
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in table.notes)
    return (f'<p class="caption"><strong>{html.escape(table.title)}</strong>. {html.escape(table.marks)}.</p>'
            f'<div class="scroll">{table_markup(table)}</div>{notes}')  # fmt: skip
