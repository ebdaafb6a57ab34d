"""Drawing every figure of a study: laid out once for all formats, against once for each format, in the same run.

    python benchmarks/figures_bench.py [--repeats 3]

Processor seconds of this process, SVG and PNG of every figure, as a finished analysis draws them ahead. The two ways
take turns; the ratio is printed for each turn.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from reader_study.analysis.run import analyse
from reader_study.report import figures
from reader_study.report.document import report_document
from reader_study.report.pdf import report_pdf
from reader_study.report.style import drawing, render, stamp
from tests.reader_study.analysis.documents import small

KINDS = ("svg", "png")


def each_for_itself(result: dict[str, Any]) -> dict[tuple[str, str], bytes]:
    """As it was: a new figure, and a new layout, for each format."""
    made = {}
    for spec, level, draw in figures._available(result):
        for kind in KINDS:
            with drawing():
                figure = draw(result, level)
                assert figure is not None
                stamp(figure, spec.marks)
                made[spec.key, kind] = render(figure, kind)
    return made


def once(result: dict[str, Any]) -> dict[tuple[str, str], bytes]:
    found = ((spec.key, figures.figure_files(result, spec.key, KINDS)) for spec in figures.figure_list(result))
    return {(key, kind): data for key, files in found for kind, data in files.items()}


def seconds(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--repeats", type=int, default=3)
    document = small(resamples=20)
    result = analyse(document, version="0")
    pictures = once(result)  # also warms fonts and caches
    assert pictures == once(result), "the same bytes twice"
    ratios = []
    for turn in range(parser.parse_args().repeats):
        before, after = seconds(lambda: each_for_itself(result)), seconds(lambda: once(result))
        ratios.append(before / after)
        print(f"turn {turn + 1}: {before:.1f} s before, {after:.1f} s now, ratio {ratios[-1]:.2f}", flush=True)
    report = report_document(document, result, lambda key: pictures[key, "png"])
    print(f"{len(pictures)} files; report as PDF {seconds(lambda: report_pdf(report)):.1f} s")
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
