"""A stored result as people read it: diagnosis, reasons, deciding images first. Nothing is computed anew.

Opening a result is an exposure; whoever calls these for a person records it first (``cases.services.exposures``).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cases.models import HpfImage
from cases.taxonomy import STYLES
from inference.models import ImagePrediction, ModelVersion, PatientPrediction, PipelineRun
from inference.pipeline.trace import deciding_images, rank_images, trace_sentences
from leukoweb.core.exceptions import NotFound

_STEP_TITLES = {
    "gate": "Is there leukemia?",
    "branch": "Acute or chronic?",
    "subtype": "Which kind?",
    "majority": "Majority of the fields",
}


@dataclass(frozen=True)
class ClassValue:
    """One class of one model on one image."""

    name: str
    probability: float
    is_top: bool

    @property
    def title(self) -> str:
        return STYLES[self.name].title if self.name in STYLES else self.name

    @property
    def code(self) -> str:
        return STYLES[self.name].code if self.name in STYLES else self.name[:2]


@dataclass(frozen=True)
class ModelValues:
    """One model on one image; classes in the model's own order."""

    slot: str
    values: tuple[ClassValue, ...]

    @property
    def title(self) -> str:
        return slot_title(self.slot)

    @property
    def top(self) -> ClassValue:
        return next(value for value in self.values if value.is_top)


@dataclass(frozen=True)
class Field:
    """One image of a result. ``image`` is None when it was moved, removed or withdrawn since."""

    index: int
    position: int
    content_sha256: str
    image_id: uuid.UUID
    image: HpfImage | None
    decided: tuple[str, ...]
    models: tuple[ModelValues, ...]
    asked_first: str = "model_1"

    @property
    def is_leukemia(self) -> bool:
        """As the rules read it: any label but NO_LEUKEMIA of the model that their first step asks."""
        asked = self.model(self.asked_first)
        return asked is not None and asked.top.name != "NO_LEUKEMIA"

    def model(self, slot: str) -> ModelValues | None:
        return next((values for values in self.models if values.slot == slot), None)


@dataclass(frozen=True)
class StepCount:
    name: str
    count: int
    n: int
    summed: float

    @property
    def title(self) -> str:
        return STYLES[self.name].title if self.name in STYLES else self.name


@dataclass(frozen=True)
class StepView:
    """One step of the trace, in words and as counts."""

    title: str
    slot: str
    sentence: str
    outcome: str
    counts: tuple[StepCount, ...]

    @property
    def model_title(self) -> str:
        return slot_title(self.slot)


