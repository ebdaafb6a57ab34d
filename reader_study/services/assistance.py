"""What a session with AI shows of a result: copied once, so that reading it needs no table of results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cases.taxonomy import STYLES
from inference.models import PatientPrediction
from inference.pipeline.trace import deciding_images, trace_sentences
from leukoweb.core.exceptions import DomainError
from reader_study.selectors.ai_results import label_of


@dataclass(frozen=True)
class Assistance:
    """The newest result of each slide of one patient by the study's pipeline."""

    pipeline: str
    synthetic: bool
    results: tuple[tuple[PatientPrediction, str], ...]  # (stored result, class of the study)

    @property
    def runs(self) -> list[str]:
        """Which runs of the pipeline this comes from, for the record; never shown to a reader."""
        return [str(result.run.public_id) for result, _ in self.results]

    def as_shown(self, places: Mapping[str, int]) -> dict[str, Any]:
        """``places``: content hash -> position of the field in the session."""
        return {
            "pipeline": self.pipeline,
            "synthetic": self.synthetic,
            "results": [_shown(result, name, places) for result, name in self.results],
        }


def assistance_payloads(patients: Iterable[int], document: Mapping[str, Any]) -> dict[int, Assistance]:
    """Patient id -> what the AI says.

    Raises
    ------
    DomainError
        The protocol names no pipeline, or patients have no result by it.
    """
    named, wanted = document["ai"]["primary"], list(patients)
    if not named:
        raise DomainError("An arm shows the AI's result, but the protocol names no pipeline.", field="ai.primary")
    newest: dict[int, dict[int, PatientPrediction]] = {pk: {} for pk in wanted}
    rows = PatientPrediction.objects.filter(
        patient_id__in=wanted, run__pipeline__name=named["name"], run__pipeline__version=named["version"]
    )
    for row in rows.select_related("run__pipeline", "slide").order_by("slide__code", "id"):
        newest[row.patient_id][row.slide_id] = row
    if missing := [pk for pk, found in newest.items() if not found]:
        raise DomainError(
            f"{len(missing)} of {len(wanted)} patients have no result by {named['name']} {named['version']}.",
            code="E_NO_RESULT", field="ai.primary", hint="Run the pipeline on the whole cohort first.",
        )  # fmt: skip
    title = f"{named['name']} {named['version']}"
    return {
        pk: Assistance(
            pipeline=title,
            synthetic=any(row.run.pipeline.synthetic for row in found.values()),
            results=tuple((row, label_of(row, document["classes"]["map"], document)) for row in found.values()),
        )
        for pk, found in newest.items()
    }


def _shown(result: PatientPrediction, name: str, places: Mapping[str, int]) -> dict[str, Any]:
    contents = [image["content_sha256"] for image in result.images]
    deciding = [places[contents[i]] for i in deciding_images(result.trace) if contents[i] in places]
    title = STYLES[name].title if name in STYLES else name
    return {
        "diagnosis": name,
        "title": title or "No decision",
        "sentences": trace_sentences(result.trace) if result.decided else [result.reason],
        "deciding": sorted(deciding),
    }
