"""The state of a training after an epoch, as one safetensors file: it appears whole or not at all, and is no pickle.

Holds the weights, the best epoch's weights, the optimiser's moments, the gradient scaler and the history. There is no
state of a random generator: order, variants and dropout of an epoch are drawn from (seed, epoch), and the schedule is a
function of the number of steps (ADR 0801).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from inference.pipeline.dataset import DatasetInvalid

FORMAT: Final = 1
_KEY: Final = "leukoweb"


@dataclass(frozen=True, slots=True)
class Epoch:
    """Mean training loss and validation figures of one epoch, counted from 1."""

    number: int
    loss: float
    macro_f1: float
    accuracy: float
    class_f1: tuple[float, ...] = ()  # in class order; NaN where undefined
    learning_rate: float = 0.0
    seconds: float = field(default=0.0, compare=False)
    images_per_s: float = field(default=0.0, compare=False)


class StateUnreadable(DatasetInvalid):
    """A state file that is damaged, or that belongs to another training."""

    code = "E_TRAINING_STATE"


@dataclass(slots=True)
class State:
    """What ``write_state`` keeps beside the tensors."""

    identity: str
    steps: int
    accumulate: int
    history: tuple[Epoch, ...]
    best_epoch: int
    scaler: dict[str, Any]


def write_state(
    path: Path,
    state: State,
    *,
    network: Mapping[str, torch.Tensor],
    best: Mapping[str, torch.Tensor],
    optimiser: torch.optim.Optimizer,
) -> None:
    """Write beside, flush to the disk, rename: a kill leaves the old file or the new one."""
    tensors = {f"network.{key}": value for key, value in network.items()}
    tensors |= {f"best.{key}": value for key, value in best.items()}
    for index, values in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{key}": torch.as_tensor(value) for key, value in values.items()}
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    head = {"format": FORMAT, **asdict(state)}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".state-")
    os.close(handle)
    try:
        save_file(tensors, name, metadata={_KEY: json.dumps(head)})
        with open(name, "rb") as written:
            os.fsync(written.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A state file, taken apart."""

    state: State
    network: dict[str, torch.Tensor]
    best: dict[str, torch.Tensor]
    optimiser: dict[int, dict[str, torch.Tensor]]


def read_state(path: Path, identity: str) -> Loaded:
    """StateUnreadable if the file is damaged or was written by a training of another ``identity``."""
    try:
        with safe_open(path, framework="pt") as file:
            head = json.loads((file.metadata() or {})[_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise StateUnreadable(
            f"The saved state {path.name} cannot be read: {error}.", hint="Start the training again."
        ) from error
    if head.pop("format") != FORMAT or head["identity"] != identity:
        raise StateUnreadable(
            f"The saved state {path.name} belongs to another training.", hint="Start the training again."
        )
    history = tuple(Epoch(**entry | {"class_f1": tuple(entry["class_f1"])}) for entry in head.pop("history"))
    optimiser: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in _under(tensors, "optimiser").items():
        index, _, name = key.partition(".")
        optimiser.setdefault(int(index), {})[name] = value
    return Loaded(State(**head, history=history), _under(tensors, "network"), _under(tensors, "best"), optimiser)


def _under(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    start = f"{prefix}."
    return {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}
