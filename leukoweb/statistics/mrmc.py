"""Multi-reader multi-case (MRMC) analysis of fully crossed studies: every reader reads every case with every
modality.

The entry points of the family: :func:`analyse_auc` and :func:`analyse_proportion` compare modalities,
:func:`ai_versus_readers` compares one fixed evaluator with the readers. ``mrmc_anova`` has the analysis of
variance, ``covariance`` what the cases contribute, ``ustatistics`` an alternative that allows missing reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from leukoweb.statistics.covariance import (
    AucCovariance,
    FloatArray,
    auc_covariance,
    empirical_auc,
    proportion_covariance,
)
from leukoweb.statistics.mrmc_ai import (
    AiVersusReaders,
    ai_versus_readers,
    ai_versus_readers_auc,
    from_covariance,
    jackknife_factor,
)
from leukoweb.statistics.mrmc_anova import DesignTest, ObuchowskiRockette, caution, obuchowski_rockette
from leukoweb.statistics.results import StatisticsError, to_json_value

__all__ = [
    "AiVersusReaders",
    "ObuchowskiRockette",
    "ai_versus_readers",
    "ai_versus_readers_auc",
    "analyse_auc",
    "analyse_proportion",
    "analysis_as_dict",
    "from_covariance",
    "obuchowski_rockette",
]


def analyse_auc(
    truth: ArrayLike,
    scores: ArrayLike,
    *,
    modalities: Sequence[str] | None = None,
    readers: Sequence[str] | None = None,
    covariance: AucCovariance = "delong",
    clusters: ArrayLike | None = None,
    level: float = 0.95,
) -> ObuchowskiRockette:
    """Compare empirical areas under the ROC curve.

    Parameters
    ----------
    truth : (n_cases,)
        0 or 1.
    scores : (n_modalities, n_readers, n_cases)
        Ratings, higher = more positive; only their order counts, ties one half.
    covariance
        ``delong``, ``jackknife`` (over all cases) or ``unbiased``.
    clusters : (n_cases,), optional
        Patient of each case when patients have several; selects Obuchowski's clustered covariance.

    Errors: StatisticsError for a missing score or a truth that is not 0/1.

    Example
    -------
    >>> truth = [1, 1, 1, 1, 0, 0, 0, 0]
    >>> film = [[3, 4, 2, 5, 1, 2, 3, 1], [4, 4, 3, 5, 2, 1, 3, 1]]
    >>> screen = [[4, 5, 3, 5, 1, 1, 2, 1], [5, 4, 2, 5, 1, 2, 1, 2]]
    >>> found = analyse_auc(truth, [film, screen])
    >>> round(found.random.differences[0].estimate, 4)
    -0.0469
    """
    values = _cases_by_evaluator(scores)
    shape = np.shape(scores)[:2]
    return obuchowski_rockette(
        empirical_auc(truth, values).reshape(shape),
        auc_covariance(truth, values, method=covariance, clusters=clusters),
        modalities=modalities,
        readers=readers,
        n=len(values),
        level=level,
        endpoint="auc",
        method="clustered" if clusters is not None else covariance,
    )


def analyse_proportion(
    correct: ArrayLike,
    *,
    modalities: Sequence[str] | None = None,
    readers: Sequence[str] | None = None,
    clusters: ArrayLike | None = None,
    jackknife_over: int | None = None,
    level: float = 0.95,
    endpoint: str = "proportion",
) -> ObuchowskiRockette:
    """Compare proportions: accuracy on all cases, sensitivity on the positive ones, specificity on the
    negative ones.

    ``correct`` has shape (n_modalities, n_readers, n_cases); the covariance is the jackknife over these
    cases. ``jackknife_over`` = cases of the whole study makes it the jackknife over all of them, see
    :func:`ai_versus_readers`. ``clusters`` (n_cases,) selects the clustered estimator.

    Example
    -------
    >>> correct = [[[1, 0, 1, 1], [1, 1, 0, 1]], [[1, 1, 1, 1], [1, 1, 0, 1]]]
    >>> analyse_proportion(correct).random.differences[0].estimate
    -0.125
    """
    values = _cases_by_evaluator(correct)
    factor = jackknife_factor(len(values), jackknife_over, clusters)
    means = values.mean(axis=0) if len(values) else np.full(values.shape[1], np.nan)
    return obuchowski_rockette(
        means.reshape(np.shape(correct)[:2]),
        proportion_covariance(values, clusters) * factor,
        modalities=modalities,
        readers=readers,
        n=len(values),
        level=level,
        endpoint=endpoint,
        method="clustered" if clusters is not None else "jackknife",
    )


def analysis_as_dict(analysis: ObuchowskiRockette) -> dict[str, Any]:
    """JSON-ready report of one endpoint.

    The first eight keys are for readers and cases in general: ``modalities`` by name, ``difference`` = first
    minus second modality with ``se``, ``low`` and ``high``, and the test that all modalities are equal with
    ``F``, ``df`` and ``p``. Further keys: all pairwise ``differences``, the two other designs, every reader,
    the variance components.
    """
    random = analysis.random
    first = random.differences[0] if random.differences else None
    note = caution(first.se, analysis.fixed_readers.differences[0].se) if first else ""
    out: dict[str, Any] = {
        "modalities": {mean.name: mean for mean in random.modalities},
        "difference": first.estimate if first else None,
        "se": first.se if first else None,
        "F": random.F,
        "df": random.df,
        "p": random.p,
        "low": first.low if first else None,
        "high": first.high if first else None,
        "df1": random.df1,
        "level": analysis.level,
        "n_cases": analysis.n,
        "n_readers": len(analysis.readers),
        "covariance": analysis.method,
        "differences": random.differences,
        "readers": analysis.reader_estimates,
        "reader_differences": analysis.reader_differences,
        "fixed_readers": _design_as_dict(analysis.fixed_readers),
        "fixed_cases": _design_as_dict(analysis.fixed_cases),
        "components": analysis.components,
        "note": note,
    }
    plain: dict[str, Any] = to_json_value(out)
    return plain


def _design_as_dict(test: DesignTest) -> dict[str, Any]:
    return {
        "modalities": {mean.name: mean for mean in test.modalities},
        "F": test.F,
        "df1": test.df1,
        "df": test.df,
        "p": test.p,
        "differences": test.differences,
    }


def _cases_by_evaluator(values: ArrayLike) -> FloatArray:
    """(n_modalities, n_readers, n_cases) -> (n_cases, n_modalities * n_readers), modality by modality."""
    cube = np.asarray(values, dtype=np.float64)
    if cube.ndim != 3 or 0 in cube.shape[:2]:
        raise StatisticsError(
            f"The scores have shape {cube.shape}; (modalities, readers, cases) is needed.", code="E_SHAPE"
        )
    return cube.reshape(-1, cube.shape[2]).T
