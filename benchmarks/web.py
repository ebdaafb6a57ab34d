"""Pages at 64 and at 10,000 patients (500,000 image rows), on SQLite and PostgreSQL, in one run.

    python -m benchmarks.web [--patients 64 10000] [--rounds 20] [--keep FOLDER] [--databases sqlite postgresql]

One process per database is filled by `benchmarks.filler` and then asked for pages in turns, so that all databases see
the same machine. A figure is one request through the whole of Django (middleware, sign-in session, view, template) in
that process, without a socket. Queries are counted on the second request, when caches are warm.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT, Result, Table, add_options, report


@dataclass(frozen=True)
class Page:
    """``path`` with places of the filler in braces; ``user`` who opens it."""

    title: str
    user: str
    path: str


PAGES = (
    Page("start page, technician", "technician", "/"),
    Page("start page, reader", "reader1", "/"),
    Page("start page, coordinator", "coordinator", "/"),
    Page("start page, sorter", "sorter1", "/"),
    Page("cohorts", "technician", "/cohorts/"),
    Page("slides of a cohort", "technician", "/cohorts/{cohort}/"),
    Page("slides of a cohort, last page", "technician", "/cohorts/{cohort}/?page=999999"),
    Page("patients of a cohort", "technician", "/cohorts/{cohort}/patients/"),
    Page("slide with its images", "technician", "/slides/{slide}/"),
    Page("image list (API)", "technician", "/api/v1/slides/{slide}/images/"),
    Page("viewer of a field", "technician", "/images/{image}/view/"),
    Page("slides to review", "technician", "/slides/review/"),
    Page("upload page", "technician", "/upload/"),
    Page("jobs", "technician", "/jobs/"),
    Page("references", "coordinator", "/references/"),
    Page("results", "coordinator", "/results/"),
    Page("results, last page", "coordinator", "/results/?page=999999"),
    Page("result of a slide", "coordinator", "/results/{run}/"),
    Page("runs of a cohort", "coordinator", "/cohorts/{cohort}/runs/"),
    Page("curation", "admin", "/curation/"),
    Page("curation, sorted by sharpness", "admin", "/curation/?sort=sharpness"),
    Page("datasets", "coordinator", "/datasets/"),
    Page("a dataset version", "coordinator", "/datasets/{dataset}/"),
    Page("audit trail", "coordinator", "/audit/"),
    Page("sorting tasks", "sorter1", "/sorting/"),
    Page("sorting tasks, staff", "admin", "/sorting/"),
    Page("sorting board", "sorter1", "/sorting/{task}/board/"),
    Page("its queue of 640", "sorter1", "/api/v1/sorting/{task}/queue/"),
    Page("queue of everything (640 or 100,000)", "sorter1", "/api/v1/sorting/{task_all}/queue/"),
    Page("own readings", "reader1", "/read/"),
    Page("reading board", "reader1", "/read/{session}/board/"),
    Page("its state (64 cases)", "reader1", "/read/{session}/state/"),
    Page("next case", "reader1", "/read/{session}/case/{case}/"),
    Page("studies", "coordinator", "/studies/"),
    Page("study grid, 64 cases x 5 sessions", "coordinator", "/studies/{study}/"),
    Page("study grid, 1,000 cases x 4 sessions", "coordinator", "/studies/{big_study}/"),
    Page("reading board of 1,000 cases", "late1", "/read/{big_session}/board/"),
    Page("its state (1,000 cases)", "late1", "/read/{big_session}/state/"),
    Page("next of 1,000 cases", "late1", "/read/{big_session}/case/{big_case}/"),
    Page("start page, reader of 1,000 cases", "late1", "/"),
)


def child() -> None:
    """Fill if that was not done, then answer lines ``index times`` with JSON until the input ends.

    A page is looked at twice before its first timing: to warm it up, and to count its queries and bytes.
    """
    import django

    django.setup()
    from django.conf import settings
    from django.db import connection, reset_queries
    from django.test import Client

    from benchmarks.filler import Size, fill
    from leukoweb.core.models import User

    marker = Path(settings.DATA_DIR) / "places.json"
    if not marker.exists():
        settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps(fill(Size(int(sys.argv[2])))), encoding="utf-8")
    places = json.loads(marker.read_text(encoding="utf-8"))
    settings.ALLOWED_HOSTS = ["*"]
    clients: dict[str, Client] = {}
    known: dict[int, dict[str, Any]] = {}
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        index, times = map(int, line.split())
        page = PAGES[index]
        user = User.objects.filter(username=page.user).first()
        try:
            path = page.path.format(**places)
        except KeyError:
            user = None
        if user is None:
            print(json.dumps({"absent": True}), flush=True)
            continue
        if page.user not in clients:
            clients[page.user] = Client()
            clients[page.user].force_login(user, backend="django.contrib.auth.backends.ModelBackend")
            wake(clients[page.user])
        client = clients[page.user]
        if index not in known:
            client.get(path)
            connection.force_debug_cursor = True
            reset_queries()
            answer = client.get(path)
            slow = [[q["time"], q["sql"][:1500]] for q in sorted(connection.queries, key=lambda q: -float(q["time"]))]
            body = b"".join(answer) if answer.streaming else answer.content
            facts = {"status": answer.status_code, "queries": len(connection.queries), "bytes": len(body)}
            known[index] = facts | {"slow": slow[:3]}
            connection.force_debug_cursor = False
        took = []
        for _ in range(times):
            start = time.perf_counter()
            client.get(path)
            took.append(1000 * (time.perf_counter() - start))
        print(json.dumps(known[index] | {"ms": took}), flush=True)


def wake(client: Any) -> None:
    """Say to the reader's desk that its user has just signed in, as a person who reads would."""
    from django.utils import timezone

    from reader_study.middleware import STAMP

    session = client.session
    session[STAMP] = timezone.now().timestamp()
    session.save()


