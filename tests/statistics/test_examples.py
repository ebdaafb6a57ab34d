"""The examples in the documentation strings give what they say, and no statistic is without one."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import leukoweb.statistics

MODULES = sorted(module.name for module in pkgutil.iter_modules(leukoweb.statistics.__path__))
RESULTS = {
    "Estimate",
    "TestResult",
    "Coefficient",
    "Kappa",
    "AiVersusReaders",
    "ObuchowskiRockette",
    "UStatistic",
    "Power",
    "Difference",
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(f"leukoweb.statistics.{name}"))
    assert failed == 0


def test_every_statistic_has_an_example() -> None:
    """A public function that returns a result object shows a call and its answer."""
    folder, without = Path(leukoweb.statistics.__path__[0]), []
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_") or node.returns is None:
                continue
            named = {part.id for part in ast.walk(node.returns) if isinstance(part, ast.Name)}
            if named & RESULTS and ">>>" not in (ast.get_docstring(node) or ""):
                without.append(f"{path.stem}.{node.name}")
    assert without == []
