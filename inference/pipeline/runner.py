"""Runs a pipeline's models over a slide's images: decoding ahead of computing, batch by batch, then the rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.pipeline.checkpoint import ModelFolder, Pipeline
from inference.pipeline.close_calls import CloseCalls, Finished
from inference.pipeline.engine import Engine, open_engine
from inference.pipeline.errors import Cancelled, NoImages, SlotNotRun
from inference.pipeline.hierarchy import Decision, RuleSet, decide, slots_needed
from inference.pipeline.preprocess import Recipe, decode
from inference.pipeline.saliency import Map, grad_cam

#: Stored bytes, a file of them, or pixels.
ImageSource = bytes | Path | Image.Image
Probabilities = NDArray[np.float64]  # (n_images, n_classes)
Mode = Literal["all", "cascade"]

DEFAULT_BATCH: Final = 16
#: Prepared inputs kept between the models of one slide; beyond it an image is decoded again.
KEPT_BYTES: Final = 256 * 1024 * 1024


#: Called after every batch with the slot and how many of its images are done; returning False stops with ``Cancelled``.
OnProgress = Callable[[str, int, int], bool | None]


@dataclass(frozen=True, slots=True)
class SlideResult:
    """A decision with the probabilities behind it; None for a slot that was not run (which is not negative)."""

    decision: Decision
    probabilities: dict[str, Probabilities | None]
    profiles: dict[str, str]


class PipelineRunner:
    """A pipeline with its engines opened when first needed; use it from one thread.

    Parameters
    ----------
    prefer, precision, threads, cache_dir
        As in ``inference.pipeline.engine.open_engine``.
    decode_threads
        Threads that decode and resize ahead of the engine.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        prefer: str = "auto",
        *,
        precision: str = "auto",
        threads: int | None = None,
        cache_dir: Path | None = None,
        decode_threads: int = 2,
    ) -> None:
        self.pipeline = pipeline
        self._prefer, self._precision, self._threads, self._cache_dir = prefer, precision, threads, cache_dir
        self._engines: dict[Path, Engine] = {}
        self._decode_threads = max(1, decode_threads)

    def engine(self, slot: str) -> Engine:
        """The engine of a slot; slots that share a model folder share it."""
        model = self._model(slot)
        if model.path not in self._engines:
            self._engines[model.path] = open_engine(
                model,
                self._prefer,
                precision=self._precision,
                threads=self._threads,
                cache_dir=self._cache_dir,
            )
        return self._engines[model.path]

    def profile(self, slot: str) -> str:
        """Numeric profile of a slot's engine, part of a prediction's key."""
        return self.engine(slot).profile

    def predict(
        self,
        slot: str,
        images: Sequence[ImageSource],
        *,
        batch_size: int = DEFAULT_BATCH,
        on_progress: OnProgress | None = None,
    ) -> Probabilities:
        """Softmax probabilities (n, K) float64 in the class order of the slot's card.

        Raises
        ------
        Cancelled
            ``on_progress`` returned False.
        RecipeInvalid
            An image cannot be decoded (code E_UNREADABLE).
        """
        return self._predict(slot, images, batch_size, on_progress, _Prepared(self._decode_threads))

    def diagnose(
        self,
        images: Sequence[ImageSource],
        *,
        rule_set: RuleSet | None = None,
        mode: Mode = "all",
        batch_size: int = DEFAULT_BATCH,
        on_progress: OnProgress | None = None,
    ) -> SlideResult:
        """Run the models that the rules read over one slide, then the rules.

        ``mode="cascade"`` leaves out models 2 and 3 where the gate stays shut; ``"all"`` runs every model over
        every image, as agreement studies of per-image labels want it. ``rule_set`` replaces the pipeline's own.
        """
        rules = rule_set or self.pipeline.rule_set
        if not images:
            raise NoImages("There are no images; a diagnosis needs at least one.", hint="Add readable images.")
        lacking = [slot for slot in rules.slots if slot not in self.pipeline.models]
        if lacking:
            raise SlotNotRun(
                f"The rules {rules.name} need {', '.join(lacking)}, which {self.pipeline.name} does not have.",
                hint="Choose other rules or another pipeline.",
                field="rules",
            )
        prepared = _Prepared(self._decode_threads)
        tables: dict[str, Probabilities | None] = dict.fromkeys(rules.slots)
        pending = list(slots_needed(rules) if mode == "cascade" else rules.slots)
        while pending:
            slot = pending.pop(0)
            tables[slot] = self._predict(slot, images, batch_size, on_progress, prepared)
            if mode == "cascade" and slot == "model_1":
                pending = list(slots_needed(rules, tables["model_1"]))
        decision = self.decide(rules, tables)
        run = {slot: self.profile(slot) for slot, table in tables.items() if table is not None}
        return SlideResult(decision, tables, run)

    def decide(self, rule_set: RuleSet, tables: dict[str, Probabilities | None]) -> Decision:
        """Apply rules to stored probabilities; no model runs, so other rules cost milliseconds."""
        single = self.pipeline.models.get("single_model")
        return decide(
            rule_set,
            model_1=tables.get("model_1"),
            model_2=tables.get("model_2"),
            model_3=tables.get("model_3"),
            single_model=tables.get("single_model"),
            classes=single.card.classes if single else None,
        )

    def saliency(self, slot: str, image: ImageSource, class_name: str) -> Map:
        """Closed-form Grad-CAM of one class on one image, (size_px, size_px) in 0..1."""
        model = self._model(slot)
        size_px = model.card.recipe.size_px
        batch = _prepare(model.card.recipe, image)[None]
        features = self.engine(slot).infer(batch, with_features=True).features
        if features is None:
            raise SlotNotRun(f"The engine gives no features of {model.card.name}.", hint="Use the library's Grad-CAM.")
        index = model.card.classes.index(class_name)
        return grad_cam(features, model.classifier_weight(), index, size_px)[0]

    def _model(self, slot: str) -> ModelFolder:
        if slot not in self.pipeline.models:
            raise SlotNotRun(f"The pipeline {self.pipeline.name} has no {slot}.", field="slot")
        return self.pipeline.models[slot]

    def _predict(
        self,
        slot: str,
        images: Sequence[ImageSource],
        batch_size: int,
        on_progress: OnProgress | None,
        prepared: _Prepared,
    ) -> Probabilities:
        engine, card = self.engine(slot), self._model(slot).card
        table, calls = np.empty((len(images), len(card.classes))), CloseCalls[int](engine)
        for start, stack in prepared.stacks(card.recipe, images, max(1, batch_size)):
            done = start + len(stack)
            _fill(table, calls.add(range(start, done), stack))
            if on_progress is not None and on_progress(slot, done, len(images)) is False:
                raise Cancelled(f"Stopped after {done} of {len(images)} images of {slot}.")
        _fill(table, calls.settle())
        return table


