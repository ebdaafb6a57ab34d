"""Model folders and pipeline folders: read, verified, or refused with the reason.

A model folder holds ``weights.safetensors``, ``card.json`` and ``model.onnx``; a pipeline folder holds
``pipeline.json`` and its model folders. Nothing here needs torch. Pickle is never loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from inference.pipeline.architecture import Shapes, densenet_shapes
from inference.pipeline.card import ModelCard
from inference.pipeline.classes import SLOT_CLASSES
from inference.pipeline.errors import WeightsClasses, WeightsFormat, WeightsKeys, WeightsNan, WeightsSha
from inference.pipeline.rules import RuleSet
from leukoweb.core.exceptions import DomainError
from leukoweb.core.numbers import json_strict

WEIGHTS_NAME: Final = "weights.safetensors"
ONNX_NAME: Final = "model.onnx"
CARD_NAME: Final = "card.json"
PIPELINE_NAME: Final = "pipeline.json"
PICKLE_SUFFIXES: Final = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib")
_PICKLE_STARTS: Final = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
MAX_WEIGHTS_BYTES: Final = 2_000_000_000

Weights = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A verified model version on disk."""

    path: Path
    card: ModelCard

    @property
    def onnx_path(self) -> Path:
        return self.path / ONNX_NAME

    @property
    def weights_path(self) -> Path:
        return self.path / WEIGHTS_NAME

    def weights(self) -> Weights:
        """All tensors; floating ones as float32 whatever their precision on disk."""
        return read_weights(self.weights_path)

    def classifier_weight(self) -> NDArray[np.float32]:
        """(n_classes, C) weights of the last linear layer, for the closed form of Grad-CAM."""
        weights = self.weights()
        if "classifier.weight" not in weights:
            raise WeightsKeys(
                f"{self.card.name} has no classifier.weight, so Grad-CAM has no closed form.",
                hint="Use the library's Grad-CAM for this network.",
            )
        return weights["classifier.weight"]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Rules plus the weights that feed each slot."""

    path: Path
    name: str
    version: str
    description: str
    rule_set: RuleSet
    models: dict[str, ModelFolder]

    @property
    def synthetic(self) -> bool:
        """True if any model was trained on drawn images: its output must say so wherever it is shown."""
        return any(model.card.synthetic for model in self.models.values())

    def as_dict(self) -> dict[str, Any]:
        """Name, version, rules and models with their hashes; what a stored prediction says it was made by."""
        return {
            "name": self.name,
            "version": self.version,
            "synthetic": self.synthetic,
            "rule_set": self.rule_set.as_dict(),
            "models": {
                slot: {
                    "name": model.card.name,
                    "version": model.card.version,
                    "weights_sha256": model.card.weights_sha256,
                    "recipe_sha256": model.card.recipe.sha256,
                    "classes": list(model.card.classes),
                }
                for slot, model in self.models.items()
            },
        }


def file_sha256(path: Path) -> str:
    """Lower-case hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_weights(path: Path) -> Weights:
    """Tensors of a safetensors file, floats as float32; WeightsFormat for anything else, pickles by name."""
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise _pickle_refused(path.name)
    if not path.is_file():
        others = sorted(p.name for p in path.parent.glob("*") if p.suffix.lower() in PICKLE_SUFFIXES)
        if others:
            raise _pickle_refused(others[0])
        raise WeightsFormat(f"There is no {path.name} in {path.parent.name}.", field="weights")
    size = path.stat().st_size
    if size > MAX_WEIGHTS_BYTES:
        raise WeightsFormat(f"{path.name} has {size} bytes; the limit is {MAX_WEIGHTS_BYTES}.", field="weights")
    content = path.read_bytes()
    if content.startswith(_PICKLE_STARTS):
        raise _pickle_refused(path.name)
    try:
        tensors = safetensors.numpy.load(content)
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsFormat(
            f"{path.name} is not a readable safetensors file: {error}.",
            hint="Copy it again, or export the model again (tensors as float32 or float16).",
            field="weights",
        ) from error
    return {key: t.astype(np.float32) if t.dtype.kind == "f" else t for key, t in tensors.items()}


def check_weights(weights: Weights, card: ModelCard) -> None:
    """Keys, shapes, finite values and number of classes against the card; raises the first that is wrong."""
    expected = densenet_shapes(card.architecture, len(card.classes)) or _torchvision_shapes(card)
    classifier = weights.get("classifier.weight")
    if classifier is not None and classifier.ndim == 2 and len(classifier) != len(card.classes):
        raise WeightsClasses(
            f"The classifier has {len(classifier)} outputs, the card names {len(card.classes)} classes.",
            hint="The weights belong to another slot or card.",
            field="classes",
        )
    missing, unexpected = sorted(set(expected) - set(weights)), sorted(set(weights) - set(expected))
    if missing or unexpected:
        raise WeightsKeys(
            f"{len(missing)} tensors are missing (first {missing[:1]}), "
            f"{len(unexpected)} are unexpected (first {unexpected[:1]}).",
            hint="The card's architecture is not that of the weights.",
            field="weights",
        )
    for key, shape in expected.items():
        if weights[key].shape != shape:
            raise WeightsKeys(f"{key} has shape {weights[key].shape}, expected {shape}.", field="weights")
    for key, tensor in weights.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            bad = int((~np.isfinite(tensor)).sum())
            raise WeightsNan(f"{key} holds {bad} values that are NaN or infinite.", field="weights")


