"""The card that travels with the weights: without it a file of numbers cannot be used safely.

What it holds follows Mitchell et al. 2019, "Model Cards for Model Reporting" (doi:10.1145/3287560.3287596),
cut to what a pathologist and a registry need, plus what reproduces a prediction bit for bit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from inference.pipeline.architecture import densenet_parameters
from inference.pipeline.classes import SLOT_CLASSES
from inference.pipeline.errors import WeightsClasses, WeightsFormat
from inference.pipeline.preprocess import Recipe

CARD_FORMAT: Final = 1
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything that is known about one model version.

    ``dataset`` names the dataset version and its counts; ``metrics`` says on what they were measured;
    ``training`` is the training recipe. ``recheck_margins`` maps a reduced precision (``"bf16"``) to the gap
    between the two largest logits below which an image is computed again in fp32.
    """

    name: str
    version: str
    slot: str
    classes: tuple[str, ...]
    architecture: dict[str, Any]
    recipe: Recipe
    weights_sha256: str
    onnx_sha256: str
    dataset: dict[str, Any]
    metrics: dict[str, Any]
    training: dict[str, Any]
    licence: str
    synthetic: bool
    intended_use: str
    created: str
    recheck_margins: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("name", "version", "licence", "intended_use", "created"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise WeightsFormat(f"The card's {name} is {value!r}; it must be text.", field=name)
        for name in ("weights_sha256", "onnx_sha256"):
            value = getattr(self, name)
            if not isinstance(value, str) or not _SHA256.fullmatch(value):
                raise WeightsFormat(f"The card's {name} is {value!r}; it must be 64 hex digits.", field=name)
        for name in ("dataset", "metrics", "training", "architecture", "recheck_margins"):
            if not isinstance(getattr(self, name), dict):
                raise WeightsFormat(f"The card's {name} must be an object.", field=name)
        if not isinstance(self.synthetic, bool):
            raise WeightsFormat(f"The card's synthetic is {self.synthetic!r}; say true or false.", field="synthetic")
        margins = self.recheck_margins.values()
        if not all(isinstance(m, (int, float)) and not isinstance(m, bool) and m >= 0 for m in margins):
            raise WeightsFormat(
                f"recheck_margins is {self.recheck_margins}; they are numbers of at least 0.",
                field="recheck_margins",
            )
        allowed = SLOT_CLASSES.get(self.slot)
        if allowed is None:
            raise WeightsClasses(
                f"There is no slot {self.slot!r}.", hint=f"Slots: {', '.join(SLOT_CLASSES)}.", field="slot"
            )
        if self.classes not in allowed:
            raise WeightsClasses(
                f"{self.slot} has the classes {list(self.classes)}.",
                hint="Expected, in this order: " + " or ".join(", ".join(names) for names in allowed) + ".",
                field="classes",
            )
        densenet_parameters(self.architecture)

    def require_origins(self) -> None:
        """WeightsFormat where what the start weights have learned from is no list of names; asked of new cards only,
        so that models that were registered before can be opened."""
        named = self.training.get("start_datasets", [])
        if not isinstance(named, list) or not all(isinstance(name, str) and name for name in named):
            raise WeightsFormat(
                f"training.start_datasets is {named!r:.100}; it is a list of the ids of dataset versions.",
                hint="Leave it out where the network started from random weights.", field="training",
            )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, with the card's format number; inverse of ``from_dict``."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        return {"format": CARD_FORMAT} | data | {"classes": list(self.classes), "recipe": self.recipe.as_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelCard:
        """A checked card; WeightsFormat, WeightsClasses, RecipeInvalid or ArchitectureUnknown otherwise."""
        expected = {item.name for item in fields(cls)}
        if not isinstance(data, Mapping) or data.get("format") != CARD_FORMAT:
            found = data.get("format") if isinstance(data, Mapping) else type(data).__name__
            raise WeightsFormat(f"The card's format is {found!r}; this version reads {CARD_FORMAT}.", field="format")
        given = set(data) - {"format"}
        if given != expected:
            raise WeightsFormat(
                f"The card lacks {sorted(expected - given)} and has unknown keys {sorted(given - expected)}.",
                field="card",
            )
        values = {name: data[name] for name in expected}
        if not isinstance(values["classes"], list):
            raise WeightsClasses(f"classes is {values['classes']!r}; it must be a list.", field="classes")
        return cls(**values | {"classes": tuple(values["classes"]), "recipe": Recipe.from_dict(values["recipe"])})
