"""FHIR and DICOM files of a stored result: from the page, the API and the command, with and without the extra."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from cases.models import Cohort, Exposure, Patient
from cases.services.images import image_add
from inference.interop import dicom
from inference.models import PipelineRun
from inference.selectors.cohort_results import IMAGE_COLUMNS, SLIDE_COLUMNS
from inference.selectors.interop import result_facts
from inference.selectors.results import Result
from inference.services.runs import run_request
from leukoweb.core.models import AuditEvent, Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def pydicom() -> Any:
    return pytest.importorskip("pydicom", reason="the extra [interop] is not installed")


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom, "available", lambda: False)


def test_the_facts_are_what_was_stored(run: PipelineRun) -> None:
    result, facts = Result(run), result_facts(Result(run))
    assert (facts.patient, facts.slide) == (run.slide.patient.code, run.slide.code)
    assert facts.diagnosis == run.prediction.diagnosis
    assert {m.slot: m.weights_sha256 for m in facts.models} == {
        slot: model.weights_sha256 for slot, model in run.pipeline.slots.items()
    }
    for model in facts.models:
        if model.labels is not None:
            assert sum(model.labels.values()) == 5
            tops = [values.top.name for f in result.fields for values in f.models if values.slot == model.slot]
            assert model.labels == {name: tops.count(name) for name in run.pipeline.slots[model.slot].classes}


def test_fhir_from_the_page_and_the_api_are_the_same_bytes(run: PipelineRun, as_role: Any, technician: Any) -> None:
    client = as_role("pathologist")
    page = client.get(reverse("result_detail", args=[run.public_id])).content.decode()
    assert reverse("result_fhir", args=[run.public_id]) in page
    assert reverse("result_sr", args=[run.public_id]) in page
    first = client.get(reverse("result_fhir", args=[run.public_id]))
    again = client.get(reverse("api_result_fhir", args=[run.public_id]), headers={"accept": "application/fhir+json"})
    assert (first.status_code, first["Content-Type"]) == (200, "application/fhir+json")
    assert first.content == again.content
    assert str(run.public_id) in first["Content-Disposition"]
    assert run.slide.patient.code not in first["Content-Disposition"]
    text = first.content.decode()
    assert client.user.username not in text
    assert technician.username not in text
    assert AuditEvent.objects.filter(action="result.export", data__format="fhir").count() == 2
    assert Exposure.objects.get().user == client.user


def test_sr_from_the_page_and_the_api_are_the_same_bytes(pydicom: Any, run: PipelineRun, as_role: Any) -> None:
    client = as_role("coordinator")
    first = client.get(reverse("result_sr", args=[run.public_id]))
    again = client.get(reverse("api_result_sr", args=[run.public_id]), headers={"accept": "application/dicom"})
    assert (first.status_code, first["Content-Type"]) == (200, "application/dicom")
    assert hashlib.sha256(first.content).digest() == hashlib.sha256(again.content).digest()
    assert pydicom.dcmread(io.BytesIO(first.content)).PatientID == run.slide.patient.code
    assert AuditEvent.objects.filter(action="result.export", data__format="sr").count() == 2


def test_queries_do_not_grow_with_the_fields(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, as_role: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client, counts = as_role("pathologist"), []
    for n_images in (3, 9):
        run = run_request(actor=technician, slide=make_slide(n_images))
        run_jobs()
        client.get(reverse("result_fhir", args=[run.public_id]))
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("result_fhir", args=[run.public_id]))
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_without_the_extra_sr_says_what_to_install_and_fhir_still_works(
    without_extra: None, run: PipelineRun, as_role: Any, tmp_path: Path
) -> None:
    client = as_role("pathologist")
    page = client.get(reverse("result_sr", args=[run.public_id]))
    assert page.status_code == 503
    assert "[interop]" in page.content.decode()
    api = client.get(reverse("api_result_sr", args=[run.public_id]))
    assert (api.status_code, api.json()["error"]["code"]) == (503, "E_NO_INTEROP")
    assert "pip install" in api.json()["error"]["hint"]
    with pytest.raises(CommandError, match=r"\[interop\]") as caught:
        call_command("export_results", "--run", str(run.public_id), "--format", "sr", "--out", str(tmp_path))
    assert caught.value.returncode == 2
    assert not Exposure.objects.exists()
    assert not AuditEvent.objects.filter(action="result.export").exists()
    assert client.get(reverse("result_fhir", args=[run.public_id])).status_code == 200


def test_the_command_writes_the_newest_result_of_each_slide(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, tmp_path: Path, capsys: Any
) -> None:
    slides = [make_slide(2, code="A"), make_slide(2, code="B"), make_slide(1, code="C")]
    for slide in [*slides[:2], slides[0]]:
        run_request(actor=technician, slide=slide)
        run_jobs()
    newest = {run.slide.code: run for run in PipelineRun.objects.order_by("id")}
    call_command("export_results", "--cohort", "Tests", "--format", "fhir", "--out", str(tmp_path / "out"))
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["A", "B"]
    files = sorted((tmp_path / "out").iterdir())
    assert {path.name for path in files} == {f"result-{run.public_id}.fhir.json" for run in newest.values()}
    before = {path: path.read_bytes() for path in files}
    call_command("export_results", "--slide", "B", "--format", "fhir", "--out", str(tmp_path / "out"))
    assert {path: path.read_bytes() for path in sorted((tmp_path / "out").iterdir())} == before
    assert json.loads(files[0].read_bytes())["resourceType"] == "Bundle"
    assert AuditEvent.objects.filter(action="result.export", actor=None).count() == 3


def test_the_command_writes_tables_and_json(
    pipeline: Any, make_slide: Any, run_jobs: Any, technician: Any, tmp_path: Path, as_role: Any
) -> None:
    for code in "AB":
        run_request(actor=technician, slide=make_slide(2, code=code))
    run_jobs()
    out = tmp_path / "out"
    call_command("export_results", "--cohort", "Tests", "--format", "csv", "--out", str(out))
    assert {path.name for path in out.iterdir()} == {"slides.csv", "images.csv"}
    rows = list(csv.DictReader((out / "slides.csv").read_text("utf-8-sig").splitlines()))
    assert [row["slide"] for row in rows] == ["A", "B"]
    assert len((out / "images.csv").read_text("utf-8-sig").splitlines()) == 1 + 4
    run = PipelineRun.objects.get(slide__code="B")
    call_command("export_results", "--slide", "B", "--format", "json", "--out", str(out))
    file = out / f"result-{run.public_id}.json"
    assert file.read_bytes() == as_role("pathologist").get(reverse("result_json", args=[run.public_id])).content
    assert AuditEvent.objects.filter(action="result.export", actor=None).count() == 3


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (["--run", "nonsense"], "not the address of a run"),
        (["--run", "12345678-1234-4234-8234-123456789abc"], "no such result"),
        (["--slide", "nowhere"], "no result of slide 'nowhere'"),
        (["--cohort", "nobody"], "no result of cohort 'nobody'"),
    ],
)
def test_the_command_refuses_in_words(what: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=said) as caught:
        call_command("export_results", *what, "--format", "fhir", "--out", str(tmp_path / "x"))
    assert caught.value.returncode == 2
    assert not (tmp_path / "x").exists()


def _zip(answer: Any) -> zipfile.ZipFile:
    assert answer.status_code == 200, answer.content
    archive = zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))
    assert archive.testzip() is None
    return archive


def _table(archive: zipfile.ZipFile, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(archive.read(name).decode("utf-8-sig"), newline="")))


def test_all_results_of_a_cohort_as_tables(
    run: PipelineRun, make_slide: Any, run_jobs: Any, technician: Any, field_png: Any, as_role: Any, monkeypatch: Any
) -> None:
    """One row a slide, one an image, whatever fits into one piece; the newest result of each; said what it records."""
    monkeypatch.setattr("inference.selectors.cohort_results.SLIDES_AT_ONCE", 1)
    cohort, client = run.slide.patient.cohort, as_role("coordinator")
    second = run_request(actor=technician, slide=make_slide(2), mode="cascade")
    gone = run_request(actor=technician, slide=make_slide(1))
    again = run_request(actor=technician, slide=run.slide)
    unfinished = run_request(actor=technician, slide=make_slide(1))
    Job.objects.filter(pk=unfinished.job_id).update(status="failed")
    run_jobs()
    image_add(actor=None, slide=second.slide, data=field_png(99), name="late.png")
    Patient.objects.filter(pk=gone.slide.patient_id).update(withdrawn_at=timezone.now())
    Cohort.objects.filter(pk=cohort.pk).update(name="=1+1")
    page = client.get(reverse("cohort_export", args=[cohort.pk])).content.decode()
    assert ": 2 slides" in page
    assert not Exposure.objects.exists()

    asked = {"pipeline": run.pipeline_id, "format": "csv"}
    archive = _zip(client.post(reverse("cohort_export_file", args=[cohort.pk]), asked))
    slides, images = _table(archive, "slides.csv"), _table(archive, "images.csv")
    assert list(slides[0]) == list(SLIDE_COLUMNS)
    assert list(images[0]) == list(IMAGE_COLUMNS)
    assert [row["run"] for row in slides] == [str(again.public_id), str(second.public_id)]
    assert [row["n_images"] for row in slides] == ["5", "2"]
    assert [row["images_changed"] for row in slides] == ["no", "yes"]
    assert slides[0]["cohort"] == "'=1+1"
    stored = PipelineRun.objects.get(pk=again.pk).prediction
    assert (slides[0]["diagnosis_3"], slides[0]["diagnosis_5"]) == (stored.diagnosis_3, stored.diagnosis_5)
    assert slides[0]["gate_outcome"] == next((s["outcome"] for s in stored.trace if s["step"] == "gate"), "")
    assert len(images) == 7
    fields = Result(PipelineRun.objects.get(pk=again.pk)).fields
    for row, field in zip(images[:5], fields, strict=True):
        assert (row["image"], row["decided"]) == (str(field.image_id), " ".join(field.decided))
        for values in field.models:
            assert row[f"{values.slot}_label"] == values.top.name
            assert [float(row[f"{values.slot}_{v.name}"]) for v in values.values] == [
                v.probability for v in values.values
            ]
    assert set(Exposure.objects.values_list("user", "patient")) == {
        (client.user.pk, run.slide.patient_id), (client.user.pk, second.slide.patient_id)
    }  # fmt: skip
    event = AuditEvent.objects.get(action="result.export_cohort")
    assert (event.target, event.data["n_results"]) == (f"cohort:{cohort.pk}", 2)
    more = client.post(reverse("api_cohort_results", args=[cohort.pk]), {}, content_type="application/json")
    assert _zip(more).read("slides.csv") == archive.read("slides.csv")


def test_all_results_of_a_cohort_as_fhir(run: PipelineRun, as_role: Any, without_extra: None) -> None:
    cohort, client = run.slide.patient.cohort, as_role("admin")
    address, asked = reverse("cohort_export_file", args=[cohort.pk]), {"pipeline": run.pipeline_id, "format": "fhir"}
    archive = _zip(client.post(address, asked))
    one = client.get(reverse("result_fhir", args=[run.public_id])).content
    assert archive.read(f"fhir/result-{run.public_id}.fhir.json") == one
    assert len(archive.namelist()) == 2
    assert client.post(address, asked | {"format": "sr"}).status_code == 503
    assert client.post(address, asked | {"format": "odd"}).status_code == 400
    empty = Cohort.objects.create(name="Empty", purpose="external")
    assert client.post(reverse("cohort_export_file", args=[empty.pk]), asked).status_code == 400
    assert "No slide of this cohort" in client.get(reverse("cohort_export", args=[empty.pk])).content.decode()


def test_who_is_blinded_gets_no_results_of_a_cohort(run: PipelineRun, as_role: Any, monkeypatch: Any) -> None:
    """Also where none of the hidden patients is in this cohort: nobody could tell which rows are missing."""
    monkeypatch.setattr("reader_study.middleware.hidden_patients", lambda user: {10**6})
    client, cohort = as_role("pathologist"), run.slide.patient.cohort_id
    asked = {"pipeline": run.pipeline_id, "format": "csv"}
    assert client.get(reverse("cohort_export", args=[cohort])).status_code == 403
    assert client.post(reverse("cohort_export_file", args=[cohort]), asked).status_code == 403
    api = reverse("api_cohort_results", args=[cohort])
    assert client.post(api, {}, content_type="application/json").status_code == 403
    assert (
        reverse("cohort_export", args=[cohort])
        not in client.get(reverse("cohort_runs", args=[cohort])).content.decode()
    )
    assert not Exposure.objects.exists()