def load_model_folder(path: Path | str, *, registered: bool = False) -> ModelFolder:
    """Verify everything in a model folder and return it.

    ``registered``: the card comes from a registry that took it; what is refused today may stand there.

    Raises
    ------
    WeightsFormat, WeightsSha, WeightsKeys, WeightsNan, WeightsClasses, RecipeInvalid, ArchitectureUnknown
    """
    folder = Path(path)
    if not folder.is_dir():
        raise WeightsFormat(f"There is no model folder {folder.name!r}.", field="path")
    weights = read_weights(folder / WEIGHTS_NAME)
    card = ModelCard.from_dict(_read_json(folder / CARD_NAME, json.loads if registered else json_strict))
    for name, expected in ((WEIGHTS_NAME, card.weights_sha256), (ONNX_NAME, card.onnx_sha256)):
        if not (folder / name).is_file():
            raise WeightsFormat(f"There is no {name} in {folder.name}.", hint="Export the model again.", field=name)
        found = file_sha256(folder / name)
        if found != expected:
            raise WeightsSha(
                f"{name} has SHA-256 {found[:12]}..., the card says {expected[:12]}....",
                hint="The file was changed or damaged; copy the whole folder again.",
                field=name,
            )
    check_weights(weights, card)
    return ModelFolder(folder, card)


def load_pipeline_folder(path: Path | str) -> Pipeline:
    """Verify a pipeline folder with all its models; a slot may share another slot's folder."""
    folder = Path(path)
    data = _read_json(folder / PIPELINE_NAME)
    expected = {"format", "name", "version", "description", "rule_set", "slots", "synthetic"}
    if not isinstance(data, dict) or set(data) != expected or data["format"] != 1:
        raise WeightsFormat(f"{PIPELINE_NAME} of {folder.name!r} must be format 1 with exactly {sorted(expected)}.")
    slots = data["slots"]
    if not isinstance(slots, dict) or not slots or not set(slots) <= set(SLOT_CLASSES):
        raise WeightsFormat(f"slots is {slots!r}; it maps {', '.join(SLOT_CLASSES)} to folders.", field="slots")
    for name in ("name", "version", "description"):
        if not isinstance(data[name], str) or not data[name].strip():
            raise WeightsFormat(f"The pipeline's {name} is {data[name]!r}; it must be text.", field=name)
    loaded: dict[str, ModelFolder] = {}
    for child in slots.values():
        if not isinstance(child, str) or Path(child).name != child or child in ("", ".", ".."):
            raise WeightsFormat(f"A slot's folder is {child!r}; it must be a plain name.", field="slots")
        loaded.setdefault(child, load_model_folder(folder / child))
    models = {slot: loaded[child] for slot, child in slots.items()}
    for slot, model in models.items():
        if model.card.classes not in SLOT_CLASSES[slot]:
            raise WeightsClasses(f"{slot} cannot take {model.card.name}, made for {model.card.slot}.", field="slots")
    rule_set = RuleSet.from_dict(data["rule_set"])
    lacking = sorted(set(rule_set.slots) - set(models))
    if lacking:
        raise WeightsFormat(f"The rules {rule_set.name} need {lacking}, which the pipeline lacks.", field="slots")
    pipeline = Pipeline(folder, data["name"], data["version"], data["description"], rule_set, models)
    if data["synthetic"] is not pipeline.synthetic:
        raise WeightsFormat(
            f"{PIPELINE_NAME} says synthetic {data['synthetic']!r}, its models say {pipeline.synthetic}.",
            field="synthetic",
        )
    return pipeline


def write_pipeline_json(
    folder: Path, *, name: str, version: str, description: str, rule_set: RuleSet, slots: Mapping[str, str]
) -> Pipeline:
    """Write ``pipeline.json`` beside model folders that exist already, and verify the whole."""
    models = [load_model_folder(folder / child) for child in slots.values()]
    write_json(
        folder / PIPELINE_NAME,
        {
            "format": 1,
            "name": name,
            "version": version,
            "description": description,
            "rule_set": rule_set.as_dict(),
            "slots": dict(slots),
            "synthetic": any(model.card.synthetic for model in models),
        },
    )
    return load_pipeline_folder(folder)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write readable JSON so that a reader sees the old file or the new one, never half of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(data, stream, indent=2, ensure_ascii=False)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def _read_json(path: Path, parse: Callable[[str], Any] = json_strict) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsFormat(f"There is no {path.name} in {path.parent.name!r}.", field=path.name) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, DomainError) as error:
        words = str(error).rstrip(".")
        raise WeightsFormat(f"{path.name} in {path.parent.name!r} is not JSON: {words}.", field=path.name) from error


def _pickle_refused(name: str) -> WeightsFormat:
    return WeightsFormat(
        f"{name} is a pickled checkpoint; pickle can run code, so it is never loaded.",
        hint="Convert it with safetensors.torch.save_file and write a card.",
        field="weights",
    )


def _torchvision_shapes(card: ModelCard) -> Shapes:
    """Expected tensors of a network outside the DenseNet family, built without memory for its values."""
    from inference.pipeline.networks import build_network, require_torch

    require_torch(f"Checking the weights of {card.architecture.get('name')!r}")
    import torch

    with torch.device("meta"):
        network = build_network(card.architecture, len(card.classes))
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
