"""Can a label be told without looking at a cell? `python benchmarks/phantoms_shortcuts.py [--fields 40]`.

Fits a logistic regression to colour statistics of everything outside the nucleated cells of phantom fields, over four
styles, and prints its cross-validated accuracy beside chance. Accuracy near chance means that red cells, background and
lamp do not give the label away. Needs scikit-learn (extra `dev`).
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cases.phantoms import LABELS, STYLES, PhantomField, draw_field


def surroundings(field: PhantomField) -> NDArray[np.float64]:
    """Mean, standard deviation and percentiles 5, 25, 75 of each channel outside the cells, shape (15,)."""
    pixels = np.asarray(field.image, dtype=float)
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    outside = np.ones(pixels.shape[:2], dtype=bool)
    for cell in field.cells:
        outside &= np.hypot(columns - cell.x, rows - cell.y) > 1.6 * cell.r
    left = pixels[outside]
    return np.concatenate([left.mean(0), left.std(0), np.percentile(left, [5, 25, 75], axis=0).ravel()])


def main() -> None:
    parser = argparse.ArgumentParser(description="Look for shortcuts in phantom fields.")
    parser.add_argument("--fields", type=int, default=40, help="fields per label")
    options = parser.parse_args()
    features, labels = [], []
    styles = tuple(STYLES)[:4]
    for number in range(options.fields):
        for offset, label in enumerate(LABELS):
            seed = 1000 + number * len(LABELS) + offset
            field = draw_field(label, seed=seed, style=styles[number % len(styles)], width_px=224)
            features.append(surroundings(field))
            labels.append(label)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    leukemia = np.array([label not in ("REACTIVE", "NO_LEUKEMIA") for label in labels])
    for name, target, chance in (("label", np.array(labels), 1 / 7), ("leukemia", leukemia, 5 / 7)):
        scores = cross_val_score(model, np.array(features), target, cv=5)
        print(
            f"{name:9s} accuracy {scores.mean():.2f} (folds {scores.min():.2f}-{scores.max():.2f}), chance {chance:.2f}"
        )


if __name__ == "__main__":
    main()
