"""The analysis of a whole table of reads: one call, one JSON-ready result.

``analyse_ratings`` takes columns of labels (from a CSV, a form or a database) and a plan, and returns plain data:
evaluators against the reference, agreement between and within readers, the AI against the readers, paired tests. Same
columns, plan and seed give the same numbers.
"""

from __future__ import annotations

from typing import Any

from leukoweb.statistics.ratings_agreement import (
    PairwiseKappas,
    cochran_report,
    intra_report,
    multi_rater_report,
    paired_report,
)
from leukoweb.statistics.ratings_ai import ai_report
from leukoweb.statistics.ratings_evaluators import evaluators_report
from leukoweb.statistics.ratings_table import Columns, RatingsPlan, Study, build_study, parse_sessions, read_csv
from leukoweb.statistics.results import to_json_value

FEW_CASES = 10

__all__ = ["RatingsPlan", "analyse_ratings", "parse_sessions", "read_csv"]


def analyse_ratings(columns: Columns, plan: RatingsPlan) -> dict[str, Any]:
    """Everything that the plan asks of the table.

    Parameters
    ----------
    columns
        Labels by column name, one per case; None or empty text = not read.  # each (n,)
    plan
        What the columns are and how to analyse them.

    Returns
    -------
    ``design``, ``evaluators``, ``intra_observer``, ``pairwise``, ``multi_rater``, ``ai_vs_readers``, ``cochran_q`` and
    ``paired``. Undefined values are None. ``multi_rater``, ``ai_vs_readers`` and ``cochran_q`` are None where the table
    has too few readers, no AI or no reference.

    Errors: ``StatisticsError`` for a plan or a table that cannot be analysed.

    Example
    -------
    >>> columns = {"truth": ["a", "a", "b", "b"], "r1": ["a", "b", "b", "b"], "r2": ["a", "a", "b", ""]}
    >>> plan = RatingsPlan(raters=("r1", "r2"), classes=("a", "b"), reference="truth", bootstrap=0)
    >>> result = analyse_ratings(columns, plan)
    >>> result["evaluators"]["r1"]["accuracy"]["estimate"], result["pairwise"][0]["n"]
    (0.75, 3)
    """
    study = build_study(columns, plan)
    kappas = PairwiseKappas(study, study.pairs())
    result = {
        "design": _design(study),
        "evaluators": evaluators_report(study),
        "intra_observer": intra_report(study),
        "pairwise": [kappas.entry(position) for position in range(len(kappas.pairs))],
        "multi_rater": multi_rater_report(study),
        "ai_vs_readers": ai_report(study),
        "cochran_q": cochran_report(study),
        "paired": paired_report(study, kappas),
    }
    plain: dict[str, Any] = to_json_value(result)
    return plain


def _design(study: Study) -> dict[str, Any]:
    """What was analysed and how, so that the numbers can be read without the command line that made them."""
    plan = study.plan
    return {
        "n_cases": study.n_cases,
        "n_patients": study.scheme.n_units,
        "classes": list(plan.classes),
        "reference": plan.reference,
        "reference_counts": None
        if study.reference is None
        else {label: int((study.reference == k).sum()) for k, label in enumerate(plan.classes)},
        "ai": plan.ai,
        "evaluators": list(study.evaluators),
        "primary_sessions": [study.evaluators[index] for index in study.primaries],
        "sessions": {reader: list(sessions) for reader, sessions in plan.sessions.items()},
        "positive": list(plan.positive),
        "margin": plan.margin,
        "level": plan.level,
        "bootstrap": {
            "resamples": plan.bootstrap,
            "seed": plan.seed,
            "unit": "patient",
            "strata": int(study.scheme.stratum.max()) + 1,
            "interval": "BCa, percentile where BCa is not estimable",
        },
        "undefined_classes": "left out of macro averages; n_classes says how many entered",
        "weighted_kappa_order": list(plan.classes),
        "notes": [*study.notes, *_unused_options(study), *_small_classes(study)],
    }


def _unused_options(study: Study) -> list[str]:
    """What was asked for and cannot be answered from this table, so that nothing is left out silently."""
    plan, out = study.plan, []
    if plan.reference is None and (plan.positive or plan.ai is not None):
        out.append("Without a reference column there is agreement only: no metrics, no comparison of AI and readers.")
    if plan.margin is not None and (plan.ai is None or plan.reference is None or not study.primaries):
        out.append(f"The margin {plan.margin} is not used: it needs an AI, a reference and a reader.")
    return out


def _small_classes(study: Study) -> list[str]:
    """A warning where the bootstrap of macro averages is known to cover less than it says (docs/statistics.md)."""
    if study.reference is None or study.plan.bootstrap == 0:
        return []
    counts = {label: int((study.reference == k).sum()) for k, label in enumerate(study.plan.classes)}
    few = [f"{label} {count}" for label, count in counts.items() if 0 < count < FEW_CASES]
    if not few:
        return []
    return [
        f"Classes with fewer than {FEW_CASES} cases ({', '.join(few)}): bootstrap intervals of macro sensitivity and "
        "macro PPV are too narrow; prefer their analytic intervals."
    ]
