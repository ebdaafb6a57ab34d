"""The vectorised statistics against a loop over scikit-learn, in the same run, on the same numbers.

    python benchmarks/statistics_bench.py [--repeats 5] [--resamples 10000] [--loop 50]

The loop runs a part of the resamples and is scaled up; the vectorised code runs all of them. Both must agree before a
ratio is printed. Times are medians, with the range.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import cohen_kappa_score, confusion_matrix, precision_recall_fscore_support

sys.path.insert(0, str(Path(__file__).parent.parent))

from leukoweb.statistics import agreement, bootstrap, classification, confusion
from leukoweb.statistics.ratings import RatingsPlan, analyse_ratings

CLASSES = 5
Array = np.ndarray[Any, Any]


def timed(function: Callable[[], Any], repeats: int) -> tuple[list[float], Any]:
    """Sorted times in seconds, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return sorted(times), result


def line(name: str, times: list[float], note: str = "") -> float:
    middle = statistics.median(times)
    print(f"{name}: median {1000 * middle:.1f} ms (from {1000 * times[0]:.1f} to {1000 * times[-1]:.1f}) {note}")
    return middle


def study(n: int, raters: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """A reference with the paper's case mix, and reads that agree with it in about 4 of 5 cases."""
    truth = rng.choice(CLASSES, n, p=np.array([7, 22, 3, 4, 28]) / 64)
    reads = np.where(rng.random((n, raters)) < 0.75, truth[:, None], rng.integers(0, CLASSES, (n, raters)))
    return truth, reads


def loop(truth: Array, reads: Array, indices: Array) -> tuple[Array, Array]:
    """What a script does: for each resample, scikit-learn for each evaluator and each pair."""
    labels, raters = list(range(CLASSES)), reads.shape[1]
    metrics, kappas = [], []
    for drawn in indices:
        reference, answers = truth[drawn], reads[drawn]
        row = []
        for rater in range(raters):
            read = answers[:, rater]
            values = precision_recall_fscore_support(reference, read, labels=labels, average="macro", zero_division=0)
            table = confusion_matrix(reference, read, labels=labels)
            tp, n = np.diag(table), table.sum()
            tn = n - table.sum(0) - table.sum(1) + tp
            row += [values[1], float((tn / (n - table.sum(1))).mean()), values[0], values[2]]
        metrics.append(row)
        pairs = [(a, b) for a in range(raters) for b in range(a + 1, raters)]
        kappas.append([cohen_kappa_score(answers[:, a], answers[:, b], labels=labels) for a, b in pairs])
    return np.array(metrics), np.array(kappas)


def vectorised(truth: Array, reads: Array, weights: Array) -> tuple[Array, Array]:
    """The same numbers from the library's one matrix product."""
    raters = reads.shape[1]
    left, right = np.triu_indices(raters, 1)
    own = confusion.pair_cells(np.broadcast_to(truth[:, None], reads.shape), reads, CLASSES)
    cells = np.concatenate([own, confusion.pair_cells(reads[:, left], reads[:, right], CLASSES)], axis=1)
    tables = bootstrap.weighted_tables(cells, weights, CLASSES)
    values = classification.class_metrics(tables[:, :raters])
    names = ("sensitivity", "specificity", "ppv", "f1")
    macro = [classification.macro_average(values[name], zero_division="zero").value for name in names]
    return np.stack(macro, axis=-1).reshape(len(weights), -1), agreement.kappa_values(tables[:, raters:])


def bootstrap_part(resamples: int, looped: int, repeats: int) -> None:
    print(f"Bootstrap: {resamples} resamples, 64 patients, 5 evaluators, 5 classes, macro metrics and 10 kappas")
    rng = np.random.default_rng(7)
    truth, reads = study(64, 5, rng)
    indices = rng.integers(0, 64, (resamples, 64))
    weights = bootstrap.weights_from_indices(indices, 64)
    slow, (metrics, kappas) = timed(lambda: loop(truth, reads, indices[:looped]), 3)
    fast, (all_metrics, all_kappas) = timed(lambda: vectorised(truth, reads, weights), repeats)
    # a resample without a class counts its specificity in both, its other metrics as 0 in both
    same_kappa = bool(np.allclose(kappas, all_kappas[:looped], atol=1e-12))
    present = np.isin(np.arange(looped), np.flatnonzero([len(set(truth[i])) == CLASSES for i in indices[:looped]]))
    same = bool(np.allclose(metrics[present], all_metrics[:looped][present], atol=1e-12))
    assert same, "the loop and the library disagree on a macro metric"
    assert same_kappa, "the loop and the library disagree on a kappa"
    per = line(f"  scikit-learn loop, {looped} resamples", slow) / looped
    all_at_once = line(f"  library, {resamples} resamples", fast)
    print(f"  ratio {per * resamples / all_at_once:.0f} (the loop would take {per * resamples:.0f} s); results equal")
    plan = RatingsPlan(("r0", "r1", "r2", "r3"), tuple("abcde"), reference="truth", ai="ai", bootstrap=resamples)
    columns = {"truth": truth, "ai": reads[:, 0], **{f"r{i}": reads[:, i + 1] for i in range(4)}}
    labels = {name: ["abcde"[code] for code in codes] for name, codes in columns.items()}
    whole, _ = timed(lambda: analyse_ratings(labels, plan), repeats)
    line(f"  whole table (analyse_ratings, all metrics, 3 kappas, BCa), {resamples} resamples", whole)


def kappa_loop(reads: Array, found: Array) -> float:
    """Seconds of scikit-learn for all pairs, scaled up from 100 of them, which must equal the library's."""
    labels, raters = list(range(CLASSES)), reads.shape[1]
    part = [(a, b) for a in range(raters) for b in range(a + 1, raters)][:100]
    slow, values = timed(lambda: [cohen_kappa_score(reads[:, a], reads[:, b], labels=labels) for a, b in part], 3)
    assert np.allclose(values, [found[pair] for pair in part], atol=1e-12), "the kappas disagree"
    return statistics.median(slow) / len(part) * raters * (raters - 1) / 2


def pairwise_part(repeats: int) -> None:
    print("Pairwise kappas with intervals (Fleiss-Cohen-Everitt), 5 classes")
    rng = np.random.default_rng(8)
    reference: tuple[float, float] | None = None
    for n, raters in ((5000, 50), (5000, 25), (5000, 100), (2500, 50), (10000, 50), (20000, 50)):
        _, reads = study(n, raters, rng)
        fast, found = timed(lambda reads=reads: agreement.pairwise_kappa(reads, CLASSES), repeats)  # type: ignore[misc]
        middle = line(f"  {n} patients x {raters} readers, {raters * (raters - 1) // 2} pairs", fast)
        if reference is None:
            total = kappa_loop(reads, found.kappa)
            print(f"    scikit-learn, kappa only: {1000 * total:.0f} ms; ratio {total / middle:.0f}; results equal")
            reference = (n * raters**2, middle)
        else:
            work = n * raters**2 / reference[0]
            print(f"    work n x readers^2: {work:.2f} of the first; time: {middle / reference[1]:.2f} of the first")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--loop", type=int, default=50)
    options = parser.parse_args()
    bootstrap_part(options.resamples, options.loop, options.repeats)
    pairwise_part(options.repeats)


if __name__ == "__main__":
    main()
