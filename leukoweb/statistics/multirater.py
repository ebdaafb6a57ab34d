"""Agreement of several raters. Fleiss, Conger, Light, Krippendorff and Gwet are different numbers: say which.

Two treatments of missing reads, never mixed:

- *complete cases*: Fleiss, Conger and Light as published, on the cases that every rater read;
- *Gwet's treatment* (Gwet 2014, Handbook of Inter-Rater Reliability, chapter 2): observed agreement from the
  cases with two or more reads, prevalences from all cases with at least one. Percent agreement, AC1/AC2,
  Brennan-Prediger,
  ``fleiss_kappa_missing`` and ``conger_kappa_missing``. Krippendorff's alpha uses the cases with two or more
  reads.

Standard errors are linearised (influence of one case), with n - 1 in the divisor and Student's t with n - 1
degrees of freedom for the interval; they treat cases as random and raters as fixed. Ordinal alpha takes a
jackknife over cases. Limits are not clipped to 1. A standard error of 0 gives no interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from leukoweb.statistics.agreement import check_weights, kappa_influence, kappa_values
from leukoweb.statistics.classification import divide
from leukoweb.statistics.confusion import Floats, Ints, check_codes, one_hot, pairwise_tables
from leukoweb.statistics.covariance import proportion_covariance
from leukoweb.statistics.intervals import wald
from leukoweb.statistics.results import NAN, Estimate, StatisticsError


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient and its case-wise values.

    Attributes
    ----------
    value
        The coefficient; NaN where undefined.
    casewise
        Linearised value per case, with mean ``value``.  # (n_items,)
    observed, expected
        Observed agreement, and the agreement expected by chance that it is corrected for.
    """

    value: float
    casewise: Floats
    observed: float = NAN
    expected: float = 0.0

    @property
    def n_items(self) -> int:
        """Cases that entered."""
        return int(self.casewise.size)

    def se(self, *, ddof: int = 1, clusters: ArrayLike | None = None) -> float:
        """Linearised standard error.

        ``ddof=0`` is the divisor that two-rater tables conventionally use; ``clusters`` (one label per case
        that entered) sums the deviations within clusters first.
        """
        n = self.n_items
        if n <= ddof or not np.isfinite(self.value):
            return NAN
        if clusters is not None:
            variance = float(proportion_covariance(self.casewise[:, None], clusters)[0, 0])
        else:
            variance = float(((self.casewise - self.value) ** 2).sum()) / (n * (n - ddof))
        # rounding leaves about 1e-30 where all cases say the same
        return 0.0 if variance <= 1e-28 else float(np.sqrt(variance))

    def estimate(self, *, level: float = 0.95, clusters: ArrayLike | None = None) -> Estimate:
        """Estimate with its t interval on n - 1 degrees of freedom (clusters less 1 with ``clusters``)."""
        if not np.isfinite(self.value):
            return Estimate.undefined(self.n_items, "undefined: chance agreement is complete, or no case", level=level)
        units = self.n_items if clusters is None else np.unique(np.asarray(clusters)).size
        method = "linearised-t" if clusters is None else "linearised-t-clustered"
        se = self.se(clusters=clusters)
        return wald(self.value, se, n=self.n_items, method=method, level=level, df=float(units - 1))


def check_ratings(ratings: ArrayLike, n_classes: int) -> Ints:
    """Reads per case and rater, -1 = not read; cases that nobody read are left out.  # (n_items, R)

    Errors: fewer than two raters; codes outside -1..K-1.
    """
    codes = check_codes(ratings, n_classes)
    if codes.ndim != 2 or codes.shape[1] < 2:
        raise StatisticsError(
            f"Agreement needs cases x raters with 2 or more raters, not shape {codes.shape}.", code="E_RATERS"
        )
    return codes[np.any(codes >= 0, axis=1)]


def complete_cases(ratings: ArrayLike, n_classes: int) -> Ints:
    """The cases that every rater read.  # (n_items, R)"""
    codes = check_ratings(ratings, n_classes)
    return codes[np.all(codes >= 0, axis=1)]


@dataclass(frozen=True, slots=True)
class ReadCounts:
    """Reads per case and class with what every coefficient shares.

    ``counts`` # (n, K), ``reads`` # (n,), ``share`` = counts / reads # (n, K); ``several`` # (n,) is n / n2
    for the n2 cases with two or more reads, else 0; ``agreement`` # (n,) is the observed (weighted) agreement
    per case times
    ``several``, so that its mean is p_a; ``prevalence`` # (K,)
    """

    counts: Floats
    reads: Floats
    share: Floats
    several: Floats
    agreement: Floats
    prevalence: Floats

    @property
    def observed(self) -> float:
        return float(self.agreement.mean()) if np.any(self.reads >= 2) else NAN


