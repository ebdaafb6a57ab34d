"""A result as data: the JSON of the export and of the API, and the rows of the CSV."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference.models import ModelVersion
from inference.selectors.results import Field, Result


def result_as_dict(result: Result) -> dict[str, Any]:
    """The whole result as JSON-ready data: what the export and the API give."""
    run, prediction = result.run, result.prediction
    return {
        "research_use_only": True,
        "synthetic": result.synthetic,
        "run": str(run.public_id),
        "slide": run.slide.code,
        "patient": run.slide.patient.code,
        "decided": prediction.decided,
        "reason": prediction.reason,
        "diagnosis": prediction.diagnosis or None,
        "diagnosis_3": prediction.diagnosis_3 or None,
        "diagnosis_5": prediction.diagnosis_5 or None,
        "flags": prediction.flags,
        "trace": prediction.trace,
        "trace_words": result.sentences,
        "mode": run.mode,
        "pipeline": {
            "name": result.pipeline.name,
            "version": result.pipeline.version,
            "rules": result.pipeline.rule_set,
            "rules_sha256": prediction.rule_set_sha256,
            "models": {
                slot: _model_dict(model, result.profiles.get(slot)) for slot, model in result.pipeline.slots.items()
            },
        },
        "app_version": prediction.app_version,
        "requested_by": str(run.created_by) if run.created_by else None,
        "decided_at": prediction.created_at.isoformat(),
        "images": [_field_dict(field) for field in result.fields],
    }


def csv_rows(result: Result) -> tuple[list[str], list[list[str | float | int]]]:
    """Header and one row for each image, in capture order."""
    columns = [(slot, name) for slot, model in result.slots_run.items() for name in model.classes]
    header = [
        "slide",
        "patient",
        "run",
        "pipeline",
        "diagnosis_3",
        "diagnosis_5",
        "position",
        "image",
        "sha256",
        "decided",
    ]
    header += [f"{slot}_label" for slot in result.slots_run] + [f"{slot}_{name}" for slot, name in columns]
    p = result.prediction
    shared: list[str | float | int] = [
        result.run.slide.code, result.run.slide.patient.code, str(result.run.public_id), str(result.pipeline),
        p.diagnosis_3, p.diagnosis_5,
    ]  # fmt: skip
    rows = []
    for field in result.fields:
        row = [*shared, field.position, str(field.image_id), field.content_sha256, " ".join(field.decided)]
        row += [values.top.name for values in field.models]
        row += [value.probability for values in field.models for value in values.values]
        rows.append(row)
    return header, rows


def _model_dict(model: ModelVersion, profile: str | None) -> dict[str, Any]:
    return {
        "name": model.name, "version": model.version, "weights_sha256": model.weights_sha256,
        "recipe_sha256": model.recipe_sha256, "synthetic": model.synthetic, "engine": profile,
    }  # fmt: skip


def _field_dict(field: Field) -> dict[str, Any]:
    models: Mapping[str, Any] = {m.slot: {v.name: v.probability for v in m.values} for m in field.models}
    return {
        "image": str(field.image_id), "position": field.position, "sha256": field.content_sha256,
        "decided": list(field.decided), **{s: models.get(s) for s in ("model_1", "model_2", "model_3", "single_model")},
    }  # fmt: skip
