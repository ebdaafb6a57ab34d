"""After the unblinding: every case with its reference, all votes and the AI, the disputed ones first to see."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from django.db.models import OuterRef, Subquery

from cases.models import HpfImage, ReferenceDiagnosis
from inference.models import PatientPrediction
from leukoweb.core.exceptions import Conflict, NotFound
from reader_study.models import ImportedEvaluator, ImportedPrediction, Reading, ReadingSession, Study, StudyCase
from reader_study.protocol import reference_map
from reader_study.selectors.ai_answers import was_asked
from reader_study.selectors.ai_results import label_of, predictions_of
from reader_study.selectors.studies import protocol_current

FILTERS = {
    "disputed": "Anybody differs", "readers": "Readers disagree", "ai": "AI differs from the reference",
    "changed": "A reader changed", "all": "All cases",
}  # fmt: skip


@dataclass(frozen=True)
class Vote:
    """One evaluator's word on a case; an empty class is "cannot decide"."""

    who: str
    label: str
    kind: str  # reader, ai or panel
    right: bool | None
    reading: Reading | None = None
    prediction: PatientPrediction | None = None

    @property
    def seconds(self) -> float | None:
        milliseconds = self.reading.active_ms if self.reading else None
        return None if milliseconds is None else milliseconds / 1000


@dataclass
class Walk:
    """One case. ``reference`` is empty where none was entered."""

    case: StudyCase
    reference: str
    votes: list[Vote] = field(default_factory=list)

    def _labels(self, kind: str) -> list[str]:
        return [vote.label for vote in self.votes if vote.kind == kind]

    @property
    def readers_disagree(self) -> bool:
        return len(set(self._labels("reader"))) > 1

    @property
    def ai_differs(self) -> bool:
        return any(vote.right is False for vote in self.votes if vote.kind == "ai")

    @property
    def changed(self) -> bool:
        """Whether one reader said different things in two sessions."""
        said: dict[int, set[str]] = {}
        for vote in self.votes:
            if vote.kind == "reader" and vote.reading is not None:
                said.setdefault(vote.reading.session.reader_id, set()).add(vote.label)
        return any(len(labels) > 1 for labels in said.values())

    @property
    def disputed(self) -> bool:
        return self.readers_disagree or any(vote.right is False for vote in self.votes if vote.kind != "panel")

    @property
    def pattern(self) -> str:
        """Such as ``AML x 3, ALL x 1``."""
        counted = Counter(label or "cannot decide" for label in self._labels("reader"))
        return ", ".join(f"{label} x {n}" for label, n in counted.most_common())

    @property
    def reread(self) -> Vote | None:
        return next((vote for vote in self.votes if vote.kind == "panel"), None)


def require_unblinded(study: Study) -> None:
    if study.state != Study.State.UNBLINDED:
        raise Conflict("The study is still blind.", code="E_BLIND", hint="Freeze the data, then unblind the study.")


def walk_list(study: Study) -> list[Walk]:
    """The cases of an unblinded study, training left out. The number of queries does not depend on theirs.

    Raises
    ------
    Conflict
        Still blind.
    """
    require_unblinded(study)
    return _walks(study)


def wanted(walk: Walk, only: str) -> bool:
    """Whether a case passes one of ``FILTERS``."""
    kept = {"disputed": walk.disputed, "readers": walk.readers_disagree, "ai": walk.ai_differs, "changed": walk.changed}
    return kept.get(only, True)


def walk_get(study: Study, code: str) -> Walk:
    require_unblinded(study)
    walk = next((walk for walk in _walks(study, code) if walk.case.code == code), None)
    if walk is None:
        raise NotFound("This study has no such case.")
    return walk


def _walks(study: Study, code: str = "") -> list[Walk]:
    protocol = protocol_current(study)
    assert protocol is not None  # an unblinded study was locked
    document = protocol.document
    newest = ReferenceDiagnosis.objects.filter(patient=OuterRef("patient")).order_by("-id").values("diagnosis")[:1]
    cases = StudyCase.objects.filter(study=study, training=False).select_related("patient")
    cases = cases.filter(code=code) if code else cases
    mapping = reference_map(document)
    walks = {
        case.patient_id: Walk(case, mapping.get(case.reference or "", ""))  # type: ignore[attr-defined]
        for case in cases.annotate(reference=Subquery(newest)).order_by("code")
    }
    _votes(study, walks)
    _results(study, document, walks)
    return list(walks.values())


def _votes(study: Study, walks: dict[int, Walk]) -> None:
    readings = (
        Reading.objects.filter(session__reader__study=study, study_case__training=False)
        .filter(study_case__patient__in=list(walks))
        .exclude(session__state=ReadingSession.State.VOID)
        .select_related("session__reader", "study_case")
        .order_by("reread", "session__reader__label", "session__number")
    )
    for reading in readings:
        walk = walks[reading.study_case.patient_id]
        kind = "panel" if reading.reread else "reader"
        who = f"{reading.session.reader.label}-{reading.session.number}"
        right = reading.diagnosis == walk.reference if walk.reference else None
        walk.votes.append(Vote(who, reading.diagnosis, kind, right, reading=reading))


def _results(study: Study, document: dict[str, Any], walks: dict[int, Walk]) -> None:
    """Pipelines of the protocol, unless imported answers took their place; then all imported answers. Who was not asked
    for the study's classes has no vote."""
    named = [document["ai"]["primary"]] if document["ai"]["primary"] else []
    imported = {(e.name, e.version) for e in ImportedEvaluator.objects.filter(study=study)}
    for pipeline in [*named, *document["ai"]["comparators"]]:
        if (pipeline["name"], pipeline["version"]) in imported:
            continue
        if not was_asked(pipeline["name"], pipeline["version"], document["classes"]["map"]):
            continue
        found = predictions_of(pipeline["name"], pipeline["version"], [walk.case for walk in walks.values()])
        for walk in walks.values():
            if (row := found.get(walk.case.pk)) is None:
                continue
            label = label_of(row, document["classes"]["map"], document)
            right = label == walk.reference if walk.reference else None
            title = f"AI {pipeline['name']} {pipeline['version']}"
            walk.votes.append(Vote(title, label, "ai", right, prediction=row))
    if imported:
        _imported(study, document["classes"]["map"], walks)


def _imported(study: Study, level: str, walks: dict[int, Walk]) -> None:
    rows = ImportedPrediction.objects.filter(
        evaluator__study=study, level=level, study_case__patient__in=list(walks)
    ).select_related("evaluator", "study_case")
    for row in rows.order_by("evaluator", "id"):
        walk = walks[row.study_case.patient_id]
        right = row.diagnosis == walk.reference if walk.reference else None
        walk.votes.append(Vote(f"AI {row.evaluator}", row.diagnosis, "ai", right))


def walk_images(walk: Walk) -> list[HpfImage]:
    """The fields of the frozen case, in capture order; fewer if a patient was withdrawn since. 1 query."""
    order = [entry["image"] for entry in walk.case.manifest]
    images = HpfImage.objects.filter(public_id__in=order, slide__patient__withdrawn_at=None).select_related("slide")
    found = {str(image.public_id): image for image in images}
    return [found[public_id] for public_id in order if public_id in found]
