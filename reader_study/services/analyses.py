"""Asking for an analysis, storing its result once, and importing answers of outside AI."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from django.db import IntegrityError, transaction

from cases.services.exposures import exposures_record
from inference.services.version import app_version
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError
from leukoweb.core.jobs.ledger import job_create
from leukoweb.core.models import AuditEvent, User
from leukoweb.statistics.ratings import read_csv
from leukoweb.statistics.results import StatisticsError
from reader_study.analysis.canonical import sha256_of
from reader_study.analysis.inputs import parse
from reader_study.analysis.plan import levels_of
from reader_study.analysis.run import steps
from reader_study.models import Analysis, AnalysisResult, ImportedEvaluator, ImportedPrediction, Study
from reader_study.selectors.ai_results import predictions_of
from reader_study.selectors.analysis_inputs import study_inputs
from reader_study.selectors.studies import protocol_current
from reader_study.services.guard import require_coordinator, require_open_eyes, require_reason

KIND = "analysis.run"
MAX_FILE_BYTES = 5_000_000


def analysis_create(*, actor: User, study: Study, interim: bool = False, reason: str = "") -> Analysis:
    """Freeze the inputs and queue the computation; the caller rings the bell.

    Before the unblinding only as an interim analysis with a reason, which is an event of its own in the record.

    Raises
    ------
    Conflict
        Not unblinded, and not asked for as interim.
    InputsRefused
        An open session, a missing reference, a class outside the protocol, a reader without readings, ...
    """
    require_coordinator(actor, study)
    unblinded = study.state == Study.State.UNBLINDED
    if not unblinded and not interim:
        raise Conflict(
            f"The study is {study.get_state_display().lower()}, not unblinded.", code="E_STATE",
            hint="Freeze the data and unblind the study first, or ask for an interim analysis with a reason.",
        )  # fmt: skip
    reason = require_reason(reason) if interim else ""
    require_open_eyes(study)
    return _store(actor, study, study_inputs(study, interim=interim, reason=reason), interim=interim, reason=reason)


def analysis_ensure(study: Study) -> Analysis:
    """The newest analysis of a reconstruction, made by the program if there is none. The caller rings the bell."""
    if not study.reconstruction:
        raise Conflict("Only the analysis of a reconstruction is made without a person who asks for it.")
    found = study.analyses.order_by("-id").first()
    return found or _store(None, study, study_inputs(study), interim=False, reason="")


def _store(actor: User | None, study: Study, document: dict[str, Any], *, interim: bool, reason: str) -> Analysis:
    parse(document)
    sha256 = sha256_of(document)
    protocol = protocol_current(study)
    assert protocol is not None  # study_inputs refuses without
    with transaction.atomic():
        analysis = Analysis.objects.create(
            study=study, protocol=protocol, interim=interim, inputs=document, inputs_sha256=sha256, created_by=actor
        )
        title = f"{'Interim analysis' if interim else 'Analysis'} of {study.title}"
        analysis.job = job_create(
            kind=KIND, title=title, payload={"analysis": analysis.pk}, actor=actor, total_units=steps(document)
        )
        analysis.save(update_fields=["job"])
        audit_record(
            actor=actor, action="analysis.interim" if interim else "analysis.create", target=f"study:{study.pk}",
            reason=reason, data={"analysis": str(analysis.public_id), "inputs_sha256": sha256},
        )  # fmt: skip
    return analysis


def result_store(*, analysis: Analysis, result: dict[str, Any]) -> AnalysisResult:
    """Write the result once; a second computation of the same inputs changes nothing."""
    try:
        with transaction.atomic():
            return AnalysisResult.objects.create(
                analysis=analysis, result=result, result_sha256=sha256_of(result), app_version=app_version()
            )
    except IntegrityError:
        return AnalysisResult.objects.get(analysis=analysis)


def analysis_opened(*, actor: User, analysis: Analysis) -> None:
    """Record that this person sees references and results of the study's patients. 1 query once it is known.

    The cases of a study never change after its lock, so what the first look recorded holds for all later ones.
    """
    target = f"analysis:{analysis.public_id}"
    if AuditEvent.objects.filter(actor=actor, action="analysis.view", target=target).exists():
        return
    patients = list(analysis.study.cases.filter(training=False).values_list("patient_id", flat=True))
    with transaction.atomic():
        exposures_record(actor, patients, "reference")
        exposures_record(actor, patients, "result")
        audit_record(actor=actor, action="analysis.view", target=target, data={"interim": analysis.interim})


def analysis_exported(*, actor: User, analysis: Analysis, what: str) -> None:
    """Record that a file left the house."""
    audit_record(actor=actor, action="analysis.export", target=f"analysis:{analysis.public_id}", data={"file": what})


def evaluator_import(
    *, actor: User, study: Study, name: str, version: str, source: str, data: bytes
) -> ImportedEvaluator:
    """Answers of an AI that did not run here, from a CSV with ``case`` and one column per level of classes.

    ``case`` holds the study's case codes, every case once; an empty cell means that the AI could not decide at that
    level. Named as the protocol names a pipeline, the AI takes its place; else it is an exploratory comparator.

    Raises
    ------
    DomainError
        Not CSV, an unknown or missing case, a class outside the protocol, no column of classes.
    Conflict
        The study has an AI of this name and version already, or is not locked; or a pipeline of this name and version
        has answered here, and what it said is not replaced.
    """
    require_coordinator(actor, study)
    protocol = protocol_current(study)
    if protocol is None:
        raise Conflict("The protocol is not locked yet.", code="E_STATE", hint="Lock it, then import.")
    name, version, source = name.strip(), version.strip(), source.strip()
    for field, text, longest in (("name", name, 80), ("version", version, 40), ("source", source, 300)):
        if not text or len(text) > longest:
            raise DomainError(f"The {field} needs 1 to {longest} characters.", field=field)
    _require_free(study, protocol.document, name, version)
    _require_not_run(study, name, version)
    rows = _checked(_table(data), study, levels_of(protocol.document))
    with transaction.atomic():
        if ImportedEvaluator.objects.filter(study=study, name=name, version=version).exists():
            raise Conflict(f"{name} {version} was imported already.", hint="Give a new version; nothing is replaced.")
        evaluator = ImportedEvaluator.objects.create(
            study=study, name=name, version=version, source=source, imported_by=actor,
            file_sha256=hashlib.sha256(data).hexdigest(),
        )  # fmt: skip
        ImportedPrediction.objects.bulk_create(
            [
                ImportedPrediction(evaluator=evaluator, study_case_id=case, level=level, diagnosis=label)
                for case, level, label in rows
            ]
        )
        audit_record(
            actor=actor, action="study.import_ai", target=f"study:{study.pk}",
            data={"name": name, "version": version, "answers": len(rows), "sha256": evaluator.file_sha256},
        )  # fmt: skip
    return evaluator


def _require_free(study: Study, document: dict[str, Any], name: str, version: str) -> None:
    """Tables call an AI by name and version, so nobody else may be called that; what is imported stays for ever."""
    ai = document["ai"]
    pairs = {(p["name"], p["version"]) for p in [*([ai["primary"]] if ai["primary"] else []), *ai["comparators"]]}
    pairs |= set(ImportedEvaluator.objects.filter(study=study).values_list("name", "version"))
    taken = {f"{one} {other}" for one, other in pairs - {(name, version)}}
    if f"{name} {version}" in taken | set(study.readers.values_list("label", flat=True)):
        raise Conflict(f"Tables call somebody else {name} {version} already.", hint="Give it another name.")


def _require_not_run(study: Study, name: str, version: str) -> None:
    """An import takes the place of the pipeline that is called so, which then must not have answered."""
    cases = list(study.cases.filter(training=False))
    if answered := len(predictions_of(name, version, cases)):
        raise Conflict(
            f"{name} {version} ran here: {answered} of {len(cases)} cases have its prediction, and an import would "
            "take their place.", code="E_RAN_HERE",
            hint="Run it on the other cases too, or import under another version, as a comparator of its own.",
        )  # fmt: skip


def _table(data: bytes) -> dict[str, list[str]]:
    if len(data) > MAX_FILE_BYTES:
        raise DomainError(f"The file has {len(data)} bytes, at most {MAX_FILE_BYTES} are taken.", field="file")
    try:
        return read_csv(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        message = f"The file is not UTF-8 text: {error}."
        raise DomainError(message, field="file", hint="Save it as CSV UTF-8.") from error
    except StatisticsError as error:
        raise DomainError(error.message, code=error.code, hint=error.hint, field="file") from error


def _checked(table: dict[str, list[str]], study: Study, levels: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    """(case id, level, class) of every cell, after checking all of them. Cases of withdrawn patients may be absent."""
    columns = [level for level in levels if level["name"] in table]
    if "case" not in table or not columns:
        names = ", ".join(level["name"] for level in levels)
        raise DomainError(
            f"The file needs a column case and one or more of {names}; it has {', '.join(table)}.", field="file"
        )
    rows = study.cases.filter(training=False).values_list("code", "pk", "patient__withdrawn_at")
    cases = {code: pk for code, pk, _ in rows}
    gone = {code for code, _, withdrawn in rows if withdrawn}
    given = table["case"]
    problems = [f"case {code} is not in the study" for code in given if code not in cases]
    twice = sorted(code for code, count in Counter(given).items() if count > 1)
    problems += [f"case {code} stands more than once" for code in twice]
    problems += [f"case {code} is missing" for code in sorted(set(cases) - set(given) - gone)]
    out = []
    for level in columns:
        for line, (code, label) in enumerate(zip(given, table[level["name"]], strict=True), start=2):
            if label and label not in level["classes"]:
                problems.append(f"line {line}: {label[:40]!r} is not one of {', '.join(level['classes'])}")
            out.append((cases.get(code, 0), str(level["name"]), label))
    if problems:
        more = f" And {len(problems) - 5} more." if len(problems) > 5 else ""
        raise DomainError(f"{'; '.join(problems[:5])}.{more}", field="file", hint="Nothing was imported.")
    return out
