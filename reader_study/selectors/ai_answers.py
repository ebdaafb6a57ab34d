"""What AI said about the cases of a study: pipelines that ran here, and imported answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cases.taxonomy import FIVE_TO_THREE
from inference.models import PatientPrediction, PipelineVersion
from reader_study.analysis.inputs import InputsRefused
from reader_study.models import ImportedEvaluator, ImportedPrediction, Study, StudyCase
from reader_study.protocol import reference_map

Document = Mapping[str, Any]
Levels = Sequence[Mapping[str, Any]]


def ai_evaluators(
    study: Study, document: Document, cases: Sequence[StudyCase], levels: Levels, *, strict: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of the inputs for the protocol's pipelines and every imported AI, and names of those without answers.

    With ``strict`` a pipeline without answers on a case is refused; otherwise it is left out by name.

    Raises
    ------
    InputsRefused
    """
    imported = {(e.name, e.version): e for e in ImportedEvaluator.objects.filter(study=study).order_by("id")}
    ai = document["ai"]
    wanted = ([("ai", ai["primary"])] if ai["primary"] else []) + [("comparator", c) for c in ai["comparators"]]
    taken = set(study.readers.values_list("label", flat=True))
    out: list[dict[str, Any]] = []
    missing: list[str] = []
    for role, named in wanted:
        own = imported.pop((named["name"], named["version"]), None)
        title = f"{named['name']} {named['version']}"
        name = "AI" if role == "ai" and "AI" not in taken else title
        answers, about = (
            _imported(own, cases) if own else _pipeline(named["name"], named["version"], cases, document, levels)
        )
        lacking = [case.code for case in cases if case.code not in answers]
        if lacking and strict:
            raise InputsRefused(
                f"{title} has no prediction for {len(lacking)} of {len(cases)} cases: {', '.join(lacking[:8])}"
                f"{' and more' if len(lacking) > 8 else ''}.",
                code="E_NO_PREDICTION",
                hint="Run the pipeline on the cohort, or import its answers, then analyse again.",
            )
        if not answers:
            missing.append(name)
            continue
        out.append(_row(name, role, bool(own), answers, about, cases))
    for evaluator in imported.values():  # not in the protocol: a comparator, and so exploratory
        answers, about = _imported(evaluator, cases)
        if answers:
            out.append(_row(str(evaluator), "comparator", True, answers, about, cases))
    return out, missing


def _row(
    name: str, role: str, imported: bool, answers: dict[str, Any], about: dict[str, Any], cases: Sequence[StudyCase]
) -> dict[str, Any]:
    return {
        "name": name, "kind": "imported" if imported else "pipeline", "role": role, "reader": "", "session": 0,
        "primary": False, "arm": "", "imported": imported, "state": "sealed", "provenance": about,
        "answers": [answers[case.code] for case in cases if case.code in answers],
    }  # fmt: skip


def _imported(evaluator: ImportedEvaluator, cases: Sequence[StudyCase]) -> tuple[dict[str, Any], dict[str, Any]]:
    codes = {case.pk: case.code for case in cases}
    answers: dict[str, Any] = {}
    rows = ImportedPrediction.objects.filter(evaluator=evaluator, study_case__in=list(codes)).order_by("id")
    for row in rows:
        code = codes[row.study_case_id]
        answer = answers.setdefault(code, {"case": code, "answers": {}, "cannot_decide": True})
        if row.diagnosis:
            answer["answers"][row.level], answer["cannot_decide"] = row.diagnosis, False
    about = {
        "title": str(evaluator), "source": evaluator.source, "file_sha256": evaluator.file_sha256,
        "imported_at": evaluator.imported_at.isoformat(), "models": [], "rule_set_sha256": "",
    }  # fmt: skip
    return answers, about


def _pipeline(
    name: str, version: str, cases: Sequence[StudyCase], document: Document, levels: Levels
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The newest prediction of each patient by this pipeline, on the slide with the most fields of the case.

    A pipeline decides per slide. Of several slides, the one that carries most fields of the case's manifest is taken.
    """
    pipeline = (
        PipelineVersion.objects.filter(name=name, version=version)
        .select_related("model_1", "model_2", "model_3", "single_model")
        .first()
    )
    if pipeline is None:
        return {}, {}
    by_patient: dict[int, dict[int, PatientPrediction]] = {}
    rows = PatientPrediction.objects.filter(
        run__pipeline=pipeline, patient__in=[case.patient_id for case in cases]
    ).order_by("id")
    for prediction in rows.select_related("run"):
        by_patient.setdefault(prediction.patient_id, {})[prediction.slide_id] = prediction  # the newest wins
    answers = {}
    for case in cases:
        found = list(by_patient.get(case.patient_id, {}).values())
        if found:
            wanted = {image["content_sha256"] for image in case.manifest}
            best = max(found, key=lambda p: (len(wanted & _contents(p)), p.pk))
            answers[case.code] = _prediction(case.code, best, wanted, document, levels)
    about = {
        "title": str(pipeline), "synthetic": pipeline.synthetic, "rules": pipeline.rule_set.get("name", ""),
        "rule_set_sha256": "",
        "models": [
            {"slot": slot, "name": str(model), "weights_sha256": model.weights_sha256,
             "recipe_sha256": model.recipe_sha256}
            for slot, model in pipeline.slots.items()
        ],
    }  # fmt: skip
    return answers, about


def _contents(prediction: PatientPrediction) -> set[str]:
    return {image["content_sha256"] for image in prediction.images}


def _prediction(
    code: str, prediction: PatientPrediction, wanted: set[str], document: Document, levels: Levels
) -> dict[str, Any]:
    given = {level["name"]: _label(prediction, level["name"], document) for level in levels}
    given = {level: label for level, label in given.items() if label}
    return {
        "case": code, "answers": given, "cannot_decide": not given, "reason": prediction.reason,
        "n_images": len(prediction.images), "same_images": _contents(prediction) == wanted,
        "images_sha256": prediction.images_sha256, "rule_set_sha256": prediction.rule_set_sha256,
        "engine": prediction.engine_profile, "app_version": prediction.app_version,
    }  # fmt: skip


def _label(prediction: PatientPrediction, level: str, document: Document) -> str:
    """The class that the pipeline gave at a level; empty where its rules give none."""
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
