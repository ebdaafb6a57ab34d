"""How far the sorters of a task agree: one report for the page, the API and the command line.

Every number comes from `leukoweb.statistics`. "Cannot classify" and "exclude" count as classes of their own, unless
only labels are asked for: then an image to which somebody gave no label is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from itertools import combinations
from typing import Any, Final

import numpy as np

from leukoweb.statistics.confusion import MISSING, Bools, Ints
from leukoweb.statistics.multirater import fleiss_kappa_missing
from leukoweb.statistics.results import Estimate, to_json_value
from leukoweb.statistics.sorters import SorterAgreement, sorter_agreement

OTHER_CLASSES: Final = ("CANNOT_CLASSIFY", "EXCLUDED")
MIN_IN_WEEK: Final = 20
MIN_WEEKS: Final = 3


@dataclass(frozen=True)
class SortedTable:
    """What several sorters said.

    Attributes
    ----------
    classes
        Labels of the taxonomy in order, then `OTHER_CLASSES`.
    sorters
        Names, one per column of ``codes``.
    codes
        Class of each image by each sorter, -1 = undecided or not asked.  # (n_images, n_sorters)
    patients, devices
        Of each image; a device may be "".  # (n_images,)
    times
        When each decision was made; None where there is none.  # n_images rows of n_sorters
    zone
        In which a week begins.
    """

    classes: tuple[str, ...]
    sorters: tuple[str, ...]
    codes: Ints
    patients: Sequence[int]
    devices: Sequence[str]
    times: Sequence[Sequence[datetime | None]]
    zone: tzinfo = UTC

    def labels_only(self) -> SortedTable:
        """The same without images that a sorter gave no label."""
        n_labels = len(self.classes) - len(OTHER_CLASSES)
        kept = np.where(self.codes < n_labels, self.codes, MISSING)
        return replace(self, classes=self.classes[:n_labels], codes=kept)


@dataclass(frozen=True)
class Part:
    """Agreement within a part of the images: a device, a week, a third."""

    name: str
    n_images: int
    n_patients: int
    kappa: Estimate
    agreement: Estimate

    def as_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_json_value(
            {"name": self.name, "n_images": self.n_images, "n_patients": self.n_patients, "kappa": self.kappa,
             "agreement": self.agreement}
        )  # fmt: skip
        return plain


@dataclass(frozen=True)
class PairReport:
    """Two sorters, with the columns of the table that they are."""

    first: str
    second: str
    columns: tuple[int, int]
    found: SorterAgreement
    over_time: list[Part] = field(default_factory=list)
    by_device: list[Part] = field(default_factory=list)
    time_unit: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "first": self.first, "second": self.second, **self.found.as_dict(), "time_unit": self.time_unit,
            "over_time": [one.as_dict() for one in self.over_time],
            "by_device": [one.as_dict() for one in self.by_device],
        }  # fmt: skip


@dataclass(frozen=True)
class AgreementReport:
    """All pairs of sorters who share an image, the pair in detail, and all sorters together (three or more)."""

    classes: tuple[str, ...]
    pairs: list[PairReport]
    chosen: PairReport | None
    together: Estimate | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "classes": list(self.classes),
            "pairs": [one.as_dict() for one in self.pairs],
            "together": self.together.as_dict() if self.together else None,
        }


def agreement_report(table: SortedTable, *, pair: tuple[int, int] | None = None) -> AgreementReport:
    """The report; ``pair`` names the columns to show in detail, else the pair with most images in common."""
    patients = np.asarray(table.patients)
    pairs = [
        PairReport(table.sorters[a], table.sorters[b], (a, b), _pair(table, patients, (a, b)))
        for a, b in combinations(range(len(table.sorters)), 2)
    ]
    pairs = [one for one in pairs if one.found.n_images]
    chosen = next((one for one in pairs if one.columns == pair), None)
    chosen = chosen or max(pairs, key=lambda one: one.found.n_images, default=None)
    if chosen is not None:
        detailed = _in_detail(table, patients, chosen)
        pairs = [detailed if one is chosen else one for one in pairs]
        chosen = detailed
    return AgreementReport(table.classes, pairs, chosen, _together(table, patients))


def _pair(table: SortedTable, patients: Any, columns: tuple[int, int], rows: Any = slice(None)) -> SorterAgreement:
    first, second = (table.codes[rows, column] for column in columns)
    return sorter_agreement(first, second, patients[rows], len(table.classes))


def _together(table: SortedTable, patients: Any) -> Estimate | None:
    read = np.any(table.codes >= 0, axis=1)
    if len(table.sorters) < 3 or not read.any():
        return None
    return fleiss_kappa_missing(table.codes, len(table.classes)).estimate(clusters=patients[read])


def _in_detail(table: SortedTable, patients: Any, pair: PairReport) -> PairReport:
    both: Bools = np.all(table.codes[:, list(pair.columns)] >= 0, axis=1)
    unit, groups = _time_groups(table, pair.columns, np.flatnonzero(both))
    devices: dict[str, list[int]] = {}
    for row in np.flatnonzero(both).tolist():
        devices.setdefault(table.devices[row] or "not known", []).append(row)

    def part(name: str, rows: Sequence[int]) -> Part:
        found = _pair(table, patients, pair.columns, np.asarray(rows))
        return Part(name, found.n_images, found.n_patients, found.kappa, found.agreement)

    return PairReport(
        pair.first, pair.second, pair.columns, pair.found, [part(name, rows) for name, rows in groups],
        [part(name, rows) for name, rows in sorted(devices.items())], unit,
    )  # fmt: skip


def _time_groups(
    table: SortedTable, columns: tuple[int, int], rows: Sequence[int] | Ints
) -> tuple[str, list[tuple[str, list[int]]]]:
    """Weeks where there are at least three with enough images, else thirds of the images in the order of time.

    An image's time is when the second of the two sorters decided it.
    """
    timed = sorted((max(t for t in (table.times[row][c] for c in columns) if t is not None), int(row)) for row in rows)
    weeks: dict[str, list[int]] = {}
    for time, row in timed:
        year, week, _ = time.astimezone(table.zone).isocalendar()
        weeks.setdefault(f"{year}-W{week:02d}", []).append(row)
    if sum(len(found) >= MIN_IN_WEEK for found in weeks.values()) >= MIN_WEEKS:
        return "week", [(name, found) for name, found in weeks.items() if len(found) >= MIN_IN_WEEK]
    thirds = np.array_split(np.asarray([row for _, row in timed], dtype=np.int64), 3)
    names = ("first third", "second third", "last third")
    return "third", [(name, third.tolist()) for name, third in zip(names, thirds, strict=True) if third.size]
