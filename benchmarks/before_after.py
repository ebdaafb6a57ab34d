"""Pages of two versions of the code in turns, on databases of the same rows (SQLite).

    git worktree add ../before COMMIT && cp benchmarks/*.py ../before/benchmarks/
    python -m benchmarks.before_after --before ../before --pages "sorting tasks" "upload page"

Each version fills a database of its own from the same seed, so that each has its own indexes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.results import Result, Table, add_options, report
from benchmarks.web import PAGES, Database


def table(before: Database, after: Database, wanted: list[int], rounds: int) -> Table:
    rows: list[list[Any]] = []
    for index in wanted:
        times: dict[Database, list[float]] = {before: [], after: []}
        for _ in range(rounds):
            for database, found in times.items():
                found += database.ask(index, 1)["ms"]
        old, new = (statistics.median(found) for found in times.values())
        rows.append(row(PAGES[index].title, old, new))
        print(f"  {rows[-1]}", flush=True)
    return Table("", ["page", "before, ms", "after, ms", "times faster"], rows)


def row(title: str, old: float, new: float) -> list[Any]:
    return [title, round(old), round(new), round(old / new, 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="tree of the older version, with these benchmarks")
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--pages", nargs="+", required=True, help="titles in benchmarks.web.PAGES")
    parser.add_argument("--rounds", type=int, default=3)
    add_options(parser)
    options = parser.parse_args()
    wanted = [next(i for i, page in enumerate(PAGES) if page.title == title) for title in options.pages]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leukoweb-bench-")))
        pair = []
        for name, tree in (("before", options.before.resolve()), ("after", None)):
            more = {"tree": tree} if tree else {}
            pair.append(Database("sqlite", options.patients, folder / name, **more))
            stack.callback(pair[-1].close)
        command = f"python -m benchmarks.before_after --patients {options.patients}"
        report(Result("pages_before_after", command, [table(*pair, wanted, options.rounds)]), options.results)


if __name__ == "__main__":
    main()
