"""How precise a planned study will be, and how many hours it asks of its readers. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Precision:
    """Expected half width of an interval; NaN where nothing can be expected."""

    name: str
    n: int
    assumed: float
    half_width: float

    @property
    def known(self) -> bool:
        return math.isfinite(self.half_width)

    @property
    def low(self) -> float:
        return max(0.0, self.assumed - self.half_width)

    @property
    def high(self) -> float:
        return min(1.0, self.assumed + self.half_width)


@dataclass(frozen=True, slots=True)
class Burden:
    """What one reader is asked for."""

    label: str
    sessions: int
    hours: float


@dataclass(frozen=True, slots=True)
class Plan:
    """``equal``: the classes were assumed equally large because nothing else was said."""

    n_patients: int
    n_images: int
    level: float
    equal: bool
    per_class: tuple[tuple[str, Precision, Precision], ...]
    kappa: Precision
    burdens: tuple[Burden, ...]

    @property
    def hours(self) -> float:
        return sum(burden.hours for burden in self.burdens)


def class_sizes(document: Mapping[str, Any], n_patients: int) -> tuple[list[int], bool]:
    """Expected patients of each class, and whether they were merely split evenly."""
    names, expected = document["classes"]["names"], document["planning"]["expected_per_class"]
    if len(expected) == len(names) and sum(expected):
        return list(expected), False
    base, rest = divmod(n_patients, max(1, len(names)))
    return [base + (i < rest) for i in range(len(names))], True


def plan(document: Mapping[str, Any], *, n_patients: int, n_images: int) -> Plan:
    """Figures for ``n_patients`` with ``n_images`` fields in all, from what the protocol assumes.

    Sensitivity rests on the patients of a class, specificity on all others (Wilson, expected half width); kappa on all
    patients (Fleiss, Cohen and Everitt 1969). Precision of one reader in one session; more readers narrow their mean.
    """
    # Loaded here: scipy takes a second, and most pages of the web process never need it.
    from leukoweb.statistics.intervals import z_quantile
    from leukoweb.statistics.planning import kappa_standard_error, kappa_table, proportion_half_width
    from leukoweb.statistics.results import StatisticsError

    assumed, level = document["planning"], document["analysis"]["level"]
    sizes, equal = class_sizes(document, n_patients)
    total = sum(sizes)

    def proportion(name: str, value: float, n: int) -> Precision:
        return Precision(name, n, value, proportion_half_width(value, n, level=level, method="auto"))

    per_class = tuple(
        (
            name,
            proportion("sensitivity", assumed["sensitivity"], size),
            proportion("specificity", assumed["specificity"], total - size),
        )
        for name, size in zip(document["classes"]["names"], sizes, strict=True)
    )
    half = math.nan
    present = [size / total for size in sizes if size] if total else []
    if len(present) > 1:
        try:
            table = kappa_table(assumed["kappa"], present)
            half = z_quantile(level) * kappa_standard_error(table, total)
        except StatisticsError:  # a kappa that these class sizes cannot give
            half = math.nan
    images = _images_read(document, n_patients, n_images)
    seconds = images * assumed["seconds_per_image"] + n_patients * assumed["seconds_per_case"]
    burdens = tuple(
        Burden(reader["label"] or "?", len(reader["sessions"]), len(reader["sessions"]) * seconds / 3600)
        for reader in document["readers"]
        if reader["username"]
    )
    return Plan(n_patients, images, level, equal, per_class, Precision("kappa", total, assumed["kappa"], half), burdens)


def _images_read(document: Mapping[str, Any], n_patients: int, n_images: int) -> int:
    rule = document["images_per_case"]
    return min(n_images, n_patients * rule["k"]) if rule["rule"] == "fixed" and rule["k"] else n_images
