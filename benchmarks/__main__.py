"""All benchmarks, or those named, one after the other; results as JSON, then as tables of docs/performance.md.

    make bench [ONLY="web upload"] [RESULTS=FOLDER]
    python -m benchmarks [--only web ...] [--results FOLDER] [--list]

Each runs in a process of its own. One that does not keep tables by itself is kept with what it printed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import FOLDER, ROOT, Result, Table


@dataclass(frozen=True)
class Benchmark:
    """``words`` say what it compares; ``own_json``: takes ``--results`` and writes its tables itself."""

    command: str
    words: str
    own_json: bool = True

    def line(self, results: Path) -> list[str]:
        extra = ["--results", str(results)] if self.own_json else []
        return [sys.executable, "-m", *self.command.split(), *extra]


BENCHMARKS = {
    "web": Benchmark("benchmarks.web", "pages at 64 and 10,000 patients, SQLite and PostgreSQL"),
    "load": Benchmark("benchmarks.load", "concurrent readers until the 95th percentile passes 300 ms"),
    "delivery": Benchmark(
        "benchmarks.delivery", "images through the application, nginx with X-Accel, a plain file server"
    ),
    "upload": Benchmark("benchmarks.upload", "a folder to stored and checked, against cp and sha256"),
    "cohort": Benchmark("benchmarks.cohort", "a cohort through a worker, and again where nothing is computed"),
    "startup": Benchmark("benchmarks.startup", "import time, a second start, a worker's first prediction"),
    "viewer": Benchmark("benchmarks.viewer_latency", "key press to the next field in Chromium"),
    "statistics": Benchmark("benchmarks.statistics_bench", "resamples and kappas against scikit-learn", own_json=False),
    "training": Benchmark("benchmarks.training_step", "a training step, three ways", own_json=False),
    "head": Benchmark("benchmarks.head_training", "features and head of the quick retraining"),
}


def run(name: str, results: Path) -> bool:
    benchmark = BENCHMARKS[name]
    line = benchmark.line(results)
    print(f"\n=== {name}: {benchmark.words}", flush=True)
    start = time.monotonic()
    if benchmark.own_json:
        code = subprocess.run(line, cwd=ROOT, check=False).returncode
    else:
        with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            said = []
            for text in process.stdout or ():
                print(text, end="", flush=True)
                said.append(text.rstrip())
        code = process.returncode
        if code == 0:
            table = Table("", ["said"], [[text] for text in said if text.strip()])
            Result(name, f"python -m {benchmark.command}", [table]).save(results)
    print(f"=== {name}: {'done' if code == 0 else f'FAILED ({code})'} in {time.monotonic() - start:.0f} s", flush=True)
    return code == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    names = options.only or list(BENCHMARKS)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    if options.list:
        for name in names:
            print(f"{name:<12} {BENCHMARKS[name].words}")
        return 0
    failed = [name for name in names if not run(name, options.results)]
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
        return 1
    print("Tables of docs/performance.md: python -m benchmarks.results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
