"""The result of a run as page, data and saliency map."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from django.urls import reverse

from cases.models import Cohort, Exposure
from cases.services.images import images_move
from cases.services.withdrawals import patient_withdraw
from inference.models import PipelineRun
from inference.pipeline.rules import RULE_SETS
from inference.selectors.comparison import differences
from inference.selectors.results import ClassValue, Field, ModelValues, Result
from inference.services.registry import pipeline_create
from inference.services.runs import run_request
from inference.services.saliency import _path
from leukoweb.core.models import AuditEvent, Job
from leukoweb.statistics.cells import safe_cell
from tests.support.jobs import JOB_OFFERS

pytestmark = pytest.mark.django_db


def test_the_result_page_says_what_was_stored(run: PipelineRun, as_role: Any) -> None:
    result = Result(run)
    text = as_role("pathologist").get(reverse("result_detail", args=[run.public_id])).content.decode()
    assert "Research use only" in text
    assert ("Synthetic demonstration model" in text) == run.pipeline.synthetic
    assert result.title in text
    for sentence in result.sentences:
        assert sentence in text
    for model in run.pipeline.slots.values():
        assert model.weights_sha256[:12] in text
    assert run.engine_profile in text
    assert run.prediction.app_version in text
    assert text.count("data-field ") == 5
    first = result.ranked[0]
    assert text.index(str(first.image_id)) < min(text.index(str(field.image_id)) for field in result.ranked[1:])
    assert "style=" not in text
    assert "onclick" not in text


def test_a_pending_result_offers_what_can_be_done(pipeline: Any, make_slide: Any, as_role: Any) -> None:
    run, client = run_request(actor=None, slide=make_slide(2)), as_role("admin")
    for status, asked, offered in JOB_OFFERS:
        Job.objects.filter(pk=run.job_id).update(status=status, cancel_requested=asked)
        page = client.get(reverse("result_detail", args=[run.public_id])).content.decode()
        shown = [name for name in ("cancel", "retry") if reverse(f"job_{name}", args=[run.job_id]) in page]
        assert shown == offered, (status, asked)


def test_the_number_of_queries_does_not_grow_with_the_fields(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, as_role: Any, django_assert_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client, counts = as_role("pathologist"), []
    for n_images in (3, 9):
        run = run_request(actor=technician, slide=make_slide(n_images))
        run_jobs()
        client.get(reverse("result_detail", args=[run.public_id]))  # records the exposure
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(reverse("result_detail", args=[run.public_id]))
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_an_image_that_was_moved_away_keeps_its_numbers(
    run: PipelineRun, make_slide: Any, as_role: Any, admin_user: Any
) -> None:
    image = run.slide.images.get(position=2)
    images_move(actor=admin_user, images=[image], slide=make_slide(1), reason="wrong slide")
    client = as_role("pathologist")
    text = client.get(reverse("result_detail", args=[run.public_id])).content.decode()
    assert "The image left this slide after the run" in text
    assert "images changed since" in text
    data = client.get(reverse("api_result_detail", args=[run.public_id])).json()
    assert data["images"][1]["sha256"] == image.content_sha256
    assert data["images"][1]["model_1"] is not None
    saliency_map = reverse("result_saliency", args=[run.public_id, image.public_id, "model_1", "LEUKEMIA"])
    assert client.get(saliency_map).status_code == 404


def test_leukemia_fields_can_be_shown_alone(run: PipelineRun, as_role: Any) -> None:
    client, result = as_role("pathologist"), Result(run)
    text = client.get(reverse("result_fields", args=[run.public_id]), {"show": "leukemia"}).content.decode()
    assert text.count("data-field ") == result.n_leukemia
    for field in result.fields:
        assert (str(field.image_id) in text) == field.is_leukemia


def test_json_and_csv_hold_every_probability(run: PipelineRun, as_role: Any) -> None:
    client, result = as_role("coordinator"), Result(run)
    data = json.loads(client.get(reverse("result_json", args=[run.public_id])).content)
    assert data == json.loads(client.get(reverse("api_result_detail", args=[run.public_id])).content)
    assert data["diagnosis_5"] == (run.prediction.diagnosis_5 or None)
    text = client.get(reverse("result_csv", args=[run.public_id])).content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(data["images"]) == 5
    for row, image, field in zip(rows, data["images"], result.fields, strict=True):
        assert row["sha256"] == image["sha256"] == field.content_sha256
        for values in field.models:
            assert row[f"{values.slot}_label"] == values.top.name
            for value in values.values:
                assert float(row[f"{values.slot}_{value.name}"]) == image[values.slot][value.name] == value.probability
    assert AuditEvent.objects.filter(action="result.export").count() == 2


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_text_never_becomes_a_formula(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell(-0.5) == -0.5
    assert safe_cell("S-01") == "S-01"


def test_a_result_without_a_decision_says_why(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, as_role: Any
) -> None:
    run = run_request(actor=technician, slide=make_slide(0))
    run_jobs()
    client = as_role("pathologist")
    text = client.get(reverse("result_detail", args=[run.public_id])).content.decode()
    assert "No decision" in text
    assert "no usable images" in text
    for name in ("result_fields", "result_json", "result_csv"):
        assert client.get(reverse(name, args=[run.public_id])).status_code == 200


def test_an_unfinished_run_shows_its_state_and_exposes_nobody(
    pipeline: Any, make_slide: Any, technician: Any, as_role: Any
) -> None:
    run = run_request(actor=technician, slide=make_slide(3))
    client = as_role("pathologist")
    address = reverse("result_detail", args=[run.public_id])
    assert "Waiting" in client.get(address).content.decode()
    assert client.get(reverse("result_json", args=[run.public_id])).status_code == 404
    Job.objects.filter(pk=run.job_id).update(status="failed", error="The disk is full.", hint="Free some space.")
    text = client.get(address).content.decode()
    assert "The disk is full." in text
    assert "Free some space." in text
    Job.objects.filter(pk=run.job_id).update(status="cancelled")
    assert "Cancelled" in client.get(address).content.decode()
    assert not Exposure.objects.exists()


def test_unknown_and_withdrawn_results_are_not_found(run: PipelineRun, as_role: Any, admin_user: Any) -> None:
    client = as_role("pathologist")
    assert client.get(reverse("result_detail", args=[uuid.uuid4()])).status_code == 404
    patient_withdraw(actor=admin_user, patient=run.slide.patient, reason="asked to")
    for name in ("result_detail", "result_fields", "result_json", "result_csv", "api_result_detail", "api_run_detail"):
        assert client.get(reverse(name, args=[run.public_id])).status_code == 404, name
    response = client.post(reverse("run_create", args=[run.slide_id]), headers={"HX-Request": "true"})
    assert "withdrawn" in response.content.decode()


def test_two_runs_are_compared_field_by_field(
    run: PipelineRun, other_pipeline: Any, run_jobs: Any, technician: Any, as_role: Any, make_slide: Any
) -> None:
    again = run_request(actor=technician, slide=run.slide, pipeline=other_pipeline)
    run_jobs()
    client = as_role("pathologist")
    address = reverse("result_compare", args=[run.public_id, again.public_id])
    text = client.get(address).content.decode()
    assert "0 of 5 fields have a changed label" in text
    assert run.prediction.diagnosis_5, "finer than the other's"
    assert "Both say the same" in text
    assert address in client.get(reverse("result_detail", args=[run.public_id])).content.decode()
    elsewhere = run_request(actor=technician, slide=make_slide(3))
    run_jobs()
    assert client.get(reverse("result_compare", args=[run.public_id, elsewhere.public_id])).status_code == 400


def test_only_what_both_runs_asked_can_have_changed() -> None:
    """A cascade that stopped at the gate beside a full run; another label of model 1; a field that was added since."""

    def result(**labels: dict[str, str]) -> Any:
        fields = []
        for content, said in labels.items():
            models = tuple(ModelValues(slot, (ClassValue(name, 0.9, True),)) for slot, name in said.items())
            fields.append(Field(len(fields), len(fields) + 1, content, uuid.uuid4(), None, (), models))
        return SimpleNamespace(fields=fields, slots_run={slot: None for said in labels.values() for slot in said})

    stopped = result(a={"model_1": "NO_LEUKEMIA"}, b={"model_1": "NO_LEUKEMIA"})
    full = result(
        a={"model_1": "NO_LEUKEMIA", "model_2": "NO_LEUKEMIA"}, b={"model_1": "LEUKEMIA", "model_2": "ACUTE"},
        c={"model_1": "LEUKEMIA", "model_2": "ACUTE"},
    )  # fmt: skip
    for pair in ((stopped, full), (full, stopped)):
        found = differences(*pair)
        assert [d.label_changed for d in found] == [True, False, False]
        assert [d.in_both for d in found] == [True, True, False]


@pytest.mark.parametrize("slot", ["model_1", "single_model"])
def test_fields_are_called_by_the_model_that_the_rules_read(slot: str) -> None:
    def says(slot: str, name: str) -> ModelValues:
        return ModelValues(slot, (ClassValue(name, 0.9, True),))

    models = (says("model_1", "LEUKEMIA"), says("single_model", "NO_LEUKEMIA"))
    field = Field(0, 1, "0" * 64, uuid.uuid4(), None, (), models, asked_first=slot)
    assert field.is_leukemia == (slot == "model_1")


def test_the_saliency_map_is_there_at_once_and_computed_again_when_lost(
    run: PipelineRun, as_role: Any, run_jobs: Any
) -> None:
    from PIL import Image

    client = as_role("pathologist")
    image = run.slide.images.get(position=2)
    model = run.pipeline.model_2
    address = reverse("result_saliency", args=[run.public_id, image.public_id, "model_2", "ACUTE"])
    first = client.get(address)
    assert (first.status_code, first["Content-Type"]) == (200, "image/png")
    overlay = Image.open(io.BytesIO(first.content))
    assert (overlay.mode, overlay.size) == ("RGBA", (image.width_px, image.height_px))

    for path in _path(image.content_sha256, model, "npy").parent.glob("*"):
        path.unlink()
    lost = client.get(address)
    assert lost.status_code == 202
    assert client.get(address).json()["job"] == lost.json()["job"], "asking again makes no second job"
    assert run_jobs() == 1
    again = client.get(address)
    assert again.status_code == 200
    assert Image.open(io.BytesIO(again.content)).size == overlay.size

    for slot, name in (("model_9", "ACUTE"), ("model_2", "AML")):
        wrong = reverse("result_saliency", args=[run.public_id, image.public_id, slot, name])
        assert client.get(wrong).status_code == 404


def test_a_saliency_map_that_fails_says_why_and_does_not_fill_the_queue(
    run: PipelineRun, as_role: Any, run_jobs: Any
) -> None:
    from leukoweb.core.storage import blobs

    client = as_role("pathologist")
    image = run.slide.images.get(position=2)
    address = reverse("result_saliency", args=[run.public_id, image.public_id, "model_2", "ACUTE"])
    for path in _path(image.content_sha256, run.pipeline.model_2, "npy").parent.glob("*"):
        path.unlink()
    blobs().purge(image.content_sha256)
    assert client.get(address).status_code == 202
    run_jobs()
    for _ in range(2):
        response = client.get(address, headers={"Accept": "application/json"})
        assert "field 2 is missing" in response.json()["error"]["message"]
    assert Job.objects.filter(kind="inference.saliency").count() == 1


def test_withdrawing_removes_the_saliency_maps(run: PipelineRun, as_role: Any, admin_user: Any) -> None:
    image = run.slide.images.get(position=1)
    path = _path(image.content_sha256, run.pipeline.model_1, "npy")
    assert path.is_file()
    patient_withdraw(actor=admin_user, patient=run.slide.patient, reason="asked to")
    assert not path.is_file()


def test_a_single_model_by_majority(
    pipeline_folder: Any, tmp_path: Any, make_slide: Any, run_jobs: Any, as_role: Any, db: None
) -> None:
    """The comparator of the paper's Fig. 7 goes the same way from import to page."""
    from inference.services.registry import model_import

    slots = json.loads((pipeline_folder / "pipeline.json").read_text())["slots"]
    folder = shutil.copytree(pipeline_folder / slots["model_3"], tmp_path / "single")
    card = json.loads((folder / "card.json").read_text()) | {"name": "single", "slot": "single_model"}
    (folder / "card.json").write_text(json.dumps(card))
    model = model_import(actor=None, folder=folder)
    rules = RULE_SETS["single-model-majority"]
    made = pipeline_create(actor=None, name="majority", version="1", rule_set=rules, models={"single_model": model})
    for mode in ("full", "cascade"):
        run = run_request(actor=None, slide=make_slide(4, seed=5), pipeline=made, mode=mode)
        run_jobs()
        run.refresh_from_db()
        assert run.job.status == "done", run.job.error
        assert run.prediction.diagnosis_5 in model.classes
        client = as_role("pathologist")
        text = client.get(reverse("result_detail", args=[run.public_id])).content.decode()
        assert "Majority of the fields" in text
        data = client.get(reverse("result_json", args=[run.public_id])).json()
        assert data["images"][0]["model_1"] is None
        assert set(data["images"][0]["single_model"]) == set(model.classes)


