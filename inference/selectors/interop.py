"""A stored result as the facts that the files for other systems are made of."""

from __future__ import annotations

from collections import Counter

from cases.taxonomy import STYLES
from inference.interop.facts import ModelFact, ResultFacts, StepFact
from inference.models import ModelVersion
from inference.selectors.results import Result


def result_facts(result: Result) -> ResultFacts:
    """Counts are of all fields in the order of each model's classes; classes that no field was given count 0."""
    run, prediction, rules = result.run, result.prediction, result.pipeline.rule_set
    return ResultFacts(
        run=run.public_id,
        patient=run.slide.patient.code,
        slide=run.slide.code,
        diagnosis=prediction.diagnosis,
        diagnosis_3=prediction.diagnosis_3,
        diagnosis_5=prediction.diagnosis_5,
        reason=prediction.reason,
        flags=tuple(prediction.flags),
        steps=tuple(
            StepFact(step["step"], step["model"], sentence, step["outcome"], step["n_voters"], dict(step["counts"]))
            for step, sentence in zip(prediction.trace, result.sentences, strict=True)
        ),
        models=tuple(_model(result, slot, model) for slot, model in result.pipeline.slots.items()),
        pipeline=result.pipeline.name,
        pipeline_version=result.pipeline.version,
        rules=str(rules.get("name", "")),
        rules_version=str(rules.get("version", "")),
        rules_sha256=prediction.rule_set_sha256,
        n_images=len(prediction.images),
        images_sha256=prediction.images_sha256,
        mode=run.mode,
        app_version=prediction.app_version,
        decided_at=prediction.created_at,
        phantom=run.slide.patient.cohort.synthetic,
        titles={name: style.title for name, style in STYLES.items()},
    )


def _model(result: Result, slot: str, model: ModelVersion) -> ModelFact:
    profile = result.profiles.get(slot, "")
    labels = None
    if profile:
        tops = Counter(values.top.name for field in result.fields if (values := field.model(slot)) is not None)
        labels = {name: tops[name] for name in model.classes}
    return ModelFact(
        slot=slot, title=str(model.get_slot_display()), name=model.name, version=model.version,
        weights_sha256=model.weights_sha256, recipe_sha256=model.recipe_sha256, synthetic=model.synthetic,
        engine=profile, labels=labels,
    )  # fmt: skip