class Database:
    """A child with its own database, running the code of ``tree``."""

    def __init__(self, kind: str, patients: int, folder: Path, url: str = "", tree: Path = ROOT) -> None:
        self.kind, self.patients = kind, patients
        data = folder / f"{kind}-{patients}"
        env = {
            **os.environ,
            "DATA_DIR": str(data),
            "DJANGO_SETTINGS_MODULE": "leukoweb.settings",
            "LOG_LEVEL": "ERROR",
            "DATABASE_URL": url,
            "PYTHONPATH": str(tree),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.web", "child", str(patients)],
            env=env,
            cwd=tree,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.answer()

    def answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise SystemExit(f"the process of {self.kind} with {self.patients} patients ended")
        return dict(json.loads(line))

    def ask(self, page: int, times: int) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(f"{page} {times}\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a server: the one that BENCH_POSTGRES names, or a child on a loopback port where this machine has its
    programs; empty where it has not."""
    if base := os.environ.get("BENCH_POSTGRES", ""):
        yield base
        return
    from tests.support.postgres import programs, server

    if (found := programs()) is None:
        print("This machine has no PostgreSQL programs; measuring SQLite only.", flush=True)
        yield ""
        return
    with server(found) as base:
        yield base


@contextmanager
def databases(kinds: list[str], sizes: list[int], folder: Path) -> Iterator[list[Database]]:
    """Filled databases."""
    with ExitStack() as stack:
        base = stack.enter_context(postgres_server()) if "postgresql" in kinds else ""
        kinds = [kind for kind in kinds if kind == "sqlite" or base]
        made = []
        for kind in kinds:
            for size in sizes:
                url = database_url(base, f"bench_{size}") if kind == "postgresql" else ""
                made.append(Database(kind, size, folder, url))
                stack.callback(made[-1].close)
        yield made


def database_url(base: str, name: str) -> str:
    """The URL of database ``name`` on the server of ``base``, made if it is missing."""
    import psycopg

    with psycopg.connect(base, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]  our own name
    return f"{base.rpartition('/')[0]}/{name}"


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(made: list[Database], wanted: list[int], rounds: int, budget_s: float) -> dict[int, list[dict[str, Any]]]:
    """Page index -> one answer per database, with all times of all rounds."""
    found: dict[int, list[dict[str, Any]]] = {}
    for index in wanted:
        answers = [database.ask(index, 1) for database in made]
        slowest = max([statistics.median(a["ms"]) for a in answers if "ms" in a], default=0)
        turns = max(2, min(rounds, int(1000 * budget_s / (3 * max(slowest, 1)))))
        for _ in range(turns):
            for answer, database in zip(answers, made, strict=True):
                if "ms" in answer:
                    answer["ms"] += database.ask(index, 1)["ms"]
        found[index] = answers
        print(
            f"  {PAGES[index].title}: "
            + ", ".join(
                f"{a['status']} {statistics.median(a['ms']):.0f} ms, {a['queries']} queries" if "ms" in a else "-"
                for a in answers
            ),
            file=sys.stderr,
            flush=True,
        )
    return found


def tables(made: list[Database], found: dict[int, list[dict[str, Any]]]) -> list[Table]:
    """One table per kind of database: p50 and p95 at each size, their ratio, queries, bytes."""
    result = []
    for kind in dict.fromkeys(database.kind for database in made):
        at = [i for i, database in enumerate(made) if database.kind == kind]
        sizes = [made[i].patients for i in at]
        columns = ["page", *(f"p50 (p95) ms, {size:,} patients" for size in sizes), "ratio of p50", "queries", "kB"]
        rows = []
        for index, answers in found.items():
            mine = [answers[i] for i in at]
            p50 = [statistics.median(a["ms"]) if "ms" in a else None for a in mine]
            cells = [
                f"{m:.0f} ({percentile(a['ms'], 0.95):.0f})" if m is not None else ""
                for m, a in zip(p50, mine, strict=True)
            ]
            queries = sorted({a["queries"] for a in mine if "ms" in a})
            last = next(a for a in reversed(mine) if "ms" in a)
            ratio = round(p50[-1] / p50[0], 1) if len(p50) > 1 and p50[0] and p50[-1] else ""
            rows.append(
                [PAGES[index].title, *cells, ratio, " or ".join(map(str, queries)), round(last["bytes"] / 1000)]
            )
        result.append(Table({"sqlite": "SQLite", "postgresql": "PostgreSQL"}[kind], columns, rows))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, nargs="+", default=[64, 10_000])
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--budget", type=float, default=12, help="seconds per page at most, over all databases")
    parser.add_argument("--keep", type=Path, help="folder with databases that were filled before, or to keep them in")
    parser.add_argument("--pages", nargs="*", default=[], help="only pages whose title contains one of these")
    parser.add_argument("--slow", action="store_true", help="show the slowest queries of each page")
    add_options(parser)
    options = parser.parse_args()
    wanted = [i for i, p in enumerate(PAGES) if not options.pages or any(word in p.title for word in options.pages)]
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leukoweb-bench-")))
        made = stack.enter_context(databases(options.databases, options.patients, folder))
        found = measure(made, wanted, options.rounds, options.budget)
        if options.slow:
            for index, answers in found.items():
                for database, answer in zip(made, answers, strict=True):
                    for seconds, sql in answer.get("slow", []):
                        if float(seconds) > 0.02:
                            print(f"{PAGES[index].title} {database.kind} {database.patients}: {seconds} s {sql}\n")
        report(Result("web", "python -m benchmarks.web", tables(made, found)), options.results)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child()
    else:
        main()
