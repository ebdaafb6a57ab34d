"""Who may see what of runs, results and the registry, and what seeing it records."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from cases.models import Exposure, Patient
from inference.models import PipelineRun
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.permissions import ACTIONS

pytestmark = pytest.mark.django_db

ROLES = ("technician", "pathologist", "coordinator", "admin")
DIAGNOSES = ("leukemia", "ACUTE", "CHRONIC", "Acute", "Chronic")


def addresses(run: PipelineRun) -> list[tuple[str, str, str]]:
    """(method, address, action) of every page and endpoint of this app."""
    public, slide, model = run.public_id, run.slide_id, run.pipeline.model_1_id
    image = run.prediction.images[0]["image"]
    return [
        ("get", reverse("model_list"), "models.view"),
        ("get", reverse("model_detail", args=[model]), "models.view"),
        ("get", reverse("pipeline_detail", args=[run.pipeline_id]), "models.view"),
        ("get", reverse("model_export", args=[model]), "models.manage"),
        ("get", reverse("pipeline_export", args=[run.pipeline_id]), "models.manage"),
        ("get", reverse("pipeline_create"), "models.manage"),
        ("post", reverse("registry_import"), "models.manage"),
        ("post", reverse("pipeline_activate", args=[run.pipeline_id]), "models.manage"),
        ("get", reverse("slide_runs", args=[slide]), "slides.view"),
        ("post", reverse("run_create", args=[slide]), "inference.run"),
        ("get", reverse("cohort_runs", args=[run.slide.patient.cohort_id]), "slides.view"),
        ("post", reverse("cohort_run_create", args=[run.slide.patient.cohort_id]), "inference.run"),
        ("post", reverse("cohort_run_cancel", args=[run.slide.patient.cohort_id]), "inference.run"),
        ("get", reverse("cohort_export", args=[run.slide.patient.cohort_id]), "results.view"),
        ("post", reverse("cohort_export_file", args=[run.slide.patient.cohort_id]), "results.view"),
        ("post", reverse("api_cohort_results", args=[run.slide.patient.cohort_id]), "results.view"),
        ("get", reverse("result_list"), "results.view"),
        ("post", reverse("result_list_seen"), "results.view"),
        ("get", reverse("result_detail", args=[public]), "results.view"),
        ("get", reverse("result_fields", args=[public]), "results.view"),
        ("get", reverse("result_json", args=[public]), "results.view"),
        ("get", reverse("result_csv", args=[public]), "results.view"),
        ("get", reverse("result_fhir", args=[public]), "results.view"),
        ("get", reverse("result_sr", args=[public]), "results.view"),
        ("get", reverse("api_result_fhir", args=[public]), "results.view"),
        ("get", reverse("api_result_sr", args=[public]), "results.view"),
        ("get", reverse("result_compare", args=[public, public]), "results.view"),
        ("get", reverse("result_saliency", args=[public, image, "model_1", "LEUKEMIA"]), "results.view"),
        ("get", reverse("result_saliency_sheet", args=[public]), "results.view"),
        ("post", reverse("result_saliency_render", args=[public]), "results.view"),
        ("get", reverse("api_run_detail", args=[public]), "slides.view"),
        ("get", reverse("api_result_detail", args=[public]), "results.view"),
        ("get", reverse("api_model_list"), "models.view"),
        ("get", reverse("api_pipeline_list"), "models.view"),
        ("post", reverse("api_run_create", args=[slide]), "inference.run"),
    ]


def test_every_address_of_the_app_is_in_the_table(run: PipelineRun) -> None:
    from inference import api_urls, urls

    elsewhere = ("training_", "promotion_", "pipeline_promote")  # tests/inference/training
    every = [*urls.urlpatterns, *api_urls.urlpatterns]
    named = {pattern.name for pattern in every if not str(pattern.name).startswith(elsewhere)}
    assert len(addresses(run)) == len(named)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_gets_what_the_action_table_says(run: PipelineRun, as_role: Any, role: str) -> None:
    client: Client = as_role(role)
    for method, address, action in addresses(run):
        response = getattr(client, method)(address)
        allowed = role in ACTIONS[action][1]
        assert (response.status_code != 403) == allowed, f"{role} {method} {address}: {response.status_code}"
        assert response.status_code < 500, address


def test_strangers_get_the_sign_in_page(run: PipelineRun, client: Client) -> None:
    for method, address, _ in addresses(run):
        response = getattr(client, method)(address)
        assert response.status_code == (401 if address.startswith("/api/") else 302), address


@pytest.mark.parametrize("role", ROLES)
def test_panels_and_run_states_never_tell_a_diagnosis(run: PipelineRun, as_role: Any, role: str) -> None:
    client = as_role(role)
    for address in (
        reverse("slide_runs", args=[run.slide_id]),
        reverse("cohort_runs", args=[run.slide.patient.cohort_id]),
        reverse("api_run_detail", args=[run.public_id]),
        reverse("job_list"),
        reverse("job_progress", args=[run.job_id]),
    ):
        text = client.get(address).content.decode()
        assert not any(word in text for word in DIAGNOSES), address
    assert not Exposure.objects.exists()


@pytest.mark.parametrize(
    "name",
    ["result_detail", "result_fields", "result_json", "result_csv", "api_result_detail", "result_saliency",
     "result_saliency_sheet", "result_fhir", "result_sr", "api_result_fhir", "api_result_sr"],
)  # fmt: skip
def test_seeing_a_result_by_any_way_is_recorded_once(run: PipelineRun, as_role: Any, name: str) -> None:
    client = as_role("pathologist")
    more = [run.prediction.images[0]["image"], "model_1", "LEUKEMIA"] if name == "result_saliency" else []
    for _ in range(2):
        assert client.get(reverse(name, args=[run.public_id, *more])).status_code == 200
    exposure = Exposure.objects.get()
    assert (exposure.user, exposure.patient, exposure.kind) == (client.user, run.slide.patient, "result")


@pytest.mark.parametrize("role", ROLES)
def test_a_job_leads_to_what_it_was_about_where_the_person_may_see_it(
    run: PipelineRun, as_role: Any, role: str, technician: Any, django_assert_max_num_queries: Any
) -> None:
    """One job of every kind that leads anywhere; each link opens."""
    image, dataset = run.slide.images.first(), run.slide.patient.cohort.name
    payloads = {
        "cases.find_text": {"slide": run.slide_id}, "cases.measure": {"cohort": None},
        "cases.import_dataset": {"cohort": dataset}, "inference.saliency": {"image": image.content_sha256},
        "inference.saliency_slide": {"run": run.pk}, "training.evaluate": {"pipeline": run.pipeline_id},
        "inference.calibrate": {"model": run.pipeline.model_1_id},
    }  # fmt: skip
    for kind, payload in payloads.items():
        job_create(kind=kind, title=kind, payload=payload, actor=technician)
        job_create(kind=kind, title=f"Gone: {kind}", payload=dict.fromkeys(payload, 0), actor=technician)
    client: Client = as_role(role)
    client.get(reverse("job_list"))
    with django_assert_max_num_queries(25):
        text = client.get(reverse("job_list")).content.decode()
    links = dict(re.findall(r'id="link-[^"]+" href="([^"]+)" aria-label="([^"]+)"', text))
    result = reverse("result_detail", args=[run.public_id])
    assert (result in links) == (role != "technician")
    assert not any("Gone" in words for words in links.values() if "curation" not in words)
    for address in links:
        assert client.get(address).status_code == 200, address
    Patient.objects.filter(pk=run.slide.patient_id).update(withdrawn_at=timezone.now())
    text = client.get(reverse("job_list")).content.decode()
    left = set(re.findall(r'id="link-[^"]+" href="([^"]+)"', text))
    assert not any(f"/slides/{run.slide_id}/" in address or "/results/" in address for address in left)
