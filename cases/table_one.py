"""The paper's Table 1: images and patients by class of the training, internal and external validation sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

SETS: Final[Mapping[str, str]] = {
    "train": "Training",
    "internal": "Internal validation",
    "external": "External validation",
}


@dataclass(frozen=True)
class TableRow:
    """One line: a set, what is counted, the count of each class and their sum."""

    set_title: str
    counted: str
    cells: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.cells)


@dataclass(frozen=True)
class TableOne:
    classes: tuple[str, ...]
    rows: tuple[TableRow, ...]

    @property
    def totals(self) -> tuple[TableRow, TableRow]:
        """Images and patients of all sets together."""
        images, patients = (
            TableRow("All sets", counted, tuple(map(sum, zip(*cells, strict=True))))
            for counted in ("Images", "Patients")
            if (cells := [row.cells for row in self.rows if row.counted == counted])
        )
        return images, patients


def table_one(counts: Mapping[str, Any], external: Mapping[str, Any] | None = None) -> TableOne:
    """From the counts of a version (``images`` and ``patients`` by split and class), and of an external set if any."""
    classes: Sequence[str] = counts["classes"]
    rows = []
    for name, title in SETS.items():
        source = external if name == "external" else counts
        if source is None:
            continue
        for what in ("images", "patients"):
            rows.append(TableRow(title, what.capitalize(), tuple(source[what][name][c] for c in classes)))
    return TableOne(tuple(classes), tuple(rows))
