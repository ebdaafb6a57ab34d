"""Run the tests that docs/promises.md names, row by row, and print what each says: ``make promises`` (hours).

python -m tests.support.promises            every row
python -m tests.support.promises 1 5 13     these rows
python -m tests.support.promises --quick    without the long forms (slow, faults)
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "promises.md"
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \|", re.MULTILINE)
NODE = re.compile(r"`(tests/[\w/]+\.py(?:::\w+(?:\[[\w-]+\])?)?)`")


@dataclass(frozen=True)
class Promise:
    number: int
    words: str
    nodes: tuple[str, ...]


def promises() -> list[Promise]:
    """The rows of the table, in its order."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return [Promise(int(n), words, tuple(NODE.findall(tests))) for n, words, tests in ROW.findall(text)]


def figures(output: str) -> list[str]:
    """What the tests printed: everything but pytest's own lines."""
    lines = [line.lstrip(".") for line in output.splitlines()]
    return [line for line in lines if re.search(r"\d", line) and " passed" not in line and "::" not in line]


def main(words: list[str]) -> int:
    quick = "--quick" in words
    wanted = {int(word) for word in words if word.isdigit()}
    failed = 0
    for promise in promises():
        if wanted and promise.number not in wanted:
            continue
        marks = ["-m", "not slow and not faults and not deid"] if quick else []
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "-s", *marks, *promise.nodes]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        good = done.returncode in ((0, 5) if quick else (0,))
        failed += not good
        state = "kept" if done.returncode == 0 else "only in the long form" if good else "BROKEN"
        print(f"{promise.number:>2} {state}, {time.monotonic() - began:.0f} s: {promise.words}", flush=True)
        for line in figures(done.stdout) if good else done.stdout.splitlines()[-15:]:
            print(f"     {line}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
