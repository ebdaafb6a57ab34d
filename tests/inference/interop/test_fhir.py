"""The FHIR bundle against R4: by the models of fhir.resources (R4B) and by our own reading of R4's tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from inference.interop.facts import NOTICE, PHANTOM_NOTICE, SYNTHETIC_NOTICE, ResultFacts
from inference.interop.fhir import bundle, fhir_bytes
from tests.inference.interop.facts import awkward, facts, undecided

ALL = pytest.mark.parametrize("given", [facts(), undecided(), awkward()], ids=["decided", "undecided", "awkward"])

# R4 (4.0.1), element tables: required elements, and the codes of required bindings that we use.
REQUIRED = {
    "DiagnosticReport": {"status", "code"},
    "Observation": {"status", "code"},
    "Bundle": {"type"},
    "Patient": set[str](),
    "Specimen": set[str](),
    "Device": set[str](),
}
ELEMENTS = {
    "DiagnosticReport": "text identifier status category code subject effectiveDateTime issued specimen result "
    "conclusion conclusionCode",
    "Observation": "status category code subject effectiveDateTime valueCodeableConcept valueInteger dataAbsentReason "
    "note specimen device component",
    "Patient": "identifier",
    "Specimen": "identifier type subject",
    "Device": "identifier status deviceName type version note parent",
}
REPORT_STATUS = {"registered", "partial", "preliminary", "final", "amended", "corrected", "appended", "cancelled",
                 "entered-in-error", "unknown"}  # fmt: skip
OBSERVATION_STATUS = {"registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error",
                      "unknown"}  # fmt: skip


def walk(value: Any) -> Iterator[Any]:
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)


def resources(given: ResultFacts, kind: str) -> list[dict[str, Any]]:
    found = [entry["resource"] for entry in json.loads(fhir_bytes(given))["entry"]]
    return [resource for resource in found if resource["resourceType"] == kind]


@ALL
def test_the_models_of_fhir_resources_accept_it(given: ResultFacts) -> None:
    library = pytest.importorskip("fhir.resources.R4B.bundle", reason="fhir.resources is not installed")
    read = library.Bundle.model_validate_json(fhir_bytes(given))
    assert len(read.entry) == len(bundle(given)["entry"])
    assert json.loads(read.model_dump_json())["entry"][0]["resource"]["status"] == "partial"


@ALL
def test_it_follows_the_tables_of_r4(given: ResultFacts) -> None:
    data = json.loads(fhir_bytes(given))
    assert data["resourceType"] == "Bundle"
    assert data["type"] == "collection"
    urls = [entry["fullUrl"] for entry in data["entry"]]
    assert len(set(urls)) == len(urls)
    for entry in data["entry"]:
        resource = entry["resource"]
        kind = resource["resourceType"]
        assert entry["fullUrl"] == f"urn:uuid:{resource['id']}"
        assert REQUIRED[kind] <= set(resource)
        assert set(resource) <= {"resourceType", "id", "meta", *ELEMENTS[kind].split()}, kind
    for value in walk(data):
        assert value not in (None, "", [], {}), "JSON of FHIR has no empty values"
        if isinstance(value, dict) and "reference" in value:
            assert value["reference"] in urls
        if isinstance(value, dict) and "coding" in value:
            assert all(re.fullmatch(r"[^\s]+(\s[^\s]+)*", coding["code"]) for coding in value["coding"])
    (report,) = resources(given, "DiagnosticReport")
    assert report["status"] in REPORT_STATUS
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", report["issued"])
    results = {reference["reference"] for reference in report["result"]}
    assert results == {f"urn:uuid:{observation['id']}" for observation in resources(given, "Observation")}
    for observation in resources(given, "Observation"):
        assert observation["status"] in OBSERVATION_STATUS
        values = [key for key in observation if key.startswith("value")]
        assert len(values) <= 1
        assert not (values and "dataAbsentReason" in observation), "obs-6"


@ALL
def test_unverified_and_for_research_wherever_one_looks(given: ResultFacts) -> None:
    (report,) = resources(given, "DiagnosticReport")
    assert report["status"] == "partial"
    assert NOTICE in report["conclusion"]
    assert NOTICE.split(".")[0] in report["text"]["div"]
    for entry in bundle(given)["entry"]:
        codes = {security["code"] for security in entry["resource"]["meta"]["security"]}
        assert "HRESCH" in codes
        assert ("HTEST" in codes) == (given.synthetic or given.phantom)
        assert [tag["code"] for tag in entry["resource"]["meta"]["tag"]] == ["RESEARCH"]
    assert all(o["status"] == "preliminary" for o in resources(given, "Observation"))


def test_no_answer_is_in_a_clinical_terminology() -> None:
    systems = {v["system"] for v in walk(bundle(facts())) if isinstance(v, dict) and "code" in v and "system" in v}
    assert not {s for s in systems if "snomed" in s or "icd" in s}
    answers = [v["valueCodeableConcept"] for v in resources(facts(), "Observation") if "valueCodeableConcept" in v]
    assert answers
    assert all(c["system"].startswith("urn:oid:2.25.") for answer in answers for c in answer["coding"])


def test_the_patient_is_a_code_and_nothing_else() -> None:
    (patient,) = resources(facts(), "Patient")
    assert set(patient) == {"resourceType", "id", "meta", "identifier"}
    (identifier,) = patient["identifier"]
    assert identifier["value"] == "P-7"


def test_the_devices_are_the_versions_that_decided() -> None:
    pipeline, *models = resources(facts(), "Device")
    assert [v["value"] for v in pipeline["version"]] == ["2", "paper-fig1 1", "leukoweb 0.1.0"]
    assert pipeline["identifier"][0]["value"] == "c" * 64
    assert [m["identifier"][0]["value"] for m in models] == ["1" * 64, "2" * 64, "3" * 64]
    labels = [o for o in resources(facts(), "Observation") if o["code"]["coding"][0]["code"] == "LABELS"]
    assert {c["code"]["coding"][0]["code"]: c["valueInteger"] for c in labels[1]["component"]} == {
        "ACUTE": 3, "CHRONIC": 0, "NO_LEUKEMIA": 1, "REACTIVE": 1,
    }  # fmt: skip
    assert labels[2]["dataAbsentReason"]["coding"][0]["code"] == "not-performed"


def test_no_decision_says_why_and_claims_nothing() -> None:
    (report,) = resources(undecided(), "DiagnosticReport")
    assert "conclusionCode" not in report
    assert report["conclusion"].startswith("No decision. The slide has no images.")
    first = resources(undecided(), "Observation")[0]
    assert first["dataAbsentReason"]["text"] == "The slide has no images."


def test_notices_follow_what_made_the_result() -> None:
    assert SYNTHETIC_NOTICE not in facts().conclusion
    assert {SYNTHETIC_NOTICE, PHANTOM_NOTICE} <= set(awkward().notices)
    (report,) = resources(awkward(), "DiagnosticReport")
    assert "<b>" not in report["text"]["div"]


@ALL
def test_the_same_bytes_twice(given: ResultFacts) -> None:
    assert fhir_bytes(given) == fhir_bytes(given)
    assert fhir_bytes(given).endswith(b"}\n")
