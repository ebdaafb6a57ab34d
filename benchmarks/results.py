"""Results of benchmarks: one JSON per benchmark, and the tables of docs/performance.md made from them.

    python -m benchmarks.results [--results FOLDER] [--check]

writes, between the markers ``<!-- bench NAME -->`` and ``<!-- /bench -->`` of docs/performance.md, the tables of
FOLDER/NAME.json with the machine and the command that measured them. No figure of such a table is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "benchmarks" / "results"
FORMAT = "leukoweb-benchmark/1"
MARKED = re.compile(r"<!-- bench (?P<name>[a-z_]+) -->\n.*?<!-- /bench -->", re.DOTALL)
FLAGS = ("amx_bf16", "amx_int8", "avx512_bf16", "avx512f", "avx2")


@dataclass
class Table:
    """``rows`` of text or numbers, as long as ``columns``; the first column names the row."""

    title: str
    columns: list[str]
    rows: list[list[Any]]
    note: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"table {self.title!r} has a row that does not fit its {len(self.columns)} columns")

    def markdown(self) -> str:
        lines = [f"**{self.title}**", ""] if self.title else []
        lines += ["| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        lines += ["| " + " | ".join(shown(cell) for cell in row) + " |" for row in self.rows]
        return "\n".join([*lines, "", self.note] if self.note else lines)


@dataclass
class Result:
    """What one run of a benchmark gave."""

    name: str
    command: str
    tables: list[Table]
    machine: dict[str, Any] = field(default_factory=dict)
    at: str = ""

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        self.machine = self.machine or machine()
        self.at = self.at or datetime.now(UTC).strftime("%Y-%m-%d")
        path = folder / f"{self.name}.json"
        path.write_text(
            json.dumps({"format": FORMAT} | asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        return path

    @classmethod
    def load(cls, path: Path) -> Result:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format", "") != FORMAT:
            raise ValueError(f"{path} is no result of a benchmark")
        return cls(**{**data, "tables": [Table(**table) for table in data["tables"]]})

    def markdown(self) -> str:
        head = f"`{self.command}` on {self.at}; {in_words(self.machine)}."
        return "\n\n".join([head, *(table.markdown() for table in self.tables)])


def shown(cell: Any) -> str:
    """A number in three significant figures, a list of text as it is."""
    if isinstance(cell, bool) or cell is None:
        return {True: "yes", False: "no", None: ""}[cell]
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell).replace("|", "\\|")


def machine() -> dict[str, Any]:
    """What the figures depend on. ``busy``: load average per core after the run, below 1 when quiet."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*:\s*(.*)", info)
    flags = set((re.search(r"flags\s*:\s*(.*)", info) or [""])[0].split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": cores,
        "cpu": model[1] if model else platform.processor(),
        "flags": [f for f in FLAGS if f in flags],
        "memory_gib": round(memory),
        "python": platform.python_version(),
        "system": platform.system(),
        "busy": round(os.getloadavg()[0] / cores, 1),
    }


def in_words(facts: dict[str, Any]) -> str:
    """One line for a document."""
    amx = "with AMX" if any(f.startswith("amx") for f in facts["flags"]) else "without AMX"
    busy = f", load {facts['busy']} per core" if facts["busy"] >= 1 else ""
    return f"{facts['cores']} cores of {facts['cpu']} {amx}, {facts['memory_gib']} GiB, Python {facts['python']}{busy}"


def rendered(text: str, folder: Path) -> str:
    """The document with its marked parts made anew. A part without a result stays as it is."""

    def part(match: re.Match[str]) -> str:
        path = folder / f"{match['name']}.json"
        if not path.exists():
            return match[0]
        return f"<!-- bench {match['name']} -->\n{Result.load(path).markdown()}\n<!-- /bench -->"

    return MARKED.sub(part, text)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every benchmark of `make bench` takes. Ended from outside, it still ends what it started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser.add_argument("--results", type=Path, default=None, help="folder to write NAME.json into")


def report(result: Result, folder: Path | None) -> None:
    """Print the tables, and keep them where a folder was given."""
    print("\n\n".join(table.markdown() for table in result.tables), flush=True)
    if folder is not None:
        print(f"\n-> {result.save(folder)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--check", action="store_true", help="only say whether the document is what the results say")
    options = parser.parse_args()
    text = DOCUMENT.read_text(encoding="utf-8")
    new = rendered(text, options.results)
    if options.check:
        sys.exit(0 if new == text else f"{DOCUMENT.name} differs from the results; run: python -m benchmarks.results")
    DOCUMENT.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
