"""Agreement of evaluators: pairs, sessions of one reader, all readers together, and the paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from leukoweb.statistics.agreement import (
    KappaArrays,
    identity_weights,
    kappa_arrays,
    kappa_at,
    kappa_influence,
    kappa_values,
    linear_weights,
    positive_agreement,
    quadratic_weights,
)
from leukoweb.statistics.bootstrap import Replicates, bootstrap_interval, bootstrap_tables
from leukoweb.statistics.confusion import Floats, Ints, pair_cells, pairwise_tables
from leukoweb.statistics.covariance import proportion_covariance
from leukoweb.statistics.intervals import clustered_proportion, proportion, wald
from leukoweb.statistics.krippendorff import krippendorff_linearised, ordinal_alpha_estimate
from leukoweb.statistics.multirater import (
    Coefficient,
    brennan_prediger,
    conger_kappa_missing,
    fleiss_kappa_missing,
    gwet_ac,
    light_kappa_linearised,
    percent_agreement,
)
from leukoweb.statistics.paired import bhapkar, bowker, cochran_q, discordant, holm, mcnemar, paired_difference
from leukoweb.statistics.paired import stuart_maxwell as stuart_maxwell_test
from leukoweb.statistics.ratings_table import Study
from leukoweb.statistics.results import Estimate

WEIGHTS = {"kappa": identity_weights, "kappa_linear": linear_weights, "kappa_quadratic": quadratic_weights}
PAIRS_AT_ONCE = 48  # bounds the one-hot cells of a bootstrap block: 5,000 cases x 48 pairs x 25 cells = 24 MB

Pair = tuple[int, int]


class PairwiseKappas:
    """All kappas of all wanted pairs, with bootstrap replicates in blocks of pairs."""

    def __init__(self, study: Study, pairs: Sequence[Pair]) -> None:
        self.study, self.pairs = study, list(pairs)
        tables = pairwise_tables(study.codes, study.n_classes)
        left, right = (np.array([pair[side] for pair in self.pairs], dtype=np.int64) for side in (0, 1))
        self.tables: Floats = tables[left, right]  # (P, K, K)
        self.arrays: dict[str, KappaArrays] = {
            name: kappa_arrays(self.tables, weights(study.n_classes)) for name, weights in WEIGHTS.items()
        }
        self.blocks: list[Replicates] = []
        if study.plan.bootstrap:
            for start in range(0, len(self.pairs), PAIRS_AT_ONCE):
                part = slice(start, start + PAIRS_AT_ONCE)
                self.blocks.append(
                    self._draw(pair_cells(study.codes[:, left[part]], study.codes[:, right[part]], study.n_classes))
                )

    def _draw(self, cells: Ints) -> Replicates:
        study = self.study
        weights = [None, linear_weights(study.n_classes), quadratic_weights(study.n_classes)]

        def statistics(tables: Floats) -> Floats:
            values = np.stack([kappa_values(tables, w) for w in weights], axis=-1)  # (..., P, 3)
            return values.reshape(*values.shape[:-2], -1)

        plan = study.plan
        return bootstrap_tables(
            cells, study.n_classes, statistics, study.scheme, resamples=plan.bootstrap, seed=plan.seed
        )

    def kappa(self, position: int, name: str) -> dict[str, Any]:
        """One kappa: analytic standard errors; bootstrap interval with the analytic one beside it."""
        level = self.study.plan.level
        kappa = kappa_at(self.arrays[name], (position,), level=level)
        out = kappa.as_dict()
        analytic = kappa.result
        if analytic.defined and self.study.clusters is not None:
            analytic = self._clustered(position, name, analytic)
            out |= {**analytic.as_dict(), "se": analytic.se, "se_null": None, "z": None, "p": None}
        if analytic.defined and self.blocks:
            block, inside = divmod(position, PAIRS_AT_ONCE)
            found = bootstrap_interval(self.blocks[block], 3 * inside + list(WEIGHTS).index(name), level=level)
            shown = Estimate(
                analytic.estimate, found.low, found.high, found.method, analytic.n, analytic.se, level, note=found.note
            )
            out |= {"note": "", **shown.as_dict()}
            out["analytic"] = {key: analytic.as_dict()[key] for key in ("low", "high", "method")}
        return {key: value for key, value in out.items() if not (key == "note" and not value)}

    def _clustered(self, position: int, name: str, analytic: Estimate) -> Estimate:
        study, (a, b) = self.study, self.pairs[position]
        cells = pair_cells(study.codes[:, a], study.codes[:, b], study.n_classes)
        read = cells >= 0
        influence = kappa_influence(self.tables[position], WEIGHTS[name](study.n_classes)).ravel()[cells[read]]
        assert study.clusters is not None
        variance = float(proportion_covariance(influence[:, None], study.clusters[read])[0, 0])
        se = float(np.sqrt(variance)) if variance > 1e-28 else 0.0
        return wald(analytic.estimate, se, n=analytic.n, method="delta-clustered", level=study.plan.level)

    def entry(self, position: int) -> dict[str, Any]:
        """One pair: percent agreement, the three kappas, PABAK and positive agreement per class."""
        study, (a, b) = self.study, self.pairs[position]
        table, level = self.tables[position], study.plan.level
        first, second = study.codes[:, a], study.codes[:, b]
        both = (first >= 0) & (second >= 0)
        if study.clusters is None:
            agreement = proportion(int(np.trace(table)), int(table.sum()), level=level)
        else:
            agreement = clustered_proportion(first == second, both, study.clusters, level=level)
        positive = positive_agreement(table, level=level)
        if study.clusters is not None:
            note = "patients have several rows: no interval"
            positive = [Estimate(e.estimate, np.nan, np.nan, "none", e.n, level=level, note=note) for e in positive]
        return {
            "a": study.evaluators[a],
            "b": study.evaluators[b],
            "n": int(table.sum()),
            "kind": "ai-reader" if study.ai and a == 0 else "reader-reader",
            "primary": study.is_primary(a) and study.is_primary(b),
            "percent_agreement": agreement.as_dict(),
            **{name: self.kappa(position, name) for name in WEIGHTS},
            "pabak": pabak_estimate(agreement, study.n_classes).as_dict(),
            "positive_agreement": {label: e.as_dict() for label, e in zip(study.plan.classes, positive, strict=True)},
            "table": table.astype(np.int64).tolist(),
        }


def pabak_estimate(agreement: Estimate, n_classes: int) -> Estimate:
    """PABAK (K po - 1)/(K - 1) with the limits of the percent agreement po carried through.

    Example
    -------
    >>> round(pabak_estimate(proportion(17, 20), 2).estimate, 3)
    0.7
    """
    po, low, high = ((n_classes * x - 1) / (n_classes - 1) for x in (agreement.estimate, agreement.low, agreement.high))
    return Estimate(po, low, high, agreement.method, agreement.n, None, agreement.level, note=agreement.note)


def correctness(study: Study) -> Floats | None:
    """1 right, 0 wrong, NaN not read or reference unknown; None without a reference.  # (n, E)"""
    if study.reference is None:
        return None
    known = (study.codes >= 0) & (study.reference >= 0)[:, None]
    return np.where(known, (study.codes == study.reference[:, None]).astype(np.float64), np.nan)


