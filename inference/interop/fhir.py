"""A result as a FHIR R4 (4.0.1) Bundle: DiagnosticReport, its Observations, and the Devices that made them.

Source: hl7.org/fhir/R4 (bundle, diagnosticreport, observation, device, specimen, patient). The report's status is
``partial`` and each observation's ``preliminary``, the codes that R4 defines for unverified data. Answers are coded in
a system of our own, never in a clinical terminology (ADR 0612).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC
from html import escape
from typing import Any, Final

from inference.interop import facts as names
from inference.interop.facts import CONCEPTS, ModelFact, ResultFacts

Resource = dict[str, Any]

_ACT_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_NAMES_IN_FHIR: Final = {name: f"urn:oid:{getattr(names, name)}" for name in
                         ("CODES_OID", "PATIENTS_OID", "SLIDES_OID", "RUNS_OID", "SHA256_OID")}  # fmt: skip
_CODES: Final = _NAMES_IN_FHIR["CODES_OID"]


def fhir_bytes(facts: ResultFacts) -> bytes:
    """The Bundle as UTF-8 JSON, two spaces of indent, one newline at the end."""
    return (json.dumps(bundle(facts), indent=2, ensure_ascii=False) + "\n").encode()


def bundle(facts: ResultFacts) -> Resource:
    """A collection of one run's resources; references are ``urn:uuid`` within it."""
    observations = [*_answers(facts), _fields(facts), *_steps(facts), *_labels(facts)]
    resources = [
        _report(facts, observations), *observations, _patient(facts), _specimen(facts), _pipeline(facts),
        *(_model(facts, model) for model in facts.models),
    ]  # fmt: skip
    return {
        "resourceType": "Bundle",
        "id": str(facts.id("fhir/bundle")),
        "meta": _meta(facts),
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{facts.id('fhir/bundle')}"},
        "type": "collection",
        "timestamp": _instant(facts),
        "entry": [{"fullUrl": f"urn:uuid:{resource['id']}", "resource": resource} for resource in resources],
    }


def _report(facts: ResultFacts, observations: list[Resource]) -> Resource:
    report = _resource(facts, "DiagnosticReport", "report") | {
        "text": {"status": "generated", "div": _narrative(facts)},
        "identifier": [{"system": _NAMES_IN_FHIR["RUNS_OID"], "value": str(facts.run)}],
        "status": "partial",
        "category": [_standard("http://terminology.hl7.org/CodeSystem/v2-0074", "HM", "Hematology")],
        "code": {
            "coding": [
                _coding("REPORT"),
                {
                    "system": "http://loinc.org",
                    "code": "5909-7",
                    "display": "Blood smear finding [Identifier] in Blood by Light microscopy",
                },
            ],
            "text": CONCEPTS["REPORT"],
        },
        "subject": _reference(facts, "patient"),
        "effectiveDateTime": _instant(facts),
        "issued": _instant(facts),
        "specimen": [_reference(facts, "specimen")],
        "result": [{"reference": f"urn:uuid:{observation['id']}"} for observation in observations],
        "conclusion": facts.conclusion,
    }
    if facts.diagnosis:
        report["conclusionCode"] = [_class(facts, facts.diagnosis)]
    return report


def _answers(facts: ResultFacts) -> list[Resource]:
    """One observation for each level of classes, or one without a value that says why."""
    made = [
        _observation(facts, f"answer/{concept}", concept) | {"valueCodeableConcept": _class(facts, name)}
        for concept, name in facts.answers
    ]
    if not made:
        absent = _standard("http://terminology.hl7.org/CodeSystem/data-absent-reason", "unknown", "Unknown")
        absent["text"] = facts.reason or CONCEPTS["NO_DECISION"]
        made = [_observation(facts, "answer/none", "DIAGNOSIS") | {"dataAbsentReason": absent}]
    notes = [*facts.flags, *facts.notices]
    return [observation | {"note": [{"text": text} for text in notes]} for observation in made]


def _fields(facts: ResultFacts) -> Resource:
    return _observation(facts, "fields", "N_FIELDS") | {"valueInteger": facts.n_images}


def _steps(facts: ResultFacts) -> list[Resource]:
    made = []
    for number, step in enumerate(facts.steps, start=1):
        components = [{"code": _concept("N_VOTERS"), "valueInteger": step.n_voters}, *_counts(facts, step.counts)]
        outcome = _class(facts, step.outcome) | {"text": step.sentence}
        observation = _observation(facts, f"step/{number}", "STEP", detail=f"{number}: {step.name}")
        made.append(observation | {"valueCodeableConcept": outcome, "component": components})
    return made


def _labels(facts: ResultFacts) -> list[Resource]:
    """What each model called the fields; a model that was not run says so instead."""
    made = []
    for model in facts.models:
        observation = _observation(facts, f"labels/{model.slot}", "LABELS", detail=model.title)
        observation["device"] = _reference(facts, f"model/{model.slot}")
        if model.labels is None:
            reason = _standard(
                "http://terminology.hl7.org/CodeSystem/data-absent-reason", "not-performed", "Not Performed"
            )
            made.append(observation | {"dataAbsentReason": reason | {"text": CONCEPTS["NOT_RUN"]}})
        else:
            made.append(observation | {"component": _counts(facts, model.labels)})
    return made


