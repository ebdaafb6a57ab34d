"""Training on images that a small network can tell apart in seconds, and what must be refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inference.pipeline.augment import augment
from inference.pipeline.dataset import DatasetInvalid, ImageSet, require_apart
from inference.pipeline.preprocess import Recipe
from inference.pipeline.train import Epoch, TrainingSettings, evaluate, train
from inference.pipeline.training_config import ConfigInvalid
from tests.inference.pipeline.models import ARCHITECTURE

RECIPE = Recipe(size_px=32)
CLASSES = ("LEUKEMIA", "NO_LEUKEMIA")


def coloured(n: int, prefix: str, seed: int = 0) -> ImageSet:
    """Dark violet against pale fields with noise."""
    random = np.random.default_rng(seed)
    targets = np.arange(n) % 2
    means = np.array([[90, 60, 140], [220, 200, 205]])[targets]
    images = np.clip(means[:, None, None, :] + random.normal(0, 25, (n, 32, 32, 3)), 0, 255).astype(np.uint8)
    return ImageSet(images, targets.astype(np.int64), tuple(f"{prefix}{i}" for i in range(n)), CLASSES)


def test_it_learns_reports_every_epoch_and_repeats_itself() -> None:
    settings = TrainingSettings(epochs=6, batch_size=8, learning_rate=5e-3, seed=3, threads=1)
    seen: list[Epoch] = []
    runs = [
        train(
            coloured(64, "a"), coloured(16, "b", 1), architecture=ARCHITECTURE, recipe=RECIPE, settings=settings,
            on_epoch=seen.append,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert [epoch.number for epoch in seen] == [1, 2, 3, 4, 5, 6] * 2
    assert runs[0].metrics["accuracy"] == 1.0
    assert runs[0].metrics["n_patients"] == 16
    assert runs[0].history[runs[0].best_epoch - 1].macro_f1 == max(epoch.macro_f1 for epoch in runs[0].history)
    assert runs[0].history == runs[1].history
    first, second = (run.network.state_dict() for run in runs)
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_false_ends_it_with_the_best_epoch_so_far() -> None:
    trained = train(
        coloured(16, "a"), coloured(8, "b", 1), architecture=ARCHITECTURE, recipe=RECIPE,
        settings=TrainingSettings(epochs=5, batch_size=8, threads=1, precision="bf16"), on_epoch=lambda epoch: False,
    )  # fmt: skip
    assert len(trained.history) == 1
    assert trained.best_epoch == 1


def test_recalibration_leaves_statistics_of_the_unaugmented_images() -> None:
    data = coloured(32, "a")
    trained = train(
        data, coloured(8, "b", 1), architecture=ARCHITECTURE, recipe=RECIPE,
        settings=TrainingSettings(epochs=1, batch_size=8, threads=1),
    )  # fmt: skip
    features = trained.network.features
    x = (torch.from_numpy(data.images).permute(0, 3, 1, 2).float() / 255 - torch.tensor(RECIPE.mean).view(3, 1, 1)) / (
        torch.tensor(RECIPE.std).view(3, 1, 1)
    )
    with torch.no_grad():
        expected = features.conv0(x).mean((0, 2, 3))
    torch.testing.assert_close(features.norm0.running_mean, expected, atol=1e-4, rtol=1e-3)


def test_a_patient_on_both_sides_is_refused() -> None:
    with pytest.raises(DatasetInvalid, match="a0"):
        train(
            coloured(8, "a"), coloured(8, "a"), architecture=ARCHITECTURE, recipe=RECIPE,
            settings=TrainingSettings(epochs=1),
        )  # fmt: skip
    other = ImageSet(coloured(4, "b").images, np.zeros(4, dtype=np.int64), ("b",) * 4, ("X", "Y"))
    with pytest.raises(DatasetInvalid):
        require_apart(coloured(4, "a"), other)


def test_sets_and_settings_that_make_no_sense_are_refused() -> None:
    images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    for targets, patients in (([0], ("p", "q")), ([0, 2], ("p", "q")), ([-1, 0], ("p", "q")), ([0, 1], ("p",))):
        with pytest.raises(DatasetInvalid):
            ImageSet(images, np.array(targets), patients, CLASSES)
    with pytest.raises(ConfigInvalid, match="epochs"):
        TrainingSettings(epochs=0)
    assert coloured(5, "a").counts() == {"LEUKEMIA": 3, "NO_LEUKEMIA": 2}


def test_figures_of_known_logits() -> None:
    data = coloured(4, "a")
    logits = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.float32)  # one NO_LEUKEMIA called LEUKEMIA
    figures = evaluate(logits, data)
    assert figures["confusion"] == [[2, 0], [1, 1]]
    assert figures["accuracy"] == 0.75
    assert figures["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)


def test_augmentation_is_seeded_keeps_the_padding_black_and_never_crops() -> None:
    batch = torch.full((16, 3, 40, 40), 0.6)
    batch[:, :, :5] = 0
    batch[:, :, 35:] = 0
    one, two = (augment(batch, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == batch.shape
    assert one.min() >= 0
    assert one.max() <= 1
    assert (one[:, :, :3] == 0).all()
    share = (one.sum(1) > 0).float().mean((1, 2)) / (batch.sum(1) > 0).float().mean((1, 2))
    assert share.min() > 0.3
    assert share.max() < 1.15
    assert share.std() > 0.02
