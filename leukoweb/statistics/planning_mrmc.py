"""Power of studies over readers and cases, from the variance components of a pilot.

Two designs: modalities compared by the same readers (Obuchowski-Rockette with Hillis' degrees of freedom), and the AI
against readers. What cases contribute shrinks with their number, what readers contribute with theirs; cases are
assumed in the pilot's proportions of positive and negative. Source: Hillis, Obuchowski and Berbaum 2011,
doi:10.1016/j.acra.2010.09.007.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from leukoweb.statistics.mrmc_ai import AiVersusReaders
from leukoweb.statistics.mrmc_anova import ObuchowskiRockette
from leukoweb.statistics.results import StatisticsError

MAX_CASES = 100_000


@dataclass(frozen=True, slots=True)
class Pilot:
    """Variance components of two modalities measured on ``n_cases``; see :class:`mrmc_anova.Components`."""

    var_treatment_reader: float
    var_error: float
    cov1: float
    cov2: float
    cov3: float
    n_cases: int

    @classmethod
    def of(cls, analysis: ObuchowskiRockette) -> Pilot:
        """Components of an analysed study; a negative modality x reader variance is taken as 0."""
        parts = analysis.components
        return cls(
            max(parts.var_treatment_reader, 0.0),
            parts.var_error,
            parts.cov1,
            parts.cov2,
            parts.cov3,
            analysis.n,
        )


@dataclass(frozen=True, slots=True)
class AiPilot:
    """Components of AI minus reader differences on ``n_cases``: variance between readers, and over cases."""

    var_reader: float
    var_error: float
    cov2: float
    n_cases: int

    @classmethod
    def of(cls, comparison: AiVersusReaders) -> AiPilot:
        """Components of an analysed comparison; a negative variance between readers is taken as 0.

        Errors: StatisticsError for a comparison with one reader.
        """
        if comparison.n_readers < 2:
            raise StatisticsError("A pilot with one reader says nothing about the spread between readers.")
        var_reader = comparison.ms_reader - comparison.var_error + comparison.cov2
        return cls(max(var_reader, 0.0), comparison.var_error, comparison.cov2, comparison.n)


@dataclass(frozen=True, slots=True)
class Power:
    """Power of one study size: ``se`` expected standard error of the difference, ``df`` of its test."""

    n_readers: int
    n_cases: int
    power: float
    se: float
    df: float


def _check(n_readers: int, n_cases: int, pilot_cases: int) -> float:
    if n_readers < 2 or n_cases < 1 or pilot_cases < 1:
        raise StatisticsError(
            f"{n_readers} readers and {n_cases} cases: at least 2 readers and 1 case are needed, in the pilot too.",
            code="E_SIZE",
        )
    return pilot_cases / n_cases


def mrmc_power(pilot: Pilot, difference: float, n_readers: int, n_cases: int, *, alpha: float = 0.05) -> Power:
    """Power to find a ``difference`` between two modalities, readers and cases random, two-sided at ``alpha``.

    With s = pilot cases / cases and d = s max(Cov2 - Cov3, 0): MS(TR) is expected as var_TR + s (VarE - Cov1) - d,
    the denominator adds r d, the non-centrality is r difference^2 / (2 denominator).

    Example
    -------
    >>> round(mrmc_power(Pilot(0.0002, 0.0008, 0.00034, 0.00034, 0.00024, 114), 0.05, 10, 200).power, 2)
    0.94
    """
    scale = _check(n_readers, n_cases, pilot.n_cases)
    shared = scale * max(pilot.cov2 - pilot.cov3, 0.0)
    mean_square = pilot.var_treatment_reader + scale * (pilot.var_error - pilot.cov1) - shared
    if mean_square <= 0:
        raise StatisticsError("These components leave no variance for the test; check the pilot.", field="pilot")
    denominator = mean_square + n_readers * shared
    df = (n_readers - 1) * (denominator / mean_square) ** 2
    centre = n_readers * difference**2 / (2 * denominator)
    power = float(scipy.stats.ncf.sf(scipy.stats.f.ppf(1 - alpha, 1, df), 1, df, centre)) if centre > 0 else alpha
    return Power(n_readers, n_cases, power, float(np.sqrt(2 * denominator / n_readers)), float(df))


def ai_power(
    pilot: AiPilot,
    difference: float,
    n_readers: int,
    n_cases: int,
    *,
    margin: float = 0.0,
    alpha: float = 0.025,
) -> Power:
    """Power to show that the AI is not worse than the readers by more than ``margin`` (0: that it is better).

    ``difference`` is the true AI minus readers' mean; ``alpha`` is one-sided, 0.025 for a 95 % interval. With s =
    pilot cases / cases: se^2 = (var_R + s (VarE - Cov2)) / r + s max(Cov2, 0), Hillis' df.

    Example
    -------
    >>> round(ai_power(AiPilot(0.0004, 0.004, 0.003, 64), 0.0, 10, 200, margin=0.1).power, 2)
    0.88
    """
    scale = _check(n_readers, n_cases, pilot.n_cases)
    if margin < 0:
        raise StatisticsError(f"The margin must not be negative, not {margin}.", field="margin")
    mean_square = pilot.var_reader + scale * (pilot.var_error - pilot.cov2)
    total = mean_square + n_readers * scale * max(pilot.cov2, 0.0)
    if mean_square <= 0:
        raise StatisticsError("These components leave no variance for the test; check the pilot.", field="pilot")
    se = float(np.sqrt(total / n_readers))
    df = (n_readers - 1) * (total / mean_square) ** 2
    power = float(scipy.stats.nct.sf(scipy.stats.t.ppf(1 - alpha, df), df, (difference + margin) / se))
    return Power(n_readers, n_cases, power, se, float(df))


def power_grid(
    power: Callable[[int, int], Power], n_readers: Sequence[int], n_cases: Sequence[int]
) -> tuple[Power, ...]:
    """Every combination of readers and cases, readers first.

    Examples
    --------
    >>> pilot = Pilot(0.0002, 0.0008, 0.00034, 0.00034, 0.00024, 114)
    >>> grid = power_grid(lambda r, c: mrmc_power(pilot, 0.05, r, c), [5, 10], [100, 200])
    >>> [round(item.power, 2) for item in grid]
    [0.58, 0.79, 0.75, 0.94]
    """
    return tuple(power(readers, cases) for readers in n_readers for cases in n_cases)


def cases_for_power(power: Callable[[int, int], Power], n_readers: int, wanted: float = 0.8) -> Power | None:
    """Fewest cases with which ``n_readers`` readers reach the power; None when no number of cases does.

    More cases cannot make up for readers who differ: that is what None then says.

    Example
    -------
    >>> pilot = AiPilot(0.0004, 0.004, 0.003, 64)
    >>> cases_for_power(lambda r, c: ai_power(pilot, 0.0, r, c, margin=0.1), 10).n_cases
    161
    """
    if power(n_readers, MAX_CASES).power < wanted:
        return None
    low, high = 1, MAX_CASES
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(n_readers, middle).power >= wanted else (middle, high)
    return power(n_readers, high)
