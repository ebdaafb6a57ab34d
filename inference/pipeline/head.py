"""The quick retraining: a trained backbone stays as it is, its features are computed once, a new head learns on them.

Minutes on a CPU instead of days. It is not the paper's training: no augmentation reaches the backbone, which knows only
what it was trained on; the card says so.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from inference.pipeline.allocator import freed_memory_kept
from inference.pipeline.dataset import Images, ImageSet
from inference.pipeline.errors import ArchitectureUnknown
from inference.pipeline.train_batches import Feed, Normalise, in_batches, make_schedule
from inference.pipeline.training_config import TrainingSettings

FEATURE_BATCH = 32
#: What of the settings a new head is trained by; the others are the backbone's, which stays as it is.
HEAD_SETTINGS = (
    "epochs", "batch_size", "learning_rate", "weight_decay", "seed", "threads", "precision", "schedule",
    "class_weights", "early_stopping",
)  # fmt: skip


def last_linear(network: nn.Module) -> tuple[str, nn.Linear]:
    """Name and module of the layer that gives the logits; ArchitectureUnknown where it is not a linear one."""
    linear = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ArchitectureUnknown(
            "This network does not end in a linear layer, so its head cannot be trained alone.",
            hint="Choose the full recipe, or a network of the DenseNet family.",
            field="architecture",
        )
    return linear[-1]


def recalibrate_backbone(network: nn.Module, data: ImageSet, normalise: Normalise, batch_size: int) -> None:
    """Batch norm's statistics of the new images in a backbone whose weights stay (AdaBN; Li et al. 2018,
    doi:10.1016/j.patcog.2018.03.005): another camera or stain moves them before it moves anything else."""
    rows = in_batches(np.arange(len(data.targets)), batch_size)
    device = next(network.parameters()).device
    feed = Feed(data.images, device)
    update_bn((normalise(images.float() / 255) for images in feed([r for r in rows if len(r) > 1])), network)


@freed_memory_kept()
@torch.inference_mode()
def features_of(
    network: nn.Module,
    images: Images,
    normalise: Normalise,
    on_batch: Callable[[NDArray[np.intp], NDArray[np.float32]], None],
    rows: NDArray[np.intp],
    *,
    bf16: bool = False,
) -> None:
    """What goes into the last linear layer, (k, C) float32, batch by batch for the given rows.

    ``bf16`` computes under autocast: faster on a GPU and on a CPU with AMX, slower on other CPUs.
    """
    network = network.eval().to(memory_format=torch.channels_last)
    caught: list[torch.Tensor] = []
    hook = last_linear(network)[1].register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
    try:
        batches = in_batches(rows, FEATURE_BATCH)
        feed = Feed(images, next(network.parameters()).device)
        for part, batch in zip(batches, feed(batches), strict=True):
            caught.clear()
            with torch.autocast(batch.device.type, dtype=torch.bfloat16, enabled=bf16):
                network(normalise(batch.float() / 255))
            on_batch(part, caught[0].float().cpu().numpy())
    finally:
        hook.remove()


class FeatureHead(nn.Module):
    """Standardised features into one linear layer, which can be folded into the network's own."""

    def __init__(self, features: NDArray[np.float32], n_classes: int) -> None:
        super().__init__()
        mean, std = features.mean(0), features.std(0)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("std", torch.from_numpy(np.where(std > 1e-6, std, 1.0).astype(np.float32)))
        self.linear = nn.Linear(features.shape[1], n_classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.linear((features - self.mean) / self.std)  # type: ignore[operator, no-any-return]

    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias of the one linear layer that does the same on raw features."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        weight = self.linear.weight / std
        return weight.detach(), (self.linear.bias - weight @ mean).detach()


def train_head(
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    n_classes: int,
    settings: TrainingSettings,
    validate: Callable[[int, float, float, NDArray[np.float32]], bool],
    validation: NDArray[np.float32],
) -> FeatureHead:
    """Softmax regression by AdamW; ``validate(epoch, loss, learning_rate, logits)`` says whether it is the best so far.

    Deterministic in the seed; whoever is killed starts again, since the whole takes seconds.
    """
    torch.manual_seed(settings.seed)
    head = FeatureHead(features, n_classes)
    optimiser = torch.optim.AdamW(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    steps = settings.epochs * -(-len(features) // settings.batch_size)
    schedule = make_schedule(optimiser, settings, steps)
    counts = np.bincount(targets, minlength=n_classes)
    balanced = settings.class_weights == "balanced"
    weight = torch.tensor(len(targets) / (n_classes * counts) if balanced else np.ones(n_classes), dtype=torch.float32)
    x, y, unseen = torch.from_numpy(features), torch.from_numpy(targets), torch.from_numpy(validation)
    generator = torch.Generator().manual_seed(settings.seed)
    best, best_epoch = copy.deepcopy(head), 0
    for epoch in range(1, settings.epochs + 1):
        order, total = torch.randperm(len(x), generator=generator), 0.0
        for start in range(0, len(x), settings.batch_size):
            rows = order[start : start + settings.batch_size]
            loss = functional.cross_entropy(head(x[rows]), y[rows], weight=weight)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        with torch.no_grad():
            logits = head(unseen).numpy()
        if validate(epoch, total / len(x), float(optimiser.param_groups[0]["lr"]), logits):
            best, best_epoch = copy.deepcopy(head), epoch
        if settings.early_stopping and epoch - best_epoch >= settings.early_stopping:
            break
    return best


def put_head(network: nn.Module, head: FeatureHead) -> nn.Module:
    """The network with the new head in place of its last linear layer."""
    name, old = last_linear(network)
    weight, bias = head.folded()
    new = nn.Linear(old.in_features, len(bias))
    with torch.no_grad():
        new.weight.copy_(weight)
        new.bias.copy_(bias)
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, new)
    return network.eval()


def fit_temperature(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """The T > 0 that minimises the negative log-likelihood of softmax(logits / T) (Guo et al. 2017, arXiv:1706.04599).

    Found by golden-section search between 0.05 and 20 on the logarithm, where the loss has one valley.
    """
    z = logits.astype(np.float64)

    def loss(log_t: float) -> float:
        scaled = z / np.exp(log_t)
        top = scaled.max(1, keepdims=True)
        log_sum = np.log(np.exp(scaled - top).sum(1)) + top[:, 0]
        return float((log_sum - scaled[np.arange(len(z)), targets]).mean())

    low, high, ratio = np.log(0.05), np.log(20.0), (np.sqrt(5) - 1) / 2
    while high - low > 1e-6:
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if loss(a) <= loss(b) else (a, high)
    return float(np.exp((low + high) / 2))


def cool(network: nn.Module, temperature: float) -> None:
    """Divide the logits by ``temperature`` inside the last linear layer: every engine then gives calibrated ones."""
    layer = last_linear(network)[1]
    with torch.no_grad():
        layer.weight.div_(temperature)
        layer.bias.div_(temperature)