class Result:
    """A run with its stored prediction."""

    def __init__(self, run: PipelineRun) -> None:
        self.run = run
        self.prediction: PatientPrediction = run.prediction
        self.pipeline = run.pipeline

    @property
    def slots_run(self) -> dict[str, ModelVersion]:
        """Slots whose models were run (all of them in full mode) with their models, in slot order."""
        profiles = self.profiles
        return {slot: model for slot, model in self.pipeline.slots.items() if slot in profiles}

    @property
    def profiles(self) -> dict[str, str]:
        """Slot -> numeric profile (engine and precision)."""
        return dict(self.prediction.images[0]["profiles"]) if self.prediction.images else {}

    @property
    def synthetic(self) -> bool:
        return self.pipeline.synthetic

    @property
    def asked_first(self) -> str:
        """Slot of the model that the first step of the rules read; model 1 where nothing was decided."""
        return str(self.prediction.trace[0]["model"]) if self.prediction.trace else "model_1"

    @property
    def sentences(self) -> list[str]:
        return trace_sentences(self.prediction.trace)

    @property
    def title(self) -> str:
        """The diagnosis in words."""
        name = self.prediction.diagnosis
        return STYLES[name].title if name in STYLES else "No decision"

    @property
    def steps(self) -> list[StepView]:
        return [
            StepView(
                title=_STEP_TITLES[step["step"]],
                slot=step["model"],
                sentence=sentence,
                outcome=step["outcome"],
                counts=tuple(
                    StepCount(name, count, step["n_voters"], step["sums"][name])
                    for name, count in step["counts"].items()
                ),
            )
            for step, sentence in zip(self.prediction.trace, self.sentences, strict=True)
        ]

    @cached_property
    def probabilities(self) -> dict[str, list[list[float]]]:
        """Slot -> (n_images, n_classes) in capture order, as stored; one query for each slot that was run."""
        contents = [entry["content_sha256"] for entry in self.prediction.images]
        slide_contents = HpfImage.objects.filter(slide_id=self.prediction.slide_id).values("content_sha256")
        tables = {}
        for slot, model in self.slots_run.items():
            rows = ImagePrediction.objects.filter(
                model=model, recipe_sha256=model.recipe_sha256, profile=self.profiles[slot]
            )
            found = dict(rows.filter(content_sha256__in=slide_contents).values_list("content_sha256", "probabilities"))
            moved = [content for content in contents if content not in found]
            if moved:  # images that left the slide since; their predictions stay
                found |= dict(rows.filter(content_sha256__in=moved).values_list("content_sha256", "probabilities"))
            tables[slot] = [found[content] for content in contents]
        return tables

    @cached_property
    def fields(self) -> list[Field]:
        """All images in capture order."""
        public_ids = [uuid.UUID(entry["image"]) for entry in self.prediction.images]
        live = HpfImage.objects.filter(slide_id=self.prediction.slide_id).in_bulk(field_name="public_id")
        by_step: dict[int, list[str]] = {}
        for step in self.prediction.trace:
            for i in step["images"]:
                by_step.setdefault(i, []).append(step["step"])
        return [
            Field(
                index=i,
                position=entry["position"],
                content_sha256=entry["content_sha256"],
                image_id=public_ids[i],
                image=live.get(public_ids[i]),
                decided=tuple(by_step.get(i, ())),
                models=tuple(
                    _values(slot, model.classes, self.probabilities[slot][i]) for slot, model in self.slots_run.items()
                ),
                asked_first=self.asked_first,
            )
            for i, entry in enumerate(self.prediction.images)
        ]

    @cached_property
    def ranked(self) -> list[Field]:
        """The images that decided most come first."""
        if not self.prediction.trace:
            return []
        single = self.pipeline.single_model
        tables: dict[str, Any] = self.probabilities
        order = rank_images(self.prediction.trace, **tables, classes=single.classes if single else None)
        return [self.fields[i] for i in order]

    @property
    def n_deciding(self) -> int:
        return len(deciding_images(self.prediction.trace))

    @property
    def n_leukemia(self) -> int:
        return sum(field.is_leukemia for field in self.fields)


def result_run(public_id: uuid.UUID) -> PipelineRun:
    """The run behind a result's address; NotFound for unknown runs and withdrawn patients alike."""
    run = (
        PipelineRun.objects.select_related(
            "slide__patient__cohort", "job", "created_by", "prediction", "pipeline__model_1", "pipeline__model_2",
            "pipeline__model_3", "pipeline__single_model",
        )
        .filter(public_id=public_id, slide__patient__withdrawn_at=None)
        .first()
    )  # fmt: skip
    if run is None:
        raise NotFound(
            "There is no such result.", hint="Its patient may have been withdrawn. Open it again from the slide's page."
        )
    return run


def result_get(public_id: uuid.UUID) -> Result:
    """NotFound also while the run has no result yet."""
    run = result_run(public_id)
    if not hasattr(run, "prediction"):
        raise NotFound("This run has no result yet.", hint="Its page shows how far it is.")
    return Result(run)


def slot_title(slot: str) -> str:
    return slot.replace("_", " ").capitalize()


def _values(slot: str, classes: Sequence[str], probabilities: Sequence[float]) -> ModelValues:
    top = max(range(len(classes)), key=lambda k: probabilities[k])  # the first of equals, as the rules read it
    pairs = zip(classes, probabilities, strict=True)
    return ModelValues(slot, tuple(ClassValue(name, p, k == top) for k, (name, p) in enumerate(pairs)))
