"""The starter pipeline on unseen phantom patients of cameras that its training never saw.

``python -m benchmarks.starter_bench``: per field and per patient, with intervals that know that fields come in
patients, and the rules of Fig. 2 against the comparator of Fig. 7 (model 3 alone, majority of its labels). ``--out``
keeps the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cases.phantoms import HELD_OUT_STYLES
from cases.taxonomy import MAPS
from inference.pipeline.checkpoint import load_pipeline_folder
from inference.pipeline.rules import RULE_SETS
from inference.pipeline.runner import PipelineRunner
from inference.starter_training import SLOT_MAPS, Drawn, draw
from leukoweb.statistics.bootstrap import bootstrap_tables, make_scheme, quantiles
from leukoweb.statistics.classification import class_metrics, macro_average
from leukoweb.statistics.confusion import confusion_matrix, pair_cells
from leukoweb.statistics.intervals import clustered_proportion, proportion
from leukoweb.statistics.paired import discordant, mcnemar, paired_difference
from leukoweb.statistics.results import Estimate

SEED = 30_000_000  # no seed of the training, its validation or its own test
Table = NDArray[np.float64]


def per_field(
    slot: str, fields: Sequence[Drawn], predicted: NDArray[np.int64], classes: Sequence[str]
) -> dict[str, Any]:
    """Accuracy with a clustered interval, macro F1 with a bootstrap over patients."""
    class_map = MAPS[SLOT_MAPS[slot]]
    truth = np.array([classes.index(class_map(field.label)) for field in fields])
    patients = np.unique([field.patient for field in fields], return_inverse=True)[1]
    accuracy = clustered_proportion(predicted == truth, np.ones(len(truth)), patients)
    table = confusion_matrix(truth, predicted, len(classes))
    macro = float(macro_average(class_metrics(table)["f1"]).value)
    scheme = make_scheme(len(truth), clusters=patients)
    cells = pair_cells(truth, predicted, len(classes))[:, None]
    drawn = bootstrap_tables(cells, len(classes), _macro_f1, scheme, resamples=2000, seed=1)
    low, high = quantiles(drawn.resampled[:, 0], [0.025, 0.975])
    return {"accuracy": accuracy, "macro_f1": [macro, float(low), float(high)], "confusion": table.tolist()}


def _macro_f1(tables: Table) -> Table:
    """(..., 1) from (..., 1, K, K)."""
    return np.asarray(macro_average(class_metrics(tables)["f1"]).value)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pipeline", type=Path, default=Path("inference/starter"))
    parser.add_argument("--patients", type=int, default=96)
    parser.add_argument("--fields", type=int, default=6, help="fields of each patient")
    parser.add_argument("--styles", nargs="+", default=list(HELD_OUT_STYLES))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    fields = draw(options.patients, seed=SEED, styles=options.styles, n_fields=options.fields, workers=options.workers)
    runner = PipelineRunner(load_pipeline_folder(options.pipeline), precision="fp32")
    images = [Image.fromarray(field.pixels) for field in fields]
    tables = {slot: runner.predict(slot, images) for slot in ("model_1", "model_2", "model_3")}
    report: dict[str, Any] = {"styles": options.styles, "patients": options.patients, "n_fields": len(fields)}
    print(f"{options.patients} patients, {len(fields)} fields, cameras {', '.join(options.styles)}\n")
    print("| field by field | accuracy (95 %) | macro F1 (95 %) |\n|---|---|---|")
    for slot, table in tables.items():
        classes = runner.pipeline.models[slot].card.classes
        found = per_field(slot, fields, table.argmax(1), classes)
        low, high = found["macro_f1"][1:]
        print(f"| {slot} | {words(found['accuracy'])} | {found['macro_f1'][0]:.2f} ({low:.2f} to {high:.2f}) |")
        report[slot] = found | {"accuracy": words(found["accuracy"])}
    report["patients_right"] = per_patient(runner, fields, tables)
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def per_patient(runner: PipelineRunner, fields: Sequence[Drawn], tables: dict[str, Table]) -> dict[str, Any]:
    """Right diagnoses of the rules and of the single model, and their paired difference."""
    patients = list(dict.fromkeys(field.patient for field in fields))
    right: dict[tuple[str, str], list[bool]] = {}
    for patient in patients:
        rows = [i for i, field in enumerate(fields) if field.patient == patient]
        truth = fields[rows[0]].diagnosis
        mine = {slot: table[rows] for slot, table in tables.items()}
        hierarchy = runner.decide(RULE_SETS["paper-fig2"], dict(mine))
        single = runner.decide(RULE_SETS["single-model-majority"], {"single_model": mine["model_3"]})
        for way, decision in (("rules of Fig. 2", hierarchy), ("model 3 alone", single)):
            right.setdefault(("three", way), []).append(decision.diagnosis_3 == MAPS["three"](truth))
            right.setdefault(("five", way), []).append(decision.diagnosis_5 == MAPS["five"](truth))
    print("\n| diagnoses right | rules of Fig. 2 | model 3 alone, majority | difference (95 %), McNemar |")
    print("|---|---|---|---|")
    found = {}
    for level in ("three", "five"):
        first, second = right[level, "rules of Fig. 2"], right[level, "model 3 alone"]
        shown = [words(proportion(sum(column), len(column))) for column in (first, second)]
        b, c, n = discordant(first, second)
        gap = paired_difference(b, c, n)
        test = mcnemar(b, c, n=n)
        text = f"{100 * gap.estimate:+.0f} points ({100 * gap.low:+.0f} to {100 * gap.high:+.0f}), p = {test.p:.3f}"
        print(f"| {level} classes | {shown[0]} | {shown[1]} | {text} |")
        found[level] = {"hierarchy": shown[0], "single": shown[1], "difference": text}
    return found


def words(estimate: Estimate) -> str:
    counts = f"{estimate.numerator} of {estimate.denominator}"
    return f"{counts}, {100 * estimate.estimate:.0f} % ({100 * estimate.low:.0f} to {100 * estimate.high:.0f})"


if __name__ == "__main__":
    main()
