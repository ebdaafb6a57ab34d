"""How long things take to start: imports of the web process, a second `make run`, memory of the web server.

    python -m benchmarks.startup [--runs 3]

CPU seconds are told beside seconds on the clock: on a busy machine only the first mean something.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT, Result, Table, add_options, report
from benchmarks.serving import Client, environment, free_port, memory_mb

IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")
HEAVY = (
    "scipy",
    "matplotlib",
    "numpy",
    "openpyxl",
    "reportlab",
    "PIL",
    "allauth",
    "celery",
    "rest_framework",
    "django",
)
STATEMENTS = {
    "web process (leukoweb.wsgi)": "import leukoweb.wsgi",
    "command line (django.setup)": "import django; django.setup()",
    "worker (leukoweb.celery)": "import leukoweb.celery",
    "statistics alone": "import leukoweb.statistics.ratings",
    "torch (inference and training workers only)": "import torch",
    "openvino (inference workers only)": "import openvino",
}


def imports(env: dict[str, str], runs: int) -> Table:
    rows: list[list[Any]] = []
    bare = statistics.median(cpu("pass", env)[1] for _ in range(runs))
    for name, statement in STATEMENTS.items():
        took = [cpu(statement, env) for _ in range(runs)]
        if all(code for code, _, _ in took):
            rows.append([name, None, None])
            continue
        rows.append([name, statistics.median(t[1] for t in took) - bare, statistics.median(t[2] for t in took)])
    return Table("Imports", ["process", "CPU s", "memory MB"], rows)


def cpu(statement: str, env: dict[str, str]) -> tuple[int, float, float]:
    """(exit code, CPU seconds, peak memory in MB) of a Python that runs one statement."""
    process = subprocess.Popen([sys.executable, "-c", statement], env=env, cwd=ROOT, stderr=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    return process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def packages(env: dict[str, str]) -> Table:
    """Where the web process spends its imports: time inside each package, as a share of all."""
    said = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import leukoweb.wsgi"],
        env=env,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    ).stderr
    own = [(int(m[1]), m[4]) for m in map(IMPORT.match, said.splitlines()) if m]
    total = sum(us for us, _ in own)
    rows: list[list[Any]] = []
    for name in (*HEAVY, "leukoweb", "cases", "inference", "reader_study"):
        share = sum(us for us, module in own if module == name or module.startswith(name + ".")) / total
        rows.append([name, f"{100 * share:.0f} %"])
    return Table(
        "Modules of the web process",
        ["package", "share of its import time"],
        sorted(rows, key=lambda row: -int(row[1].split()[0])),
        f"{len(own):,} modules in all.",
    )


def launches(data: Path, env: dict[str, str], runs: int) -> Table:
    """From the command to the first page, and to the printed links; the first start makes everything."""
    rows: list[list[Any]] = []
    for number in range(runs + 1):
        port, begun, before = free_port(), time.monotonic(), children_cpu()
        process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(port), "--no-demo"],
            cwd=ROOT,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            page = until_page(port, process) - begun
            settle(process.pid)
            used = memory_mb(process.pid)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
        name = "first start (empty folder)" if number == 0 else "second start"
        rows.append([name, page, children_cpu() - before, used])
    second = rows[1:]
    middle = [statistics.median(row[i] for row in second) for i in (1, 2, 3)]
    return Table(
        "make run",
        ["start", "s to the first page", "CPU s of all processes", "memory MB of all processes"],
        [rows[0], ["second start, median", *middle]],
    )


def until_page(port: int, process: subprocess.Popen[bytes]) -> float:
    while process.poll() is None:
        try:
            if Client(port).get("/accounts/login/")[0] == 200:
                return time.monotonic()
        except OSError:
            time.sleep(0.02)
    raise SystemExit("the launcher ended")


def settle(pid: int) -> None:
    """Until memory stands still: the workers are up too."""
    last, still = 0.0, 0
    for _ in range(20):
        now = memory_mb(pid)
        still = still + 1 if abs(now - last) < 2 else 0
        if still == 3:
            return
        last = now
        time.sleep(0.5)


def children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    add_options(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leukoweb-bench-") as folder:
        env = environment(Path(folder))
        env.pop("DATABASE_URL", None)
        launched = launches(Path(folder), env, options.runs)
        tables = [imports(env, options.runs), packages(env), launched]
        report(Result("startup", "python -m benchmarks.startup", tables), options.results)


if __name__ == "__main__":
    main()
