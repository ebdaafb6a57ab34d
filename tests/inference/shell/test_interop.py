"""FHIR and DICOM files of a stored result: from the page, the API and the command, with and without the extra."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from cases.models import Exposure
from inference.interop import dicom
from inference.models import PipelineRun
from inference.selectors.interop import result_facts
from inference.selectors.results import Result
from inference.services.runs import run_request
from leukoweb.core.models import AuditEvent

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
