"""What a network is, as data, and which tensors it must have; readable without torch.

``{"name": "densenet121"}`` is the paper's network. ``{"name": "densenet", "growth_rate": 12, "block_config":
[2, 4, 6, 4], "num_init_features": 24, "bn_size": 4}`` is a narrow one of the same family (Huang et al. 2017,
doi:10.1109/CVPR.2017.243). Any other name is looked up among torchvision's classification networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inference.pipeline.errors import ArchitectureUnknown

Shapes = dict[str, tuple[int, ...]]

#: What the SHA-256 of torchvision's ImageNet weights begin with, as their files are named (densenet121-a639ec97.pth).
IMAGENET_SHA256: Final = (
    "a639ec97", "8d451a50", "b2777c0a", "c1103571",  # DenseNet 121, 161, 169, 201
    "f37072fd", "b627a593", "0676ba61", "11ad3fa6",  # ResNet 18, 34, 50
    "7f5810bc", "983f1562",  # EfficientNet-B0, ConvNeXt tiny
)  # fmt: skip
_DENSENET_KEYS: Final = ("growth_rate", "block_config", "num_init_features", "bn_size")
_NAMED_DENSENETS: Final[dict[str, dict[str, Any]]] = {
    "densenet121": {
        "growth_rate": 32,
        "block_config": (6, 12, 24, 16),
        "num_init_features": 64,
        "bn_size": 4,
    },
    "densenet169": {
        "growth_rate": 32,
        "block_config": (6, 12, 32, 32),
        "num_init_features": 64,
        "bn_size": 4,
    },
    "densenet201": {
        "growth_rate": 32,
        "block_config": (6, 12, 48, 32),
        "num_init_features": 64,
        "bn_size": 4,
    },
    "densenet161": {
        "growth_rate": 48,
        "block_config": (6, 12, 36, 24),
        "num_init_features": 96,
        "bn_size": 4,
    },
}


def densenet_parameters(architecture: Mapping[str, Any]) -> dict[str, Any] | None:
    """growth_rate, block_config, num_init_features and bn_size of a DenseNet; None for other families."""
    name = architecture.get("name") if isinstance(architecture, Mapping) else None
    if not isinstance(name, str) or not name:
        raise ArchitectureUnknown(f"An architecture is an object with a name, found {architecture!r}.")
    if name != "densenet":
        if len(architecture) > 1:
            raise ArchitectureUnknown(
                f"{name!r} takes no options, found {sorted(set(architecture) - {'name'})}.",
                hint='Use {"name": "densenet", ...} for a network of your own measures.',
            )
        return dict(_NAMED_DENSENETS[name]) if name in _NAMED_DENSENETS else None
    if set(architecture) != {"name", *_DENSENET_KEYS}:
        raise ArchitectureUnknown(
            f"A densenet has exactly the options {', '.join(_DENSENET_KEYS)}, found {sorted(architecture)}."
        )
    blocks = architecture["block_config"]
    numbers = [architecture[key] for key in _DENSENET_KEYS if key != "block_config"]
    if not isinstance(blocks, (list, tuple)) or not blocks:
        raise ArchitectureUnknown(f"block_config is {blocks!r}; it must be a list of layers per block.")
    if not all(type(number) is int and 1 <= number <= 512 for number in [*numbers, *blocks]):
        raise ArchitectureUnknown(f"A densenet's options are whole numbers from 1 to 512, found {dict(architecture)}.")
    return {key: tuple(blocks) if key == "block_config" else architecture[key] for key in _DENSENET_KEYS}


def has_closed_form(architecture: Mapping[str, Any]) -> bool:
    """True where ReLU, global average and one linear layer end the network, so Grad-CAM needs no backward."""
    return densenet_parameters(architecture) is not None


def densenet_shapes(architecture: Mapping[str, Any], n_classes: int) -> Shapes | None:
    """Name and shape of every tensor in torchvision's state dict; None for other families."""
    p = densenet_parameters(architecture)
    if p is None:
        return None
    width, growth, bottleneck = p["num_init_features"], p["growth_rate"], p["bn_size"] * p["growth_rate"]
    shapes: Shapes = {"features.conv0.weight": (width, 3, 7, 7)} | _norm("features.norm0", width)
    for block, n_layers in enumerate(p["block_config"], start=1):
        for layer in range(1, n_layers + 1):
            prefix = f"features.denseblock{block}.denselayer{layer}"
            shapes |= _norm(f"{prefix}.norm1", width) | {f"{prefix}.conv1.weight": (bottleneck, width, 1, 1)}
            shapes |= _norm(f"{prefix}.norm2", bottleneck) | {f"{prefix}.conv2.weight": (growth, bottleneck, 3, 3)}
            width += growth
        if block < len(p["block_config"]):
            prefix = f"features.transition{block}"
            shapes |= _norm(f"{prefix}.norm", width) | {f"{prefix}.conv.weight": (width // 2, width, 1, 1)}
            width //= 2

    return (
        shapes
        | _norm("features.norm5", width)
        | {"classifier.weight": (n_classes, width), "classifier.bias": (n_classes,)}
    )


def _norm(prefix: str, width: int) -> Shapes:
    values: Shapes = {f"{prefix}.{name}": (width,) for name in ("weight", "bias", "running_mean", "running_var")}
    return values | {f"{prefix}.num_batches_tracked": ()}
