"""Model and pipeline folders: what is right loads, what is wrong is refused by its code."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from inference.pipeline.architecture import densenet_shapes
from inference.pipeline.card import ModelCard
from inference.pipeline.checkpoint import (
    ModelFolder,
    Pipeline,
    file_sha256,
    load_model_folder,
    load_pipeline_folder,
)
from inference.pipeline.errors import ArchitectureUnknown, WeightsFormat
from inference.pipeline.networks import build_network
from leukoweb.core.exceptions import DomainError
from tests.inference.pipeline.models import ARCHITECTURE, card_for, make_model

Damage = Callable[[Path], None]


def edit_card(folder: Path, **changes: Any) -> None:
    path = folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "weights.safetensors"
    tensors = safetensors.numpy.load_file(path)
    change(tensors)
    safetensors.numpy.save_file(tensors, path)
    edit_card(folder, weights_sha256=file_sha256(path))


def only_a_pickle(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    (folder / "model.pt").write_bytes(pickle.dumps({"weight": 1}))


def pickle_under_the_right_name(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(pickle.dumps({"weight": 1}))


def truncate(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def flip_one_bit(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def other_onnx(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"not the same")


def with_nan(folder: Path) -> None:
    edit_weights(folder, lambda t: t["features.conv0.weight"].__setitem__((0, 0, 0, 0), np.nan))


def without_a_tensor(folder: Path) -> None:
    edit_weights(folder, lambda t: t.pop("features.norm0.bias"))


def with_another_tensor(folder: Path) -> None:
    edit_weights(folder, lambda t: t.update(extra=np.zeros(1, dtype=np.float32)))


def with_another_shape(folder: Path) -> None:
    edit_weights(folder, lambda t: t.update({"features.norm0.bias": np.zeros(3, dtype=np.float32)}))


def two_outputs(folder: Path) -> None:
    edit_weights(
        folder,
        lambda t: t.update({f"classifier.{k}": t[f"classifier.{k}"][:2].copy() for k in ("weight", "bias")}),
    )


def classes_in_another_order(folder: Path) -> None:
    edit_card(folder, classes=["AML", "ALL", "CLL", "CML", "NO_LEUKEMIA"])


def unknown_slot(folder: Path) -> None:
    edit_card(folder, slot="model_9")


def card_is_not_json(folder: Path) -> None:
    (folder / "card.json").write_text("{")


def card_lacks_a_key(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    del card["licence"]
    (folder / "card.json").write_text(json.dumps(card))


def no_onnx(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def no_card(folder: Path) -> None:
    (folder / "card.json").unlink()


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (only_a_pickle, "E_WEIGHTS_FORMAT"),
        (pickle_under_the_right_name, "E_WEIGHTS_FORMAT"),
        (truncate, "E_WEIGHTS_FORMAT"),
        (card_is_not_json, "E_WEIGHTS_FORMAT"),
        (card_lacks_a_key, "E_WEIGHTS_FORMAT"),
        (no_onnx, "E_WEIGHTS_FORMAT"),
        (no_card, "E_WEIGHTS_FORMAT"),
        (flip_one_bit, "E_WEIGHTS_SHA"),
        (other_onnx, "E_WEIGHTS_SHA"),
        (with_nan, "E_WEIGHTS_NAN"),
        (without_a_tensor, "E_WEIGHTS_KEYS"),
        (with_another_tensor, "E_WEIGHTS_KEYS"),
        (with_another_shape, "E_WEIGHTS_KEYS"),
        (two_outputs, "E_WEIGHTS_CLASSES"),
        (classes_in_another_order, "E_WEIGHTS_CLASSES"),
        (unknown_slot, "E_WEIGHTS_CLASSES"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_damaged_folders_are_refused_by_code(copied: Path, damage: Damage, code: str) -> None:
    damage(copied)
    with pytest.raises(DomainError) as caught:
        load_model_folder(copied)
    assert caught.value.code == code
    assert caught.value.message


def test_a_pickle_is_named_and_never_opened(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_a_pickle(copied)
    monkeypatch.setattr(pickle, "load", None)
    monkeypatch.setattr(pickle, "loads", None)
    with pytest.raises(DomainError, match=r"model\.pt is a pickled checkpoint"):
        load_model_folder(copied)


def test_a_good_folder_loads_with_float32_weights(model_folder: ModelFolder) -> None:
    again = load_model_folder(model_folder.path)
    assert again.card == model_folder.card
    weights = again.weights()
    assert {w.dtype.name for w in weights.values()} == {"float32", "int64"}
    assert again.classifier_weight().shape == (5, weights["features.norm5.weight"].shape[0])


def test_a_registered_card_may_hold_what_is_refused_today(model_folder: ModelFolder, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder.path, tmp_path / "old")
    card = json.loads((folder / "card.json").read_text()) | {"training": {"seed": 2**64}}
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(WeightsFormat, match="too large"):
        load_model_folder(folder)
    assert load_model_folder(folder, registered=True).card.training == {"seed": 2**64}


def test_half_precision_files_hold_what_the_onnx_computes(tmp_path: Path) -> None:
    model = make_model(tmp_path / "half", "model_1", half=True)
    raw = safetensors.numpy.load_file(model.weights_path)
    assert {w.dtype.name for w in raw.values()} == {"float16", "int64"}


def test_the_onnx_says_nothing_about_the_machine_that_made_it(model_folder: ModelFolder) -> None:
    content = model_folder.onnx_path.read_bytes()
    for word in (b"/home", b"/root", b"site-packages", b".py", str(Path.cwd()).encode()):
        assert word not in content


@pytest.mark.parametrize(
    "architecture",
    [ARCHITECTURE, {"name": "densenet121"}, dict(ARCHITECTURE) | {"block_config": [1, 2, 2, 1]}],
    ids=["tiny", "densenet121", "four-blocks"],
)
def test_expected_shapes_are_those_of_the_built_network(architecture: dict[str, Any]) -> None:
    import torch

    with torch.device("meta"):
        network = build_network(architecture, 5)
    built = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert densenet_shapes(architecture, 5) == built


@pytest.mark.parametrize(
    "architecture",
    [
        {},
        {"name": "densenet"},
        {"name": "densenet121", "growth_rate": 3},
        dict(ARCHITECTURE) | {"growth_rate": 0},
        dict(ARCHITECTURE) | {"block_config": []},
        dict(ARCHITECTURE) | {"block_config": [2, "x"]},
        {"name": "no-such-network"},
    ],
)
def test_unknown_architectures_are_refused(architecture: dict[str, Any]) -> None:
    with pytest.raises(ArchitectureUnknown):
        build_network(architecture, 2)


def test_a_card_survives_json() -> None:
    card = card_for("model_2", recheck_margins={"bf16": 0.25})
    assert ModelCard.from_dict(json.loads(json.dumps(card.as_dict()))) == card


@pytest.mark.parametrize(
    "change",
    [
        {"synthetic": "yes"},
        {"recheck_margins": {"bf16": -1}},
        {"weights_sha256": "abc"},
        {"intended_use": " "},
        {"dataset": []},
        {"format": 2},
        {"classes": "AML"},
    ],
)
def test_bad_cards_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DomainError):
        ModelCard.from_dict(card_for("model_1").as_dict() | change)


def test_a_pipeline_folder_loads_and_shares_models(pipeline: Pipeline) -> None:
    again = load_pipeline_folder(pipeline.path)
    assert again.models["single_model"].path == again.models["model_3"].path
    assert again.synthetic
    assert again.as_dict()["models"]["model_1"]["weights_sha256"] == pipeline.models["model_1"].card.weights_sha256


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"slots": {"model_1": "../model_1"}}, "E_WEIGHTS_FORMAT"),
        ({"slots": {"model_1": "model_1"}}, "E_WEIGHTS_FORMAT"),
        ({"slots": {}}, "E_WEIGHTS_FORMAT"),
        ({"slots": {"model_1": "model_2", "model_2": "model_2", "model_3": "model_3"}}, "E_WEIGHTS_CLASSES"),
        ({"synthetic": False}, "E_WEIGHTS_FORMAT"),
        ({"name": ""}, "E_WEIGHTS_FORMAT"),
        ({"rule_set": {}}, "E_RULE_SET"),
        ({"format": 2}, "E_WEIGHTS_FORMAT"),
    ],
)
def test_bad_pipeline_files_are_refused(pipeline: Pipeline, tmp_path: Path, change: dict[str, Any], code: str) -> None:
    data = json.loads((pipeline.path / "pipeline.json").read_text())
    for child in ("model_1", "model_2", "model_3"):
        (tmp_path / child).symlink_to(pipeline.path / child)
    (tmp_path / "pipeline.json").write_text(json.dumps(data | change))
    with pytest.raises(DomainError) as caught:
        load_pipeline_folder(tmp_path)
    assert caught.value.code == code


def test_weights_load_without_torch(pipeline: Pipeline) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from inference.pipeline import runner, saliency; "
        "from inference.pipeline.checkpoint import load_pipeline_folder; "
        f"load_pipeline_folder({str(pipeline.path)!r}); print({{'torch','django'}} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
