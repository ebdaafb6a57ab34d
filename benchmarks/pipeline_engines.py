"""Engines on one model, interleaved: images a second and ratios to torch eager fp32.

Run with ``python -m benchmarks.pipeline_engines FOLDER [--rounds 5] [--images 24] [--threads 2]``. Rounds are
interleaved because a shared machine changes its speed from minute to minute: compare ratios, not seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from inference.pipeline.checkpoint import load_model_folder
from inference.pipeline.engine import available_engines, open_engine
from inference.pipeline.saliency import grad_cam


def main() -> None:
    """Print one line an engine."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    model = load_model_folder(options.folder)
    side = model.card.recipe.size_px
    batch = np.random.default_rng(0).integers(0, 256, (options.images, side, side, 3), dtype=np.uint8)
    engines = {}
    for name in available_engines():
        precisions = ("fp32", "auto") if model.card.recheck_margins and name != "torch" else ("fp32",)
        for precision in precisions:
            engine = open_engine(model, name, precision=precision, threads=options.threads)
            engines[engine.profile] = engine
    weight = model.classifier_weight() if model.weights().get("classifier.weight") is not None else None
    seconds: dict[str, list[float]] = {profile: [] for profile in engines}
    with_maps: dict[str, list[float]] = {profile: [] for profile in engines}
    for engine in engines.values():
        engine.infer(batch[:2])
    for _ in range(options.rounds):
        for profile, engine in engines.items():
            start = time.perf_counter()
            engine.infer(batch)
            seconds[profile].append(time.perf_counter() - start)
            if weight is not None:
                start = time.perf_counter()
                output = engine.infer(batch, with_features=True)
                assert output.features is not None
                grad_cam(output.features, weight, 0, side)
                with_maps[profile].append(time.perf_counter() - start)
    base = next(values for profile, values in seconds.items() if profile.startswith("torch-") and "cuda" not in profile)
    for profile, values in seconds.items():
        ratio = statistics.median(b / v for b, v in zip(base, values, strict=True))
        cam = (
            statistics.median(m / v for m, v in zip(with_maps[profile], values, strict=True))
            if weight is not None
            else 0
        )
        rate = options.images / statistics.median(values)
        print(f"{profile:36s} {rate:8.1f} images/s  {ratio:5.2f} x torch fp32  with Grad-CAM {cam:4.2f} x the forward")


if __name__ == "__main__":
    main()
