"""Every engine against the torch eager fp32 reference."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.pipeline.checkpoint import ModelFolder
from inference.pipeline.close_calls import TOGETHER, CloseCalls
from inference.pipeline.engine import (
    TOLERANCE,
    EngineOutput,
    RecheckedEngine,
    available_engines,
    calibrate_margin,
    logit_gap,
    open_engine,
)
from inference.pipeline.engine_openvino import OpenVinoEngine, cpu_has_bf16
from inference.pipeline.engine_torch import TorchEngine
from inference.pipeline.errors import EngineUnavailable, WeightsFormat
from inference.pipeline.export import calibrate_recheck

Batch = NDArray[np.uint8]


@pytest.fixture(scope="module")
def reference(model_folder: ModelFolder, batch: Batch) -> EngineOutput:
    return TorchEngine(model_folder, threads=1).infer(batch, with_features=True)


def test_the_reference_is_the_network_itself(model_folder: ModelFolder, batch: Batch, reference: EngineOutput) -> None:
    """Second route: torchvision's own forward and the normalisation written out."""
    import torch

    from inference.pipeline.networks import build_network

    card = model_folder.card
    network = build_network(card.architecture, 5).eval()
    network.load_state_dict({k: torch.from_numpy(v) for k, v in model_folder.weights().items()})
    x = (batch / 255 - np.array(card.recipe.mean)) / np.array(card.recipe.std)
    with torch.no_grad():
        logits = network(torch.from_numpy(x.transpose(0, 3, 1, 2)).float()).numpy()
    np.testing.assert_allclose(reference.logits, logits, atol=1e-4)
    assert reference.features is not None
    pooled = reference.features.mean((2, 3)) @ model_folder.classifier_weight().T
    np.testing.assert_allclose(pooled + model_folder.weights()["classifier.bias"], logits, atol=1e-4)
    assert reference.logits.std() > 1  # trained-looking, or the tolerances below would prove nothing


@pytest.mark.parametrize("name", available_engines())
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_engines_agree_with_the_reference(
    model_folder: ModelFolder, batch: Batch, reference: EngineOutput, name: str, precision: str
) -> None:
    if precision == "bf16" and name == "openvino" and not cpu_has_bf16():
        with pytest.raises(EngineUnavailable):
            open_engine(model_folder, name, precision=precision)
        return
    engine = open_engine(model_folder, name, precision=precision, threads=2)
    output = engine.infer(batch, with_features=True)
    assert output.logits.dtype == np.float32
    scale = max(1.0, float(np.abs(reference.logits).max()))
    assert np.abs(output.logits - reference.logits).max() <= TOLERANCE[precision] * scale
    assert output.features is not None
    assert reference.features is not None
    assert output.features.shape == reference.features.shape
    assert output.features.min() >= 0  # post-ReLU
    spread = float(reference.features.max())
    assert np.abs(output.features - reference.features).max() <= TOLERANCE[precision] * spread
    assert engine.name == name
    assert engine.profile.endswith(precision)
    assert engine.profile.startswith(name)


@pytest.mark.parametrize("name", available_engines())
def test_an_answer_does_not_depend_on_its_batch(model_folder: ModelFolder, batch: Batch, name: str) -> None:
    engine = open_engine(model_folder, name, precision="fp32", threads=2)
    together = engine.infer(batch).logits
    alone = np.concatenate([engine.infer(batch[i : i + 1]).logits for i in range(len(batch))])
    backwards = engine.infer(batch[::-1]).logits[::-1]
    assert np.abs(together - alone).max() <= 1e-6
    assert np.abs(together - backwards).max() <= 1e-6
    assert engine.infer(batch[:0]).logits.shape == (0, 5)
    assert engine.infer(batch).features is None


def test_openvino_keeps_compiled_models_where_it_is_told(
    model_folder: ModelFolder, batch: Batch, tmp_path: Path
) -> None:
    first = open_engine(model_folder, "openvino", precision="fp32", cache_dir=tmp_path / "cache").infer(batch)
    assert any((tmp_path / "cache").iterdir())
    again = open_engine(model_folder, "openvino", precision="fp32", cache_dir=tmp_path / "cache").infer(batch)
    assert np.array_equal(first.logits, again.logits)


def test_engines_that_are_not_here_are_refused_with_a_hint(model_folder: ModelFolder) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        open_engine(model_folder, "tpu")
    assert "openvino" in caught.value.hint
    with pytest.raises(EngineUnavailable):
        open_engine(model_folder, "torch", precision="int8")


