"""What a session with AI shows of a result: copied once, so that reading it needs no table of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cases.taxonomy import STYLES
from inference.models import PatientPrediction
from inference.pipeline.trace import deciding_images, trace_sentences
from leukoweb.core.exceptions import DomainError
from reader_study.models import ReadingSession, SessionAssistance, SessionImage, StudyCase
from reader_study.selectors.ai_results import label_of, predictions_of


@dataclass(frozen=True)
class Assistance:
    """The result that counts for one case of the study, as in its analysis (``predictions_of``)."""

    pipeline: str
    result: PatientPrediction
    name: str  # class of the study

    @property
    def run(self) -> str:
        """Which run of the pipeline this comes from, for the record; never shown to a reader."""
        return str(self.result.run.public_id)

    def as_shown(self, places: Mapping[str, int]) -> dict[str, Any]:
        """``places``: content hash -> position of the field in the session."""
        return {
            "pipeline": self.pipeline,
            "synthetic": self.result.run.pipeline.synthetic,
            "results": [_shown(self.result, self.name, places)],
        }


def primary_title(document: Mapping[str, Any]) -> str:
    """Name and version of the pipeline that sessions with AI show.

    Raises
    ------
    DomainError
        The protocol names none.
    """
    named = document["ai"]["primary"]
    if not named:
        raise DomainError("An arm shows the AI's result, but the protocol names no pipeline.", field="ai.primary")
    return f"{named['name']} {named['version']}"


def assistance_payloads(cases: Sequence[StudyCase], document: Mapping[str, Any]) -> dict[int, Assistance]:
    """Case id -> what the AI says.

    Raises
    ------
    DomainError
        The protocol names no pipeline, or patients have no result by it.
    """
    title, named = primary_title(document), document["ai"]["primary"]
    found = predictions_of(named["name"], named["version"], cases)
    if missing := len(cases) - len(found):
        raise DomainError(
            f"{missing} of {len(cases)} patients have no result by {title}.",
            code="E_NO_RESULT", field="ai.primary", hint="Run the pipeline on the whole cohort first.",
        )  # fmt: skip
    level = document["classes"]["map"]
    return {pk: Assistance(title, row, label_of(row, level, document)) for pk, row in found.items()}


@dataclass(frozen=True)
class Before:
    """What another session of the study showed of one case; ``contents`` are its fields by their place there."""

    payload: Mapping[str, Any]
    contents: Mapping[int, str]

    def as_shown(self, places: Mapping[str, int]) -> dict[str, Any]:
        """The same, with the deciding fields at their ``places`` in this session."""
        results = [
            result | {"deciding": sorted(places[self.contents[at]] for at in result["deciding"])}
            for result in self.payload["results"]
        ]
        return {**self.payload, "results": results}


def assistance_before(cases: Sequence[StudyCase], title: str) -> tuple[ReadingSession, dict[int, Before]] | None:
    """The first session of the study that shows this pipeline's results, with what it shows by case id.

    Whoever joins later sees the same as the first readers, whatever the pipeline has said since. 3 queries.
    """
    rows = SessionAssistance.objects.filter(case__identity__study_case__in=cases, payload__pipeline=title)
    first = rows.select_related("case__session").order_by("case__session_id", "pk").first()
    if first is None:
        return None
    contents: dict[int, dict[int, str]] = {}
    fields = SessionImage.objects.filter(case__session=first.case.session_id)
    for case, position, content in fields.values_list("case", "position", "content_sha256"):
        contents.setdefault(case, {})[position] = content
    shown = SessionAssistance.objects.filter(case__session=first.case.session_id).select_related("case__identity")
    return first.case.session, {
        row.case.identity.study_case_id: Before(row.payload, contents[row.case_id]) for row in shown
    }


def _shown(result: PatientPrediction, name: str, places: Mapping[str, int]) -> dict[str, Any]:
    contents = [image["content_sha256"] for image in result.images]
    deciding = [places[contents[i]] for i in deciding_images(result.trace) if contents[i] in places]
    title = STYLES[name].title if name in STYLES else name
    sentences = trace_sentences(result.trace) if result.decided else [result.reason]
    if unseen := sum(content not in places for content in contents):
        sentences = [*sentences, f"{unseen} of the {len(contents)} fields that this rests on are not shown here."]
    return {
        "diagnosis": name,
        "title": title or "No decision",
        "sentences": sentences,
        "deciding": sorted(deciding),
    }
