"""Many reference diagnoses by a table: look at what would change, then confirm."""

from __future__ import annotations

import csv
import hashlib
import io

from django.contrib import messages
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from cases import selectors
from cases.acquisition_csv import parse_references_csv
from cases.csv_spreadsheets import Spreadsheet, spreadsheet_text
from cases.csv_tables import CsvRefused
from cases.forms_references import BYTES_MAX, ROWS_MAX, ReferenceTableForm, TableConfirmForm
from cases.models import Cohort
from cases.services.reference_tables import TablePlan, references_import
from cases.views.shared import add_errors
from leukoweb.core.exceptions import DomainError
from leukoweb.core.http import person, whole_number
from leukoweb.core.permissions import requires
from leukoweb.core.words import counted
from leukoweb.statistics.cells import safe_cell

COLUMNS = ("patient", "diagnosis", "source", "decided_on", "transformed", "note")
_signer = signing.Signer(salt="cases.reference_tables")


def _run(request: HttpRequest, table: str, source: str, *, digest: str, key: str = "", dry_run: bool) -> TablePlan:
    rows = parse_references_csv(table)
    if not rows:
        raise DomainError("The table has no row below its header.", code="E_CSV_EMPTY", field="file")
    if len(rows) > ROWS_MAX:
        hint = "Split it, or ask an admin to import it on the server."
        raise DomainError(f"{counted(len(rows), 'row')}; the limit is {ROWS_MAX:,}.", code="E_ROWS", hint=hint)
    return references_import(
        actor=person(request), rows=rows, source=source, dry_run=dry_run, plan_key=key, table_sha256=digest
    )


@require_http_methods(["GET", "HEAD", "POST"])
@requires("references.edit")
def reference_upload(request: HttpRequest) -> HttpResponse:
    """The form, and what the table would change. Nothing is entered here."""
    form = ReferenceTableForm(request.POST or None, request.FILES or None)
    problems: tuple[object, ...] = ()
    if request.method == "POST" and form.is_valid():
        source = form.cleaned_data["source"]
        try:
            data = form.cleaned_data["file"].read(BYTES_MAX + 1)
            sheet, digest = spreadsheet_text(data, bytes_max=BYTES_MAX), hashlib.sha256(data).hexdigest()
            plan = _run(request, sheet.text, source, digest=digest, dry_run=True)
            return _plan_page(request, sheet, source, plan, _sealed(digest, sheet.text))
        except CsvRefused as error:
            problems = error.problems
            form.add_error("file", f"{counted(error.n_problems, 'problem')}. {error.hint}")
        except DomainError as error:
            add_errors(form, error)
    context = {
        "form": form, "problems": problems, "columns": COLUMNS, "rows_max": ROWS_MAX, "megabytes": BYTES_MAX // 10**6,
        "cohorts": Cohort.objects.order_by("name"),
    }  # fmt: skip
    return render(request, "cases/reference_upload.html", context, status=400 if form.errors else 200)


def _sealed(digest: str, table: str) -> str:
    """The hash of the file as it came, bound to what was read from it: no other table is entered under its name."""
    return _signer.sign_object([digest, hashlib.sha256(_lines(table).encode()).hexdigest()])


def _digest_of(sealed: str, table: str) -> str:
    try:
        digest, read = _signer.unsign_object(sealed)
    except signing.BadSignature:
        digest = read = ""
    if read != hashlib.sha256(_lines(table).encode()).hexdigest():
        raise DomainError("What was looked at did not arrive whole.", hint="Upload the table again.", code="E_FORM")
    return str(digest)


def _lines(table: str) -> str:
    """A browser sends every end of a line as CR LF, whatever it was."""
    return table.replace("\r\n", "\n").replace("\r", "\n")


def _plan_page(
    request: HttpRequest, sheet: Spreadsheet, source: str, plan: TablePlan, sealed: str, problem: str = ""
) -> HttpResponse:
    form = TableConfirmForm(initial={"table": sheet.text, "source": source, "plan": plan.key, "sealed": sealed})
    context = {"plan": plan, "form": form, "assumed": sheet.assumed, "problem": problem}
    return render(request, "cases/reference_upload_plan.html", context, status=409 if problem else 200)


@require_http_methods(["POST"])
@requires("references.edit")
def reference_upload_confirm(request: HttpRequest) -> HttpResponse:
    """Enter what was looked at; look again where something has changed since."""
    form = TableConfirmForm(request.POST)
    if not form.is_valid():
        raise DomainError("What was looked at did not arrive whole.", hint="Upload the table again.", code="E_FORM")
    table, source, sealed = (form.cleaned_data[name] for name in ("table", "source", "sealed"))
    digest = _digest_of(sealed, table)
    try:
        plan = _run(request, table, source, digest=digest, key=form.cleaned_data["plan"], dry_run=False)
    except DomainError as error:
        if error.code != "E_CHANGED":
            raise
        now = _run(request, table, source, digest=digest, dry_run=True)
        if not (now.n_new or now.n_changed):  # sent twice, or the other one entered the same
            stood = counted(now.n_same, "diagnosis", "diagnoses")
            messages.info(request, f"Nothing was left to enter: {stood} stood there.")
            return redirect("reference_list")
        return _plan_page(request, Spreadsheet(table), source, now, sealed, f"{error.message} {error.hint}")
    entered = counted(plan.n_new + plan.n_changed, "diagnosis", "diagnoses")
    messages.success(request, f"{entered} entered; {plan.n_same:,} stood there already.")
    return redirect("reference_list")


@require_safe
@requires("references.edit")
def reference_template(request: HttpRequest) -> HttpResponse:
    """An empty table; of a cohort with the codes of those patients who have no reference yet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    cohort = whole_number(request.GET.get("cohort"))
    if cohort is not None:
        writer.writerows([safe_cell(code), *[""] * 5] for code in selectors.patients_without_reference(cohort))
    response = HttpResponse("\ufeff" + out.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="references.csv"'
    return response