def test_automatic_precision_is_fp32_until_a_margin_is_calibrated(
    model_folder: ModelFolder, copied: Path, batch: Batch
) -> None:
    assert open_engine(model_folder, "openvino").profile.endswith("fp32")
    calibrated = calibrate_recheck(dataclasses.replace(model_folder, path=copied), batch)
    if not cpu_has_bf16():
        assert calibrated.card.recheck_margins == {}
        return
    margin = calibrated.card.recheck_margins["bf16"]
    engine = open_engine(calibrated, "openvino", threads=2)
    assert engine.profile.endswith(f"bf16 recheck {margin:.6g}")
    exact = OpenVinoEngine(calibrated, precision="fp32").infer(batch).logits
    assert np.array_equal(engine.infer(batch).logits.argmax(1), exact.argmax(1))


class Fixed:
    """An engine that answers from a table, by the first pixel of each image."""

    name, precision, profile = "fixed", "fp32", "fixed"

    def __init__(self, logits: list[list[float]]) -> None:
        self.table = np.array(logits, dtype=np.float32)
        self.seen: list[int] = []

    def infer(self, batch: Batch, *, with_features: bool = False) -> EngineOutput:
        rows = batch[:, 0, 0, 0].astype(int)
        self.seen += rows.tolist()
        return EngineOutput(self.table[rows].copy(), self.table[rows][:, :, None, None] if with_features else None)


def test_only_close_calls_are_computed_again() -> None:
    fast = Fixed([[5.0, 1.0], [1.1, 1.0], [0.0, 0.2]])
    exact = Fixed([[4.9, 1.0], [1.0, 1.1], [0.1, 0.2]])
    engine = RecheckedEngine(fast, lambda: exact, margin=0.25)
    batch = np.zeros((3, 2, 2, 3), dtype=np.uint8)
    batch[:, 0, 0, 0] = [0, 1, 2]
    output = engine.infer(batch, with_features=True)
    assert exact.seen == [1, 2]
    assert engine.rechecked == 2
    np.testing.assert_array_equal(output.logits, np.float32([[5.0, 1.0], [1.0, 1.1], [0.1, 0.2]]))
    assert output.features is not None
    np.testing.assert_array_equal(output.features[:, :, 0, 0], output.logits)


def test_close_calls_of_several_batches_are_settled_together_with_the_same_answers() -> None:
    random = np.random.default_rng(3)
    exact = Fixed(random.normal(0, 1, (60, 3)).tolist())
    fast = Fixed((exact.table + random.normal(0, 0.1, exact.table.shape)).tolist())
    batches = np.zeros((12, 5, 2, 2, 3), dtype=np.uint8)
    batches[:, :, 0, 0, 0] = np.arange(60).reshape(12, 5)
    alone, together = (RecheckedEngine(fast, lambda: exact, margin=0.3) for _ in range(2))
    expected = np.concatenate([alone.infer(batch).logits for batch in batches])
    assert 0 < alone.rechecked < 60

    calls, found, exact.seen = CloseCalls[int](together, with_features=True), {}, []
    for batch in batches:
        before = len(exact.seen)
        for keys, output in calls.add(batch[:, 0, 0, 0].tolist(), batch):
            assert output.features is not None
            found |= {key: (row, own) for key, row, own in zip(keys, output.logits, output.features, strict=True)}
        assert len(exact.seen) - before in (0, *range(TOGETHER, TOGETHER + 5)), "enough of them, or none"
    assert len(found) < 60
    for keys, output in calls.settle():
        assert output.features is not None
        found |= {key: (row, own) for key, row, own in zip(keys, output.logits, output.features, strict=True)}
    assert calls.settle() == []
    assert sorted(found) == list(range(60))
    assert together.rechecked == alone.rechecked
    np.testing.assert_array_equal(np.stack([found[i][0] for i in range(60)]), expected)
    np.testing.assert_array_equal(np.stack([found[i][1] for i in range(60)])[:, :, 0, 0], expected)
    assert [keys for keys, _ in CloseCalls[int](fast).add([0, 1], batches[0][:2])] == [[0, 1]], "nothing to settle"


def test_the_margin_covers_every_change_of_the_gap() -> None:
    random = np.random.default_rng(1)
    exact = random.normal(0, 4, (200, 5)).astype(np.float32)
    fast = exact + random.normal(0, 0.1, exact.shape).astype(np.float32)
    margin = calibrate_margin(fast, exact)
    flipped = fast.argmax(1) != exact.argmax(1)
    assert flipped.any()
    assert (logit_gap(fast)[flipped] < margin).all()
    assert calibrate_margin(exact, exact) == 0
    with pytest.raises(EngineUnavailable):
        calibrate_margin(exact, exact[:3])
    assert np.isinf(logit_gap(exact[:, :1])).all()


def test_a_broken_onnx_is_refused(model_folder: ModelFolder, copied: Path) -> None:
    (copied / "model.onnx").write_bytes(b"\x08\x09broken")
    with pytest.raises(WeightsFormat):
        OpenVinoEngine(dataclasses.replace(model_folder, path=copied))


def test_choosing_an_engine_loads_neither_torch_nor_openvino() -> None:
    code = "import sys, inference.pipeline.engine as e; print({'torch','openvino'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
