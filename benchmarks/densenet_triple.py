"""Three DenseNet-121 at the paper's 448 px for measurements of speed and of decision safety.

    python -m benchmarks.densenet_triple OUT [--fields 28] [--trained]

They are no good models. Without ``--trained`` each has a random backbone of its own, batch norm's statistics measured
on fields, and a classifier fitted by ridge-penalised logistic regression on the backbone's features of phantoms; the
logits are scaled to the spread of a trained network's. With ``--trained`` (minutes) one backbone learned the seven
labels of phantoms first, at 224 and then at 448 px, and the three classifiers are fitted on what it learned.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from cases.phantoms import LABELS, TRAINING_STYLES, draw_field
from cases.taxonomy import MAPS
from inference.pipeline.calibration import calibration_fields
from inference.pipeline.card import ModelCard
from inference.pipeline.checkpoint import Pipeline, load_pipeline_folder, write_pipeline_json
from inference.pipeline.dataset import ImageSet
from inference.pipeline.export import UNKNOWN_SHA256, calibrate_recheck, save_model_folder
from inference.pipeline.networks import build_network, with_features
from inference.pipeline.preprocess import Recipe
from inference.pipeline.rules import RULE_SETS
from inference.pipeline.train import Trainer
from inference.pipeline.training_config import TrainingSettings

RECIPE = Recipe(size_px=448)
ARCHITECTURE = {"name": "densenet121"}
SLOT_MAPS = {"model_1": "two", "model_2": "four", "model_3": "five"}
LOGIT_SD = 4.8  # spread of the logits of a network trained for five minutes on synthetic smears
NOTE = "random backbone, batch norm measured on fields, classifier fitted on phantoms; means nothing"
NOTE_TRAINED = "backbone trained for minutes on phantoms, classifier fitted on its features; means little"
STAGES = ((224, 12), (448, 2))  # side in pixels, epochs
N_TRAINING, N_VALIDATION = 280, 56


def phantoms(n: int, *, seed: int, recipe: Recipe = RECIPE) -> tuple[NDArray[np.uint8], list[str]]:
    """``n`` prepared fields over all labels and training styles, and their labels."""
    labels = [LABELS[i % len(LABELS)] for i in range(n)]
    images = [
        draw_field(label, seed=seed + i, style=TRAINING_STYLES[i % len(TRAINING_STYLES)], width_px=640).image
        for i, label in enumerate(labels)
    ]
    return np.stack([recipe.prepare(image) for image in images]), labels


def mixtures(images: NDArray[np.uint8], n: int, *, seed: int) -> NDArray[np.uint8]:
    """``n`` blends of two different images at a random share: fields between two labels."""
    rng = np.random.default_rng(seed)
    pairs = np.array([rng.choice(len(images), 2, replace=False) for _ in range(n)])
    return blend(images[pairs[:, 0]], images[pairs[:, 1]], rng.random(n))


def blend(first: NDArray[np.uint8], second: NDArray[np.uint8], share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(n, h, w, 3) of ``share`` of the second and the rest of the first."""
    weight = share.astype(np.float32)[:, None, None, None]
    return np.rint(first * (1 - weight) + second * weight).astype(np.uint8)


def trained_trunk() -> dict[str, torch.Tensor]:
    """Weights of a network that tells the seven labels of phantoms apart, but for its classifier."""
    network: nn.Module | None = None
    settings = TrainingSettings(batch_size=8, precision="bf16", schedule="one-cycle", recalibration_images=64)
    for size_px, epochs in STAGES:
        recipe = replace(RECIPE, size_px=size_px)
        parts = []
        for n, seed in ((N_TRAINING, 20_000), (N_VALIDATION, 40_000)):
            images, labels = phantoms(n, seed=seed, recipe=recipe)
            targets = np.array([LABELS.index(label) for label in labels])
            parts.append(ImageSet(images, targets, tuple(f"{seed + i}" for i in range(n)), tuple(LABELS)))
        trainer = Trainer(*parts, architecture=ARCHITECTURE, recipe=recipe, settings=replace(settings, epochs=epochs))
        if network is not None:
            trainer.network.load_state_dict(network.state_dict())
        network = trainer.run().network
        sys.stderr.write(f"{size_px} px: macro F1 {', '.join(f'{one.macro_f1:.2f}' for one in trainer.history)}\n")
    assert network is not None
    return {key: value for key, value in network.state_dict().items() if not key.startswith("classifier")}


def build_triple(out: Path, *, n_fields: int, seed: int = 0, trained: bool = False) -> Pipeline:
    """Write a pipeline folder with the three models, their re-check bands calibrated, and load it."""
    note, trunk = (NOTE_TRAINED, trained_trunk()) if trained else (NOTE, {})
    images, labels = phantoms(n_fields, seed=10_000 + seed)
    calibration = calibration_fields(RECIPE)
    for number, (slot, name) in enumerate(SLOT_MAPS.items()):
        class_map = MAPS[name]
        torch.manual_seed(seed + number)
        network = build_network(ARCHITECTURE, len(class_map.classes))
        network.load_state_dict(trunk, strict=False)
        _fit(network, images, torch.tensor([class_map.index(label) for label in labels]), measured=trained)
        card = ModelCard(
            name=f"benchmark {slot.replace('_', ' ')}", version="1", slot=slot, classes=class_map.classes,
            architecture=ARCHITECTURE, recipe=RECIPE, weights_sha256=UNKNOWN_SHA256, onnx_sha256=UNKNOWN_SHA256,
            dataset={"name": "phantoms", "n_images": n_fields}, metrics={}, training={"note": note}, licence="MIT",
            synthetic=True, intended_use="Measurements of speed only.", created="2026-01-01",
        )  # fmt: skip
        calibrate_recheck(save_model_folder(out / slot, network, card), calibration)
    write_pipeline_json(
        out, name="benchmark", version="1", description=note, rule_set=RULE_SETS["paper-fig2"],
        slots={slot: slot for slot in SLOT_MAPS},
    )  # fmt: skip
    return load_pipeline_folder(out)


def _fit(network: nn.Module, images: NDArray[np.uint8], targets: torch.Tensor, *, measured: bool) -> None:
    """Batch norm's statistics from the images, unless they are ``measured`` already, then the classifier on the
    features; logits spread by ``LOGIT_SD``."""
    batches = [_normalised(images[i : i + 8]) for i in range(0, len(images), 8)]
    if not measured:
        update_bn(batches[:4], network)
    network.eval()
    trunk = with_features(network, ARCHITECTURE)
    with torch.inference_mode():
        pooled = torch.cat([trunk(batch)[1].mean((2, 3)) for batch in batches])  # (n, 1024)
    pooled = pooled.clone()
    middle, spread = pooled.mean(0), pooled.std(0) + 1e-4
    x = (pooled - middle) / spread
    head = nn.Linear(x.shape[1], int(network.classifier.out_features))
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=100)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = functional.cross_entropy(head(x), targets) + 0.02 * head.weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        gain = LOGIT_SD / head(x).std()
        weight = head.weight * gain / spread
        network.classifier.weight.copy_(weight)
        network.classifier.bias.copy_(head.bias * gain - weight @ middle)


def _normalised(images: NDArray[np.uint8]) -> torch.Tensor:
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (RECIPE.mean, RECIPE.std))
    return (x - mean) / std


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--fields", type=int, default=28, help="phantoms that the classifiers are fitted on")
    parser.add_argument("--trained", action="store_true", help="train the backbone first")
    options = parser.parse_args()
    build_triple(options.out, n_fields=options.fields, trained=options.trained)


if __name__ == "__main__":
    main()
