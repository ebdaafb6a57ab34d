"""What AI said about the cases of a study: pipelines that ran here, and imported answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cases.taxonomy import FIVE_TO_THREE
from inference.models import PatientPrediction, PipelineVersion
from reader_study.analysis.inputs import InputsRefused
from reader_study.models import ImportedEvaluator, ImportedPrediction, Study, StudyCase
from reader_study.selectors.ai_results import Document, contents_of, label_of, predictions_of

Levels = Sequence[Mapping[str, Any]]
_OF_THREE = ("two", "three")  # levels whose classes follow from acute, chronic and none


def ai_evaluators(
    study: Study, document: Document, cases: Sequence[StudyCase], levels: Levels, *, strict: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of the inputs for the protocol's pipelines and every imported AI, and names of those without answers.

    With ``strict`` a pipeline without answers on a case is refused; otherwise it is left out by name. The case of a
    withdrawn patient may lack one: nothing can be run on it any more.

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
        lacking = [c.code for c in cases if c.code not in answers and c.patient.withdrawn_at is None]
        if lacking and strict:
            raise InputsRefused(
                f"{title} has no prediction for {len(lacking)} of {len(cases)} cases: {', '.join(lacking[:8])}"
                f"{' and more' if len(lacking) > 8 else ''}.",
                code="E_NO_PREDICTION",
                hint="Run the pipeline on the cohort, then analyse again."
                if answers and not own
                else "Run the pipeline on the cohort, or import its answers, then analyse again.",
            )
        if not answers:
            missing.append(name)
            continue
        out.append(_row(name, role, bool(own), answers, about, cases) | {"in_protocol": True})
    for evaluator in imported.values():  # not in the protocol: a comparator, and so exploratory
        answers, about = _imported(evaluator, cases)
        if answers:
            out.append(_row(str(evaluator), "comparator", True, answers, about, cases) | {"in_protocol": False})
    return out, missing


def _row(
    name: str, role: str, imported: bool, answers: dict[str, Any], about: dict[str, Any], cases: Sequence[StudyCase]
) -> dict[str, Any]:
    row = {
        "name": name, "kind": "imported" if imported else "pipeline", "role": role, "reader": "", "session": 0,
        "primary": False, "arm": "", "imported": imported, "state": "sealed", "provenance": about,
        "answers": [answers[case.code] for case in cases if case.code in answers],
    }  # fmt: skip
    return row | ({"levels": about.pop("levels")} if "levels" in about else {})


def _imported(evaluator: ImportedEvaluator, cases: Sequence[StudyCase]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An empty cell is stored too, so the stored levels are those that the file has."""
    codes = {case.pk: case.code for case in cases}
    answers: dict[str, Any] = {}
    levels: set[str] = set()
    rows = ImportedPrediction.objects.filter(evaluator=evaluator, study_case__in=list(codes)).order_by("id")
    for row in rows:
        code = codes[row.study_case_id]
        levels.add(row.level)
        answer = answers.setdefault(code, {"case": code, "answers": {}, "cannot_decide": True})
        if row.diagnosis:
            answer["answers"][row.level], answer["cannot_decide"] = row.diagnosis, False
    about = {
        "title": str(evaluator), "source": evaluator.source, "file_sha256": evaluator.file_sha256,
        "imported_at": evaluator.imported_at.isoformat(), "models": [], "rule_set_sha256": "",
        "levels": sorted(levels),
    }  # fmt: skip
    return answers, about


def _pipeline(
    name: str, version: str, cases: Sequence[StudyCase], document: Document, levels: Levels
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Answers by case code and what made them; nothing where there is no such pipeline.

    One that cannot tell the five diagnoses apart was not asked for them: ``levels`` names those that it can answer.
    """
    pipeline = (
        PipelineVersion.objects.filter(name=name, version=version)
        .select_related("model_1", "model_2", "model_3", "single_model")
        .first()
    )
    if pipeline is None:
        return {}, {}
    found = predictions_of(name, version, cases)
    answers = {case.code: _prediction(case, found[case.pk], document, levels) for case in cases if case.pk in found}
    about = {
        "title": str(pipeline), "synthetic": pipeline.synthetic, "rules": pipeline.rule_set.get("name", ""),
        "rule_set_sha256": "",
        "models": [
            {"slot": slot, "name": str(model), "weights_sha256": model.weights_sha256,
             "recipe_sha256": model.recipe_sha256}
            for slot, model in pipeline.slots.items()
        ],
    }  # fmt: skip
    if not _gives_five(pipeline):
        about["levels"] = [level["name"] for level in levels if level["name"] in _OF_THREE]
    return answers, about


def was_asked(name: str, version: str, level: str) -> bool:
    """Whether a pipeline could answer at a level of classes at all; if not, it is not undecided there, but silent."""
    if level in _OF_THREE:
        return True
    pipeline = PipelineVersion.objects.filter(name=name, version=version).select_related("single_model").first()
    return pipeline is None or _gives_five(pipeline)


def _gives_five(pipeline: PipelineVersion) -> bool:
    """Whether its rules can end in one of the five diagnoses, and not only in acute, chronic or none."""
    rules = pipeline.rule_set
    if rules.get("kind") == "majority":
        return pipeline.single_model is None or len(pipeline.single_model.classes) == len(FIVE_TO_THREE)
    return rules.get("kind") != "hierarchical" or bool(rules.get("subtype"))


def _prediction(
    case: StudyCase, prediction: PatientPrediction, document: Document, levels: Levels
) -> dict[str, Any]:
    given = {level["name"]: label_of(prediction, level["name"], document) for level in levels}
    given = {level: label for level, label in given.items() if label}
    wanted = {image["content_sha256"] for image in case.manifest}
    return {
        "case": case.code, "answers": given, "cannot_decide": not given, "reason": prediction.reason,
        "n_images": len(prediction.images), "same_images": contents_of(prediction) == wanted,
        "images_sha256": prediction.images_sha256, "rule_set_sha256": prediction.rule_set_sha256,
        "engine": prediction.engine_profile, "app_version": prediction.app_version,
        "predicted_at": prediction.created_at.isoformat(),
    }  # fmt: skip
