"""The quick retraining of one part: features once, kept in the cache; then the head, epoch by epoch as any training."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.models import TrainingEpoch, TrainingPart, TrainingRun
from inference.pipeline.dataset import ImageSet, require_apart
from inference.pipeline.image_cache import ArrayCache, CachedImages
from inference.pipeline.training_config import PARTS
from inference.worker.training_images import cache_folder
from inference.worker.training_start import Start
from leukoweb.core.jobs.context import JobContext
from leukoweb.core.words import counted
from leukoweb.statistics.results import to_json_value


def train_quick(
    context: JobContext, run: TrainingRun, part: TrainingPart, data: tuple[ImageSet, ImageSet], start: Start, say: Any
) -> Any:
    """The backbone with its new head, as a full training would return it; after a kill it starts over (seconds).

    ``part`` gets its figures unsaved: they and the epochs are written with the registration (``save_epochs``), so that
    an attempt which came to nothing leaves none.
    """
    import torch

    from inference.pipeline import head as heads
    from inference.pipeline.networks import build_network
    from inference.pipeline.train import Epoch, TrainedModel, evaluate, logits_of, require_precision
    from inference.pipeline.train_batches import Normalise

    plan, (training, validation) = run.plan, data
    require_apart(training, validation)
    if plan.settings.threads:
        torch.set_num_threads(plan.settings.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    require_precision(plan.settings, device)
    network = build_network(plan.architecture, len(training.classes), initial_weights=start.source).to(device)
    normalise = Normalise(plan.recipe, device)
    if plan.recalibrate_frozen:
        images = counted(len(training.targets), "image")
        say(f"{PARTS[part.part][2]}: measuring batch-norm statistics of {images} anew.")
        heads.recalibrate_backbone(network, training, normalise, plan.settings.batch_size)
    started = time.monotonic()
    table = _Features(network, normalise, plan.recipe.sha256, context, bf16=plan.settings.precision == "bf16")
    features = table.of(training), table.of(validation)
    say(f"{PARTS[part.part][2]}: {table.n_computed} features computed in {time.monotonic() - started:.0f} s.")
    history: list[Epoch] = []
    best: list[Epoch] = []

    def validate(number: int, loss: float, rate: float, logits: NDArray[np.float32]) -> bool:
        context.check()
        figures = evaluate(logits, validation)
        history.append(Epoch(number, loss, figures["macro_f1"], figures["accuracy"], tuple(figures["class_f1"]), rate))
        if not best or history[-1].macro_f1 > best[-1].macro_f1:
            best.append(history[-1])
        return best[-1].number == number

    trained = heads.train_head(
        features[0], training.targets, len(training.classes), plan.settings, validate, features[1]
    )
    network = heads.put_head(network.cpu(), trained)
    part.epochs_done, part.best_epoch, part.best_macro_f1 = len(history), best[-1].number, best[-1].macro_f1
    logits = logits_of(network, validation, Normalise(plan.recipe))
    settings = {name: getattr(plan.settings, name) for name in heads.HEAD_SETTINGS}
    settings |= {"optimiser": "AdamW", "method": "quick: frozen backbone, new head"}
    return TrainedModel(network, tuple(history), best[-1].number, evaluate(logits, validation), settings, logits)


class _Features:
    """Features of one backbone, in the cache under the hash of everything that it computes with."""

    def __init__(
        self, network: Any, normalise: Any, recipe_sha256: str, context: JobContext, *, bf16: bool = False
    ) -> None:
        from inference.pipeline.head import last_linear

        self.network, self.normalise, self.context, self.bf16 = network, normalise, context, bf16
        name, layer = last_linear(network)
        digest = hashlib.sha256(recipe_sha256.encode() + (b" bf16" if bf16 else b""))
        for key, value in network.state_dict().items():
            if not key.startswith(name):
                digest.update(key.encode() + value.cpu().numpy().tobytes())
        self.cache = ArrayCache(cache_folder("features") / digest.hexdigest()[:16], (layer.in_features,), np.float32)
        self.n_computed = 0

    def of(self, data: ImageSet) -> NDArray[np.float32]:
        """(n, C) float32 in the order of ``data``."""
        from inference.pipeline.head import features_of

        images = data.images
        if not isinstance(images, CachedImages):
            raise TypeError("features are kept under the content hashes of cached images")
        missing = np.array([i for i, sha in enumerate(images.contents) if not self.cache.has(sha)], dtype=np.intp)
        self.n_computed += len(missing)

        def keep(rows: NDArray[np.intp], values: NDArray[np.float32]) -> None:
            self.context.check()
            for row, value in zip(rows, values, strict=True):
                self.cache.put(images.contents[int(row)], value)

        if len(missing):
            features_of(self.network, images, self.normalise, keep, missing, bf16=self.bf16)
        return np.stack([self.cache.get(sha) for sha in images.contents]).astype(np.float32)


def save_epochs(part: TrainingPart, history: Sequence[Any]) -> None:
    """All epochs of the head, within the caller's transaction: they take milliseconds each and are one piece of
    progress. Those that an earlier release wrote for an attempt that came to nothing stay: epochs never change."""
    TrainingEpoch.objects.bulk_create(
        [
            TrainingEpoch(
                part=part, number=e.number, loss=e.loss, macro_f1=e.macro_f1, accuracy=e.accuracy,
                class_f1=to_json_value(e.class_f1), learning_rate=e.learning_rate, images_per_s=0, seconds=0,
            )
            for e in history
        ],
        ignore_conflicts=True,
    )  # fmt: skip
