"""The table of the promises names tests that are there, and leaves no number out."""

from __future__ import annotations

import ast

from tests.support.promises import ROOT, figures, promises


def test_every_row_names_tests_that_exist() -> None:
    rows = promises()
    assert [row.number for row in rows] == list(range(1, 40))
    for row in rows:
        assert row.nodes, f"row {row.number} names no test"
        for node in row.nodes:
            path, _, name = node.partition("::")
            assert (ROOT / path).is_file(), node
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            names = {item.name for item in ast.walk(tree) if isinstance(item, ast.FunctionDef)}
            assert not name or name.partition("[")[0] in names, node


def test_what_tests_print_is_kept_and_what_pytest_prints_is_not() -> None:
    assert figures("..SQLite: 3 kills\n3 passed in 2 s\ntests/x.py::test_x\nword\n") == ["SQLite: 3 kills"]
