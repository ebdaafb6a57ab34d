"""Networks by name, and the files that a training may start from."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from inference.pipeline import networks
from inference.pipeline.errors import EngineUnavailable, WeightsFormat, WeightsKeys
from inference.pipeline.networks import build_network, with_features
from tests.inference.pipeline.models import ARCHITECTURE


def test_weights_of_another_task_keep_all_but_the_classifier(tmp_path: Path) -> None:
    source = build_network(ARCHITECTURE, 5)
    safetensors.torch.save_file(source.state_dict(), tmp_path / "five.safetensors")
    network = build_network(ARCHITECTURE, 2, initial_weights=tmp_path / "five.safetensors")
    torch.testing.assert_close(network.features.conv0.weight, source.features.conv0.weight)
    assert network.classifier.weight.shape[0] == 2


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    other = build_network(dict(ARCHITECTURE) | {"growth_rate": 4}, 5)
    safetensors.torch.save_file(other.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(WeightsKeys):
        build_network(ARCHITECTURE, 5, initial_weights=tmp_path / "other.safetensors")


def published(folder: Path, state: object) -> Path:
    """A file named by the start of its own hash, as torchvision publishes them."""
    file = folder / "densenet.pth"
    torch.save(state, file)
    return file.rename(folder / f"densenet-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth")


def test_an_unchanged_published_file_loads_with_its_old_names(tmp_path: Path) -> None:
    source = build_network(ARCHITECTURE, 5)
    old = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in key else key: value
        for key, value in source.state_dict().items()
    }
    network = build_network(ARCHITECTURE, 5, initial_weights=published(tmp_path, old))
    for key, value in source.state_dict().items():
        torch.testing.assert_close(network.state_dict()[key], value)


def test_any_other_pickle_is_refused_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = published(tmp_path, {})
    file.write_bytes(file.read_bytes() + b"changed")
    plain = tmp_path / "weights.pt"
    plain.write_bytes(pickle.dumps({}))
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("a pickle was opened"))
    for path in (file, plain):
        with pytest.raises(WeightsFormat, match="neither safetensors nor"):
            build_network(ARCHITECTURE, 5, initial_weights=path)
    with pytest.raises(WeightsFormat, match="no weights file"):
        build_network(ARCHITECTURE, 5, initial_weights=tmp_path / "missing.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(WeightsFormat, match="not a readable"):
        build_network(ARCHITECTURE, 5, initial_weights=tmp_path / "broken.safetensors")


def test_imagenet_weights_that_cannot_be_fetched_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(WeightsFormat, match="no route to host") as caught:
        build_network({"name": "densenet121"}, 5, initial_weights="imagenet")
    assert "give its path" in caught.value.hint


def test_without_torch_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchvision", None)
    with pytest.raises(EngineUnavailable) as caught:
        networks.require_torch("Training")
    assert "[ai]" in caught.value.hint


def test_other_networks_give_logits_alone() -> None:
    network = with_features(build_network({"name": "squeezenet1_1"}, 3), {"name": "squeezenet1_1"})
    with torch.no_grad():
        outputs = network(torch.zeros(1, 3, 64, 64))
    assert [tuple(output.shape) for output in outputs] == [(1, 3)]