class _Prepared:
    """Network inputs of one slide, made one batch ahead in threads and kept for the next model."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._kept: dict[tuple[str, int], NDArray[np.uint8]] = {}
        self._kept_bytes = 0

    def stacks(
        self, recipe: Recipe, images: Sequence[ImageSource], batch_size: int
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """(start, (n, size_px, size_px, 3) uint8) while the following batch is being decoded."""
        key = recipe.sha256

        def one(i: int) -> NDArray[np.uint8]:
            kept = self._kept.get((key, i))
            return _prepare(recipe, images[i]) if kept is None else kept

        starts = range(0, len(images), batch_size)
        with ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as pool:
            ahead = None
            for start in starts:
                current = ahead or [pool.submit(one, i) for i in range(start, min(start + batch_size, len(images)))]
                following = range(start + batch_size, min(start + 2 * batch_size, len(images)))
                ahead = [pool.submit(one, i) for i in following]
                arrays = [future.result() for future in current]
                for i, array in enumerate(arrays, start):
                    self._keep((key, i), array)
                yield start, np.stack(arrays)

    def _keep(self, key: tuple[str, int], array: NDArray[np.uint8]) -> None:
        if key not in self._kept and self._kept_bytes + array.nbytes <= KEPT_BYTES:
            self._kept[key] = array
            self._kept_bytes += array.nbytes


def _fill(table: Probabilities, finished: Finished[int]) -> None:
    for rows, output in finished:
        table[rows] = softmax(output.logits)


def softmax(logits: NDArray[np.float32]) -> Probabilities:
    """Row-wise softmax in float64, shifted by the row's maximum; (n, K) in, (n, K) out."""
    values = logits.astype(np.float64)
    values = np.exp(values - values.max(axis=1, keepdims=True)) if values.size else values
    return values / values.sum(axis=1, keepdims=True) if values.size else values


def _prepare(recipe: Recipe, source: ImageSource) -> NDArray[np.uint8]:
    if isinstance(source, Path):
        source = source.read_bytes()
    return recipe.prepare(decode(source) if isinstance(source, bytes) else source)