def _listed(client: Any, **query: Any) -> set[str]:
    """Codes of the slides on the list of results."""
    return set(re.findall(r">Slide (\S+)</a>", client.get(reverse("result_list"), query).content.decode()))


def test_results_are_found_by_code_cohort_pipeline_and_state(
    run: PipelineRun, other_pipeline: Any, make_slide: Any, as_role: Any, technician: Any, monkeypatch: Any
) -> None:
    elsewhere = Cohort.objects.create(name="Elsewhere", purpose="external")
    waiting = run_request(actor=technician, slide=make_slide(1, cohort=elsewhere))
    failed = run_request(actor=technician, slide=make_slide(1), pipeline=other_pipeline)
    Job.objects.filter(pk=failed.job_id).update(status="failed")
    client, done = as_role("pathologist"), run.slide.code
    assert _listed(client) == {done, waiting.slide.code, failed.slide.code}
    assert _listed(client, q=run.slide.patient.code.lower()) == {done}
    assert _listed(client, cohort=elsewhere.pk) == {waiting.slide.code}
    assert _listed(client, pipeline=other_pipeline.pk) == {failed.slide.code}
    assert _listed(client, state="done") == {done}
    assert _listed(client, state="queued") == {waiting.slide.code}
    assert _listed(client, state="failed", cohort=elsewhere.pk) == set()
    monkeypatch.setattr("inference.views.results.PER_PAGE", 1)
    text = client.get(reverse("result_list"), {"q": "S00"}).content.decode()
    assert "?q=S00&amp;page=2" in text
    assert {">Code contains<", ">Cohort<", ">Pipeline<", ">State<", ">Diagnosis<"} <= set(re.findall(r">[^<>]+<", text))


