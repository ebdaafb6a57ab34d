"""What is frozen of a study in which not everything went as planned."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from cases.models import Patient, ReferenceDiagnosis
from cases.taxonomy import FIVE_TO_THREE
from inference.models import ModelVersion, PatientPrediction, PipelineRun, PipelineVersion
from inference.pipeline.classes import DIAGNOSES_3, DIAGNOSES_5
from inference.pipeline.rules import RULE_SETS
from leukoweb.core.exceptions import Conflict
from reader_study.analysis.canonical import sha256_of
from reader_study.analysis.run import analyse as compute
from reader_study.models import ProtocolVersion, Reading, ReadingSession, Study, StudyCase, StudyReader
from reader_study.report import figures_comparison
from reader_study.report.style import drawing
from reader_study.selectors.ai_answers import _gives_five, _pipeline
from reader_study.selectors.analysis_inputs import study_inputs
from reader_study.selectors.walkthrough import walk_list
from reader_study.services.analyses import evaluator_import
from reader_study.services.voiding import session_void
from tests.reader_study.analysis.read_studies import PIPELINE, analyse, csv_of, unblind, with_ai
from tests.reader_study.factories import MadeStudy

pytestmark = pytest.mark.django_db


@pytest.mark.both_databases
def test_a_withdrawn_patient_keeps_no_analysis_from_being_made(made: MadeStudy) -> None:
    """Nothing can be entered for them any more: one has no prediction, one no reference, and both are said."""
    unread = made.cases[0]
    Patient.objects.filter(pk=unread.patient_id).update(withdrawn_at=timezone.now())
    data = "\n".join(row for row in csv_of(made).decode().splitlines() if not row.startswith(unread.code)).encode()
    bare = Patient.objects.create(code="BARE", cohort=made.study.cohort, withdrawn_at=timezone.now())
    case = StudyCase.objects.create(study=made.study, patient=bare, code="BARE", manifest=[], manifest_sha256="0" * 64)
    given = {"position": 11, "diagnosis": "AML", "n_images": 1, "n_viewed": 1}
    Reading.objects.create(session=made.session(), study_case=case, **given)
    evaluator_import(actor=made.coordinator, study=made.study, source="s", data=data, **PIPELINE)  # type: ignore[arg-type]
    unblind(made)
    document = analyse(made).inputs
    assert document["withdrawn"] == ["BARE"]
    assert [c["code"] for c in document["cases"] if c["withdrawn"]] == [unread.code]
    assert "BARE" not in {a["case"] for e in document["evaluators"] for a in e["answers"]}
    steps = [(step["step"], step["n"]) for step in document["flow"]["steps"]]
    assert steps == [
        ("Patients in the cohort", 11), ("Cases of the study", 11), ("Withdrawn, no reference", 1),
        ("Cases in the analysis", 10), ("Read in every primary session", 10),
    ]  # fmt: skip
    said = " ".join(row["text"] for row in compute(document)["remarks"])
    assert "1 case left the analysis, for the patient was withdrawn before a reference diagnosis stood: BARE." in said
    assert f"AI has no answer on 1 case of withdrawn patients ({unread.code})" in said


def test_a_training_patient_who_was_withdrawn_is_counted_once(made: MadeStudy) -> None:
    training = Patient.objects.create(code="TRAIN", cohort=made.study.cohort, withdrawn_at=timezone.now())
    StudyCase.objects.create(
        study=made.study, patient=training, code="TRAIN", training=True, manifest=[], manifest_sha256="0" * 64
    )
    with_ai(made)
    steps = [(step["step"], step["n"]) for step in study_inputs(made.study)["flow"]["steps"]]
    assert steps == [
        ("Patients in the cohort", 11), ("Training", 1), ("Cases of the study", 10),
        ("Read in every primary session", 10),
    ]  # fmt: skip


def test_an_imported_ai_is_undecided_level_by_level(made: MadeStudy) -> None:
    """``five`` is empty and ``three`` filled on the first case: undecided, so wrong at five; right at three."""
    truth = [ReferenceDiagnosis.objects.get(patient=case.patient).diagnosis for case in made.cases]
    rows = [f"{c.code},{'' if c is made.cases[0] else five},{FIVE_TO_THREE[five]}"
            for c, five in zip(made.cases, truth, strict=True)]  # fmt: skip
    data = "\n".join(["case,five,three", *rows]).encode()
    evaluator_import(actor=made.coordinator, study=made.study, source="s", data=data, **PIPELINE)  # type: ignore[arg-type]
    document = study_inputs(made.study)
    assert document["evaluators"][0]["levels"] == ["five", "three"]
    document["plan"] |= {"missing": "wrong", "resamples": 0}
    document["plan"]["endpoints"][0]["comparison"] = "none"
    result = compute(document)
    found = next(row for row in result["endpoints"] if row["what"] == "AI")["estimate"]
    assert (found["numerator"], found["denominator"]) == (9, 10)
    assert [row["n_undecided"] for row in result["levels"]["five"]["undecided"]] == [1]
    assert result["levels"]["three"]["undecided"] == []
    assert result["levels"]["three"]["evaluators"]["AI"]["accuracy"]["numerator"] == 10


def test_a_pipeline_of_three_classes_is_not_asked_for_five(made: MadeStudy) -> None:
    """Rules without a subtype vote end in acute, chronic or none: at five there is no answer, and none is wrong.

    The pipeline was added by an amendment; another comparator was imported and is in no version of the protocol.
    """
    rough = {"name": "rough", "version": "1"}
    pipeline = PipelineVersion.objects.create(**rough, rule_set=RULE_SETS["paper-fig1"].as_dict())
    for case in made.cases:
        slide, truth = case.patient.slides.get(), ReferenceDiagnosis.objects.get(patient=case.patient).diagnosis
        run = PipelineRun.objects.create(pipeline=pipeline, slide=slide)
        said = {"diagnosis": FIVE_TO_THREE[truth], "diagnosis_3": FIVE_TO_THREE[truth]}
        PatientPrediction.objects.create(run=run, patient=case.patient, slide=slide, **said)
    with_ai(made)
    evaluator_import(actor=made.coordinator, study=made.study, source="s", data=csv_of(made), name="late", version="1")  # type: ignore[arg-type]
    amended = made.protocol.document | {"ai": {"primary": PIPELINE, "comparators": [rough]}}
    ProtocolVersion.objects.create(study=made.study, version=2, document=amended, sha256="1" * 64, signed_name="C",
                                   signed_by=made.coordinator, meaning="amend", amendment_reason="r")  # fmt: skip
    document = study_inputs(made.study)
    frozen = {e["name"]: (e["levels"], e["in_protocol"]) for e in document["evaluators"] if e["role"] != "reader"}
    assert frozen == {"AI": (["five"], True), "rough 1": (["three"], True), "late 1": (["five"], False)}
    for name, asked in (("custom", []), ("two", ["two"])):
        assert _pipeline("rough", "1", made.cases, amended, [{"name": name}])[1]["levels"] == asked
    document["plan"]["endpoints"] = [
        {"metric": "accuracy", "role": "primary", "comparison": "ai_vs_comparators", "since_version": 1}
    ]
    document["plan"] |= {"missing": "wrong", "resamples": 0}
    result = compute(document)
    assert [level["undecided"] for level in result["levels"].values()] == [[], []]
    assert result["levels"]["three"]["evaluators"]["rough 1"]["accuracy"]["numerator"] == 10
    rows = {row["what"]: (row["verdict"], row["origin"]) for row in result["endpoints"]}
    assert rows == {
        "AI minus rough 1": ("not estimable: no case that both answered",
                             "protocol version 1; comparators by amendment 2"),
        "AI minus late 1": ("McNemar exact", "not in the protocol"),
    }  # fmt: skip
    with drawing():
        assert len(figures_comparison.comparators(result, result["levels"]["five"]).axes) == 2
    made.study.state = Study.State.UNBLINDED
    voted = {vote.who for walk in walk_list(made.study) for vote in walk.votes if vote.kind == "ai"}
    assert not any("rough" in who for who in voted), "nobody asked it for five classes"


@pytest.mark.parametrize(("rules", "classes", "five"), [
    ("paper-fig1", None, False), ("paper-fig2", None, True), ("single-model-majority", DIAGNOSES_3, False),
    ("single-model-majority", DIAGNOSES_5, True),
])  # fmt: skip
def test_what_a_pipeline_can_answer_follows_from_its_rules(rules: str, classes: Any, five: bool) -> None:
    single = ModelVersion(classes=list(classes)) if classes else None
    assert _gives_five(PipelineVersion(rule_set=RULE_SETS[rules].as_dict(), single_model=single)) is five


def test_a_pipeline_that_ran_here_is_not_replaced_by_a_file(made: MadeStudy, monkeypatch: Any) -> None:
    monkeypatch.setattr("reader_study.services.analyses.predictions_of", lambda *_: {1: "a prediction"})
    with pytest.raises(Conflict, match="1 of 10 cases have its prediction") as caught:
        with_ai(made)
    assert caught.value.code == "E_RAN_HERE"
    assert not made.study.imported_evaluators.exists()


def test_what_came_after_the_unblinding_and_what_was_void_is_in_the_inputs(made: MadeStudy) -> None:
    unblind(made)
    with_ai(made)
    ReferenceDiagnosis.objects.create(patient=made.cases[3].patient, diagnosis="CLL", source="again")
    gone = StudyReader.objects.create(study=made.study, label="P9")
    session = ReadingSession.objects.create(reader=gone, number=1, seed=0)
    session_void(actor=made.coordinator, session=session, reason="left the house")
    document = analyse(made).inputs
    assert document["void"] == [
        {"reader": "P9", "session": 1, "arm": "blinded", "reason": "left the house", "all_void": True}
    ]
    said = " ".join(row["text"] for row in compute(document)["remarks"])
    assert "answers of AI (imported on" in said
    assert f"the reference of 1 case ({made.cases[3].code})" in said
    assert "No session of P9 is left" in said


@pytest.mark.both_databases
def test_an_interim_look_stays_in_the_trail_of_the_study(made: MadeStudy) -> None:
    with_ai(made)
    early = analyse(made, interim=True, reason="a safety question")
    unblind(made)
    document = analyse(made).inputs
    assert [event["action"] for event in document["audit"]] == ["study.import_ai", "analysis.interim"]
    assert any("Interim analyses before the unblinding: " in row["text"] and "a safety question" in row["text"]
               for row in compute(document)["remarks"])  # fmt: skip
    client = Client()
    client.force_login(made.coordinator, backend="django.contrib.auth.backends.ModelBackend")
    client.get(f"/analyses/{early.public_id}/")
    assert analyse(made).inputs_sha256 == sha256_of(document)
