"""Pages of two versions of the code in turns, on databases of the same rows.

    git worktree add ../before COMMIT && cp benchmarks/web.py ../before/benchmarks/
    python -m benchmarks.before_after --before ../before --pages "sorting tasks" "upload page"

Each version fills a database of its own from the same seed, so that each has its own indexes. A server that
BENCH_POSTGRES names keeps its databases, and --keep the files of both.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.results import Result, Table, add_options, report
from benchmarks.web import PAGES, Database, database_url, postgres_server

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


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
    return Table(NAMES[after.kind], ["page", "before, ms", "after, ms", "times faster"], rows)


def row(title: str, old: float, new: float) -> list[Any]:
    return [title, round(old), round(new), round(old / new, 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="tree of the older version, with these benchmarks")
    parser.add_argument("--patients", type=int, default=10_000)
    parser.add_argument("--pages", nargs="+", required=True, help="titles in benchmarks.web.PAGES")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--databases", nargs="+", default=["sqlite"], choices=[*NAMES])
    parser.add_argument("--keep", type=Path, help="folder with databases that were filled before, or to keep them in")
    parser.add_argument("--name", default="pages_before_after", help="of the result and of its place in the document")
    add_options(parser)
    options = parser.parse_args()
    wanted = [next(i for i, page in enumerate(PAGES) if page.title == title) for title in options.pages]
    tables = []
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leukoweb-bench-")))
        server = stack.enter_context(postgres_server()) if "postgresql" in options.databases else ""
        for kind in [kind for kind in options.databases if kind == "sqlite" or server]:
            pair = []
            for name, tree in (("before", options.before.resolve()), ("after", None)):
                more = {"tree": tree} if tree else {}
                url = database_url(server, f"bench_{name}") if kind == "postgresql" else ""
                pair.append(Database(kind, options.patients, folder / name, url, **more))
                stack.callback(pair[-1].close)
            tables.append(table(*pair, wanted, options.rounds))
        command = f"python -m benchmarks.before_after --patients {options.patients}"
        report(Result(options.name, command, tables), options.results)


if __name__ == "__main__":
    main()
