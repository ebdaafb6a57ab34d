"""Agreement of two people who sorted the same images, when the images belong to patients.

Images of one patient look alike, so what is said of them is correlated, and an interval that counts images as
independent is too narrow. Here whole patients are drawn (cluster bootstrap: Field and Welsh 2007,
doi:10.1111/j.1467-9868.2007.00593.x); the interval with images as units is computed from the same numbers of
resamples and given beside it, to show the difference and for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from leukoweb.statistics.agreement import kappa_values
from leukoweb.statistics.bootstrap import Replicates, Scheme, bootstrap_interval, bootstrap_tables, make_scheme
from leukoweb.statistics.classification import divide
from leukoweb.statistics.confusion import Floats, Ints, check_codes, confusion_matrix, marginals, pair_cells
from leukoweb.statistics.results import Estimate, StatisticsError, to_json_value

RESAMPLES = 2000
SEED = 20_240_826


@dataclass(frozen=True, slots=True)
class SorterAgreement:
    """How two sorters agree.

    Attributes
    ----------
    table
        Counts, rows = first sorter, columns = second.  # (K, K)
    n_images, n_patients
        Images that both decided, and the patients that these belong to.
    kappa
        Cohen's kappa with its patient-clustered interval.
    kappa_naive
        The same kappa with images as units: too narrow where patients differ.
    agreement
        Share of images on which they say the same, clustered.
    by_class
        Positive agreement 2 n_kk / (n_k. + n_.k) of each class, clustered.  # K estimates
    """

    table: Ints
    n_images: int
    n_patients: int
    kappa: Estimate
    kappa_naive: Estimate
    agreement: Estimate
    by_class: tuple[Estimate, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        plain: dict[str, Any] = to_json_value(
            {
                "table": self.table, "n_images": self.n_images, "n_patients": self.n_patients, "kappa": self.kappa,
                "kappa_naive": self.kappa_naive, "agreement": self.agreement, "by_class": list(self.by_class),
            }
        )  # fmt: skip
        return plain


def sorter_agreement(
    first: ArrayLike, second: ArrayLike, patients: ArrayLike, n_classes: int, *, resamples: int = RESAMPLES,
    seed: int = SEED, level: float = 0.95,
) -> SorterAgreement:  # fmt: skip
    """Agreement over the images that both sorters decided.

    Parameters
    ----------
    first, second
        Class of each image by each sorter, -1 = not decided.  # (n_images,)
    patients
        Any label of the patient of each image.  # (n_images,)

    Undefined (NaN, with a note) without a common image, and for kappa where both use one and the same class
    only. No interval with a single patient: nothing can be drawn.

    Errors: columns of different lengths; codes outside -1..K-1.

    Example
    -------
    >>> a = [0, 0, 1, 1, 1, 0, 1, 1]
    >>> b = [0, 0, 1, 1, 0, 1, 1, 1]
    >>> found = sorter_agreement(a, b, ["p", "p", "q", "q", "r", "r", "s", "s"], 2, resamples=200)
    >>> round(found.kappa.estimate, 3), found.n_patients, found.agreement.numerator
    (0.467, 4, 6)
    """
    one, two = check_codes(first, n_classes), check_codes(second, n_classes)
    owners = np.asarray(patients)
    if one.ndim != 1 or not one.shape == two.shape == owners.shape:
        raise StatisticsError("The columns of the sorters and of the patients differ in length.", code="E_LENGTH")
    both = (one >= 0) & (two >= 0)
    one, two, owners = one[both], two[both], owners[both]
    table = confusion_matrix(one, two, n_classes)
    n = int(one.size)
    if n == 0:
        none = Estimate.undefined(0, "no image that both decided", level=level)
        return SorterAgreement(table, 0, 0, none, none, none, (none,) * n_classes)
    cells = pair_cells(one, two, n_classes)[:, None]
    clustered = make_scheme(n, clusters=owners)

    def drawn(scheme: Scheme) -> Replicates:
        return bootstrap_tables(cells, n_classes, _statistics, scheme, resamples=resamples, seed=seed)

    by_patient, by_image = drawn(clustered), drawn(make_scheme(n))
    estimates = [_estimate(by_patient, index, n, clustered.n_units, level) for index in range(2 + n_classes)]
    agreement = replace(estimates[1], numerator=int(np.trace(table)), denominator=n)
    return SorterAgreement(
        table, n, clustered.n_units, estimates[0], _estimate(by_image, 0, n, n, level), agreement, tuple(estimates[2:])
    )


def _statistics(tables: Floats) -> Floats:
    """Kappa, observed agreement, positive agreement per class.  # (..., 2 + K) from (..., 1, K, K)"""
    stack = tables[..., 0, :, :]
    rows, columns, diagonal = marginals(stack)
    observed = divide(diagonal.sum(-1), rows.sum(-1))
    positive = divide(2 * diagonal, rows + columns)
    return np.concatenate([kappa_values(stack)[..., None], observed[..., None], positive], axis=-1)


def _estimate(replicates: Replicates, index: int, n: int, n_units: int, level: float) -> Estimate:
    value = float(replicates.estimate[index])
    if not np.isfinite(value):
        what = "both sorters use one and the same class only" if index == 0 else "neither sorter used the class"
        return Estimate.undefined(n, what, level=level)
    if n_units < 2:
        return Estimate(value, np.nan, np.nan, "none", n, None, level, note="a single patient: no interval")
    interval = bootstrap_interval(replicates, index, level=level)
    return Estimate(value, interval.low, interval.high, interval.method, n, None, level, note=interval.note)
