"""The training loop: AdamW, cross-entropy, the paper's augmentation, best epoch by macro F1 on validation patients.

Short runs leave batch norm's running statistics behind the weights (measured: 0.40 accuracy before, 1.00 after
recalibration), so they are measured anew before every validation and, over all images, at the end.
"""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from inference.pipeline.allocator import freed_memory_kept
from inference.pipeline.augment import Variants, apply_variants, draw_variants
from inference.pipeline.dataset import DatasetInvalid, ImageSet, require_apart
from inference.pipeline.networks import build_network
from inference.pipeline.preprocess import Recipe
from inference.pipeline.train_batches import (
    Feed,
    Normalise,
    Rows,
    epoch_order,
    in_batches,
    make_schedule,
    seed_of,
    split,
)
from inference.pipeline.train_state import Epoch, State, read_state, write_state
from inference.pipeline.training_config import ConfigInvalid, TrainingSettings
from leukoweb.statistics.classification import accuracy, class_metrics, macro_average
from leukoweb.statistics.confusion import confusion_matrix

__all__ = ["Epoch", "TrainedModel", "Trainer", "TrainingSettings", "World", "evaluate", "logits_of", "train"]

EVALUATION_BATCH = 32
_RECALIBRATION = 0x0B0B  # keeps the draw of recalibration images apart from the order of an epoch


class OutOfMemory(DatasetInvalid):
    """The network does not fit, not even two images at a time."""

    code = "E_OUT_OF_MEMORY"


class Diverged(DatasetInvalid):
    """The loss is no number any more; further epochs would only spread it."""

    code = "E_DIVERGED"


@dataclass(frozen=True, slots=True)
class World:
    """Which of how many processes this is; one process is a world of its own."""

    rank: int = 0
    size: int = 1


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """The network of the best epoch, its history and the final validation figures.

    ``logits`` are those of the validation images, (n, K), from the returned network.
    """

    network: nn.Module
    history: tuple[Epoch, ...]
    best_epoch: int
    metrics: dict[str, Any]
    settings: dict[str, Any]
    logits: NDArray[np.float32]


#: Called after every epoch; returning False ends the training with the best epoch so far.
OnEpoch = Callable[[Epoch], bool | None]
#: Called after every step with the images done and to do in this epoch; may raise to stop between two steps.
OnStep = Callable[[int, int], None]


