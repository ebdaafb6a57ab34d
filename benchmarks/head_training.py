"""The quick retraining of DenseNet-121 at 448 px: the features of an image, and a head on the features of 3,402.

    python -m benchmarks.head_training [--images 32] [--turns 3]

Three ways to the features take turns on the same drawn fields: the network as it is built, fp32; ours in fp32 (channels
last, freed memory kept); ours in bf16. The head learns on features of drawn fields, with noise of a tenth of their
spread added until there are as many as the paper's training (3,402) and internal test (880) images.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.densenet_triple import phantoms
from benchmarks.results import Result, Table, add_options, report
from cases.phantoms import LABELS
from inference.pipeline.head import features_of, last_linear, train_head
from inference.pipeline.networks import build_network
from inference.pipeline.preprocess import Recipe
from inference.pipeline.train_batches import Normalise
from inference.pipeline.training_config import PRESETS

TRAINING, INTERNAL = 3402, 880  # the paper's images
AS_BUILT = "as built, fp32, 32 a forward"


def ways(images: NDArray[np.uint8], recipe: Recipe) -> dict[str, Callable[[], NDArray[np.float32]]]:
    network = build_network({"name": "densenet121"}, len(LABELS)).eval()
    rows, normalise = np.arange(len(images)), Normalise(recipe)
    size = last_linear(network)[1].in_features

    @torch.inference_mode()
    def plain() -> NDArray[np.float32]:
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (recipe.mean, recipe.std))
        parts = []
        for start in range(0, len(images), 32):
            x = torch.from_numpy(images[start : start + 32]).permute(0, 3, 1, 2).float() / 255
            found = network.features(((x - mean) / std).contiguous()).relu().mean((2, 3))
            parts.append(found.numpy())
        return np.concatenate(parts)

    def ours(bf16: bool) -> NDArray[np.float32]:
        table = np.zeros((len(images), size), dtype=np.float32)
        features_of(network, images, normalise, lambda r, v: table.__setitem__(r, v), rows, bf16=bf16)
        return table

    def plainly() -> NDArray[np.float32]:
        network.to(memory_format=torch.contiguous_format)
        return plain()

    return {
        "as built, fp32, 32 a forward": plainly,
        "ours, fp32": lambda: ours(False),
        "ours, bf16": lambda: ours(True),
    }


def head_s(features: NDArray[np.float32], targets: NDArray[np.int64]) -> tuple[float, int]:
    """(seconds, epochs) of the head on as many features as the paper has images."""
    rng = np.random.default_rng(0)

    def grown(n: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rows = np.arange(n) % len(features)
        noise = rng.normal(0, 0.1, (n, features.shape[1])).astype(np.float32) * features.std(0)
        return features[rows] + noise, targets[rows]

    training, internal = grown(TRAINING), grown(INTERNAL)
    epochs: list[int] = []

    def validate(epoch: int, loss: float, rate: float, logits: NDArray[np.float32]) -> bool:
        epochs.append(epoch)
        return True  # every epoch is kept, as while a training still improves

    begun = time.perf_counter()
    train_head(training[0], training[1], len(LABELS), PRESETS["quick"].settings, validate, internal[0])
    return time.perf_counter() - begun, len(epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--turns", type=int, default=3)
    add_options(parser)
    options = parser.parse_args()
    recipe = Recipe(size_px=448)
    images, labels = phantoms(options.images, seed=5, recipe=recipe)
    seconds: dict[str, list[float]] = {}
    found: dict[str, NDArray[np.float32]] = {}
    for _ in range(options.turns):
        for title, way in ways(images, recipe).items():
            begun = time.perf_counter()
            found[title] = way()
            seconds.setdefault(title, []).append(time.perf_counter() - begun)
    rows = []
    for title, took in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[AS_BUILT], took, strict=True))
        each = statistics.median(took) / len(images)
        rows.append([title, 1 / each, ratio, TRAINING * each])
    head, epochs = head_s(found["ours, fp32"], np.array([LABELS.index(label) for label in labels]))
    columns = ["features of DenseNet-121 at 448 px", "images a second", "times faster", f"s for {TRAINING:,}, computed"]
    tables = [
        Table("", columns, rows),
        Table("", ["head on cached features", "epochs", "s"], [[f"{TRAINING:,} and {INTERNAL} images", epochs, head]]),
    ]
    report(Result("head", "python -m benchmarks.head_training", tables), options.results)


if __name__ == "__main__":
    main()
