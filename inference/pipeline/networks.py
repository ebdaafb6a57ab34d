"""Builds the torch networks. The only way to weights is safetensors, or torchvision's own published file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inference.pipeline.architecture import densenet_parameters, has_closed_form
from inference.pipeline.errors import (
    ArchitectureUnknown,
    EngineUnavailable,
    WeightsFormat,
    WeightsKeys,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

# Names of the first published DenseNet files, from before torchvision renamed "norm.1" to "norm1".
_OLD_DENSENET_KEY: Final = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\..+)$")
_PUBLISHED_NAME: Final = re.compile(r".+-([0-9a-f]{8})\.pth")


def require_torch(purpose: str) -> None:
    """Raise EngineUnavailable with what to install, where this is an installation without torch."""
    try:
        import torch  # noqa: F401
        import torchvision  # noqa: F401
    except ImportError as error:
        raise EngineUnavailable(
            f"{purpose} needs torch and torchvision, which are not installed here.",
            hint="Install the extra [ai]; predictions work without it.",
        ) from error


def build_network(
    architecture: Mapping[str, Any], n_classes: int, *, initial_weights: str | Path | None = None
) -> nn.Module:
    """A torchvision network with ``n_classes`` outputs, in training mode.

    Parameters
    ----------
    architecture
        As in ``inference.pipeline.architecture``; unknown names raise ArchitectureUnknown.
    initial_weights
        None for random weights (seed torch first), ``"imagenet"`` to download torchvision's, or a local file:
        safetensors, or torchvision's own ``NAME-HASH8.pth`` whose SHA-256 must begin with that hash. The
        classifier is new where the file has another number of classes.
    """
    require_torch("Building a network")
    import torchvision

    parameters = densenet_parameters(architecture)
    name = architecture["name"]
    if name == "densenet" and parameters is not None:
        network: nn.Module = torchvision.models.DenseNet(num_classes=n_classes, **parameters)
    elif name in torchvision.models.list_models(module=torchvision.models):
        network = torchvision.models.get_model(name, weights=None, num_classes=n_classes)
    else:
        raise ArchitectureUnknown(
            f"There is no network {name!r}.",
            hint='Use "densenet121", a "densenet" with options, or another torchvision classifier.',
            field="architecture",
        )
    if initial_weights is not None:
        _load_initial(network, _initial_state(name, initial_weights))
    return network


def with_features(network: nn.Module, architecture: Mapping[str, Any]) -> nn.Module:
    """Wrap a network so that it returns (logits, features); the features are post-ReLU (n, C, h, w).

    Networks without the closed form return their logits alone, as a tuple of one.
    """
    from torch import nn
    from torch.nn.functional import relu

    closed_form = has_closed_form(architecture)

    class WithFeatures(nn.Module):
        network: Any

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            if not closed_form:
                return (self.network(x),)
            features = relu(self.network.features(x))  # (n, C, h, w)
            return self.network.classifier(features.mean(dim=(2, 3))), features

    return WithFeatures().eval()


def _initial_state(name: str, source: str | Path) -> dict[str, Tensor]:
    import torchvision

    if source == "imagenet":
        try:
            weights = torchvision.models.get_model_weights(name).DEFAULT
            return dict(weights.get_state_dict(progress=False, check_hash=True))
        except (OSError, ValueError, RuntimeError) as error:
            raise WeightsFormat(
                f"ImageNet weights of {name!r} could not be fetched: {error}.",
                hint="Download torchvision's file elsewhere and give its path.",
            ) from error
    path = Path(source)
    if not path.is_file():
        raise WeightsFormat(f"There is no weights file {path}.", field="initial_weights")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsFormat(f"{path.name} is not a readable safetensors file: {error}.") from error
    return _published_state(path)


def _published_state(path: Path) -> dict[str, Tensor]:
    """torchvision's own download. It is a pickle, so its published hash must match before it is opened."""
    import torch

    named = _PUBLISHED_NAME.fullmatch(path.name)
    if named is None or not hashlib.sha256(path.read_bytes()).hexdigest().startswith(named.group(1)):
        raise WeightsFormat(
            f"{path.name} is neither safetensors nor an unchanged file published by torchvision.",
            hint="Pickled weights can run code, so they are never loaded; convert them to safetensors.",
            field="initial_weights",
        )
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return {_OLD_DENSENET_KEY.sub(r"\1\2", key): value for key, value in state.items()}


def _load_initial(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy what fits; only the classifier may differ, because it counts other classes."""
    own = network.state_dict()
    classifier = {key for key in own if key.startswith(("classifier.", "fc.", "head.", "heads."))}
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    lacking = sorted(key for key in set(own) - set(fitting) - classifier if not key.endswith("num_batches_tracked"))
    if lacking:
        raise WeightsKeys(
            f"The initial weights lack or misshape {len(lacking)} tensors, the first is {lacking[0]!r}.",
            hint="Choose the file of the same network.",
            field="initial_weights",
        )
    network.load_state_dict(own | fitting)
