"""Golden files and the walk over every number in them.

A number of a golden file is matched by a number of the same path in what the library found, or its path has a written
reason. A reason that no number needs is an error too.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CARRIED = Path(__file__).parent.parent / "golden"
TOLERANCE = 1e-6


def golden_file(name: str) -> Path:
    """A golden file: carried by the project, else in the folder that the environment names."""
    if (CARRIED / name).exists():
        return CARRIED / name
    shared = os.environ.get("LEUKOWEB_SHARED")
    if not shared or not (Path(shared) / "stats" / name).exists():
        pytest.skip(f"LEUKOWEB_SHARED is unset or has no stats/{name}: golden data that the project does not carry")
    return Path(shared) / "stats" / name


def expected_of(name: str) -> Any:
    """The golden values of a data set."""
    return json.loads(golden_file(f"{name}.expected.json").read_text(encoding="utf-8"))


def rows_of(name: str) -> list[dict[str, str]]:
    """The rows of a golden CSV."""
    with golden_file(name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def numbers(tree: Any, path: str = "") -> Iterator[tuple[str, float | None]]:
    """Every number or null of a JSON tree with its path."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from numbers(value, f"{path}/{key}")
    elif isinstance(tree, (list, tuple)):
        for index, value in enumerate(tree):
            yield from numbers(value, f"{path}/{index}")
    elif tree is None or (isinstance(tree, (int, float)) and not isinstance(tree, bool)):
        yield path, tree


def agrees(found: float | None, wanted: float | None, tolerance: float) -> bool:
    """Equal to the tolerance (absolute, and relative for numbers above 1); null equals undefined."""
    if wanted is None:
        return found is None or not math.isfinite(found)
    if found is None or not math.isfinite(found):
        return False
    return abs(found - wanted) <= tolerance * max(1.0, abs(wanted))


def walk(wanted: Any, found: Any, reasons: dict[str, str], rounded: dict[str, float] | None = None) -> dict[str, int]:
    """Compare all numbers.

    ``reasons`` maps a pattern of paths to why these are not computed or differ; ``rounded`` maps a pattern to the
    tolerance of values that the golden file itself carries with few digits. Returns how many matched, matched as far
    as they are printed, and were explained.
    """
    have = dict(numbers(found))
    counts = {"total": 0, "matched": 0, "rounded": 0, "explained": 0}
    unexplained, used = [], set()
    for path, value in numbers(wanted):
        counts["total"] += 1
        if path in have and agrees(have[path], value, TOLERANCE):
            counts["matched"] += 1
            continue
        coarse = [tolerance for pattern, tolerance in (rounded or {}).items() if re.search(pattern, path)]
        if path in have and coarse and agrees(have[path], value, coarse[0]):
            counts["rounded"] += 1
            continue
        why = [pattern for pattern in reasons if re.search(pattern, path)]
        if why:
            used.add(why[0])
            counts["explained"] += 1
        else:
            unexplained.append(f"{path}: expected {value}, found {have.get(path, 'nothing')}")
    assert not unexplained, f"{len(unexplained)} numbers differ without a reason:\n" + "\n".join(unexplained[:25])
    existing = {path for path, _ in numbers(wanted)}
    unknown = [path for path in have if path not in existing]
    assert not unknown, f"found numbers that the golden file does not have: {unknown[:10]}"
    spare = set(reasons) - used
    assert not spare, f"reasons that no number needs: {spare}"
    return counts
