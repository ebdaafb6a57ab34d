"""Which stored result of a pipeline counts for a case of a study, and which class it gives there.

Asked by the analysis, by the walk-through and by sessions that show the AI, so that all three say the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cases.taxonomy import FIVE_TO_THREE
from inference.models import PatientPrediction
from reader_study.models import StudyCase
from reader_study.protocol import reference_map

Document = Mapping[str, Any]


def predictions_of(name: str, version: str, cases: Sequence[StudyCase]) -> dict[int, PatientPrediction]:
    """Case id -> its prediction by this pipeline, with ``run.pipeline``; cases without one are left out. 1 query.

    A pipeline decides per slide. Of several slides of a patient the one that carries most fields of the case's manifest
    is taken, and of several predictions of a slide the newest.
    """
    newest: dict[int, dict[int, PatientPrediction]] = {}
    rows = PatientPrediction.objects.filter(
        run__pipeline__name=name, run__pipeline__version=version, patient__in=[case.patient_id for case in cases]
    )
    for prediction in rows.select_related("run__pipeline").order_by("id"):
        newest.setdefault(prediction.patient_id, {})[prediction.slide_id] = prediction
    found = {}
    for case in cases:
        wanted = {image["content_sha256"] for image in case.manifest}
        if slides := newest.get(case.patient_id):
            found[case.pk] = max(slides.values(), key=lambda p: (len(wanted & contents_of(p)), p.pk))
    return found


def contents_of(prediction: PatientPrediction) -> set[str]:
    """Hashes of the images that the prediction was made from."""
    return {image["content_sha256"] for image in prediction.images}


def label_of(prediction: PatientPrediction, level: str, document: Document) -> str:
    """The class at a level of the study (two, three, five, or its own map); empty where the rules give none."""
    if not prediction.decided:
        return ""
    five, three = prediction.diagnosis_5, prediction.diagnosis_3
    if level == "five":
        return five
    if level == "three":
        return three or FIVE_TO_THREE.get(five, "")
    if level == "two":
        known = five or three or prediction.diagnosis
        return known and ("NO_LEUKEMIA" if known == "NO_LEUKEMIA" else "LEUKEMIA")
    return reference_map(document).get(five, "")
