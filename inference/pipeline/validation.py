"""The validation report of one model on images: the numbers of Table 3 and Figs. 3 to 5, with their uncertainty.

Images of one patient resemble each other, so every interval is clustered by patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from leukoweb.statistics.bootstrap import bootstrap_interval, bootstrap_tables, make_scheme
from leukoweb.statistics.calibration import bin_numbers, brier_score, calibration_error, top_label
from leukoweb.statistics.classification import class_accuracy, class_metrics, macro_average
from leukoweb.statistics.confusion import confusion_matrix, pair_cells
from leukoweb.statistics.intervals import clustered_proportion
from leukoweb.statistics.results import Estimate, to_json_value

METRICS: Final = ("ppv", "sensitivity", "f1", "accuracy", "specificity")  # the columns of Table 3, in its order
RESAMPLES: Final = 1000
SEED: Final = 1
WORST: Final = 60
SIZES: Final = (("under 10", 0, 10), ("10 to 29", 10, 30), ("30 to 99", 30, 100), ("100 or more", 100, 10**9))

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def size_group(n_images: int) -> str:
    """The words for a slide's or patient's number of images."""
    return next(words for words, low, high in SIZES if low <= n_images < high)


def macro_values(tables: Floats) -> Floats:
    """Macro PPV, sensitivity, F1, accuracy and specificity, then each class's F1.  # (..., 5 + K)"""
    metrics = class_metrics(tables)
    values = metrics | {"accuracy": class_accuracy(tables)}
    macros = np.stack([macro_average(values[name]).value for name in METRICS], axis=-1)
    return np.concatenate([macros, metrics["f1"]], axis=-1)


def model_report(
    probabilities: Floats,
    targets: Ints,
    patients: Sequence[str],
    classes: Sequence[str],
    *,
    images: Sequence[int] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """JSON-ready: confusion, per_class, macro, accuracy, calibration, groups, worst.

    Parameters
    ----------
    probabilities
        (n, K), in the order of ``classes``.
    targets
        (n,) index of the reference class.
    images
        Row ids, so that a page can link the worst images.
    groups
        Name -> a word per image (device, slide size); each word gets figures of its own.
    """
    k = len(classes)
    predicted = probabilities.argmax(1)
    clusters = np.unique(np.asarray(patients), return_inverse=True)[1]
    cells = pair_cells(targets[:, None], predicted[:, None], k)
    scheme = make_scheme(len(targets), clusters=clusters)
    replicates = bootstrap_tables(
        cells, k, lambda tables: macro_values(tables)[..., 0, :], scheme, resamples=resamples, seed=SEED
    )

    def resampled(index: int) -> Estimate:
        interval = bootstrap_interval(replicates, index)
        return Estimate(
            float(replicates.estimate[index]), interval.low, interval.high, interval.method, scheme.n_units,
            note=interval.note,
        )  # fmt: skip

    report = {
        "classes": list(classes),
        "n_images": len(targets),
        "n_patients": scheme.n_units,
        "confusion": confusion_matrix(targets, predicted, k),
        "accuracy": clustered_proportion(predicted == targets, np.ones_like(targets), clusters),
        "macro": {name: resampled(i) for i, name in enumerate(METRICS)},
        "per_class": {
            name: _class_figures(targets, predicted, clusters, i) | {"f1": resampled(len(METRICS) + i)}
            for i, name in enumerate(classes)
        },
        "calibration": calibration_figures(targets, probabilities),
        "groups": {
            name: _group_figures(targets, predicted, clusters, words, k) for name, words in (groups or {}).items()
        },
        "worst": _worst(probabilities, targets, classes, images, patients),
    }
    plain: dict[str, Any] = to_json_value(report)
    return plain


def calibration_figures(targets: Ints, probabilities: Floats, bins: int = 10) -> dict[str, Any]:
    """Of the called class: does 0.8 mean right in 80 %? No intervals: images of a patient are not independent."""
    outcome, stated = top_label(targets, probabilities)
    number, _ = bin_numbers(stated, bins)
    curve = []
    for i in np.unique(number):
        inside = number == i
        curve.append(
            {"stated": float(stated[inside].mean()), "observed": float(outcome[inside].mean()), "n": int(inside.sum())}
        )
    return {
        "curve": curve,
        "expected_error": calibration_error(outcome, stated, bins=bins, resamples=0).estimate,
        "brier": brier_score(outcome, stated).estimate,
    }


def _class_figures(targets: Ints, predicted: Ints, clusters: Ints, k: int) -> dict[str, Estimate]:
    truth, said = targets == k, predicted == k
    return {
        "ppv": clustered_proportion(truth, said, clusters),
        "sensitivity": clustered_proportion(said, truth, clusters),
        "accuracy": clustered_proportion(truth == said, np.ones_like(targets), clusters),
        "specificity": clustered_proportion(~said, ~truth, clusters),
    }


def _group_figures(
    targets: Ints, predicted: Ints, clusters: Ints, words: Sequence[str], k: int
) -> list[dict[str, Any]]:
    found, names = np.asarray(words), sorted(set(words))
    rows = []
    for name in names:
        inside = found == name
        table = confusion_matrix(targets[inside], predicted[inside], k)
        rows.append(
            {
                "name": name, "n_images": int(inside.sum()), "n_patients": len(set(clusters[inside])),
                "accuracy": clustered_proportion(
                    predicted[inside] == targets[inside], np.ones(int(inside.sum())), clusters[inside]
                ),
                "macro_f1": float(macro_average(class_metrics(table)["f1"]).value),
                "n_classes": int((table.sum(1) > 0).sum()),
            }
        )  # fmt: skip
    return rows


def _worst(
    probabilities: Floats, targets: Ints, classes: Sequence[str], images: Sequence[int], patients: Sequence[str]
) -> list[dict[str, Any]]:
    """Images whose reference class got the least probability, the worst first."""
    own = probabilities[np.arange(len(targets)), targets]
    order = np.argsort(own, kind="stable")[:WORST]
    return [
        {
            "image": int(images[i]) if len(images) else 0, "patient": patients[i],
            "reference": classes[int(targets[i])], "predicted": classes[int(probabilities[i].argmax())],
            "probability": float(own[i]), "called_with": float(probabilities[i].max()),
        }
        for i in order
        if probabilities[i].argmax() != targets[i] or own[i] < 0.5
    ]  # fmt: skip


