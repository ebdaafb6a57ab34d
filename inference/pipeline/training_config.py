"""What a training is asked to do, as checked data that is readable without torch.

Defaults are the paper's (Methods; Table 2): DenseNet-121 at 448, 300 epochs, batch 32, AdamW with learning rate 1e-3,
cross-entropy, best epoch by macro F1 on internal-validation patients.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

from inference.pipeline.architecture import densenet_parameters
from inference.pipeline.preprocess import Recipe
from inference.pipeline.rules import DEFAULT_RULE_SET
from leukoweb.core.exceptions import DomainError

COLOUR_JITTER: Final = 0.08  # "light": brightness, contrast, saturation and each channel's gain, at most this share
SCHEDULES: Final = ("constant", "cosine", "one-cycle")
PRECISIONS: Final = ("fp32", "bf16", "fp16")
CLASS_WEIGHTS: Final = ("none", "balanced")
METHODS: Final = ("full", "quick")
LIVE_RULES: Final = "live"  # those of the pipeline that is active when the run is made
PINS: Final = ("live", "rules")  # what a run keeps of it beside its surroundings, and no card shows among those
#: What can be trained: part -> (slot of the registry, class map of the taxonomy, title).
PARTS: Final[dict[str, tuple[str, str, str]]] = {
    "model_1": ("model_1", "two", "Model 1 (leukemia or not)"),
    "model_2": ("model_2", "four", "Model 2 (acute, chronic, none, reactive)"),
    "model_3": ("model_3", "five", "Model 3 (ALL, AML, CLL, CML, none)"),
    "single_3": ("single_model", "three", "Single model, 3 classes (comparator)"),
    "single_5": ("single_model", "five", "Single model, 5 classes (comparator)"),
}
_INITIAL: Final = re.compile(r"|imagenet|live|previous|file:[A-Za-z0-9][A-Za-z0-9._-]{0,199}|model:[1-9][0-9]{0,17}")


class ConfigInvalid(DomainError):
    """A training configuration that makes no sense; ``field`` names the option."""

    code = "E_TRAINING_CONFIG"


def _refuse(name: str, value: object, rule: str) -> ConfigInvalid:
    return ConfigInvalid(f"{name} is {value!r}; it must be {rule}.", field=name)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How one network learns. ``seed`` fixes weights, order and variants.

    ``accumulate`` splits every batch into so many parts, one after the other, for less memory: the gradients are those
    of the whole batch, but batch norm sees a part at a time. ``early_stopping`` ends after so many epochs without a
    better macro F1 (0: never). ``recalibration_images`` are run through batch norm before each validation (0: none).
    ``threads`` 0 means all cores. ``precision`` other than fp32 computes forward and backward under autocast.
    """

    epochs: int = 300
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    seed: int = 0
    threads: int = 0
    precision: str = "fp32"
    schedule: str = "constant"
    class_weights: str = "none"
    early_stopping: int = 0
    accumulate: int = 1
    recalibration_images: int = 256
    colour_jitter: float = COLOUR_JITTER
    compile: bool = False

    def __post_init__(self) -> None:
        whole = {
            "epochs": (1, 100_000), "batch_size": (2, 4096), "seed": (0, 2**62), "threads": (0, 1024),
            "early_stopping": (0, 100_000), "accumulate": (1, 2048), "recalibration_images": (0, 10**9),
        }  # fmt: skip
        for name, (low, high) in whole.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise _refuse(name, value, f"a whole number from {low} to {high}")
        for name, top in (("learning_rate", 10.0), ("weight_decay", 10.0), ("colour_jitter", 1.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= top:
                raise _refuse(name, value, f"a number from 0 to {top:g}")
        if self.learning_rate == 0:
            raise _refuse("learning_rate", 0, "above 0")
        for name, allowed in (
            ("precision", PRECISIONS), ("schedule", SCHEDULES), ("class_weights", CLASS_WEIGHTS),
        ):  # fmt: skip
            if getattr(self, name) not in allowed:
                raise _refuse(name, getattr(self, name), "one of " + ", ".join(allowed))
        if self.accumulate > self.batch_size // 2:
            raise _refuse("accumulate", self.accumulate, f"at most half of batch_size {self.batch_size}")
        if not isinstance(self.compile, bool):
            raise _refuse("compile", self.compile, "true or false")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """A whole run: which models, on what network, started from where.

    ``initial_weights``: empty (random), ``imagenet`` (torchvision's, by download), ``file:NAME`` (a file in
    DATA_DIR/weights), ``model:ID`` (a registered model), ``live`` (the model of the same slot in the active pipeline),
    ``previous`` (the first part starts at random, later ones from its weights).
    ``method`` ``quick`` freezes the backbone, which must then be given by ``live``, ``model:ID``, ``file:`` or
    ``imagenet``, and trains a new head on cached features.
    ``shuffled_labels`` permutes the training labels: a control that must stay at chance. ``max_devices`` 0: all.
    """

    models: tuple[str, ...] = ("model_1", "model_2", "model_3")
    method: str = "full"
    architecture: dict[str, Any] = field(default_factory=lambda: {"name": "densenet121"})
    size_px: int = 448
    initial_weights: str = ""
    rules: str = DEFAULT_RULE_SET  # or LIVE_RULES
    temperature: bool = False
    shuffled_labels: bool = False
    recalibrate_frozen: bool = True
    max_devices: int = 0
    settings: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        if not self.models or len(set(self.models)) != len(self.models) or not set(self.models) <= set(PARTS):
            raise ConfigInvalid(
                f"models is {list(self.models)}; choose some of {', '.join(PARTS)}, each once.", field="models"
            )
        if self.method not in METHODS:
            raise _refuse("method", self.method, "one of " + ", ".join(METHODS))
        if not isinstance(self.initial_weights, str) or not _INITIAL.fullmatch(self.initial_weights):
            raise _refuse(
                "initial_weights", self.initial_weights, "empty, imagenet, live, previous, file:NAME or model:ID"
            )
        if self.method == "quick" and self.initial_weights in ("", "previous"):
            raise ConfigInvalid(
                "A quick retraining keeps a trained backbone, and none is chosen.",
                hint="Choose the live model, a registered one, a file or ImageNet as the start.",
                field="initial_weights",
            )
        for name in ("temperature", "shuffled_labels", "recalibrate_frozen"):
            if not isinstance(getattr(self, name), bool):
                raise _refuse(name, getattr(self, name), "true or false")
        if isinstance(self.max_devices, bool) or not isinstance(self.max_devices, int) or self.max_devices < 0:
            raise _refuse("max_devices", self.max_devices, "a whole number of at least 0")
        densenet_parameters(self.architecture)
        Recipe(size_px=self.size_px)

    @property
    def recipe(self) -> Recipe:
        return Recipe(size_px=self.size_px)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"models": list(self.models)}

    @property
    def sha256(self) -> str:
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainingConfig:
        """Inverse of ``as_dict``; ConfigInvalid names unknown options. Missing options take their default."""
        if not isinstance(data, Mapping) or not isinstance(data.get("settings", {}), Mapping):
            raise ConfigInvalid("A training configuration is an object with an object of settings.", field="config")
        _known(cls, data)
        _known(TrainingSettings, data.get("settings", {}))
        values = dict(data) | {"settings": TrainingSettings(**data.get("settings", {}))}
        if "models" in values:
            if not isinstance(values["models"], list | tuple):
                raise _refuse("models", values["models"], "a list")
            values["models"] = tuple(values["models"])
        return cls(**values)

    def with_options(self, options: Mapping[str, str]) -> TrainingConfig:
        """The same with ``key=value`` texts of a command line put in; ConfigInvalid for a key or value it lacks."""
        own = {item.name: item for item in fields(self) if item.name != "settings"}
        deep = {item.name: item for item in fields(TrainingSettings)}
        changes: dict[str, Any] = {}
        settings: dict[str, Any] = {}
        for key, text in options.items():
            if key not in own and key not in deep:
                raise ConfigInvalid(
                    f"There is no option {key!r}.", hint=f"Options: {', '.join([*own, *deep])}.", field=key
                )
            current = getattr(self if key in own else self.settings, key)
            (changes if key in own else settings)[key] = _parsed(key, text, current)
        return replace(self, **changes, settings=replace(self.settings, **settings))


def _known(kind: type, data: Mapping[str, Any]) -> None:
    names = {item.name for item in fields(kind)}
    if unknown := sorted(set(data) - names):
        raise ConfigInvalid(
            f"There is no option {unknown[0]!r}.", hint=f"Options: {', '.join(sorted(names))}.", field=str(unknown[0])
        )


def _parsed(key: str, text: str, current: Any) -> Any:
    try:
        if isinstance(current, bool):
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if isinstance(current, int):
            return int(text)
        if isinstance(current, float):
            return float(text)
        if isinstance(current, tuple):
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if isinstance(current, dict):
            return json.loads(text) if text.startswith("{") else {"name": text}
    except (KeyError, ValueError) as error:
        raise ConfigInvalid(f"{key} cannot be {text!r}.", hint=f"It is {current!r} by default.", field=key) from error
    return text


#: Narrow network and small images: minutes on two cores; what the shipped starter is made of.
STARTER_ARCHITECTURE: Final[dict[str, Any]] = {
    "name": "densenet", "growth_rate": 16, "block_config": [3, 5, 5], "num_init_features": 24, "bn_size": 2,
}  # fmt: skip
PRESETS: Final[dict[str, TrainingConfig]] = {
    "paper": TrainingConfig(),
    "starter": TrainingConfig(
        architecture=STARTER_ARCHITECTURE,
        size_px=256,
        initial_weights="previous",
        models=("model_3", "model_2", "model_1"),
        settings=TrainingSettings(
            epochs=12, batch_size=16, learning_rate=2e-3, precision="bf16", schedule="one-cycle", colour_jitter=0.3
        ),
    ),
    "quick": TrainingConfig(
        method="quick",
        initial_weights="live",
        rules=LIVE_RULES,
        settings=TrainingSettings(epochs=60, batch_size=64, schedule="cosine", weight_decay=1e-2),
    ),
}