def _paired_entry(study: Study, pair: Pair, table: Floats, correct: Floats | None) -> dict[str, Any]:
    a, b = pair
    out: dict[str, Any] = {
        "a": study.evaluators[a],
        "b": study.evaluators[b],
        "kind": "ai-reader" if study.ai and a == 0 else "reader-reader",
        "primary": study.is_primary(a) and study.is_primary(b),
        "mcnemar_exact_p": None,
        "stuart_maxwell": stuart_maxwell_test(table).as_dict(),
        "bhapkar": bhapkar(table).as_dict(),
        "bowker": bowker(table).as_dict(),
    }
    if correct is not None:
        only_a, only_b, n = discordant(correct[:, a], correct[:, b])
        out |= {
            "mcnemar_exact_p": mcnemar(only_a, only_b, n=n).p,
            "mcnemar_mid_p": mcnemar(only_a, only_b, n=n, method="mid-p").p,
            "mcnemar": mcnemar(only_a, only_b, n=n, method="chi-square").as_dict(),
            "only_a_correct": only_a,
            "only_b_correct": only_b,
            "n": n,
            "accuracy_difference": paired_difference(only_a, only_b, n, level=study.plan.level).as_dict(),
        }
    return out


def paired_report(study: Study, kappas: PairwiseKappas) -> list[dict[str, Any]]:
    """The paired tests of each pair; empty where patients have several rows, for the tests need independent rows.

    Holm's adjustment runs over the AI against the primary sessions, one family per report.
    """
    if study.clusters is not None:
        return []
    correct = correctness(study)
    out = [_paired_entry(study, pair, table, correct) for pair, table in zip(kappas.pairs, kappas.tables, strict=True)]
    family = [entry for entry in out if entry["kind"] == "ai-reader" and entry["primary"] and correct is not None]
    for entry, adjusted in zip(family, holm([entry["mcnemar_exact_p"] for entry in family]), strict=True):
        entry["mcnemar_exact_p_holm"] = float(adjusted)
    return out