def count_reads(ratings: Ints, n_classes: int, weights: Floats) -> ReadCounts:
    counts: Floats = one_hot(ratings, n_classes).sum(1)
    reads = counts.sum(1)
    several = (reads >= 2) * (reads.size / max(float((reads >= 2).sum()), 1.0))
    pairs = (counts * (counts @ weights.T - 1)).sum(1)
    agreement = np.where(reads >= 2, divide(pairs, reads * (reads - 1)), 0.0) * several
    share = divide(counts, reads[:, None])
    prevalence = share.mean(0) if reads.size else np.full(n_classes, NAN)
    return ReadCounts(counts, reads, share, several, agreement, prevalence)


def _corrected(c: ReadCounts, expected: float, casewise_expected: Floats) -> Coefficient:
    """(p_a - p_e) / (1 - p_e) with its linearised values.

    ``casewise_expected`` has mean p_e and is half the influence of a case on p_e, for p_e is quadratic. A
    case with a single read carries no observed agreement and no expected one against it.
    """
    if not np.isfinite(c.observed) or not expected < 1:
        return Coefficient(NAN, np.full(c.reads.size, NAN), c.observed, expected)
    value = (c.observed - expected) / (1 - expected)
    direct = (c.agreement - expected * c.several) / (1 - expected)
    casewise = direct - 2 * (1 - value) * (casewise_expected - expected) / (1 - expected)
    return Coefficient(value, casewise, c.observed, expected)


def percent_agreement(ratings: ArrayLike, n_classes: int, weights: ArrayLike | None = None) -> Coefficient:
    """Share of agreeing pairs of reads, averaged over cases with two or more reads (Gwet's treatment).

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> round(percent_agreement(reads, 2).value, 3)
    0.778
    """
    w = check_weights(weights, n_classes)
    c = count_reads(check_ratings(ratings, n_classes), n_classes, w)
    return Coefficient(c.observed, c.agreement, c.observed)


def gwet_ac(ratings: ArrayLike, n_classes: int, weights: ArrayLike | None = None) -> Coefficient:
    """Gwet's AC1, or AC2 with weights (Gwet 2008, doi:10.1348/000711006X126600).

    p_e = T_w / (K (K - 1)) * sum pi_k (1 - pi_k), T_w the sum of the weights.

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> round(gwet_ac(reads, 2).value, 3)
    0.561
    """
    w = check_weights(weights, n_classes)
    c = count_reads(check_ratings(ratings, n_classes), n_classes, w)
    factor = float(w.sum()) / (n_classes * (n_classes - 1))
    expected = factor * float((c.prevalence * (1 - c.prevalence)).sum())
    return _corrected(c, expected, factor * (c.share @ (1 - c.prevalence)))


def brennan_prediger(ratings: ArrayLike, n_classes: int, weights: ArrayLike | None = None) -> Coefficient:
    """Brennan-Prediger (free-marginal kappa): p_e = T_w / K^2 with K the declared classes, used or not.

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> round(brennan_prediger(reads, 2).value, 3)
    0.556
    """
    w = check_weights(weights, n_classes)
    c = count_reads(check_ratings(ratings, n_classes), n_classes, w)
    expected = float(w.sum()) / n_classes**2
    return _corrected(c, expected, np.full(c.reads.size, expected))


def fleiss_kappa_missing(ratings: ArrayLike, n_classes: int, weights: ArrayLike | None = None) -> Coefficient:
    """Fleiss' kappa by Gwet's treatment of missing reads; with two raters this is Scott's pi.

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> round(fleiss_kappa_missing(reads, 2).value, 3)
    0.55
    """
    w = check_weights(weights, n_classes)
    c = count_reads(check_ratings(ratings, n_classes), n_classes, w)
    expected = float(c.prevalence @ w @ c.prevalence)
    return _corrected(c, expected, c.share @ (w @ c.prevalence))


def fleiss_kappa(ratings: ArrayLike, n_classes: int) -> Coefficient:
    """Fleiss' kappa as published, on complete cases (Fleiss 1971, doi:10.1037/h0031619).

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> round(fleiss_kappa(reads, 2).value, 3), fleiss_kappa(reads, 2).n_items
    (0.464, 5)
    """
    return fleiss_kappa_missing(complete_cases(ratings, n_classes), n_classes)


