"""How many patients and readers a study needs, and what it will then be able to say.

Precision first: how wide the interval of a proportion, of a kappa or of the macro F1 will be. Power of comparisons
over readers and cases is in :mod:`leukoweb.statistics.planning_mrmc`. Everything is a planning figure from stated
assumptions; none of it replaces the interval of the study itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from leukoweb.statistics.agreement import kappa_influence, kappa_values
from leukoweb.statistics.classification import class_metrics, macro_average
from leukoweb.statistics.covariance import FloatArray
from leukoweb.statistics.intervals import ProportionMethod, clopper_pearson, wilson, z_quantile
from leukoweb.statistics.results import StatisticsError

MAX_CASES = 1_000_000


@dataclass(frozen=True, slots=True)
class Precision:
    """Cases needed and the half width of the interval that they give; ``assumed`` is the planned-for value."""

    n: int
    half_width: float
    assumed: float
    method: str
    level: float


def _check_width(half_width: float) -> None:
    if not 0 < half_width < 1:
        raise StatisticsError(
            f"The half width must lie between 0 and 1, not {half_width}.", code="E_WIDTH", field="half_width"
        )


def proportion_half_width(p: float, n: int, *, level: float = 0.95, method: ProportionMethod = "wilson") -> float:
    """Expected half width of the interval of a proportion ``p`` from ``n`` cases (mean over the binomial outcomes).

    ``auto`` switches to Clopper-Pearson as the reports do. NaN without cases.
    """
    if not 0 <= p <= 1:
        raise StatisticsError(f"A proportion lies between 0 and 1, not {p}.", field="p")
    if n < 1:
        return float("nan")
    x = np.arange(n + 1)
    # Outcomes that are less likely than rounding need no interval.
    chance = scipy.stats.binom.pmf(x, n, p)
    likely = chance > 1e-12
    low, high = wilson(x[likely], n, level)
    if method != "wilson":
        exact_low, exact_high = clopper_pearson(x[likely], n, level)
        exact = np.full(int(likely.sum()), method == "clopper-pearson") | (n < 30) | np.isin(x[likely], (0, n))
        low, high = np.where(exact, exact_low, low), np.where(exact, exact_high, high)
    return float((chance[likely] * (high - low)).sum() / chance[likely].sum() / 2)


def cases_for_proportion(
    p: float, half_width: float, *, level: float = 0.95, method: ProportionMethod = "wilson"
) -> Precision:
    """Fewest cases whose expected interval is no wider than ``half_width`` to each side.

    For sensitivity these are patients *with* the disease, for specificity without. Assume the value nearest 0.5 that
    is plausible.

    Examples
    --------
    >>> cases_for_proportion(0.9, 0.05).n
    139
    """
    _check_width(half_width)
    n = _smallest(lambda cases: proportion_half_width(p, cases, level=level, method=method) <= half_width)
    return Precision(n, proportion_half_width(p, n, level=level, method=method), p, method, level)


def kappa_table(kappa: float, prevalence: Sequence[float]) -> FloatArray:
    """Joint probabilities (K, K) of two raters with the same margins ``prevalence`` and Cohen's kappa ``kappa``.

    Disagreements fall where chance would put them. Errors: StatisticsError when the prevalences do not add up to 1,
    or when kappa is so negative that a cell would be.
    """
    margin = np.asarray(prevalence, dtype=np.float64)
    if margin.ndim != 1 or len(margin) < 2 or (margin < 0).any() or not np.isclose(margin.sum(), 1.0, atol=1e-9):
        raise StatisticsError("Prevalences must be at least 0 and add up to 1.", field="prevalence")
    table = (1 - kappa) * np.outer(margin, margin) + kappa * np.diag(margin)
    if not -1 <= kappa <= 1 or (table < -1e-12).any():
        raise StatisticsError(f"A kappa of {kappa} is impossible with these prevalences.", field="kappa")
    return np.clip(table, 0.0, None)


def kappa_standard_error(table: ArrayLike, n: int, weights: ArrayLike | None = None) -> float:
    """Large-sample standard error of kappa for ``n`` cases from joint probabilities (K, K).

    Fleiss, Cohen and Everitt 1969, doi:10.1037/h0028106, the one that the intervals of the reports use. NaN where
    kappa is undefined.
    """
    joint = np.asarray(table, dtype=np.float64)
    if not np.isfinite(kappa_values(joint, weights)):
        return float("nan")
    influence = kappa_influence(joint, weights)
    return float(np.sqrt((joint * influence**2).sum() / n))


def cases_for_kappa(kappa: float, prevalence: Sequence[float], half_width: float, *, level: float = 0.95) -> Precision:
    """Fewest cases for a 95 % (``level``) interval of kappa of +- ``half_width``.

    Examples
    --------
    >>> cases_for_kappa(0.8, [0.11, 0.34, 0.05, 0.06, 0.44], 0.1).n
    99
    """
    _check_width(half_width)
    per_case = kappa_standard_error(kappa_table(kappa, prevalence), 1)
    z = z_quantile(level)
    n = max(2, int(np.ceil((z * per_case / half_width) ** 2 - 1e-9)))
    return Precision(n, z * per_case / float(np.sqrt(n)), kappa, "fleiss-cohen-everitt", level)


@dataclass(frozen=True, slots=True)
class MacroF1Plan:
    """What a study with these class sizes would measure.

    ``mean`` and ``sd`` of the macro F1 over simulated studies, ``low``/``high`` the central ``level`` of them,
    ``true_value`` with endless patients, ``probability_above`` that a study's macro F1 reaches ``threshold`` (NaN
    without one).
    """

    n_per_class: tuple[int, ...]
    true_value: float
    mean: float
    sd: float
    low: float
    high: float
    threshold: float | None
    probability_above: float
    simulations: int
    seed: int
    level: float


def simulate_macro_f1(
    sensitivities: ArrayLike,
    n_per_class: Sequence[int],
    *,
    threshold: float | None = None,
    simulations: int = 10_000,
    seed: int = 1,
    level: float = 0.95,
) -> MacroF1Plan:
    """Simulate studies with fixed class sizes.

    Parameters
    ----------
    sensitivities : (K, K)
        Row i: probabilities that a patient of class i is called class 1..K; each row adds up to 1.
    n_per_class
        Patients of each class; a class without patients and calls is left out of that study's macro F1.

    Errors: StatisticsError for rows that are no probabilities.
    """
    rows = np.asarray(sensitivities, dtype=np.float64)
    k = len(n_per_class)
    if rows.shape != (k, k) or (rows < 0).any() or not np.allclose(rows.sum(axis=1), 1.0, atol=1e-9):
        raise StatisticsError(
            f"{k} classes need {k} rows of {k} probabilities that add up to 1 each.", field="sensitivities"
        )
    if simulations < 2 or sum(n_per_class) < 1:
        raise StatisticsError("At least 2 simulations and 1 patient are needed.", field="simulations")
    generator = np.random.default_rng(seed)
    tables = np.stack(
        [generator.multinomial(size, row, size=simulations) for size, row in zip(n_per_class, rows, strict=True)],
        axis=1,
    )  # (simulations, K, K)
    values = macro_average(class_metrics(tables)["f1"]).value
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    expected = rows * np.asarray(n_per_class, dtype=np.float64)[:, None]
    return MacroF1Plan(
        n_per_class=tuple(int(size) for size in n_per_class),
        true_value=float(macro_average(class_metrics(expected)["f1"]).value),
        mean=float(values.mean()),
        sd=float(values.std(ddof=1)),
        low=float(low),
        high=float(high),
        threshold=threshold,
        probability_above=float((values >= threshold).mean()) if threshold is not None else float("nan"),
        simulations=simulations,
        seed=seed,
        level=level,
    )


def _smallest(enough: Callable[[int], bool], largest: int = MAX_CASES) -> int:
    """Smallest n that is enough, by doubling and bisection; the rule must stay true once it is."""
    high = 1
    while not enough(high):
        high *= 2
        if high > largest:
            raise StatisticsError(f"More than {largest} would be needed.", code="E_TOO_MANY", field="half_width")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
