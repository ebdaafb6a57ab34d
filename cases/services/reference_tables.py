"""Many reference diagnoses at once: what a table would change, and entering it, all or none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from cases.acquisition_csv import ReferenceRow
from cases.csv_tables import CsvProblem, CsvRefused
from cases.models import Patient, ReferenceDiagnosis
from cases.services.exposures import exposures_record
from cases.services.references import reference_check, references_store
from leukoweb.core.audit import audit_record
from leukoweb.core.exceptions import Conflict, DomainError, NotFound
from leukoweb.core.models import User


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the table against what stands there: ``before`` is the newest entry, if there is one."""

    row: ReferenceRow
    patient: Patient
    source: str
    before: ReferenceDiagnosis | None

    @property
    def is_same(self) -> bool:
        """Whether nothing has to be entered."""
        now, row = self.before, self.row
        wanted = (row.diagnosis, self.source, row.decided_on, row.transformed)
        return now is not None and (now.diagnosis, now.source, now.decided_on, now.transformed) == wanted


@dataclass(frozen=True, slots=True)
class TablePlan:
    """``key`` changes with every entry that somebody else makes meanwhile for one of these patients."""

    changes: tuple[Change, ...]
    key: str

    @property
    def n_new(self) -> int:
        return sum(change.before is None for change in self.changes)

    @property
    def n_changed(self) -> int:
        return sum(change.before is not None and not change.is_same for change in self.changes)

    @property
    def n_same(self) -> int:
        return sum(change.is_same for change in self.changes)


def references_plan(rows: Sequence[ReferenceRow], *, source: str, lock: bool = False) -> TablePlan:
    """What the rows would change. 2 queries. With ``lock`` nobody enters anything for these patients meanwhile.

    Raises
    ------
    NotFound
        Codes that no patient has, all named (at most 20).
    """
    wanted = Patient.objects.filter(code__in=[row.patient for row in rows]).order_by("pk")
    patients = {p.code: p for p in (wanted.select_for_update(no_key=True) if lock else wanted)}
    unknown = [f"{row.patient} (line {row.line})" for row in rows if row.patient not in patients]
    if unknown:
        more = f" and {len(unknown) - 20} more" if len(unknown) > 20 else ""
        raise NotFound(
            f"No patient has these codes: {', '.join(unknown[:20])}{more}.",
            hint="Import the slides first.",
            field="patient",
        )
    newest = {}
    for entry in ReferenceDiagnosis.objects.filter(patient__in=patients.values()).order_by("id"):
        newest[entry.patient_id] = entry
    changes = tuple(
        Change(row, patients[row.patient], row.source or source, newest.get(patients[row.patient].pk)) for row in rows
    )
    known = [(change.patient.pk, change.before.pk if change.before else 0) for change in changes]
    return TablePlan(changes, hashlib.sha256(repr((source, known)).encode()).hexdigest())


@transaction.atomic
def references_import(
    *, actor: User | None, rows: Sequence[ReferenceRow], source: str, dry_run: bool, plan_key: str = "",
    table_sha256: str = "",
) -> TablePlan:  # fmt: skip
    """Enter reference diagnoses, all or none; what is known already is not entered again.

    With ``dry_run`` everything is checked and nothing is entered or locked. A person who is shown the plan has seen
    references, so that is recorded either way.

    Raises
    ------
    NotFound
        Codes that no patient has.
    CsvRefused
        Rows that cannot be entered, all named by their lines.
    Conflict
        ``plan_key`` is not that of the plan: somebody has entered something since it was shown.
    """
    plan = references_plan(rows, source=source, lock=not dry_run)
    if actor is not None:
        exposures_record(actor, [change.patient.pk for change in plan.changes], "reference")
    if plan_key and plan_key != plan.key:
        raise Conflict(
            "Somebody has entered a diagnosis of one of these patients since you looked.", code="E_CHANGED",
            hint="Look at what would change now, then confirm again.",
        )  # fmt: skip
    problems, checked = [], []
    for change in plan.changes:
        try:
            if not change.is_same:
                checked.append(_checked(actor, change))
        except DomainError as error:
            problems.append(CsvProblem(change.row.line, error.field, error.code, error.message))
    if problems:
        raise CsvRefused(problems)
    if dry_run:
        return plan
    references_store(actor=actor, references=checked)
    audit_record(
        actor=actor, action="reference.import", target="references",
        data={"new": plan.n_new, "changed": plan.n_changed, "unchanged": plan.n_same, "table_sha256": table_sha256},
    )  # fmt: skip
    return plan


def _checked(actor: User | None, change: Change) -> ReferenceDiagnosis:
    row = change.row
    return reference_check(
        actor=actor, patient=change.patient, diagnosis=row.diagnosis, source=change.source,
        decided_on=row.decided_on, transformed=row.transformed, note=row.note,
    )  # fmt: skip
