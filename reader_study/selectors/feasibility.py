"""What the database says about a protocol: can these people read these patients with this pipeline?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.utils import timezone

from cases.models import Cohort, DatasetEntry, Patient
from inference.models import PipelineVersion
from inference.pipeline.classes import SLOT_CLASSES
from inference.selectors.ancestry import datasets_absent, untold
from leukoweb.core.blindfold import hides_any
from leukoweb.core.models import Role, User
from leukoweb.core.words import counted
from reader_study.models import ReadingSession, Study, StudyCase
from reader_study.protocol import Problem, lock_problems, notices
from reader_study.selectors.ai_results import contents_of, predictions_of
from reader_study.selectors.cases import CaseList, case_list, frozen_cases, in_short, without_reference
from reader_study.selectors.eligibility import Overlap, overlaps, trained_on


@dataclass(frozen=True)
class Refused:
    """A reader who cannot read this study's patients, with every overlap."""

    label: str
    username: str
    overlaps: tuple[Overlap, ...]


@dataclass(frozen=True)
class Feasibility:
    """``problems`` stop a lock, ``warnings`` do not; ``refused`` explains the problems of readers."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    refused: tuple[Refused, ...]
    cases: CaseList


def feasibility(study: Study, document: dict[str, Any]) -> Feasibility:
    """All checks of a draft: the document's own, then the database's."""
    cases = case_list(document)
    problems, refused = readers_problems(study, document["readers"], cases)
    own = _open_eyes_problems(cases, whole_cohort=True)
    shown, stale = _shown_problems(document, document["readers"], cases)
    problems = [
        *lock_problems(document), *own, *cases.problems, *problems, *_pipeline_problems(document, cases), *shown,
    ]  # fmt: skip
    warnings = [*notices(document), *cases.warnings, *stale, *_last_day_warnings(document, timezone.localdate())]
    warnings += _untold_warnings(document)
    if missing := without_reference(cases.patients):
        warnings.append(
            Problem("cases", f"{missing} of {counted(len(cases.patients), 'patient')} without a reference diagnosis.",
                    "They have to have one before the analysis.")
        )  # fmt: skip
    return Feasibility(tuple(problems), tuple(warnings), tuple(refused), cases)


def _last_day_warnings(document: dict[str, Any], today: date) -> list[Problem]:
    """Whether everybody could be through by the last day, if all began today."""
    if not document["closes_on"]:
        return []
    last = date.fromisoformat(document["closes_on"])
    pauses = max((len(reader["sessions"]) - 1 for reader in document["readers"]), default=0)
    earliest = today + timedelta(days=max(0, pauses) * document["washout_days"])
    if last < today:
        return [Problem("closes_on", f"{last} is over already.", "Nobody could begin to read.")]
    if earliest <= last:
        return []
    return [
        Problem("closes_on", f"With {counted(pauses, 'pause')} of {counted(document['washout_days'], 'day')} the last "
                f"session opens on {earliest} at the earliest, after the last day of reading.",
                "Choose a later day or a shorter washout.")
    ]  # fmt: skip


def amendment_feasibility(
    study: Study, before: dict[str, Any], after: dict[str, Any], added: list[dict[str, Any]]
) -> list[Problem]:
    """What the database says against an amendment: the ``added`` readers, and other pipelines, on the frozen cases."""
    cases = frozen_cases(study)
    problems, _ = readers_problems(study, added, cases)
    if added or after["ai"] != before["ai"]:
        problems += _open_eyes_problems(cases)
    if not _shows_ai(study):  # who joins others sees what they see
        problems += _shown_problems(after, added, cases)[0]
    if after["ai"] != before["ai"]:
        problems += _pipeline_problems(after, cases)
    if after["ai"]["primary"] != before["ai"]["primary"] and _shows_ai(study):
        problems.append(
            Problem("ai.primary", "Sessions with the AI's result are laid out with that of the locked pipeline.",
                    "Keep the pipeline, or design a new study for another one.")
        )  # fmt: skip
    return problems


def _open_eyes_problems(cases: CaseList, *, whole_cohort: bool = False) -> list[Problem]:
    """Whoever is still blindfolded for one of these patients would check the list without them; and freeze it without
    them, which ``whole_cohort`` asks about: a list that is drawn lacks whom the person cannot see."""
    none = Patient._base_manager.none()
    cohort = Patient._base_manager.filter(cohort=cases.cohort) if whole_cohort and cases.cohort else none
    if not hides_any([patient.pk for patient in cases.everybody]) and not hides_any(cohort):
        return []
    return [
        Problem("cases", "Some of these patients are hidden from you: you read or sort them blinded, or did until now.",
                "Another coordinator has to do this, or it waits until that study is unblinded or the task is closed.")
    ]  # fmt: skip


def _shows_ai(study: Study) -> bool:
    sessions = ReadingSession.objects.filter(reader__study=study, arm=ReadingSession.Arm.AI_ASSISTED, imported=False)
    return sessions.exclude(state=ReadingSession.State.VOID).exists()


def readers_problems(
    study: Study, readers: list[dict[str, Any]], cases: CaseList
) -> tuple[list[Problem], list[Refused]]:
    """Whether each reader exists, may read, and has never met these patients."""
    problems: list[Problem] = []
    refused: list[Refused] = []
    people = {u.username: u for u in User.objects.filter(username__in=[r["username"] for r in readers])}
    coordinators = set(study.coordinators.values_list("pk", flat=True))
    patients = [patient.pk for patient in cases.everybody]
    for number, reader in enumerate(readers, start=1):
        name, path = reader["username"], f"readers.{number}.username"
        if not name:
            continue  # read elsewhere; the readings come as a file
        user = people.get(name)
        if user is None:
            problems.append(Problem(path, f"There is no user {name!r}."))
        elif not user.is_active or user.role != Role.PATHOLOGIST:
            state = "is disabled" if not user.is_active else f"is a {user.get_role_display().lower()}"
            problems.append(Problem(path, f"{name} {state}; only an active pathologist reads."))
        elif user.pk in coordinators:
            problems.append(Problem(path, f"{name} coordinates this study and so cannot read in it."))
        elif met := overlaps(user, patients, study=study):
            refused.append(Refused(reader["label"], name, tuple(met)))
            n = len({overlap.patient for overlap in met})
            problems.append(
                Problem(path, f"{name} has met {n} of these patients before: {met[0].reason} ({met[0].patient}).",
                        "Choose another reader or leave these patients out.")
            )  # fmt: skip
    return problems, refused


def _wanted(document: dict[str, Any]) -> list[dict[str, str]]:
    return [*([document["ai"]["primary"]] if document["ai"]["primary"] else []), *document["ai"]["comparators"]]


def _untold_warnings(document: dict[str, Any]) -> list[Problem]:
    """Pipelines of which nobody can say that they have not learned from these patients (ADR 0810)."""
    found = []
    for wanted in _wanted(document):
        pipeline = PipelineVersion.objects.select_related(*SLOT_CLASSES).filter(**wanted).first()
        if pipeline is None:
            continue
        hint = f"Make sure that {pipeline} has learned from none of these patients."
        if names := untold(pipeline.slots.values()):
            found.append(Problem("ai", f"No card here says what {' and '.join(names)} learned from.", hint))
        if n_absent := datasets_absent(pipeline.slots.values()):
            versions = counted(n_absent, "dataset version")
            found.append(Problem("ai", f"{pipeline} learned from {versions} not in this installation.", hint))
    return found


def _shown_problems(
    document: dict[str, Any], readers: list[dict[str, Any]], cases: CaseList
) -> tuple[list[Problem], list[Problem]]:
    """Patients whose result an arm with AI would have to show and that is not there; and, as a warning, results that
    rest on other fields than the case has. 1 query, where somebody reads with AI here."""
    named, arm = document["ai"]["primary"], ReadingSession.Arm.AI_ASSISTED
    with_ai = any(reader["username"] and arm in reader["sessions"] for reader in readers)
    if not named or not with_ai or not PipelineVersion.objects.filter(**named).exists():
        return [], []
    title = f"{named['name']} {named['version']}"
    wanted = [StudyCase(pk=p.pk, patient_id=p.pk, manifest=cases.manifests[p.pk]) for p in cases.everybody]
    found = predictions_of(named["name"], named["version"], wanted)
    codes = {patient.pk: patient.code for patient in cases.everybody}
    missing = sorted(codes[case.pk] for case in wanted if case.pk not in found)
    stale = sorted(
        codes[case.pk] for case in wanted
        if case.pk in found and contents_of(found[case.pk]) != {field["content_sha256"] for field in case.manifest}
    )  # fmt: skip
    problems, warnings = [], []
    if missing:
        problems.append(
            Problem("ai.primary", f"Some patients have no result by {title} ({len(missing)}): {in_short(missing)}.",
                    "Sessions with AI show it. Run the pipeline on the whole cohort first.")
        )  # fmt: skip
    if stale:
        problem = f"Some results by {title} rest on other fields than the case has ({len(stale)}): {in_short(stale)}."
        hint = "Fields came or were excluded since (run the pipeline again), or the patient has several slides."
        warnings.append(Problem("ai.primary", problem, hint))
    return problems, warnings


def _pipeline_problems(document: dict[str, Any], cases: CaseList) -> list[Problem]:
    problems = []
    for wanted in _wanted(document):
        pipeline = PipelineVersion.objects.filter(**wanted).first()
        title = f"{wanted['name']} {wanted['version']}"
        if pipeline is None:
            problems.append(Problem("ai", f"There is no pipeline {title}."))
            continue
        external = cases.cohort is not None and cases.cohort.purpose == Cohort.Purpose.EXTERNAL
        splits = DatasetEntry.Split.values if external else [DatasetEntry.Split.TRAIN.value]
        if seen := trained_on(pipeline, [p.pk for p in cases.everybody], splits=splits):
            problems.append(
                Problem("ai", f"{title} was made with images of {len(seen)} of these patients: {', '.join(seen[:10])}.",
                        "Its results on them would be too good. Choose other patients or another pipeline.")
            )  # fmt: skip
    return problems