class Trainer:
    """One network on its way. ``run`` trains to the end; ``save`` and ``resume`` carry it over a kill.

    Over several processes (``world``) every one holds the whole network and a share of each batch; the first one
    validates. The sum is that of one process with ``accumulate`` as large as the world (ADR 0802).
    """

    def __init__(
        self,
        training: ImageSet,
        validation: ImageSet,
        *,
        architecture: Mapping[str, Any],
        recipe: Recipe,
        settings: TrainingSettings,
        initial_weights: str | Path | None = None,
        device: torch.device | str = "cpu",
        world: World | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        require_apart(training, validation)
        require_precision(settings, torch.device(device).type)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self.training, self.validation, self.settings = training, validation, settings
        self.device, self.world, self.say = torch.device(device), world or World(), say
        self.identity = f"{asdict(settings)} {dict(architecture)} {recipe.sha256} {_fingerprint(training, validation)}"
        torch.manual_seed(settings.seed)
        network = build_network(architecture, len(training.classes), initial_weights=initial_weights)
        self.network: nn.Module = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.normalise = Normalise(recipe, self.device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.weights = self._class_weights()
        n = len(training.images)
        generator = torch.Generator().manual_seed(0)
        self.steps_per_epoch = len(epoch_order(n, settings.batch_size, generator, self.world.size))
        if not self.steps_per_epoch:
            raise DatasetInvalid(f"{n} training images are too few for {self.world.size} devices.", field="training")
        self.schedule = make_schedule(self.optimiser, settings, settings.epochs * self.steps_per_epoch)
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=settings.precision == "fp16"
        )
        self.steps, self.accumulate = 0, settings.accumulate
        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] = {}
        self.best_epoch = 0
        self.model = self._wrapped()

    @freed_memory_kept()
    def run(self, on_epoch: OnEpoch | None = None, on_step: OnStep | None = None) -> TrainedModel:
        """Train the epochs that are left, then return the best one, recalibrated over all training images."""
        settings = self.settings
        while len(self.history) < settings.epochs and not self._stopped_early():
            epoch = self._epoch(len(self.history) + 1, on_step)
            self.history.append(epoch)
            if self.best_epoch == 0 or epoch.macro_f1 > self.history[self.best_epoch - 1].macro_f1:
                self.best_epoch = epoch.number
                self.best = copy.deepcopy(self.network.state_dict())
            if on_epoch is not None and on_epoch(epoch) is False:
                break
        return self._finished()

    def save(self, path: Path) -> None:
        """The state after the last epoch, atomically."""
        state = State(
            self.identity, self.steps, self.accumulate, tuple(self.history), self.best_epoch, self.scaler.state_dict()
        )
        write_state(path, state, network=self.network.state_dict(), best=self.best, optimiser=self.optimiser)

    def resume(self, path: Path) -> None:
        """Go on where ``save`` stopped; StateUnreadable for the file of another training."""
        loaded = read_state(path, self.identity)
        self.network.load_state_dict(loaded.network)
        self.best = {key: value.to(self.device) for key, value in loaded.best.items()}
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": loaded.optimiser, "param_groups": groups})
        for _ in range(loaded.state.steps):  # the learning rate by the same sums as without the interruption
            self.optimiser._opt_called = True  # type: ignore[attr-defined]  # the steps were made, before the kill
            self.schedule.step()
        if loaded.state.scaler:
            self.scaler.load_state_dict(loaded.state.scaler)
        self.steps, self.accumulate = loaded.state.steps, loaded.state.accumulate
        self.history, self.best_epoch = list(loaded.state.history), loaded.state.best_epoch

    def one_step(self, rows: Rows, generator: torch.Generator) -> float:
        """A single step on the given training images; for measuring."""
        self.network.train()
        images = next(iter(Feed(self.training.images, self.device)([rows])))
        return self._step(rows, images, draw_variants(len(rows), generator, self.settings.colour_jitter))

    def _epoch(self, number: int, on_step: OnStep | None) -> Epoch:
        started = time.monotonic()
        seed = seed_of(self.settings.seed, number)
        torch.manual_seed(seed)  # dropout, in networks that have it
        generator = torch.Generator().manual_seed(seed)
        batches = epoch_order(len(self.training.images), self.settings.batch_size, generator, self.world.size)
        loss, done, total = 0.0, 0, sum(map(len, batches))
        self.network.train()
        for rows, images in zip(batches, Feed(self.training.images, self.device)(batches), strict=True):
            variants = draw_variants(len(rows), generator, self.settings.colour_jitter)
            loss += self._step(rows, images, variants) * len(rows)
            done += len(rows)
            if on_step is not None:
                on_step(done, total)
        if not np.isfinite(loss):
            raise Diverged(
                f"The loss of epoch {number} is not a number.",
                hint="Choose a smaller learning rate, or fp32 instead of a reduced precision.",
                field="learning_rate",
            )
        rate = done / max(time.monotonic() - started, 1e-9)
        learning_rate = float(self.optimiser.param_groups[0]["lr"])
        self.recalibrate(self.settings.recalibration_images, seed)
        figures = evaluate(logits_of(self.network, self.validation, self.normalise), self.validation)
        return Epoch(
            number, loss / total, figures["macro_f1"], figures["accuracy"], tuple(figures["class_f1"]), learning_rate,
            time.monotonic() - started, rate,
        )  # fmt: skip

    def _step(self, rows: Rows, images: torch.Tensor, variants: Variants) -> float:
        """One step of the optimiser; tried again in smaller parts where the memory does not suffice."""
        while True:
            try:
                loss = self._backward(rows, images, variants)
                break
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _is_memory(error) or self.world.size > 1:
                    raise
                self._halve(len(rows))
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.schedule.step()
        self.steps += 1
        return loss

    def _backward(self, rows: Rows, images: torch.Tensor, variants: Variants) -> float:
        """Gradients of the batch's mean loss, part after part; returns that loss (of this process's share)."""
        targets = torch.from_numpy(self.training.targets[rows])
        norm = float(self.weights.cpu()[targets].sum())
        parts = split(len(rows), self.accumulate, self.world.size, self.world.rank)
        total = 0.0
        self.optimiser.zero_grad(set_to_none=True)
        for i, part in enumerate(parts):
            inputs = self.normalise(apply_variants(images[part].float() / 255, variants.part(part, self.device)))
            with self._unsynchronised(i + 1 < len(parts)), self.autocast():
                logits = self.model(inputs)
                wanted = targets[part].to(self.device)
                summed = functional.cross_entropy(logits, wanted, weight=self.weights, reduction="sum")
                self.scaler.scale(summed * self.world.size / norm).backward()
            total += float(summed.detach())
        return total * self.world.size / norm

    def _halve(self, n: int) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.accumulate * 2 > self.settings.batch_size // 2:
            raise OutOfMemory(
                f"The memory does not suffice for {n} images, even {-(-n // self.accumulate)} at a time.",
                hint="Choose smaller images or a smaller network.",
            )
        self.accumulate *= 2
        size = self.settings.batch_size
        self.say(f"Out of memory: each batch of {size} is now computed in {self.accumulate} parts.")

    def recalibrate(self, n_images: int, seed: int = 0) -> None:
        """Batch norm's running statistics as plain averages over unaugmented images, as inference will see them."""
        if not n_images:
            return
        generator = torch.Generator().manual_seed(seed ^ _RECALIBRATION)
        rows = torch.randperm(len(self.training.images), generator=generator).numpy()[:n_images]
        size = max(2, self.settings.batch_size // (self.accumulate * self.world.size))
        batches = [part for part in in_batches(rows, size) if len(part) > 1]
        feed = Feed(self.training.images, self.device)
        update_bn((self.normalise(images.float() / 255) for images in feed(batches)), self.network)

    def _finished(self) -> TrainedModel:
        self.network.load_state_dict(self.best)
        self.recalibrate(len(self.training.images) if self.settings.recalibration_images else 0)
        logits = logits_of(self.network, self.validation, self.normalise)
        network = self.network.to("cpu", memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
        kept = asdict(self.settings) | {"optimiser": "AdamW", "accumulate": self.accumulate}
        return TrainedModel(
            network, tuple(self.history), self.best_epoch, evaluate(logits, self.validation), kept, logits
        )

    def _stopped_early(self) -> bool:
        patience = self.settings.early_stopping
        return bool(patience and self.history and len(self.history) - self.best_epoch >= patience)

    def _class_weights(self) -> torch.Tensor:
        """(K,) 1, or the inverse of each class's share, with mean 1 over the training images."""
        k = len(self.training.classes)
        counts = np.bincount(self.training.targets, minlength=k)
        if self.settings.class_weights == "none" or not counts.all():
            return torch.ones(k, device=self.device)
        return torch.tensor(len(self.training.targets) / (k * counts), dtype=torch.float32, device=self.device)

    def _wrapped(self) -> nn.Module:
        if self.world.size > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            return nn.parallel.DistributedDataParallel(self.network, device_ids=ids, broadcast_buffers=False)
        return torch.compile(self.network) if self.settings.compile else self.network  # type: ignore[return-value]

    def _unsynchronised(self, more_to_come: bool) -> AbstractContextManager[None]:
        if more_to_come and isinstance(self.model, nn.parallel.DistributedDataParallel):
            return self.model.no_sync()
        return nullcontext()

    def autocast(self) -> AbstractContextManager[None]:
        kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.settings.precision)
        return nullcontext() if kind is None else torch.autocast(self.device.type, dtype=kind)


def require_precision(settings: TrainingSettings, device: str) -> None:
    """ConfigInvalid for fp16 on a CPU, which has no use for it: it would be fp32 under a wrong name on the card."""
    if settings.precision == "fp16" and device != "cuda":
        raise ConfigInvalid(
            "fp16 needs a GPU, and there is none on this machine.", field="precision",
            hint="Choose bf16, which is as fast on a CPU that has it, or fp32.",
        )  # fmt: skip


def train(
    training: ImageSet,
    validation: ImageSet,
    *,
    architecture: Mapping[str, Any],
    recipe: Recipe,
    settings: TrainingSettings,
    initial_weights: str | Path | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainedModel:
    """Train one model on the CPU in one go; patients must not be shared between the sets (DatasetInvalid)."""
    trainer = Trainer(
        training, validation, architecture=architecture, recipe=recipe, settings=settings,
        initial_weights=initial_weights,
    )  # fmt: skip
    return trainer.run(on_epoch)


def evaluate(logits: NDArray[np.float32], data: ImageSet) -> dict[str, Any]:
    """macro_f1, accuracy, class_f1 and confusion (rows reference, columns predicted) of image labels."""
    table = confusion_matrix(data.targets, logits.argmax(1), len(data.classes))
    f1 = class_metrics(table)["f1"]
    return {
        "macro_f1": float(macro_average(f1).value),
        "accuracy": float(accuracy(table)),
        "class_f1": [float(value) for value in f1],
        "confusion": table.tolist(),
        "n_images": len(data.targets),
        "n_patients": len(set(data.patients)),
    }


@torch.inference_mode()
def logits_of(network: nn.Module, data: ImageSet, normalise: Normalise) -> NDArray[np.float32]:
    """(n, K) logits in evaluation mode, in fp32."""
    network.eval()
    device = next(network.parameters()).device
    batches = in_batches(np.arange(len(data.targets)), EVALUATION_BATCH)
    feed = Feed(data.images, device)
    return np.concatenate([network(normalise(images.float() / 255)).cpu().numpy() for images in feed(batches)])


def _fingerprint(*sets: ImageSet) -> str:
    """Who is in the sets with what target: a state belongs to exactly these."""
    digest = hashlib.sha256()
    for data in sets:
        digest.update(repr((data.classes, data.patients, data.targets.tolist())).encode())
    return digest.hexdigest()


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
