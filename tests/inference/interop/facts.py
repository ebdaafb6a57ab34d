"""A result's facts without a database."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cases.taxonomy import STYLES
from inference.interop.facts import ModelFact, ResultFacts, StepFact


def model(slot: str, labels: dict[str, int] | None, **more: Any) -> ModelFact:
    number = slot[-1]
    fact = ModelFact(
        slot=slot, title=f"Model {number}", name=f"tiny-{number}", version="1.0", weights_sha256=number * 64,
        recipe_sha256="b" * 64, synthetic=False, engine="openvino fp32" if labels is not None else "", labels=labels,
    )  # fmt: skip
    return replace(fact, **more)


def facts(**more: Any) -> ResultFacts:
    """Three of five fields called leukemia, all of those acute; model 3 was not needed."""
    made = ResultFacts(
        run=uuid.UUID("12345678-1234-4234-8234-123456789abc"), patient="P-7", slide="S-7b", diagnosis="ACUTE",
        diagnosis_3="ACUTE", diagnosis_5="", reason="", flags=("below the study's minimum",),
        steps=(
            StepFact("gate", "model_1", "3 of 5 show leukemia", "LEUKEMIA", 5, {"LEUKEMIA": 3, "NO_LEUKEMIA": 2}),
            StepFact("branch", "model_2", "3 of 3 fields are acute", "ACUTE", 3, {"ACUTE": 3, "CHRONIC": 0}),
        ),
        models=(
            model("model_1", {"LEUKEMIA": 3, "NO_LEUKEMIA": 2}),
            model("model_2", {"ACUTE": 3, "CHRONIC": 0, "NO_LEUKEMIA": 1, "REACTIVE": 1}),
            model("model_3", None),
        ),
        pipeline="starter", pipeline_version="2", rules="paper-fig1", rules_version="1", rules_sha256="c" * 64,
        n_images=5, images_sha256="d" * 64, mode="cascade", app_version="0.1.0",
        decided_at=datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC), phantom=False,
        titles={name: style.title for name, style in STYLES.items()},
    )  # fmt: skip
    return replace(made, **more)


def undecided() -> ResultFacts:
    return facts(diagnosis="", diagnosis_3="", reason="The slide has no images.", steps=(), flags=(), n_images=0,
                 models=(model("model_1", None),), rules_sha256="", images_sha256="")  # fmt: skip


def awkward() -> ResultFacts:
    """Names as long as the database lets them be, beyond ASCII, and with what XML and DICOM give a meaning."""
    odd = 'Käse <b>&"\\^=1'
    return facts(
        patient="P" * 60, slide="S" * 60, pipeline=odd.ljust(80, "x"), pipeline_version=odd.ljust(40, "y"),
        flags=(odd,), models=(model("model_1", {"VERY_LONG_CLASS_NAME": 5}, name=odd, synthetic=True),), phantom=True,
        titles={"VERY_LONG_CLASS_NAME": "é" * 90},
    )  # fmt: skip
