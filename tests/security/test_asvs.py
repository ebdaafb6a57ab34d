"""The table of requirements names tests that exist, and all requirements of level 1."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security" / "asvs.md").read_text(encoding="utf-8")
STATES = ("met", "met at level 1", "met in production", "met by the library", "partly", "not met", "not shown",
          "not applicable", "operator")  # fmt: skip


def rows() -> list[list[str]]:
    lines = [line for line in TEXT.splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_named_test_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", TEXT)
    assert len(named) > 40
    for path, test in named:
        assert (ROOT / path).is_file(), path
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), (path, test)


def test_the_seventy_of_level_one_are_there_once() -> None:
    numbers = [row[0] for row in rows()]
    assert len(numbers) == len(set(numbers))
    level_one = [number for number in numbers if "(L2)" not in number]
    assert "10.4.1 to 10.4.5" in level_one  # one line for five
    assert len(level_one) - 1 + 5 == 70


def test_states_are_said_in_these_words() -> None:
    assert {row[2] for row in rows()} <= set(STATES)