def fleiss_null_se(ratings: ArrayLike, n_classes: int) -> float:
    """Standard error of Fleiss' kappa under kappa = 0, complete cases; for the z test only, never for an
    interval.

    Fleiss, Nee and Landis 1979, doi:10.1037/0033-2909.86.5.974. NaN when one class takes all reads.

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> round(fleiss_null_se(reads, 2), 3)
    0.258
    """
    codes = complete_cases(ratings, n_classes)
    n, raters = codes.shape
    if n == 0:
        return NAN
    p = one_hot(codes, n_classes).mean((0, 1))
    spread = float((p * (1 - p)).sum())
    if spread <= 0:
        return NAN
    inner = spread**2 - float((p * (1 - p) * (1 - 2 * p)).sum())
    return float(np.sqrt(2 * inner) / (spread * np.sqrt(n * raters * (raters - 1))))


def fleiss_category_kappas(ratings: ArrayLike, n_classes: int) -> Floats:
    """Fleiss' kappa of each class against the rest, complete cases; NaN for a class that nobody used.  # (K,)

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> fleiss_category_kappas(reads, 2).round(3).tolist()
    [0.464, 0.464]
    """
    codes = complete_cases(ratings, n_classes)
    counts: Floats = one_hot(codes, n_classes).sum(1)
    n, raters = codes.shape
    p = counts.sum(0) / max(n * raters, 1)
    disagreement = (counts * (raters - counts)).sum(0)
    return 1 - divide(disagreement, n * raters * (raters - 1) * p * (1 - p))


def conger_kappa_missing(ratings: ArrayLike, n_classes: int, weights: ArrayLike | None = None) -> Coefficient:
    """Conger's kappa (rater-specific prevalences) by Gwet's treatment of missing reads.

    p_e = mean over ordered pairs of different raters of sum w_kl p_gk p_hl, with p_g the prevalences among
    the cases that rater g read. Undefined when a rater read nothing.

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> round(conger_kappa_missing(reads, 2).value, 3)
    0.565
    """
    w = check_weights(weights, n_classes)
    codes = check_ratings(ratings, n_classes)
    c = count_reads(codes, n_classes, w)
    n, raters = codes.shape
    read = codes >= 0
    per_rater = read.sum(0)
    if np.any(per_rater == 0):
        return Coefficient(NAN, np.full(n, NAN))
    hot = one_hot(codes, n_classes)  # (n, R, K)
    p = hot.sum(0) / per_rater[:, None]  # (R, K)
    others = p.sum(0) - p  # (R, K): the other raters together
    pairs = raters * (raters - 1)
    expected = float(np.einsum("gk,kl,gl->", p, w, others)) / pairs
    # A case moves p_g by n / n_g (read) (hot - p_g); p_e is a sum over g of p_g against the others.
    influence = (hot - p * read[:, :, None]) * (n / per_rater)[None, :, None]
    casewise = np.einsum("igk,kl,gl->i", influence, w, others) / pairs
    return _corrected(c, expected, expected + casewise)


def conger_kappa(ratings: ArrayLike, n_classes: int) -> Coefficient:
    """Conger's exact kappa on complete cases (Conger 1980, doi:10.1037/0033-2909.88.2.322).

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> round(conger_kappa(reads, 2).value, 3)
    0.474
    """
    return conger_kappa_missing(complete_cases(ratings, n_classes), n_classes)


def light_kappa(ratings: ArrayLike, n_classes: int, *, complete: bool = True) -> float:
    """Mean of all pairwise Cohen kappas (Light 1971, doi:10.1037/h0031643).

    ``complete=False`` takes each pair over the cases that both read. NaN when one pair's kappa is undefined.

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, -1], [0, 0, 0]]
    >>> round(light_kappa(reads, 2), 3)
    0.466
    """
    codes = complete_cases(ratings, n_classes) if complete else check_ratings(ratings, n_classes)
    return _mean_pair(pairwise_tables(codes, n_classes))


def _mean_pair(tables: Floats) -> float:
    upper = np.triu_indices(tables.shape[0], 1)
    return float(kappa_values(tables[upper]).mean())


def light_kappa_linearised(ratings: ArrayLike, n_classes: int) -> Coefficient:
    """Light's kappa on complete cases with its linearised values: the mean of the pairs' influences.

    Example
    -------
    >>> reads = [[0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [0, 0, 0]]
    >>> round(light_kappa_linearised(reads, 2).value, 3)
    0.466
    """
    codes = complete_cases(ratings, n_classes)
    left, right = np.triu_indices(codes.shape[1], 1)
    if not codes.shape[0]:
        return Coefficient(NAN, np.empty(0))
    tables = pairwise_tables(codes, n_classes)[left, right]
    kappas = kappa_values(tables)
    if not np.all(np.isfinite(kappas)):
        return Coefficient(NAN, np.full(codes.shape[0], NAN))
    casewise = np.full(codes.shape[0], float(kappas.mean()))
    for table, a, b in zip(tables, left, right, strict=True):
        casewise += kappa_influence(table).ravel()[codes[:, a] * n_classes + codes[:, b]] / left.size
    return Coefficient(float(kappas.mean()), casewise)