def _patient(facts: ResultFacts) -> Resource:
    """The pseudonymous code and nothing else."""
    patient = _resource(facts, "Patient", "patient")
    return patient | {
        "identifier": [{"use": "secondary", "system": _NAMES_IN_FHIR["PATIENTS_OID"], "value": facts.patient}]
    }


def _specimen(facts: ResultFacts) -> Resource:
    return _resource(facts, "Specimen", "specimen") | {
        "identifier": [{"system": _NAMES_IN_FHIR["SLIDES_OID"], "value": facts.slide}],
        "type": {"text": "Peripheral blood smear"},
        "subject": _reference(facts, "patient"),
    }


def _pipeline(facts: ResultFacts) -> Resource:
    """The software that decided: pipeline, rules and program, each with its version."""
    rules = {"identifier": [_sha256(facts.rules_sha256, "RULES_SHA256")]} if facts.rules_sha256 else {}
    return (
        _resource(facts, "Device", "pipeline")
        | rules
        | {
            "status": "active",
            "deviceName": [{"name": facts.pipeline, "type": "user-friendly-name"}],
            "type": {"coding": [_coding("PIPELINE")], "text": "Software: hierarchy of models under a rule set"},
            "version": [
                {"type": _concept("PIPELINE"), "value": facts.pipeline_version},
                {"type": _concept("RULES"), "value": f"{facts.rules} {facts.rules_version}"},
                {"type": _concept("SOFTWARE"), "value": f"leukoweb {facts.app_version}"},
            ],
            "note": [{"text": text} for text in facts.notices],
        }
    )


def _model(facts: ResultFacts, model: ModelFact) -> Resource:
    return _resource(facts, "Device", f"model/{model.slot}") | {
        "identifier": [
            _sha256(model.weights_sha256, "SHA256"), _sha256(model.recipe_sha256, "RECIPE_SHA256"),
        ],
        "status": "active",
        "deviceName": [{"name": model.name, "type": "model-name"}],
        "type": {"coding": [_coding("MODEL")], "text": model.title},
        "version": [
            {"type": _concept("MODEL"), "value": model.version},
            *([{"type": _concept("ENGINE"), "value": model.engine}] if model.engine else []),
        ],
        "parent": _reference(facts, "pipeline"),
    }  # fmt: skip


def _resource(facts: ResultFacts, kind: str, part: str) -> Resource:
    return {"resourceType": kind, "id": str(facts.id(f"fhir/{part}")), "meta": _meta(facts)}


def _observation(facts: ResultFacts, part: str, concept: str, detail: str = "") -> Resource:
    code = _concept(concept)
    if detail:
        code["text"] = f"{CONCEPTS[concept]}, {detail}"
    return _resource(facts, "Observation", f"observation/{part}") | {
        "status": "preliminary",
        "category": [
            _standard("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory", "Laboratory")
        ],
        "code": code,
        "subject": _reference(facts, "patient"),
        "effectiveDateTime": _instant(facts),
        "specimen": _reference(facts, "specimen"),
        "device": _reference(facts, "pipeline"),
    }


def _meta(facts: ResultFacts) -> Resource:
    """Marks that a receiver can sort by: healthcare research; test data where a phantom or a demo model took part."""
    security = [{"system": _ACT_REASON, "code": "HRESCH", "display": "healthcare research"}]
    if facts.synthetic or facts.phantom:
        security.append({"system": _ACT_REASON, "code": "HTEST", "display": "test health data"})
    return {"security": security, "tag": [_coding("RESEARCH")]}


def _narrative(facts: ResultFacts) -> str:
    about = f"{facts.pipeline} {facts.pipeline_version}, slide {facts.slide}, patient {facts.patient}"
    return f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(about)}</p><p>{escape(facts.conclusion)}</p></div>'


def _counts(facts: ResultFacts, counts: Mapping[str, int]) -> list[Resource]:
    return [{"code": _class(facts, name), "valueInteger": count} for name, count in counts.items()]


def _class(facts: ResultFacts, name: str) -> Resource:
    title = facts.title(name)
    return {"coding": [{"system": _CODES, "code": name, "display": title}], "text": title}


def _concept(concept: str) -> Resource:
    return {"coding": [_coding(concept)], "text": CONCEPTS[concept]}


def _coding(concept: str) -> Resource:
    return {"system": _CODES, "code": concept, "display": CONCEPTS[concept]}


def _standard(system: str, code: str, display: str) -> Resource:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def _sha256(value: str, concept: str) -> Resource:
    return {"type": _concept(concept), "system": _NAMES_IN_FHIR["SHA256_OID"], "value": value}


def _reference(facts: ResultFacts, part: str) -> Resource:
    return {"reference": f"urn:uuid:{facts.id(f'fhir/{part}')}"}


def _instant(facts: ResultFacts) -> str:
    """R4 instant: to the millisecond, in UTC."""
    return facts.decided_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