def cochran_report(study: Study) -> dict[str, Any] | None:
    """Cochran's Q over AI and primary sessions; None without a reference, with one evaluator, or with clusters."""
    correct = correctness(study)
    columns = [*([0] if study.ai else []), *study.primaries]
    if correct is None or len(columns) < 2 or study.clusters is not None:
        return None
    return {"evaluators": [study.evaluators[c] for c in columns], **cochran_q(correct[:, columns]).as_dict()}


def intra_report(study: Study) -> list[dict[str, Any]]:
    """Each two sessions of the same reader: agreement as for a pair, and the tests for a shift between sessions."""
    kappas = PairwiseKappas(study, study.pairs(within_reader=True))
    tests = paired_report(study, kappas)
    out = []
    for position, (a, _) in enumerate(kappas.pairs):
        entry = {"reader": study.reader_of[a], **kappas.entry(position), "kind": "intra-observer"}
        if tests:
            entry |= {key: value for key, value in tests[position].items() if key not in ("kind", "primary", "n")}
        out.append(entry)
    return out


def multi_rater_report(study: Study) -> dict[str, Any] | None:
    """Every coefficient over the readers' primary sessions; None with fewer than two readers."""
    if len(study.primaries) < 2:
        return None
    codes, k, level = study.codes[:, list(study.primaries)], study.n_classes, study.plan.level
    reads = (codes >= 0).sum(1)
    any_read, two, complete = reads >= 1, reads >= 2, reads == codes.shape[1]

    def show(coefficient: Coefficient, rows: np.ndarray[Any, Any]) -> dict[str, Any]:
        inside = None if study.clusters is None else study.clusters[rows]
        return coefficient_dict(coefficient.estimate(level=level, clusters=inside))

    inside = None if study.clusters is None else study.clusters[two]
    return {
        "percent_agreement": show(percent_agreement(codes, k), any_read),
        "fleiss_kappa": show(fleiss_kappa_missing(codes[complete], k), complete),
        "fleiss_kappa_missing": show(fleiss_kappa_missing(codes, k), any_read),
        "conger_kappa": show(conger_kappa_missing(codes[complete], k), complete),
        "light_kappa": show(light_kappa_linearised(codes, k), complete),
        "krippendorff_alpha": show(krippendorff_linearised(codes, k), two),
        "krippendorff_alpha_ordinal": coefficient_dict(ordinal_alpha_estimate(codes, k, level=level, clusters=inside)),
        "krippendorff_alpha_interval": show(krippendorff_linearised(codes, k, quadratic_weights(k)), two),
        "gwet_ac1": show(gwet_ac(codes, k), any_read),
        "brennan_prediger": show(brennan_prediger(codes, k), any_read),
    }


def coefficient_dict(estimate: Estimate) -> dict[str, Any]:
    """An estimate with the number of items under its usual name."""
    return {**estimate.as_dict(), "se": estimate.as_dict().get("se"), "n_items": estimate.n}