def test_narrowing_by_a_diagnosis_is_seeing_the_results_of_all_who_are_asked_about(
    run: PipelineRun, make_slide: Any, as_role: Any, technician: Any, run_jobs: Any
) -> None:
    elsewhere = Cohort.objects.create(name="Elsewhere", purpose="external")
    other = run_request(actor=technician, slide=make_slide(2, cohort=elsewhere))
    run_jobs()
    found, client = run.prediction.diagnosis or "none", as_role("pathologist")
    question = client.get(reverse("result_list"), {"diagnosis": found}).content.decode()
    assert "the results of 2 patients" in question
    assert run.slide.code not in question
    assert other.slide.code not in question
    assert not Exposure.objects.exists(), "asking records nothing and tells nothing"

    here = f"?diagnosis={found}&cohort={run.slide.patient.cohort_id}"
    answer = client.post(reverse("result_list_seen") + here, follow=True)
    assert run.slide.code in answer.content.decode()
    assert list(Exposure.objects.values_list("user", "patient", "kind")) == [
        (client.user.pk, run.slide.patient_id, "result")
    ]
    assert "the results of 1 patient<" in client.get(reverse("result_list"), {"diagnosis": found}).content.decode()
    client.post(reverse("result_list_seen") + f"?diagnosis={found}")
    wanted = {r.slide.code for r in PipelineRun.objects.all() if (r.prediction.diagnosis or "none") == found}
    assert _listed(client, diagnosis=found) == wanted
    client.post(reverse("result_list_seen"))
    assert Exposure.objects.count() == 2
    assert as_role("technician").post(reverse("result_list_seen") + here).status_code == 403
