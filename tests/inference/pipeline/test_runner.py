"""Running a slide: order, batches, progress, cancelling, the cascade and what is kept."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.pipeline import runner as runner_module
from inference.pipeline.checkpoint import Pipeline
from inference.pipeline.engine import EngineOutput, open_engine
from inference.pipeline.errors import Cancelled, NoImages, RecipeInvalid, SlotNotRun
from inference.pipeline.rules import RULE_SETS, RuleSet
from inference.pipeline.runner import PipelineRunner, softmax


@pytest.fixture(scope="module")
def runner(pipeline: Pipeline) -> PipelineRunner:
    return PipelineRunner(pipeline, "openvino", precision="fp32", threads=2)


def as_png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_probabilities_are_softmax_of_the_engine_in_image_order(
    runner: PipelineRunner, pipeline: Pipeline, images: list[Image.Image], batch: np.ndarray
) -> None:
    logits = open_engine(pipeline.models["model_2"], "openvino", precision="fp32").infer(batch).logits
    expected = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=1, keepdims=True)
    for batch_size in (1, 4, 100):
        found = runner.predict("model_2", images, batch_size=batch_size)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_bytes_files_and_pixels_are_the_same_image(
    runner: PipelineRunner, images: list[Image.Image], tmp_path: Path
) -> None:
    contents = [as_png(image) for image in images]
    files = []
    for i, content in enumerate(contents):
        files.append(tmp_path / f"{i}.png")
        files[-1].write_bytes(content)
    from_pixels = runner.predict("model_1", images)
    np.testing.assert_array_equal(runner.predict("model_1", contents), from_pixels)
    np.testing.assert_array_equal(runner.predict("model_1", files), from_pixels)


def test_every_batch_is_told_and_false_cancels(runner: PipelineRunner, images: list[Image.Image]) -> None:
    seen: list[tuple[str, int, int]] = []
    runner.predict("model_3", images, batch_size=4, on_progress=lambda *told: seen.append(told))
    assert seen == [("model_3", 4, 6), ("model_3", 6, 6)]
    with pytest.raises(Cancelled, match="4 of 6"):
        runner.predict("model_3", images, batch_size=4, on_progress=lambda *told: False)


def test_a_slide_is_diagnosed_by_the_pipelines_rules_or_by_others(
    runner: PipelineRunner, images: list[Image.Image]
) -> None:
    result = runner.diagnose(images)
    tables = {slot: runner.predict(slot, images) for slot in ("model_1", "model_2", "model_3")}
    for slot, table in tables.items():
        np.testing.assert_array_equal(result.probabilities[slot], table)
    assert runner.decide(RULE_SETS["paper-fig2"], result.probabilities) == result.decision
    single = runner.diagnose(images, rule_set=RULE_SETS["single-model-majority"])
    np.testing.assert_array_equal(single.probabilities["single_model"], tables["model_3"])
    assert set(single.profiles) == {"single_model"}


class Negative:
    """An engine whose gate stays shut."""

    name, precision, profile = "negative", "fp32", "negative"

    def infer(self, batch: np.ndarray, *, with_features: bool = False) -> EngineOutput:
        return EngineOutput(np.tile(np.float32([-3, 3]), (len(batch), 1)), None)


def test_the_cascade_leaves_out_what_the_gate_makes_needless(
    pipeline: Pipeline, images: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def opening(model, *args, **kwargs):  # type: ignore[no-untyped-def]
        opened.append(model.card.slot)
        return Negative()

    monkeypatch.setattr(runner_module, "open_engine", opening)
    result = PipelineRunner(pipeline).diagnose(images, mode="cascade")
    assert opened == ["model_1"]
    assert result.decision.diagnosis == "NO_LEUKEMIA"
    assert result.probabilities["model_2"] is None
    assert result.profiles == {"model_1": "negative"}


def test_the_cascade_gives_the_same_answer(runner: PipelineRunner, images: list[Image.Image]) -> None:
    assert runner.diagnose(images, mode="cascade").decision == runner.diagnose(images).decision


def test_images_are_decoded_once_for_three_models(
    runner: PipelineRunner, images: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(runner_module, "decode", lambda content: calls.append(1) or images[0])
    runner.diagnose([b"x"] * 5)
    assert len(calls) == 5
    monkeypatch.setattr(runner_module, "KEPT_BYTES", 0)
    runner.diagnose([b"x"] * 5)
    assert len(calls) == 5 + 15


def test_what_cannot_be_run_says_why(runner: PipelineRunner, images: list[Image.Image]) -> None:
    with pytest.raises(NoImages):
        runner.diagnose([])
    with pytest.raises(RecipeInvalid):
        runner.predict("model_1", [images[0], b"no image"])
    with pytest.raises(SlotNotRun, match="no model_9"):
        runner.predict("model_9", images)
    lacking = Pipeline(
        runner.pipeline.path, "x", "1", "x", RULE_SETS["paper-fig1"], {"model_1": runner.pipeline.models["model_1"]}
    )
    with pytest.raises(SlotNotRun, match="model_2"):
        PipelineRunner(lacking).diagnose(images)


def test_saliency_of_one_image(runner: PipelineRunner, images: list[Image.Image]) -> None:
    maps = runner.saliency("model_3", images[0], "AML")
    assert maps.shape == (64, 64)
    assert 0 <= maps.min() <= maps.max() <= 1


def test_softmax_survives_large_logits() -> None:
    found = softmax(np.float32([[1000, 0], [0, 0]]))
    np.testing.assert_allclose(found, [[1, 0], [0.5, 0.5]])
    assert softmax(np.zeros((0, 3), dtype=np.float32)).shape == (0, 3)


def test_rules_from_data_run_too(runner: PipelineRunner, images: list[Image.Image]) -> None:
    rules = RuleSet.from_dict(RULE_SETS["paper-fig1"].as_dict() | {"name": "mine"})
    assert runner.diagnose(images, rule_set=rules).decision.diagnosis_5 is None
