"""Grad-CAM: the served closed form against the library, and what each costs.

``python -m benchmarks.gradcam_bench FOLDER``, a model folder such as ``densenet_triple`` writes. All ways take turns on
the same drawn fields.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from cases.phantoms import LABELS, draw_field
from inference.pipeline.checkpoint import load_model_folder
from inference.pipeline.engine import open_engine
from inference.pipeline.networks import build_network
from inference.pipeline.saliency import grad_cam
from inference.pipeline.saliency_reference import grad_cam_reference


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fields", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    model = load_model_folder(options.folder)
    recipe, weight, n_classes = model.card.recipe, model.classifier_weight(), len(model.card.classes)
    torch.set_num_threads(options.threads)
    network = build_network(model.card.architecture, n_classes).eval()
    network.load_state_dict({key: torch.from_numpy(value) for key, value in model.weights().items()})
    exact = open_engine(model, "torch", threads=options.threads)
    served = open_engine(model, "openvino", threads=options.threads)
    mean, std = np.array(recipe.mean), np.array(recipe.std)
    seconds: dict[str, list[float]] = {}
    apart: dict[str, float] = {}

    def timed(way: str, run: Callable[[], np.ndarray]) -> np.ndarray:
        began = time.perf_counter()
        result = run()
        seconds.setdefault(way, []).append(time.perf_counter() - began)
        return result

    for i in range(-1, options.fields):  # the first one warms up
        field = recipe.prepare(draw_field(LABELS[i % len(LABELS)], seed=900 + i, width_px=640).image)
        batch, label = field[None], i % n_classes
        x = torch.from_numpy(((field / 255.0 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32))

        def closed(engine: object, batch: np.ndarray = batch, label: int = label) -> np.ndarray:
            features = engine.infer(batch, with_features=True).features  # type: ignore[attr-defined]
            return grad_cam(features, weight, label, recipe.size_px)[0]

        library = timed(
            "library, torch", lambda x=x, label=label: grad_cam_reference(network, network.features, x, [label])[0]
        )
        with torch.inference_mode():
            same = grad_cam(torch.relu(network.features(x)).numpy(), weight, label, recipe.size_px)[0]
        apart["same features"] = max(apart.get("same features", 0.0), float(np.abs(same - library).max()))
        own = timed("closed form, torch", lambda: closed(exact))
        fast = timed("closed form, OpenVINO as served", lambda: closed(served))
        timed("forward alone, torch", lambda batch=batch: exact.infer(batch).logits)
        timed("forward alone, OpenVINO as served", lambda batch=batch: served.infer(batch).logits)
        if i < 0:
            seconds.clear()
            continue
        for way, found in (("closed form, torch", own), ("closed form, OpenVINO as served", fast)):
            apart[way] = max(apart.get(way, 0.0), float(np.abs(found - library).max()))
    first = seconds["library, torch"]
    report = {
        way: {
            "cheaper_than_library": statistics.median(a / b for a, b in zip(first, values, strict=True)),
            "largest_difference": apart.get(way),
        }
        for way, values in seconds.items()
    }
    for way in ("torch", "OpenVINO as served"):
        pairs = zip(seconds[f"closed form, {way}"], seconds[f"forward alone, {way}"], strict=True)
        report[f"closed form, {way}"]["forwards"] = statistics.median(a / b for a, b in pairs)
    print(f"{model.card.name}, {options.fields} fields at {recipe.size_px} px, served engine: {served.profile}\n")
    print("| way | times cheaper than the library | cost in forwards | largest difference of the 0..1 map |")
    print("|---|---|---|---|")
    for way, row in report.items():
        forwards, apart_by = row.get("forwards"), row["largest_difference"]
        print(
            f"| {way} | {row['cheaper_than_library']:.1f} | {f'{forwards:.2f}' if forwards else ''} "
            f"| {f'{apart_by:.2g}' if apart_by is not None else ''} |"
        )
    print(f"\nFrom the very features that the library saw the largest difference is {apart['same features']:.2g}.")
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
